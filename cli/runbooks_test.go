package cli

import (
	"testing"

	"github.com/switchyard-dev/switchyard/docs/runbooks"
	"github.com/switchyard-dev/switchyard/workflows"
)

func TestEveryStepHasARunbook(t *testing.T) {
	t.Parallel()
	listed := map[string]bool{}
	for _, p := range runbooks.Steps() {
		listed[p.ID] = true
	}
	for _, id := range workflows.StepIDs() {
		if !listed[runbooks.OfStep(id)] {
			t.Errorf("%s has none, or is not in runbooks.Steps", id)
		}
	}
}
