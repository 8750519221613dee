package evidence_test

import (
	"slices"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/plan"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// ownPlans are the checks that no criterion of the embedded plan requires. They are for
// plans of your own, and for the gates of steps.
var ownPlans = []string{evidence.Audit, evidence.Intake, evidence.Rollback}

func TestEveryCheckIsUsedByThePlanOrIsForPlansOfYourOwn(t *testing.T) {
	t.Parallel()
	var p migration.Plan
	if err := yaml.Unmarshal(plan.Initiative(), &p); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, c := range p.Criteria {
		for _, r := range c.Requires {
			used[r.Check] = true
		}
	}
	for _, id := range evidence.IDs() {
		if used[id] == slices.Contains(ownPlans, id) {
			t.Errorf("%s: used by the embedded plan: %v; listed as for plans of your own: %v",
				id, used[id], !used[id])
		}
	}
}
