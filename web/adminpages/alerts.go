package adminpages

import (
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows"
)

// Alerts is the page of what is wrong now, and of what was.
type Alerts struct {
	MigrationID string
	Plan        migration.Plan
	Open        []workflows.NotifiedAlert
	Past        []workflows.PastAlert
	Channels    int             // how many are configured: past alerts are known by their messages
	Runs        []migration.Run // the newest, to tell during which one an alert began
	Now         time.Time
}

// during gives the run that was under way when an alert began, and whether there was one.
func (v Alerts) during(since time.Time) (run migration.Run, title string, ok bool) {
	if since.IsZero() {
		return run, "", false
	}
	for _, r := range v.Runs {
		if r.StartedAt == nil || since.Before(*r.StartedAt) ||
			r.FinishedAt != nil && since.After(*r.FinishedAt) {
			continue
		}
		title = r.Step
		if s, known := v.Plan.Step(r.Step); known {
			title = s.Title
		}
		return r, title, true
	}
	return run, "", false
}

func alertsSummary(n int) ui.Status {
	if n == 0 {
		return ui.OK("None open")
	}
	return ui.Bad(ui.Count(n, "alert") + " open")
}
