package byurl

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

func TestEveryKnownPlanIsWholeOrNamesWhatIsNotDocumented(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, s := range services() {
		if u, err := url.Parse(s.Source); err != nil || u.Scheme != "https" || u.Host == "" {
			t.Errorf("%s: source %q", s.Name, s.Source)
		}
		layout := time.DateOnly[:len(s.Date)] // some pages give the month alone
		if _, err := time.Parse(layout, s.Date); err != nil || len(s.Date) < len("2006-01") {
			t.Errorf("%s: date %q", s.Name, s.Date)
		}
		if s.Title == "" || len(s.Plans) == 0 {
			t.Errorf("%s: %+v", s.Name, s)
		}
		for _, p := range s.Plans {
			name := s.Name + "/" + p.Name
			if seen[name] || strings.ToLower(name) != name || strings.Count(name, "/") != 1 {
				t.Errorf("%s is twice, or no name", name)
			}
			seen[name] = true
			if p.Title == "" || p.Metered == nil || p.Known+p.Service+p.Region != "" {
				t.Errorf("%s: %+v", name, p)
			}
			there := map[string]bool{"monthly_usd": p.MonthlyUSD != nil}
			for _, l := range p.limits() {
				there[l.key] = *l.value != nil
				if value(*l.value) < 0 {
					t.Errorf("%s: %s is negative", name, l.key)
				}
			}
			for key, is := range there {
				if is == slices.Contains(s.Undocumented, key) {
					t.Errorf("%s: %s is there (%v), and not named, or the reverse", name, key, is)
				}
			}
			for _, key := range s.Undocumented {
				if _, is := there[key]; !is {
					t.Errorf("%s: there is no %s", s.Name, key)
				}
			}
		}
	}
	if len(seen) < 20 || !slices.Equal(names("nobody"), names("")) || len(names("")) != len(seen) {
		t.Errorf("%d known plans, and listed: %v", len(seen), names(""))
	}
}

// What a plan rests on is the weakest of what is given and what is known, part by part.
func TestWhatIsKnownIsDocumentedAndWhatIsGivenAttested(t *testing.T) {
	t.Parallel()
	number := func(n int64) *int64 { return &n }
	price, no := 7.0, false
	for rule, c := range map[string]struct {
		change                           func(*Plan)
		plan, limits, connections, price migration.Proof
	}{
		"nothing is given": {func(*Plan) {}, "documented", "documented", "documented", "attested"},
		"the connections are": {func(p *Plan) { p.MaxConnections = number(9) },
			"documented", "documented", "attested", "attested"},
		"the plan's name alone is": {func(p *Plan) { p.Title = "Ours" },
			"documented", "documented", "documented", "attested"},
		"the plan is": {func(p *Plan) { p.Title, p.Metered = "Ours", &no },
			"attested", "documented", "documented", "attested"},
		"the limits are": {func(p *Plan) {
			for _, l := range p.limits() {
				*l.value = number(1)
			}
		}, "documented", "attested", "attested", "attested"},
		"another service's price is known": {func(p *Plan) { p.Known = "upstash/fixed-1gb" },
			"documented", "documented", "attested", "documented"},
		"and given": {func(p *Plan) { p.Known, p.MonthlyUSD = "upstash/fixed-1gb", &price },
			"documented", "documented", "attested", "attested"},
		"it is not a known one": {func(p *Plan) { p.Known = "" },
			"attested", "attested", "attested", "attested"},
	} {
		given := Plan{Known: "redis-cloud/essentials-1gb", Region: "us-east-1"}
		c.change(&given)
		whole, by := given.whole()
		if by.plan.Proof != c.plan || by.limits.Proof != c.limits ||
			by.connections.Proof != c.connections || by.price.Proof != c.price {
			t.Errorf("%s: %+v", rule, by)
		}
		if by.limits.Proof == migration.Documented &&
			(!strings.Contains(by.limits.Source, "target.plan in the configuration") ||
				!strings.Contains(by.limits.Source, "https://")) {
			t.Errorf("%s: from %q", rule, by.limits.Source)
		}
		if given.MaxConnections != nil && whole.MaxConnections != given.MaxConnections {
			t.Errorf("%s: %+v", rule, whole)
		}
	}
	// What is known is shared, so nothing of it may be written to.
	a, _ := Plan{Known: "upstash/fixed-1gb"}.whole()
	if a.Service != "Upstash" || a.Title != "Fixed 1 GB" || *a.MaxBytes != 1<<30 || *a.MonthlyUSD != 20 {
		t.Errorf("%+v", a)
	}
}
