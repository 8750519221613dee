package evidence

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

var noon = time.Date(2026, 8, 24, 12, 0, 0, 0, time.UTC)

const (
	met     = migration.Met
	unmet   = migration.Unmet
	stale   = migration.Stale
	unknown = migration.Unknown
)

const (
	policyMet   = `{"nodes":[{"node":"10.0.0.1:6379","policy":"noeviction"}]}`
	policyUnmet = `{"nodes":[{"node":"10.0.0.1:6379","policy":"allkeys-lru","evicted_keys":17}]}`
	strange     = `{"nodes":[{"node":"a","policy":"noeviction"}],"trust_me":true}`
	offMet      = `{"servers":[{"label":"redis-linode","status":"deleted"}]}`
	offUnmet    = `{"servers":[{"label":"redis-linode","status":"offline","reachable":true}]}`
)

// nothing is a subject of which every aspect is known, and nobody is there.
var nothing = migration.Empty()

// basis is that of a world in which nobody is there.
func basis(
	at time.Time, latest map[string]migration.Evidence, history map[string][]migration.Evidence,
) Basis {
	return Basis{At: at, Latest: latest, History: history,
		World: migration.World(nil).Look(at, nothing)}
}

func seen(check, facts string, ago time.Duration) migration.Evidence {
	return migration.Evidence{
		Subject:    nothing,
		ID:         1,
		Check:      check,
		Proof:      migration.Observed,
		Facts:      json.RawMessage(facts),
		ObservedAt: noon.Add(-ago),
	}
}

func latest(all ...migration.Evidence) map[string]migration.Evidence {
	m := map[string]migration.Evidence{}
	for _, e := range all {
		m[e.Check] = e
	}
	return m
}

func policyPlan(r migration.Requirement) migration.Plan {
	r.Check = Policy
	return migration.Plan{
		Criteria: []migration.Criterion{
			{ID: "noeviction", Requires: []migration.Requirement{r}},
			{ID: "gone", Requires: []migration.Requirement{{Check: Off, MaxAge: 24 * time.Hour}}},
		},
	}
}

func TestCriterion_noeviction_EvidenceBecomesAVerdict(t *testing.T) {
	t.Parallel()
	limit := migration.Requirement{MaxAge: 15 * time.Minute}
	until := migration.Requirement{MaxAge: 15 * time.Minute, Until: "gone"}
	for rule, c := range map[string]struct {
		r    migration.Requirement
		ev   map[string]migration.Evidence
		want migration.Verdict
		says string
	}{
		"nothing measured is unmet": {
			r:    limit,
			want: unmet,
			says: "no evidence yet",
		},
		"fresh evidence that holds is met": {
			r:    limit,
			ev:   latest(seen(Policy, policyMet, time.Minute)),
			want: met,
			says: "noeviction on 10.0.0.1:6379",
		},
		"evidence exactly as old as its limit is met": {
			r:    limit,
			ev:   latest(seen(Policy, policyMet, 15*time.Minute)),
			want: met,
		},
		"evidence older than its limit is stale": {
			r:    limit,
			ev:   latest(seen(Policy, policyMet, 15*time.Minute+time.Second)),
			want: stale,
			says: "ago (limit 15",
		},
		"a fact about the past does not age": {
			r:    migration.Requirement{},
			ev:   latest(seen(Policy, policyMet, 1e5*time.Hour)),
			want: met,
		},
		"evidence that shows the contrary is unmet": {
			r:    limit,
			ev:   latest(seen(Policy, policyUnmet, time.Minute)),
			want: unmet,
			says: "allkeys-lru (17 keys evicted",
		},
		"a measured failure stays unmet when it is old": {
			r:    limit,
			ev:   latest(seen(Policy, policyUnmet, time.Hour)),
			want: unmet,
			says: "allkeys-lru",
		},
		"evidence from the future is unknown": {
			r:    limit,
			ev:   latest(seen(Policy, policyMet, -2*time.Minute)),
			want: unknown,
			says: "in the future; check the clocks",
		},
		"a failure dated in the future is unmet": {
			r:    limit,
			ev:   latest(seen(Policy, policyUnmet, -2*time.Minute)),
			want: unmet,
			says: "allkeys-lru",
		},
		"a clock a moment ahead is forgiven": {
			r:    limit,
			ev:   latest(seen(Policy, policyMet, -30*time.Second)),
			want: met,
		},
		"evidence that cannot be read is unknown": {
			r:    limit,
			ev:   latest(seen(Policy, `{"nodes":`, time.Minute)),
			want: unknown,
			says: "cannot be read",
		},
		"facts of another shape are unknown": {
			r:    limit,
			ev:   latest(seen(Policy, `["noeviction"]`, time.Minute)),
			want: unknown,
			says: "cannot be read",
		},
		"facts with a field nobody knows are unknown": {
			r: limit,
			ev: latest(
				seen(Policy, strange, time.Minute),
			),
			want: unknown,
			says: "trust_me",
		},
		"inconclusive evidence is unknown": {
			r:    limit,
			ev:   latest(seen(Policy, `{"nodes":[]}`, time.Minute)),
			want: unknown,
			says: "no server was read",
		},
		"until: ages while the other criterion is not shown": {
			r:    until,
			ev:   latest(seen(Policy, policyMet, time.Hour)),
			want: stale,
		},
		"until: ages while the other criterion is unmet": {
			r:    until,
			ev:   latest(seen(Policy, policyMet, time.Hour), seen(Off, offUnmet, 0)),
			want: stale,
		},
		"until: ages while the other criterion is stale": {
			r:    until,
			ev:   latest(seen(Policy, policyMet, 1e3*time.Hour), seen(Off, offMet, 30*time.Hour)),
			want: stale,
		},
		"until: settled once the other criterion is met": {
			r:    until,
			ev:   latest(seen(Policy, policyMet, 1e3*time.Hour), seen(Off, offMet, time.Hour)),
			want: met,
		},
		"until: a measured failure is not settled": {
			r:    until,
			ev:   latest(seen(Policy, policyUnmet, 1e3*time.Hour), seen(Off, offMet, time.Hour)),
			want: unmet,
		},
		"until: missing evidence is not settled": {
			r:    until,
			ev:   latest(seen(Off, offMet, time.Hour)),
			want: unmet,
		},
		"until: evidence from the future is not settled": {
			r:    until,
			ev:   latest(seen(Policy, policyMet, -time.Hour), seen(Off, offMet, time.Hour)),
			want: unknown,
		},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			list := Evaluate(policyPlan(c.r), basis(noon, c.ev, nil))
			item := list[0]
			if got := list.Verdict("noeviction"); got != c.want || item.Verdict != c.want {
				t.Fatalf("verdict %s (%s), want %s", got, item.Why, c.want)
			}
			if !strings.Contains(item.Why, c.says) {
				t.Fatalf("why is %q, want it to say %q", item.Why, c.says)
			}
			if limit := item.Findings[0].Limit; limit != policyCheck.Limit {
				t.Fatalf("limit %q", limit)
			}
			if (c.want == met) != (item.Next == "") {
				t.Fatalf("verdict %s with the next action %q", c.want, item.Next)
			}
			if (list.MetCount() > 0) != (item.Verdict == met || list[1].Verdict == met) {
				t.Fatalf("met count %d", list.MetCount())
			}
		})
	}
}

func TestACriterionIsAsBadAsItsWorstRequirement(t *testing.T) {
	t.Parallel()
	p := migration.Plan{
		Criteria: []migration.Criterion{
			{
				ID: "both",
				Requires: []migration.Requirement{
					{Check: Policy, MaxAge: time.Hour},
					{Check: Off, MaxAge: time.Hour},
				},
			},
		},
	}
	for rule, c := range map[string]struct {
		a, b migration.Evidence
		want migration.Verdict
	}{
		"two that hold are met": {
			a:    seen(Policy, policyMet, 0),
			b:    seen(Off, offMet, 0),
			want: met,
		},
		"stale beats met": {
			a:    seen(Policy, policyMet, 0),
			b:    seen(Off, offMet, 2*time.Hour),
			want: stale,
		},
		"unknown beats stale": {
			a:    seen(Policy, `{}`, 0),
			b:    seen(Off, offMet, 2*time.Hour),
			want: unknown,
		},
		"a measured failure beats stale": {
			a:    seen(Policy, policyMet, 2*time.Hour),
			b:    seen(Off, offUnmet, 0),
			want: unmet,
		},
		"a measured failure beats unknown": {
			a:    seen(Policy, policyUnmet, 0),
			b:    seen(Off, `{}`, 0),
			want: unmet,
		},
		"a measured failure first beats stale": {
			a:    seen(Policy, policyUnmet, 0),
			b:    seen(Off, offMet, 2*time.Hour),
			want: unmet,
		},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			orders := []map[string]migration.Evidence{latest(c.a, c.b), latest(c.b, c.a)}
			for _, order := range orders {
				if got := Evaluate(p, basis(noon, order, nil)).Verdict("both"); got != c.want {
					t.Fatalf("verdict %s, want %s", got, c.want)
				}
			}
		})
	}
}

func TestAnUnknownCriterionIsUnknown(t *testing.T) {
	t.Parallel()
	if v := (migration.Checklist{}).Verdict("noeviction"); v != unknown {
		t.Fatalf("verdict %s", v)
	}
}

func TestAnItemTellsItsOldestObservationAndWeakestProof(t *testing.T) {
	t.Parallel()
	a, b := seen(Policy, policyMet, time.Hour), seen(Off, offMet, time.Minute)
	b.Proof = migration.Attested
	p := migration.Plan{
		Criteria: []migration.Criterion{
			{ID: "both", Requires: []migration.Requirement{{Check: Policy}, {Check: Off}}},
		},
	}
	item := Evaluate(p, basis(noon, latest(a, b), nil))[0]
	if item.Proof() != migration.Attested || !item.ObservedAt().Equal(noon.Add(-time.Hour)) {
		t.Fatalf("proof %s, observed at %s", item.Proof(), item.ObservedAt())
	}
	if none := Evaluate(p, basis(noon, nil, nil))[0]; none.Proof() != "" || !none.ObservedAt().IsZero() {
		t.Fatal("an item without evidence has a proof")
	}
}

func TestARequirementMayWantSeveralObservationsInARow(t *testing.T) {
	t.Parallel()
	at := func(facts, run string, ago time.Duration) migration.Evidence {
		e := seen(Policy, facts, ago)
		e.RunID = run
		return e
	}
	hour := time.Hour
	for rule, c := range map[string]struct {
		history []migration.Evidence // newest first
		want    migration.Verdict
		says    string
	}{
		"enough within the age limit": {
			history: []migration.Evidence{
				at(policyMet, "c", hour),
				at(policyMet, "b", 2*hour),
				at(policyMet, "a", 3*hour),
			},
			want: met,
			says: "3 in a row (3 needed)",
		},
		"one is missing": {
			history: []migration.Evidence{
				at(policyMet, "c", hour),
				at(policyMet, "b", 2*hour),
			},
			want: unmet,
			says: "2 of 3 in a row",
		},
		"one is too old": {
			history: []migration.Evidence{
				at(policyMet, "c", hour),
				at(policyMet, "b", 2*hour),
				at(policyMet, "a", 30*hour),
			},
			want: unmet,
			says: "2 of 3 in a row",
		},
		"a failure starts the row again": {
			history: []migration.Evidence{
				at(policyMet, "d", hour),
				at(policyUnmet, "c", 2*hour),
				at(policyMet, "b", 3*hour),
				at(policyMet, "a", 4*hour),
			},
			want: unmet,
			says: "1 of 3 in a row",
		},
		"one run counts once": {
			history: []migration.Evidence{
				at(policyMet, "b", hour),
				at(policyMet, "b", 2*hour),
				at(policyMet, "a", 3*hour),
			},
			want: unmet,
			says: "2 of 3 in a row",
		},
		"the monitor's count each": {
			history: []migration.Evidence{
				at(policyMet, "", hour),
				at(policyMet, "", 2*hour),
				at(policyMet, "", 3*hour),
			},
			want: met,
		},
		"inconclusive ones neither count nor break": {
			history: []migration.Evidence{
				at(policyMet, "d", hour),
				at(`{"nodes":[]}`, "c", 2*hour),
				at(policyMet, "b", 3*hour),
				at(policyMet, "a", 4*hour),
			},
			want: met,
		},
		"the newest decides first: a failure": {
			history: []migration.Evidence{
				at(policyUnmet, "d", hour),
				at(policyMet, "c", 2*hour),
				at(policyMet, "b", 3*hour),
				at(policyMet, "a", 4*hour),
			},
			want: unmet,
			says: "allkeys-lru",
		},
		"the newest decides first: an unreadable one": {
			history: []migration.Evidence{
				at(`{`, "d", hour),
				at(policyMet, "c", 2*hour),
				at(policyMet, "b", 3*hour),
				at(policyMet, "a", 4*hour),
			},
			want: unknown,
			says: "cannot be read",
		},
		"nothing measured": {
			want: unmet,
			says: "no evidence yet",
		},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			p := policyPlan(migration.Requirement{MaxAge: 24 * hour, MinCount: 3})
			now := map[string]migration.Evidence{}
			if len(c.history) > 0 {
				now[Policy] = c.history[0]
			}
			item := Evaluate(p, basis(noon, now, map[string][]migration.Evidence{Policy: c.history}))[0]
			if item.Verdict != c.want || !strings.Contains(item.Why, c.says) ||
				item.Findings[0].MinCount != 3 {
				t.Errorf("%s: %s (%+v)", item.Verdict, item.Why, item.Findings[0])
			}
			if item.Verdict != met && item.Next == "" {
				t.Error("no next action")
			}
			if f := item.Findings[0]; f.Limit != policyCheck.Limit+", 3 times in a row within 24 h" {
				t.Errorf("limit %q", f.Limit)
			}
			// what was measured last is what is said where that alone decides
			if strings.HasPrefix(rule, "the newest") && strings.Contains(item.Why, "in a row") {
				t.Errorf("says %q", item.Why)
			}
		})
	}
}

func TestAScanCountsUntilADecisionInItExpires(t *testing.T) {
	t.Parallel()
	p := migration.Plan{
		Criteria: []migration.Criterion{
			{ID: "c", Requires: []migration.Requirement{{Check: Scan, MaxAge: 720 * time.Hour}}},
		},
		Steps: []migration.PlanStep{{ID: "s", Title: "Drill", Proves: []string{"c"}}},
	}
	at := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	facts := json.RawMessage(`{"source":"shop","files":3,"findings":[{"id":"a",
		"verdict":"REVIEW","at":"q.ts:3","decided_by":"ada","confirmed_by":"ada",
		"decided_until":"2026-11-28T00:00:00Z"}]}`)
	latest := map[string]migration.Evidence{Scan: {Check: Scan, Facts: facts, ObservedAt: at,
		Subject: nothing}}
	for after, want := range map[time.Duration]migration.Verdict{
		time.Hour:       met,
		35 * time.Hour:  met,
		36 * time.Hour:  stale,
		800 * time.Hour: stale,
	} {
		if got := Evaluate(p, basis(at.Add(after), latest, nil)).Verdict("c"); got != want {
			t.Errorf("after %s: %s, want %s", after, got, want)
		}
	}
	if got := Evaluate(p, basis(at, nil, nil))[0].Next; !strings.Contains(got, "switchyard scan") {
		t.Errorf("nobody is told who brings it: %q", got)
	}
}
