package evidence

import (
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// What waits for a criterion may be what another waits for: the order in the plan decides nothing.
func TestWhatWaitsForWhatWaitsIsSettledInAnyOrder(t *testing.T) {
	t.Parallel()
	all := []migration.Criterion{
		{ID: "noeviction", Requires: []migration.Requirement{
			{Check: Policy, MaxAge: time.Hour, Until: "validated"}}},
		{ID: "validated", Requires: []migration.Requirement{
			{Check: DualWrite, MaxAge: time.Hour, Until: "gone"}}},
		{ID: "gone", Requires: []migration.Requirement{{Check: Off, MaxAge: time.Hour}}},
	}
	old := latest(seen(Policy, policyMet, 5*time.Hour), seen(Off, offMet, time.Minute),
		seen(DualWrite, dualWriteMet, 5*time.Hour))
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {0, 2, 1}} {
		var p migration.Plan
		for _, i := range order {
			p.Criteria = append(p.Criteria, all[i])
		}
		b := basis(noon, old, nil)
		if got := Evaluate(p, b); got.MetCount() != 3 {
			t.Errorf("%v: %+v", order, got)
		}
		b.Latest = latest(old[Policy], old[DualWrite], seen(Off, offMet, 2*time.Hour))
		if got := Evaluate(p, b); got.MetCount() != 0 {
			t.Errorf("%v: nothing begins it, but %+v", order, got)
		}
	}
	each := migration.Plan{Criteria: []migration.Criterion{
		{ID: "a", Requires: []migration.Requirement{
			{Check: Policy, MaxAge: time.Hour, Until: "b"}}},
		{ID: "b", Requires: []migration.Requirement{
			{Check: DualWrite, MaxAge: time.Hour, Until: "a"}}},
	}}
	if got := Evaluate(each, basis(noon, old, nil)); got.MetCount() != 0 {
		t.Errorf("two that wait for each other are met by nothing else: %+v", got)
	}
}

// What somebody decided about a server that was deleted since is not opened again by the end of
// the decision; a decision that had ended before is none.
func TestADecisionAboutWhatIsGoneOutlastsItsEnd(t *testing.T) {
	t.Parallel()
	const key = "residue:source/db1/other keys"
	facts := `{"queues":[{"queue":"orders","pending":0,"moved":1}],"databases":[0,1],
		"unknown":[{"member":"db1/other keys","database":1,"keys":1}]}`
	residue := seen(Residue, facts, 30*day)
	signed := func(until time.Duration) migration.Waiver {
		return migration.Waiver{Member: key, By: "ada", Why: "exported last week",
			At: noon.Add(-31 * day), Until: noon.Add(-30 * day).Add(until)}
	}
	revoked := signed(time.Hour)
	revoked.RevokedAt = &noon
	for _, tc := range []struct {
		rule   string
		off    string // facts
		waiver migration.Waiver
		want   migration.Verdict
	}{
		{"the servers are off", offMet, signed(time.Hour), met},
		{"they are not", offUnmet, signed(time.Hour), unknown},
		{"the decision had ended before", offMet, signed(-time.Hour), unknown},
		{"it was revoked", offMet, revoked, unknown},
		{"nobody decided", offMet, migration.Waiver{}, unknown},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			b := basis(noon, latest(residue, seen(Off, tc.off, time.Hour)), nil)
			b.Waivers = []migration.Waiver{tc.waiver}
			if got := Find(Residue, b); got.Verdict != tc.want {
				t.Errorf("%s: %s", got.Verdict, got.Measured)
			}
		})
	}
}

func TestACriterionThatNoCheckShowsIsUnknown(t *testing.T) {
	t.Parallel()
	told := latest(seen("of-a-later-version", `{}`, time.Minute))
	later := migration.Requirement{Check: "of-a-later-version", MinCount: 2}
	for rule, c := range map[string]struct {
		requires []migration.Requirement
		latest   map[string]migration.Evidence
		says     string
	}{
		"it asks for nothing":                 {nil, nil, "no check shows it"},
		"it asks for what this version lacks": {[]migration.Requirement{later}, nil, "no such check"},
		"and a later version told it":         {[]migration.Requirement{later}, told, "no such check"},
	} {
		p := migration.Plan{Criteria: []migration.Criterion{{ID: "c", Requires: c.requires}}}
		b := basis(noon, c.latest, map[string][]migration.Evidence{
			later.Check: {told[later.Check], told[later.Check]}})
		item := Evaluate(p, b)[0]
		if item.Verdict != unknown || !strings.Contains(item.Why, c.says) || item.Next == "" {
			t.Errorf("%s: %+v", rule, item)
		}
	}
}

// A plan with such a criterion is refused; nothing may wait for it all the same.
func TestACriterionWithoutAnIDSettlesNothing(t *testing.T) {
	t.Parallel()
	p := migration.Plan{Criteria: []migration.Criterion{
		{Requires: []migration.Requirement{{Check: Off, MaxAge: time.Hour}}},
		{ID: "noeviction", Requires: []migration.Requirement{{Check: Policy, MaxAge: time.Hour}}},
	}}
	b := basis(noon, latest(seen(Policy, policyMet, 5*time.Hour), seen(Off, offMet, 0)), nil)
	if got := Evaluate(p, b); got[0].Verdict != met || got[1].Verdict != stale {
		t.Errorf("%+v", got)
	}
}

func TestEachRequirementOfACriterionMayWait(t *testing.T) {
	t.Parallel()
	wait := []migration.Requirement{{Check: Policy, MaxAge: time.Hour, Until: "gone"},
		{Check: Backup, MaxAge: time.Hour}}
	b := basis(noon, latest(seen(Policy, policyMet, 5*time.Hour), seen(Off, offMet, 0),
		seen(Backup, backupRows[0].facts, 0)), nil)
	for range 2 {
		p := migration.Plan{Criteria: []migration.Criterion{{ID: "both", Requires: wait},
			{ID: "gone", Requires: []migration.Requirement{{Check: Off}}}}}
		if got := Evaluate(p, b); got.MetCount() != 2 {
			t.Errorf("%+v", got)
		}
		wait = []migration.Requirement{wait[1], wait[0]}
	}
}

func TestACriterionSaysTheWorstOfItsRequirementsAlone(t *testing.T) {
	t.Parallel()
	both := []migration.Requirement{{Check: Policy}, {Check: Off}}
	b := basis(noon, latest(seen(Policy, policyUnmet, 0), seen(Off, offMet, 0)), nil)
	for range 2 {
		p := migration.Plan{Criteria: []migration.Criterion{{ID: "both", Requires: both}}}
		if got := Evaluate(p, b)[0]; strings.Contains(got.Why, ";") ||
			!strings.Contains(got.Why, "allkeys-lru") {
			t.Errorf("%s", got.Why)
		}
		both = []migration.Requirement{both[1], both[0]}
	}
	b = basis(noon, latest(seen(Policy, policyMet, 0), seen(Off, offMet, 0)), nil)
	p := migration.Plan{Criteria: []migration.Criterion{{ID: "both", Requires: both}}}
	if got := Evaluate(p, b)[0]; got.Why != "maxmemory-policy is noeviction on 10.0.0.1:6379; "+
		"1 old machines are off or deleted, and nothing answers at 0 old addresses (0 refused, 0 "+
		"unanswered)" {
		t.Errorf("%q", got.Why)
	}
}

// What was never shown is shown by the first step that proves its criterion, unless no step does.
func TestWhatWasNeverShownNamesTheStepThatBeginsTo(t *testing.T) {
	t.Parallel()
	p := migration.Plan{
		Criteria: []migration.Criterion{
			{ID: "policy", Requires: []migration.Requirement{{Check: Policy}}},
			{ID: "scan", Requires: []migration.Requirement{{Check: Scan}}},
			{ID: "off", Requires: []migration.Requirement{{Check: Off}}},
			{ID: "backup", Requires: []migration.Requirement{{Check: Backup}}},
		},
		Steps: []migration.PlanStep{{Title: "Audit", Proves: []string{"policy"}},
			{Title: "Fix", Proves: []string{"policy"}}, {Title: "Drill", Proves: []string{"scan"}},
			{Title: "Take down", Proves: []string{"off"}}},
	}
	none := basis(noon, nil, nil)
	bad := basis(noon, latest(seen(Policy, policyUnmet, 0)), nil)
	for _, c := range []struct {
		rule string
		b    Basis
		of   int
		want string
	}{
		{"the first that proves it", none, 0, "run the step Audit"},
		{"what was shown has its own next action", bad, 0, policyCheck.Next},
		{"a scan is brought from outside", none, 1, scanCheck.Next},
		{"it may be the last", none, 2, "run the step Take down"},
		{"no step proves it", none, 3, backupCheck.Next},
	} {
		if got := Evaluate(p, c.b)[c.of].Next; got != c.want {
			t.Errorf("%s: %q, want %q", c.rule, got, c.want)
		}
	}
}

func TestTheLimitOfSeveralInARowNamesAnAgeOnlyWhereThereIsOne(t *testing.T) {
	t.Parallel()
	f := Evaluate(policyPlan(migration.Requirement{MinCount: 2}), basis(noon, nil, nil))[0].Findings[0]
	if f.Limit != policyCheck.Limit+", 2 times in a row" {
		t.Error(f.Limit)
	}
}
