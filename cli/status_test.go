package cli

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
)

func TestStatusPrintsNextStepsAsCommands(t *testing.T) {
	t.Parallel()
	o := migration.Overview{NextSteps: []migration.NextStep{
		{Verb: migration.VerbScan, Step: migration.StepBreakerDrill, Title: "Scan the source"},
		{
			Verb: migration.VerbStart, Step: migration.StepCutover, Title: "Cutover",
			Params: migration.Params{To: migration.StageLive, Ramp: 10},
		},
	}}
	args, vars := serverOf(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/migrations/m" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		_ = json.NewEncoder(w).Encode(o)
	})
	r := run(t.Context(), "status", vars, append([]string{"status"}, args...)...)
	for _, line := range []string{
		"  switchyard scan DIR --submit                       Scan the source\n",
		"  switchyard step start cutover --to live --ramp 10  Cutover\n",
	} {
		r.want(t, 0, line, "")
	}
}
