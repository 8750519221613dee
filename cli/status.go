package cli

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
)

type statusCmd struct{ remote }

// Run prints where the migration stands.
func (c statusCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	o, err := client.Overview(s.ctx, mid)
	if err != nil {
		return err
	}
	return c.print(s, o, func(t table) { writeStatus(t, o) })
}

func writeStatus(t table, o migration.Overview) {
	t.row("%s: %s\n", o.Migration.Name, o.Phase)
	writeHeadline(t, o.Headline)
	for _, i := range o.Checklist {
		t.row("%s\t%s\t%s", strings.ToUpper(string(i.Verdict)), i.Criterion.ID, i.Why)
	}
	for _, a := range o.Alerts {
		t.row("ALERT\t%s\tno longer OK on %s: %s", a.Title, a.Node, a.Measured)
	}
	orders := "no figures: " + o.OrdersError
	if o.OrdersError == "" {
		orders = fmt.Sprintf("%d acknowledged, %d processed, %d lost, %d processed twice",
			o.Orders.Acknowledged, o.Orders.Fulfilled, o.Orders.Lost, o.Orders.Duplicated)
	}
	met := o.Checklist.MetCount()
	t.row("\n%d of %d criteria are met. Orders: %s.", met, len(o.Checklist), orders)
	if len(o.NextSteps) > 0 {
		t.row("\nNext:")
	}
	for _, n := range o.NextSteps {
		t.row("  %s\t%s", n.Command(), n.Title)
	}
}

// writeHeadline says whether somebody has to do something now; nothing while all is calm.
func writeHeadline(t table, h migration.Headline) {
	if h.Level == migration.Calm || h.Level == "" {
		return
	}
	t.row("%s: %s", strings.ToUpper(string(h.Level)), h.Title)
	if h.FirstLoss != nil {
		t.row("  First order lost: %s", h.FirstLoss.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	if h.First != "" {
		t.row("  First: %s", h.First)
	}
	if h.Acknowledged != "" {
		t.row("  Acknowledged by %s", h.Acknowledged)
	}
	if h.More > 0 {
		t.row("  And %d more: switchyard alerts", h.More)
	}
	t.row("")
}

type reportCmd struct{ remote }

// Help tells when the command fails.
func (reportCmd) Help() string { return "Fails when something blocks the cutover, or is unknown." }

// Run prints what would break if the source were left now.
func (c reportCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	r, err := client.CutoverReport(s.ctx, mid)
	if err != nil {
		return err
	}
	err = c.print(s, r, func(t table) { writeReport(t, r) })
	if err == nil && !r.Ready {
		err = migration.Errorf(migration.Blocked, "something blocks a cutover now")
	}
	return err
}

func writeReport(t table, r api.CutoverReport) {
	for _, l := range r.Lines {
		word := cmp.Or(strings.ToUpper(string(l.Severity)), "UNKNOWN")
		t.row("%s\t%s\t%s\t%s", word, l.Queue, l.Title, l.Measured)
		if l.Clear != "" {
			t.row("\t\t\t-> %s", l.Clear)
		}
	}
}
