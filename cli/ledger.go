package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows"
)

type ledgerCmd struct {
	remote
	Order string `arg:"" optional:"" help:"Id of an order or of its job: tells its life instead."`
}

// Run prints the order ledger, or the life of one order. It fails when the ledger is not clean, or when something of the order is not settled.
func (c ledgerCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	if c.Order != "" {
		o, err := client.LedgerOrder(s.ctx, mid, c.Order)
		if err == nil {
			err = c.print(s.stdout, o, func(w io.Writer) { writeLife(w, o) })
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
	err = c.print(s.stdout, l, func(w io.Writer) { writeLedger(w, l) })
	if err == nil && l.Verdict != workflows.LedgerClean {
		err = migration.Errorf(migration.Blocked, "the ledger is %s: %s", l.Verdict, strings.Join(l.Reasons, "; "))
	}
	return err
}

func writeLedger(w io.Writer, l workflows.LedgerOverview) {
	_, _ = fmt.Fprintf(w, "%s\t%s\n", strings.ToUpper(l.Verdict), strings.Join(l.Reasons, "; "))
	if j := l.Journal; j != nil {
		_, _ = fmt.Fprintf(w, "journal\t%d orders, %d acknowledged, %d applied, %d lost, %d twice, %d different\n", j.Orders, j.Acknowledged, j.Fulfilled, j.Lost, j.Duplicated, j.Mismatches)
	}
	for _, lane := range l.Lanes {
		state := "current"
		if !lane.Current {
			state = "NOT CURRENT"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s, %d entries, %d adds, %d open %s\n", lane.Lane, state, lane.Entries, lane.Adds, lane.Cursor.Open, lane.Error)
	}
	for _, n := range l.Counts {
		_, _ = fmt.Fprintf(w, "%s\t%d open, %d settled\n", n.Verdict, n.Open, n.Settled)
	}
	writeExceptions(w, l.Exceptions)
}

func writeLife(w io.Writer, o workflows.LedgerOrder) {
	if j := o.Journal; j != nil {
		_, _ = fmt.Fprintf(w, "journal\tacknowledged %v, applied %d times, %d second runs caught\n", j.Acknowledged, j.Applied, j.Suppressed)
		for _, m := range j.Moments {
			_, _ = fmt.Fprintf(w, "  %s\t%s\n", clock(m.At), m.What)
		}
	}
	for _, life := range o.Lives {
		for i, stay := range life.Stays {
			if stay != nil {
				_, _ = fmt.Fprintf(w, "%s\t%s: %s since %s, %d attempts, %d completed\n", ledger.Places[i], life.Job, stay.State, clock(stay.At), stay.Active, stay.Completed+stay.Harmless)
			}
		}
	}
	if o.Done && len(o.Lives) == 0 {
		_, _ = fmt.Fprintln(w, "events\tit took effect; what happened on the way was folded")
	}
	writeExceptions(w, o.Exceptions)
	if o.Note != "" {
		_, _ = fmt.Fprintf(w, "note\t%s\n", o.Note)
	}
}

func writeExceptions(w io.Writer, found []ledger.Exception) {
	for _, e := range found {
		settled := "NOT SETTLED"
		if e.SettledBy != "" {
			settled = "settled by " + e.SettledBy
		}
		_, _ = fmt.Fprintf(w, "%s\t%s %s: %s; %s\n", e.Verdict, clock(e.At), e.Job, e.Detail, settled)
	}
}

func clock(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05") }
