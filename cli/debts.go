package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
)

type debtsCmd struct {
	List debtsListCmd `cmd:"" default:"withargs" help:"List what is owed."`
	Lift debtsLiftCmd `cmd:"" help:"Take it off the servers, where its run is over."`
	Drop debtsDropCmd `cmd:"" help:"Strike one out as it is: a person has decided."`
}

type debtsListCmd struct{ remote }

// Help tells when the command fails.
func (debtsListCmd) Help() string {
	return "Fails while something is left on a server that no run under way has put there."
}

// Run lists what is owed, and what was found on the servers themselves.
func (c debtsListCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	d, err := client.Debts(s.ctx, mid)
	if err != nil {
		return err
	}
	if err := c.print(s, d, func(t table) { writeDebts(t, d) }); err != nil {
		return err
	}
	var left []string
	for _, l := range d.Left {
		left = append(left, l.Server+": "+l.Measured)
	}
	if len(left) > 0 {
		return migration.Errorf(migration.Blocked, "left on servers: %s",
			strings.Join(left, "; "))
	}
	return nil
}

func writeDebts(t table, d api.Debts) {
	for _, x := range d.Debts {
		state := "its run is over"
		if x.Open {
			state = "its run is under way and lifts it"
		}
		if x.Held != "" {
			state = "NOT LIFTED: " + x.Held
		}
		t.row("%d\t%s\tsince %s\trun %s of %s\t%s", x.ID, x, x.Since.UTC().Format(time.RFC3339),
			x.Run, x.Step, state)
	}
	for _, l := range d.Left {
		t.row("LEFT\t%s\t%s\t%s", l.Server, l.Measured, l.Next)
	}
	for server, why := range d.Unasked {
		t.row("UNKNOWN\t%s\t%s", server, why)
	}
	if len(d.Debts)+len(d.Left)+len(d.Unasked) == 0 {
		t.row("Nothing is owed, and nothing is left on %s.", count(len(d.Asked), "server"))
	}
}

type debtsLiftCmd struct {
	remote
	ID []int64 `arg:"" optional:"" name:"debt" help:"Number of the debt. Default: all."`
}

// Run lifts debts whose runs are over. What somebody else has set since is left alone and named.
func (c debtsLiftCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	d, err := client.Debts(s.ctx, mid)
	if err != nil {
		return err
	}
	ids := c.ID
	for _, x := range d.Debts {
		if len(c.ID) == 0 && !x.Open {
			ids = append(ids, x.ID)
		}
	}
	var errs []error
	for _, id := range ids {
		if _, err := client.ChangeDebt(s.ctx, mid, id, api.DebtChange{}); err != nil {
			errs = append(errs, fmt.Errorf("debt %d: %w", id, err))
		}
	}
	if d, err = client.Debts(s.ctx, mid); err != nil {
		return errors.Join(append(errs, err)...)
	}
	return errors.Join(append(errs, c.print(s, d, func(t table) { writeDebts(t, d) }))...)
}

type debtsDropCmd struct {
	remote
	ID     int64  `arg:"" name:"debt" help:"Number of the debt."`
	Reason string `help:"Why it may stay, for the audit log." required:""`
}

// Run strikes a debt out without touching its server.
func (c debtsDropCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	d, err := client.ChangeDebt(s.ctx, mid, c.ID, api.DebtChange{Drop: true, Reason: c.Reason})
	if err != nil {
		return err
	}
	return c.print(s, d, func(t table) { writeDebts(t, d) })
}
