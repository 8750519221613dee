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
			{Check: Policy, MaxAge: time.Hour, Until: "backed-up"}}},
		{ID: "backed-up", Requires: []migration.Requirement{
			{Check: Backup, MaxAge: time.Hour, Until: "gone"}}},
		{ID: "gone", Requires: []migration.Requirement{{Check: Off, MaxAge: time.Hour}}},
	}
	old := latest(seen(Policy, policyMet, 5*time.Hour), seen(Off, offMet, time.Minute),
		seen(Backup, `{"file":"a.gz","keys":1,"sha256":"ab","verified":true}`, 5*time.Hour))
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {0, 2, 1}} {
		var p migration.Plan
		for _, i := range order {
			p.Criteria = append(p.Criteria, all[i])
		}
		b := basis(noon, old, nil)
		if got := Evaluate(p, b); got.MetCount() != 3 {
			t.Errorf("%v: %+v", order, got)
		}
		b.Latest = latest(old[Policy], old[Backup], seen(Off, offMet, 2*time.Hour))
		if got := Evaluate(p, b); got.MetCount() != 0 {
			t.Errorf("%v: nothing begins it, but %+v", order, got)
		}
	}
	each := migration.Plan{Criteria: []migration.Criterion{
		{ID: "a", Requires: []migration.Requirement{
			{Check: Policy, MaxAge: time.Hour, Until: "b"}}},
		{ID: "b", Requires: []migration.Requirement{
			{Check: Backup, MaxAge: time.Hour, Until: "a"}}},
	}}
	if got := Evaluate(each, basis(noon, old, nil)); got.MetCount() != 0 {
		t.Errorf("two that wait for each other are met by nothing else: %+v", got)
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
		item := Evaluate(p, basis(noon, c.latest, nil))[0]
		if item.Verdict != unknown || !strings.Contains(item.Why, c.says) || item.Next == "" {
			t.Errorf("%s: %+v", rule, item)
		}
	}
}
