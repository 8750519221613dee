package workflows

import (
	"context"
	"fmt"
	"strings"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/environment"
)

// Debts is what runs have put on servers and still have to take off, and what was found on the
// servers themselves.
type Debts struct {
	Debts []migration.Debt `json:"debts"`
	environment.Looked
}

// Debts lists them, with a look at the servers.
func (c *Control) Debts(ctx context.Context, mid string) (Debts, error) {
	if err := c.known(ctx, mid); err != nil {
		return Debts{}, err
	}
	owed, err := c.env.Debts.Owed(ctx, mid)
	if err != nil {
		return Debts{}, err
	}
	looked, err := c.env.Debts.Look(ctx, mid)
	return Debts{owed, looked}, err
}

// DebtChange says what becomes of a debt.
type DebtChange struct {
	// Drop strikes it out and touches no server; otherwise it is lifted.
	Drop bool `json:"drop,omitempty"`
	// Reason is kept in the audit log; dropping needs one.
	Reason string `json:"reason,omitempty"`
}

// ChangeDebt lifts a debt, or drops it. Engineers only. Conflict: its run is under way and
// lifts it, or somebody has set another value since, which is left alone.
func (c *Control) ChangeDebt(
	ctx context.Context, a migration.Actor, mid string, id int64, in DebtChange,
) (Debts, error) {
	action := "lift-debt"
	if in.Drop {
		action = "drop-debt"
	}
	subject, err := c.changeDebt(ctx, a, mid, id, in)
	c.audit(ctx, a, action, subject, in.Reason, err)
	if err != nil {
		return Debts{}, err
	}
	return c.Debts(ctx, mid)
}

func (c *Control) changeDebt(
	ctx context.Context, a migration.Actor, mid string, id int64, in DebtChange,
) (subject string, err error) {
	subject = fmt.Sprintf("debt %d", id)
	if a.Role != migration.RoleEngineer {
		return subject, migration.Errorf(migration.Forbidden, "only engineers lift debts")
	}
	debt, err := c.store.Debt(ctx, mid, id)
	if err != nil {
		return subject, err
	}
	subject = debt.String()
	switch {
	case debt.Open:
		return subject, migration.Errorf(migration.Conflict, "run %s of %s is under way and "+
			"lifts this itself: wait for it, or cancel it", debt.Run, debt.Step)
	case !in.Drop:
		return subject, c.env.Debts.Lift(ctx, debt)
	case strings.TrimSpace(in.Reason) == "":
		return subject, migration.Errorf(migration.Invalid, "say why it may stay as it is")
	}
	return subject, c.env.Debts.Drop(ctx, debt)
}

// liftDebts lifts what runs that are over have left, without waiting for the monitor.
func (c *Control) liftDebts(ctx context.Context) {
	all, err := c.store.Migrations(ctx)
	for _, m := range all {
		if err == nil {
			err = c.env.Debts.LiftUnheld(ctx, m.ID)
		}
	}
	if err != nil && ctx.Err() == nil {
		c.log.Warn("debts are not looked for", "err", err)
	}
}
