package cli

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

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

func TestStatusSaysFirstWhetherSomebodyHasToDoSomething(t *testing.T) {
	t.Parallel()
	loss := time.Date(2026, 11, 23, 14, 9, 12, 0, time.UTC)
	for _, c := range []struct {
		rule string
		h    migration.Headline
		want string
	}{
		{"an incident, with the first loss and what to do", migration.Headline{
			Level: migration.Incident, Title: "27 orders were rejected", FirstLoss: &loss,
			First: "Get the app to accept orders again.", Acknowledged: "ada: on it", More: 2},
			"INCIDENT: 27 orders were rejected\n" +
				"  First order lost: 2026-11-23 14:09:12 UTC\n" +
				"  First: Get the app to accept orders again.\n" +
				"  Acknowledged by ada: on it\n  And 2 more: switchyard alerts\n"},
		{"calm says nothing", migration.Headline{Level: migration.Calm, Title: "No incident"},
			"m: \n\n\n0 of 0 criteria are met."},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			o := migration.Overview{Migration: migration.Migration{Name: "m"}, Headline: c.h}
			args, vars := serverOf(t, func(w http.ResponseWriter, _ *http.Request) {
				_ = json.NewEncoder(w).Encode(o)
			})
			r := run(t.Context(), "status", vars, append([]string{"status"}, args...)...)
			r.want(t, 0, c.want, "")
		})
	}
}
