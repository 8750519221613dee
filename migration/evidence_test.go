package migration

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 8, 24, 12, 0, 0, 0, time.UTC)

const (
	policyMet   = `{"nodes":[{"node":"10.0.0.1:6379","policy":"noeviction"}]}`
	policyUnmet = `{"nodes":[{"node":"10.0.0.1:6379","policy":"allkeys-lru","evicted_keys":17}]}`
	offMet      = `{"servers":[{"label":"redis-linode","status":"deleted"}]}`
	offUnmet    = `{"servers":[{"label":"redis-linode","status":"offline","reachable":true}]}`
)

func seen(check, facts string, ago time.Duration) Evidence {
	return Evidence{ID: 1, Check: check, Proof: Observed, Facts: json.RawMessage(facts), ObservedAt: noon.Add(-ago)}
}

func latest(all ...Evidence) map[string]Evidence {
	m := map[string]Evidence{}
	for _, e := range all {
		m[e.Check] = e
	}
	return m
}

func policyPlan(r Requirement) Plan {
	r.Check = CheckPolicy
	return Plan{Criteria: []Criterion{{ID: "noeviction", Requires: []Requirement{r}}, {ID: "gone", Requires: []Requirement{{Check: CheckOff, MaxAge: 24 * time.Hour}}}}}
}

func TestCriterion_noeviction_EvidenceBecomesAVerdict(t *testing.T) {
	t.Parallel()
	limit := Requirement{MaxAge: 15 * time.Minute}
	until := Requirement{MaxAge: 15 * time.Minute, Until: "gone"}
	for rule, c := range map[string]struct {
		r    Requirement
		ev   map[string]Evidence
		want Verdict
		says string
	}{
		"nothing measured is unmet":                          {limit, nil, Unmet, "nothing shows it yet"},
		"fresh evidence that holds is met":                   {limit, latest(seen(CheckPolicy, policyMet, time.Minute)), Met, "noeviction on 10.0.0.1:6379"},
		"evidence exactly as old as its limit is met":        {limit, latest(seen(CheckPolicy, policyMet, 15*time.Minute)), Met, ""},
		"evidence older than its limit is stale":             {limit, latest(seen(CheckPolicy, policyMet, 15*time.Minute+time.Second)), Stale, "ago (limit 15"},
		"a fact about the past does not age":                 {Requirement{}, latest(seen(CheckPolicy, policyMet, 1e5*time.Hour)), Met, ""},
		"evidence that shows the contrary is unmet":          {limit, latest(seen(CheckPolicy, policyUnmet, time.Minute)), Unmet, "allkeys-lru (17 keys evicted"},
		"a measured failure stays unmet when it is old":      {limit, latest(seen(CheckPolicy, policyUnmet, time.Hour)), Unmet, "allkeys-lru"},
		"evidence from the future is unknown":                {limit, latest(seen(CheckPolicy, policyMet, -2*time.Minute)), Unknown, "in the future; check the clocks"},
		"a failure dated in the future is unmet":             {limit, latest(seen(CheckPolicy, policyUnmet, -2*time.Minute)), Unmet, "allkeys-lru"},
		"a clock a moment ahead is forgiven":                 {limit, latest(seen(CheckPolicy, policyMet, -30*time.Second)), Met, ""},
		"evidence that cannot be read is unknown":            {limit, latest(seen(CheckPolicy, `{"nodes":`, time.Minute)), Unknown, "cannot be read"},
		"facts of another shape are unknown":                 {limit, latest(seen(CheckPolicy, `["noeviction"]`, time.Minute)), Unknown, "cannot be read"},
		"facts with a field nobody knows are unknown":        {limit, latest(seen(CheckPolicy, `{"nodes":[{"node":"a","policy":"noeviction"}],"trust_me":true}`, time.Minute)), Unknown, "trust_me"},
		"inconclusive evidence is unknown":                   {limit, latest(seen(CheckPolicy, `{"nodes":[]}`, time.Minute)), Unknown, "no server was read"},
		"until: ages while the other criterion is not shown": {until, latest(seen(CheckPolicy, policyMet, time.Hour)), Stale, ""},
		"until: ages while the other criterion is unmet":     {until, latest(seen(CheckPolicy, policyMet, time.Hour), seen(CheckOff, offUnmet, 0)), Stale, ""},
		"until: ages while the other criterion is stale":     {until, latest(seen(CheckPolicy, policyMet, 1e3*time.Hour), seen(CheckOff, offMet, 30*time.Hour)), Stale, ""},
		"until: settled once the other criterion is met":     {until, latest(seen(CheckPolicy, policyMet, 1e3*time.Hour), seen(CheckOff, offMet, time.Hour)), Met, ""},
		"until: a measured failure is not settled":           {until, latest(seen(CheckPolicy, policyUnmet, 1e3*time.Hour), seen(CheckOff, offMet, time.Hour)), Unmet, ""},
		"until: missing evidence is not settled":             {until, latest(seen(CheckOff, offMet, time.Hour)), Unmet, ""},
		"until: evidence from the future is not settled":     {until, latest(seen(CheckPolicy, policyMet, -time.Hour), seen(CheckOff, offMet, time.Hour)), Unknown, ""},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			list := Evaluate(noon, policyPlan(c.r), c.ev, nil)
			item := list[0]
			if got := list.Verdict("noeviction"); got != c.want || item.Verdict != c.want {
				t.Fatalf("verdict %s (%s), want %s", got, item.Why, c.want)
			}
			if !strings.Contains(item.Why, c.says) {
				t.Fatalf("why is %q, want it to say %q", item.Why, c.says)
			}
			if (c.want == Met) != (item.Next == "") {
				t.Fatalf("verdict %s with the next action %q", c.want, item.Next)
			}
			if (list.MetCount() > 0) != (item.Verdict == Met || list[1].Verdict == Met) {
				t.Fatalf("met count %d", list.MetCount())
			}
		})
	}
}

func TestACriterionIsAsBadAsItsWorstRequirement(t *testing.T) {
	t.Parallel()
	p := Plan{Criteria: []Criterion{{ID: "both", Requires: []Requirement{{Check: CheckPolicy, MaxAge: time.Hour}, {Check: CheckOff, MaxAge: time.Hour}}}}}
	for rule, c := range map[string]struct {
		a, b Evidence
		want Verdict
	}{
		"two that hold are met":                {seen(CheckPolicy, policyMet, 0), seen(CheckOff, offMet, 0), Met},
		"stale beats met":                      {seen(CheckPolicy, policyMet, 0), seen(CheckOff, offMet, 2*time.Hour), Stale},
		"unknown beats stale":                  {seen(CheckPolicy, `{}`, 0), seen(CheckOff, offMet, 2*time.Hour), Unknown},
		"a measured failure beats stale":       {seen(CheckPolicy, policyMet, 2*time.Hour), seen(CheckOff, offUnmet, 0), Unmet},
		"a measured failure beats unknown":     {seen(CheckPolicy, policyUnmet, 0), seen(CheckOff, `{}`, 0), Unmet},
		"a measured failure first beats stale": {seen(CheckPolicy, policyUnmet, 0), seen(CheckOff, offMet, 2*time.Hour), Unmet},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			for _, order := range []map[string]Evidence{latest(c.a, c.b), latest(c.b, c.a)} {
				if got := Evaluate(noon, p, order, nil).Verdict("both"); got != c.want {
					t.Fatalf("verdict %s, want %s", got, c.want)
				}
			}
		})
	}
}

func TestAnUnknownCriterionIsUnknown(t *testing.T) {
	t.Parallel()
	if v := (Checklist{}).Verdict("noeviction"); v != Unknown {
		t.Fatalf("verdict %s", v)
	}
}

func TestAnItemTellsItsOldestObservationAndWeakestProof(t *testing.T) {
	t.Parallel()
	a, b := seen(CheckPolicy, policyMet, time.Hour), seen(CheckOff, offMet, time.Minute)
	b.Proof = Attested
	p := Plan{Criteria: []Criterion{{ID: "both", Requires: []Requirement{{Check: CheckPolicy}, {Check: CheckOff}}}}}
	item := Evaluate(noon, p, latest(a, b), nil)[0]
	if item.Proof() != Attested || !item.ObservedAt().Equal(noon.Add(-time.Hour)) {
		t.Fatalf("proof %s, observed at %s", item.Proof(), item.ObservedAt())
	}
	if none := Evaluate(noon, p, nil, nil)[0]; none.Proof() != "" || !none.ObservedAt().IsZero() {
		t.Fatal("an item without evidence has a proof")
	}
}

func TestARequirementMayWantSeveralObservationsInARow(t *testing.T) {
	t.Parallel()
	at := func(facts, run string, ago time.Duration) Evidence {
		e := seen(CheckPolicy, facts, ago)
		e.RunID = run
		return e
	}
	hour := time.Hour
	for rule, c := range map[string]struct {
		history []Evidence // newest first
		want    Verdict
		says    string
	}{
		"enough within the age limit":                 {[]Evidence{at(policyMet, "c", hour), at(policyMet, "b", 2*hour), at(policyMet, "a", 3*hour)}, Met, "3 in a row (3 needed)"},
		"one is missing":                              {[]Evidence{at(policyMet, "c", hour), at(policyMet, "b", 2*hour)}, Unmet, "2 of 3 in a row"},
		"one is too old":                              {[]Evidence{at(policyMet, "c", hour), at(policyMet, "b", 2*hour), at(policyMet, "a", 30*hour)}, Unmet, "2 of 3 in a row"},
		"a failure starts the row again":              {[]Evidence{at(policyMet, "d", hour), at(policyUnmet, "c", 2*hour), at(policyMet, "b", 3*hour), at(policyMet, "a", 4*hour)}, Unmet, "1 of 3 in a row"},
		"one run counts once":                         {[]Evidence{at(policyMet, "b", hour), at(policyMet, "b", 2*hour), at(policyMet, "a", 3*hour)}, Unmet, "2 of 3 in a row"},
		"the monitor's count each":                    {[]Evidence{at(policyMet, "", hour), at(policyMet, "", 2*hour), at(policyMet, "", 3*hour)}, Met, ""},
		"inconclusive ones neither count nor break":   {[]Evidence{at(policyMet, "d", hour), at(`{"nodes":[]}`, "c", 2*hour), at(policyMet, "b", 3*hour), at(policyMet, "a", 4*hour)}, Met, ""},
		"the newest decides first: a failure":         {[]Evidence{at(policyUnmet, "d", hour), at(policyMet, "c", 2*hour), at(policyMet, "b", 3*hour), at(policyMet, "a", 4*hour)}, Unmet, "allkeys-lru"},
		"the newest decides first: an unreadable one": {[]Evidence{at(`{`, "d", hour), at(policyMet, "c", 2*hour), at(policyMet, "b", 3*hour), at(policyMet, "a", 4*hour)}, Unknown, "cannot be read"},
		"nothing measured":                            {nil, Unmet, "nothing shows it yet"},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			p := policyPlan(Requirement{MaxAge: 24 * hour, MinCount: 3})
			now := map[string]Evidence{}
			if len(c.history) > 0 {
				now[CheckPolicy] = c.history[0]
			}
			item := Evaluate(noon, p, now, map[string][]Evidence{CheckPolicy: c.history})[0]
			if item.Verdict != c.want || !strings.Contains(item.Why, c.says) || item.Findings[0].MinCount != 3 {
				t.Errorf("%s: %s (%+v)", item.Verdict, item.Why, item.Findings[0])
			}
			if item.Verdict != Met && item.Next == "" {
				t.Error("no next action")
			}
		})
	}
}

func TestAScanCountsUntilADecisionInItExpires(t *testing.T) {
	t.Parallel()
	p := Plan{Criteria: []Criterion{{ID: "c", Requires: []Requirement{{Check: CheckScan, MaxAge: 720 * time.Hour}}}}, Steps: []PlanStep{{ID: "s", Title: "Drill", Proves: []string{"c"}}}}
	at := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	facts := json.RawMessage(`{"source":"shop","files":3,"findings":[{"id":"a","verdict":"REVIEW","at":"q.ts:3","decided_by":"ada","decided_until":"2026-11-28T00:00:00Z"}]}`)
	latest := map[string]Evidence{CheckScan: {Check: CheckScan, Facts: facts, ObservedAt: at}}
	for after, want := range map[time.Duration]Verdict{time.Hour: Met, 35 * time.Hour: Met, 36 * time.Hour: Stale, 800 * time.Hour: Stale} {
		if got := Evaluate(at.Add(after), p, latest, nil).Verdict("c"); got != want {
			t.Errorf("after %s: %s, want %s", after, got, want)
		}
	}
	if got := Evaluate(at, p, nil, nil)[0].Next; !strings.Contains(got, "switchyard scan") {
		t.Errorf("nobody is told who brings it: %q", got)
	}
}
