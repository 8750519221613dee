package steps_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/steps"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

func wholeCatalogue(b *stepstest.Bench) []engine.Step {
	given := steps.Given{Config: b.Config, Environment: b.Env, Store: b.Store, Now: b.Clock.Now}
	return slices.Collect(maps.Values(steps.All(given)))
}

func TestTheCatalogueIsWholeAndSaysOfEachActionWhatItChangesAndHowItIsUndone(t *testing.T) {
	t.Parallel()
	b := stepstest.Open(t, stepstest.Settings(t.TempDir()), wholeCatalogue)
	if got := slices.Sorted(maps.Keys(b.Steps)); !slices.Equal(got, steps.IDs()) {
		t.Fatalf("the catalogue has %v, its ids are %v", got, steps.IDs())
	}
	for id, s := range b.Steps {
		if s.Plan == nil || s.Approval == "" {
			t.Errorf("%s has no plan, or no kind of approval", id)
		}
		seen := map[string]bool{}
		for _, a := range s.Actions(migration.Params{To: migration.StageDualWrite}) {
			switch {
			case a.ID == "" || seen[a.ID]:
				t.Errorf("%s: the action %q has no id of its own", id, a.ID)
			case a.Title == "" || a.Do == nil:
				t.Errorf("%s: the action %q has no title, or does nothing", id, a.ID)
			case a.Undo != nil && a.ActionPlan.Undo == "":
				t.Errorf("%s: the action %q can be undone, and its plan does not say how", id, a.ID)
			case a.Undo != nil && a.Changes == "":
				t.Errorf("%s: the action %q is undone, and changes nothing by its plan", id, a.ID)
			}
			seen[a.ID] = true
			if a.Undo != nil && table[id].untraced[a.ID] == "" {
				t.Logf("UNDO %s/%s", id, a.ID) // for scripts/broken-undos
			}
		}
	}
}
