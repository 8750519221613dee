package adminpages

import (
	"time"

	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows"
)

// Alerts is the page of what is wrong now, and of what was.
type Alerts struct {
	MigrationID string
	Channels    int // to which alerts are sent
	Open        []workflows.NotifiedAlert
	Past        []workflows.PastAlert
	Now         time.Time
	Who         ui.Who
	Draft       Ack
}

// Ack is what was typed about an alert and was refused.
type Ack struct{ Key, Comment string }

func alertsSummary(n int) ui.Status {
	if n == 0 {
		return ui.OK("None open")
	}
	return ui.Bad(ui.Count(n, "alert") + " open")
}
