package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows"
)

type statusCmd struct {
	remote
}

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
	return c.print(s.stdout, o, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "%s: %s\n\n", o.Migration.Name, o.Phase)
		for _, i := range o.Checklist {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", strings.ToUpper(string(i.Verdict)), i.Criterion.ID, i.Why)
		}
		for _, a := range o.Alerts {
			_, _ = fmt.Fprintf(w, "ALERT\t%s on %s\twas well and is not now: %s\n", a.Title, a.Node, a.Measured)
		}
		orders := fmt.Sprintf("%d acknowledged, %d applied, %d lost, %d twice", o.Orders.Acknowledged, o.Orders.Fulfilled, o.Orders.Lost, o.Orders.Duplicated)
		if o.OrdersError != "" {
			orders = "no figures: " + o.OrdersError
		}
		_, _ = fmt.Fprintf(w, "\n%d of %d criteria are met. Orders: %s.\n\nNext:\n", o.Checklist.MetCount(), len(o.Checklist), orders)
		for _, n := range o.NextSteps {
			_, _ = fmt.Fprintf(w, "  %s\t%s\n", command(n), n.Title)
		}
	})
}

// command is how a next step is done from a shell.
func command(n migration.NextStep) string {
	switch n.Verb {
	case "approve":
		return "switchyard run approve " + n.RunID
	case "watch":
		return "switchyard run show " + n.RunID
	}
	line := "switchyard step start " + n.Step
	if n.Params.To != "" {
		line += " --to " + string(n.Params.To)
	}
	if n.Params.Ramp != 0 {
		line += fmt.Sprintf(" --ramp %d", n.Params.Ramp)
	}
	return line
}

type reportCmd struct {
	remote
}

// Run prints what would break if the source were left now. It fails when something blocks or is unknown.
func (c reportCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	r, err := client.CutoverReport(s.ctx, mid)
	if err != nil {
		return err
	}
	err = c.print(s.stdout, r, func(w io.Writer) {
		for _, l := range r.Lines {
			word := strings.ToUpper(string(l.Severity))
			if l.Severity == workflows.SeverityUnknown {
				word = "UNKNOWN"
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", word, l.Queue, l.Title, l.Measured)
			if l.Clear != "" {
				_, _ = fmt.Fprintf(w, "\t\t\t-> %s\n", l.Clear)
			}
		}
	})
	if err == nil && !r.Ready {
		err = migration.Errorf(migration.Blocked, "something stands against leaving the source now")
	}
	return err
}
