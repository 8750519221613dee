package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/capacity"
	"github.com/switchyard-dev/switchyard/migration"
)

type capacityCmd struct{ remote }

// Help tells when the command fails.
func (capacityCmd) Help() string { return "Fails when a limit of the plan is exceeded." }

// Run prints what the servers cost and need.
func (c capacityCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	a, err := client.Capacity(s.ctx, mid)
	if err != nil {
		return err
	}
	if err := c.print(s, a, func(t table) { writeCapacity(t, a) }); err != nil {
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
		return migration.Errorf(migration.Blocked,
			"more than %s allows: %s", a.Plan.Title, strings.Join(over, ", "))
	}
	return nil
}

func writeCapacity(t table, a api.Capacity) {
	for _, p := range a.Phases {
		sum := fmt.Sprintf("$%.2f a month", p.USD)
		if !p.Complete {
			sum = "at least " + sum
		}
		t.row("%s\t%s", p.ID, sum)
		for _, l := range p.Lines {
			t.row("  %s\t%s\t%s", l.What, price(l.USD), l.Source)
		}
	}
	if m := a.PayAsYouGo; m != nil {
		t.row("pay-as-you-go\t%s to $%.2f a month, fixed $%.2f: %s "+
			"(%s of data from the %s, %.1f commands/s)", price(m.Low), m.High, m.Fixed, m.Cheaper(),
			migration.Words(m.Rates.Seen.Round(time.Minute)), m.Side, m.Rates.Commands)
	}
	if a.NotMetered != "" {
		t.row("pay-as-you-go\tunknown: %s", a.NotMetered)
	}
	for _, side := range a.Sides {
		if side.Error != "" {
			t.row("%s\tnot measured now: %s", side.Side, side.Error)
		}
		for _, u := range side.Uses {
			date := ""
			if u.Likely != nil {
				date = ", reached " + u.Likely.UTC().Format(time.DateOnly)
			}
			if u.ProjectedFrom != "" {
				date = ", projected from " + u.ProjectedFrom
			}
			t.row("%s %s\t%s\t%.0f of %.0f %s (%.1f %%)%s: %s",
				side.Side, u.ID, strings.ToUpper(string(u.State)), u.Value, u.Limit, u.Unit,
				u.Share()*100, date, u.Why)
		}
	}
}

func price(usd *float64) string {
	if usd == nil {
		return "unknown"
	}
	return fmt.Sprintf("$%.2f", *usd)
}
