package cli

import (
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows"
)

type ledgerCmd struct {
	remote
	Order string `arg:"" optional:"" help:"Id of an order or its job: show its timeline."`
}

// Help tells when the command fails.
func (ledgerCmd) Help() string {
	return "Fails unless the ledger is clean, or while an exception of the order is open."
}

// Run prints the order ledger, or the timeline of one order.
func (c ledgerCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	if c.Order != "" {
		o, err := client.LedgerOrder(s.ctx, mid, c.Order)
		if err == nil {
			err = c.print(s, o, func(t table) { writeLife(t, o) })
		}
		for _, e := range o.Exceptions {
			if err == nil && e.SettledBy == "" {
				err = migration.Errorf(migration.Blocked, "%s: %s", e.Verdict, e.Detail)
			}
		}
		return err
	}
	l, err := client.Ledger(s.ctx, mid)
	if err != nil {
		return err
	}
	err = c.print(s, l, func(t table) { writeLedger(t, l) })
	if err == nil && l.Verdict != workflows.LedgerClean {
		err = migration.Errorf(migration.Blocked,
			"the ledger is %s: %s", l.Verdict, strings.Join(l.Reasons, "; "))
	}
	return err
}

func writeLedger(t table, l workflows.LedgerOverview) {
	t.row("%s\t%s", strings.ToUpper(l.Verdict), strings.Join(l.Reasons, "; "))
	if j := l.Journal; j != nil {
		t.row("journal\t%s, %d acknowledged, %d processed, %d lost, %d processed twice, "+
			"%d with another result", count(j.Orders, "order"), j.Acknowledged, j.Fulfilled, j.Lost,
			j.Duplicated, j.Mismatches)
	}
	for _, lane := range l.Lanes {
		state := "current"
		if !lane.Current {
			state = "NOT CURRENT"
		}
		t.row("%s\t%s, %d entries, %d adds, %d open %s", lane.Lane, state, lane.Entries, lane.Adds,
			lane.Cursor.Open, lane.Error)
	}
	for _, n := range l.Counts {
		t.row("%s\t%d open, %d resolved", n.Verdict, n.Open, n.Settled)
	}
	writeExceptions(t, l.Exceptions)
}

func writeLife(t table, o workflows.LedgerOrder) {
	if j := o.Journal; j != nil {
		t.row("journal\tacknowledged %v, processed %s, %d second runs caught",
			j.Acknowledged, count(j.Applied, "time"), j.Suppressed)
		for _, m := range j.Moments {
			t.row("  %s\t%s", clock(m.At), m.What)
		}
	}
	for _, life := range o.Lives {
		for i, stay := range life.Stays {
			if stay == nil {
				continue
			}
			t.row("%s\t%s: %s since %s, %s, %d completed", ledger.Places[i], life.Job, stay.State,
				clock(stay.At), count(stay.Active, "attempt"), stay.Completed+stay.Harmless)
		}
	}
	if o.Done && len(o.Lives) == 0 {
		t.row("events\tprocessed; the details are no longer kept")
	}
	writeExceptions(t, o.Exceptions)
	if o.Note != "" {
		t.row("note\t%s", o.Note)
	}
}

func writeExceptions(t table, found []ledger.Exception) {
	for _, e := range found {
		state := "OPEN"
		if e.SettledBy != "" {
			state = "resolved by " + e.SettledBy
		}
		t.row("%s\t%s %s: %s; %s", e.Verdict, clock(e.At), e.Job, e.Detail, state)
	}
}

func clock(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.DateTime) }
