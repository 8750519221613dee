package adminpages

import (
	"fmt"
	"slices"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows"
)

// Alerts is the page of what is wrong now, and of what was.
type Alerts struct {
	MigrationID string
	Channels    int // to which alerts are sent
	Open        []workflows.NotifiedAlert
	Past        []workflows.PastAlert
	// Orders is what became of all orders; nil: not known, for OrdersError.
	Orders      *migration.LedgerFacts
	OrdersError string
	Now         time.Time
	Who         ui.Who
	Draft       Ack
}

// Ack is what was typed about an alert and was refused.
type Ack struct{ Key, Comment string }

// alertsSummary is no worse than the worst that is open.
func alertsSummary(open []workflows.NotifiedAlert) ui.Status {
	if len(open) == 0 {
		return ui.OK("None open")
	}
	words := ui.Count(len(open), "alert") + " open"
	if slices.ContainsFunc(open, func(a workflows.NotifiedAlert) bool {
		return a.Severity == "critical" || a.Severity == "error"
	}) {
		return ui.Bad(words)
	}
	return ui.Warn(words)
}

// pastOrders says what became of the orders that came in while alerts were open, and of all others.
func pastOrders(v Alerts) (ui.Status, string) {
	o := v.Orders
	switch {
	case o == nil:
		return ui.Unknown("Orders not known"), v.OrdersError
	case o.Acknowledged == 0:
		return ui.Unknown("No order yet"), "The order ledger has no acknowledged order."
	}
	said := fmt.Sprintf("Of %s up to now, %d lost, %d processed twice, %d in flight.",
		ui.Count(int64(o.Acknowledged), "acknowledged order"), o.Lost, o.Duplicated, o.Pending)
	doubts := o.Mismatches + o.Contradicted + o.Future + o.HeldLate + len(o.Events)
	switch {
	case o.Lost+o.Duplicated > 0:
		return ui.Bad("Orders harmed"), said
	case doubts > 0:
		return ui.Warn("Orders in doubt"), said +
			fmt.Sprintf(" %d with another result, contradictory, dated in the future or late.", doubts)
	}
	return ui.OK("No order harmed"), said
}
