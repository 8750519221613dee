package workflows

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Waive signs, in the name of who is signed in, that a gate or criterion may go on although one
// of those whom it covers is unknown. It speaks against nothing that is known.
func (c *Control) Waive(
	ctx context.Context, a migration.Actor, mid string, w migration.Waiver,
) (migration.Waiver, error) {
	signed, err := c.waive(ctx, a, mid, w)
	c.audit(ctx, a, "waive", w.Member, strings.TrimSpace(w.Why), err)
	return signed, err
}

func (c *Control) waive(
	ctx context.Context, a migration.Actor, mid string, w migration.Waiver,
) (migration.Waiver, error) {
	if err := engineer(a); err != nil {
		return w, err
	}
	if err := c.known(ctx, mid); err != nil {
		return w, err
	}
	w = migration.Waiver{Member: strings.TrimSpace(w.Member), Why: strings.TrimSpace(w.Why),
		Until: w.Until, By: a.Name, At: c.now()}
	if err := w.Check(w.At); err != nil {
		return w, err
	}
	signed, err := c.store.AddWaiver(ctx, mid, w)
	c.notify("overview")
	return signed, err
}

// Revoke takes a waiver back.
func (c *Control) Revoke(ctx context.Context, a migration.Actor, mid string, id int64) error {
	err := engineer(a)
	if err == nil {
		err = c.store.RevokeWaiver(ctx, mid, id, a.Name, c.now())
	}
	c.audit(ctx, a, "revoke waiver", fmt.Sprint(id), "", err)
	c.notify("overview")
	return err
}

// Waivers lists every waiver, the newest first, also those that count no more.
func (c *Control) Waivers(ctx context.Context, mid string) ([]migration.Waiver, error) {
	if err := c.known(ctx, mid); err != nil {
		return nil, err
	}
	return c.store.Waivers(ctx, mid, nil)
}

// Unknown lists those of whom a criterion knows nothing and whom nobody waived, each once.
func (c *Control) Unknown(ctx context.Context, mid string) ([]migration.Member, error) {
	v, err := c.view(ctx, mid)
	if err != nil {
		return nil, err
	}
	var out []migration.Member
	seen := map[string]bool{}
	add := func(m migration.Member) {
		if !seen[m.Key] {
			seen[m.Key] = true
			out = append(out, m)
		}
	}
	for _, item := range v.Checklist {
		for _, f := range item.Findings {
			for _, m := range f.Asked.Unknown() {
				add(m)
			}
		}
	}
	for _, r := range v.Runs[:min(len(v.Runs), 20)] {
		for _, g := range migration.Failing(r.Plan.Gates) {
			for _, m := range g.Asked.Unknown() {
				add(m)
			}
		}
	}
	return out, nil
}

// waiverDay is for how long a waiver counts unless its signer says otherwise.
const waiverDay = 24 * time.Hour

// WaiverUntil gives when a waiver signed now ends unless its signer says otherwise.
func (c *Control) WaiverUntil() time.Time { return c.now().Add(waiverDay) }
