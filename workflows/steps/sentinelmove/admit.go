package sentinelmove

import (
	"context"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/sentinel"
	"github.com/switchyard-dev/switchyard/workflows/engine"
)

// admitted is what the move had to add for the sentinels to sign in to the single Redis.
type admitted struct {
	Added sentinel.Admission `json:"added"`
}

// admitSentinels lets the sentinels sign in to the single Redis, which they monitor once it is a
// replica. With a password of its own it would refuse them: then their connections have no name,
// and look like an app that still uses it; and after a failover it would follow nobody. A
// server that does not let its users be changed is no reason not to move.
func (s Parts) admitSentinels() engine.Action {
	as := s.Servers.SentinelEndpoint.Credentials
	return engine.Action{
		ActionPlan: migration.ActionPlan{
			ID:    "admit-sentinels",
			Title: "Let the sentinels sign in to the single Redis",
			Changes: "the single Redis accepts the Sentinel deployment's password beside its own, " +
				"where the two differ",
			Undo: "removes that password again",
		},
		Do: func(ctx context.Context, c *engine.Call) (any, error) {
			var was admitted
			known, err := c.Output(ctx, c.Action, &was)
			if err != nil {
				return nil, err
			}
			if !known {
				was.Added, err = sentinel.AdmissionFor(ctx, s.Servers.Standalone,
					s.Servers.StandaloneEndpoint, as())
				if err == nil {
					err = c.Remember(ctx, was)
				}
			}
			if err == nil {
				err = sentinel.Admit(ctx, s.Servers.Standalone, as(), was.Added)
			}
			if err != nil && migration.KindOf(err) == migration.Blocked {
				c.Warn("%s: the sentinels' connections to it will have no name, and be listed "+
					"among the clients that nobody knows", migration.PlainError(err))
				if !known { // on the first try a refusal means that nothing was added
					was.Added = sentinel.AdmitNothing
				}
				return was, nil
			}
			if err == nil && was.Added != sentinel.AdmitNothing {
				c.Log("%s accepts the sentinels' password beside its own",
					s.Servers.StandaloneEndpoint.Address())
			}
			return was, err
		},
		Undo: func(ctx context.Context, c *engine.Call) error {
			var was admitted
			if ok, err := c.Output(ctx, "admit-sentinels", &was); err != nil || !ok {
				return err
			}
			return sentinel.Dismiss(ctx, s.Servers.Standalone, as(), was.Added)
		},
	}
}
