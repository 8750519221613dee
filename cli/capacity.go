package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/capacity"
	"github.com/switchyard-dev/switchyard/migration"
)

type capacityCmd struct{ remote }

// Run prints what the servers cost and need. It fails when a limit of the plan is exceeded.
func (c capacityCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	a, err := client.Capacity(s.ctx, mid)
	if err != nil {
		return err
	}
	if err := c.print(s.stdout, a, func(w io.Writer) { writeCapacity(w, a) }); err != nil {
		return err
	}
	var over []string
	for _, side := range a.Sides {
		for _, u := range side.Uses {
			if u.State == capacity.Over {
				over = append(over, side.Side+": "+u.Title)
			}
		}
	}
	if len(over) > 0 {
		return migration.Errorf(migration.Blocked, "more than %s allows: %s", a.Plan.Title, strings.Join(over, ", "))
	}
	return nil
}

func writeCapacity(w io.Writer, a api.Capacity) {
	for _, p := range a.Phases {
		sum := fmt.Sprintf("$%.2f a month", p.USD)
		if !p.Complete {
			sum = "at least " + sum
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\n", p.ID, sum)
		for _, l := range p.Lines {
			price := "not known"
			if l.USD != nil {
				price = fmt.Sprintf("$%.2f", *l.USD)
			}
			_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\n", l.What, price, l.Source)
		}
	}
	if m := a.PayAsYouGo; m != nil {
		least := "not told"
		if m.Low != nil {
			least = fmt.Sprintf("$%.2f", *m.Low)
		}
		_, _ = fmt.Fprintf(w, "by use\t%s to $%.2f a month against $%.2f fixed: %s (%s on the %s, %.1f commands/s)\n", least, m.High, m.Fixed, m.Cheaper(), m.Rates.Seen.Round(time.Minute), m.Side, m.Rates.Commands)
	}
	for _, side := range a.Sides {
		if side.Error != "" {
			_, _ = fmt.Fprintf(w, "%s\tnot measured now: %s\n", side.Side, side.Error)
		}
		for _, u := range side.Uses {
			date := ""
			if u.Likely != nil {
				date = ", reached " + u.Likely.UTC().Format(time.DateOnly)
			}
			_, _ = fmt.Fprintf(w, "%s %s\t%s\t%.0f of %.0f %s (%.1f %%)%s: %s\n", side.Side, u.ID, strings.ToUpper(string(u.State)), u.Value, u.Limit, u.Unit, u.Share()*100, date, u.Why)
		}
	}
}
