package provision

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
)

// databaseAction is what the first action says of itself.
func (s Parts) databaseAction() migration.ActionPlan {
	if !s.Managed.Service.Offer().Can.Create {
		return migration.ActionPlan{
			ID:      "database",
			Title:   "Adopt the database",
			Changes: "nothing there: Switchyard remembers that it is the target",
			Undo:    "removes it from Switchyard only; the database stays as it is",
		}
	}
	return migration.ActionPlan{
		ID:      "database",
		Title:   "Create or adopt the database",
		Changes: "a paid database in the managed service's account",
		Undo:    "removes it from Switchyard only; the database stays and is billed until you delete it",
	}
}

// variable is the action that gives the database's address to the app.
func (s Parts) variable() engine.Action {
	a := engine.Action{
		ActionPlan: migration.ActionPlan{
			ID:      migration.ActionConfigVar,
			Title:   "Give the address to the app",
			Changes: "config var " + environment.TargetVar + "; the app restarts",
			Undo:    "removes the config var (the previous value is not saved); the app restarts",
		},
		Do:   s.setVariable,
		Undo: s.removeVariable,
	}
	if !s.Vars.About().Can.Set {
		a.Title = "Wait until a person has given the address to the app"
		a.Changes = "config var " + environment.TargetVar + ", set by a person, who restarts the app"
		a.ActionPlan.Undo = "a person removes the config var and restarts the app"
		a.Timeout = personTakes
	}
	return a
}

func (s Parts) setVariable(ctx context.Context, c *engine.Call) (any, error) {
	id, err := s.Servers.TargetID(ctx)
	if err != nil {
		return nil, err
	}
	access, err := s.Managed.Service.Access(ctx, id)
	if err != nil {
		return nil, err
	}
	want := providers.Var{Name: environment.TargetVar, Value: access.URL, From: access.From}
	var changed bool
	if err := s.awaitPerson(ctx, c, func(ctx context.Context) (err error) {
		changed, err = s.Vars.Set(ctx, want)
		return err
	}); err != nil {
		return nil, err
	}
	if !s.Vars.About().Can.Read {
		state, err := s.Vars.Look(ctx, want)
		if err != nil {
			return nil, err
		}
		c.Log("%s is set, by a person: %s", want.Name, state.Basis.Source)
		return nil, nil //nolint:nilnil // no output
	}
	c.Log("%s set and read back (changed: %v)", want.Name, changed)
	return nil, nil //nolint:nilnil // no output
}

func (s Parts) removeVariable(ctx context.Context, c *engine.Call) error {
	bounded, cancel := context.WithTimeout(ctx, personRemoves)
	defer cancel()
	return s.awaitPerson(bounded, c, func(ctx context.Context) error {
		_, err := s.Vars.Remove(ctx, environment.TargetVar)
		return err
	})
}

// awaitPerson does something until it is done, where a person has to do it: what there is to
// do is the progress of the run. A variable that Switchyard itself sets is set once.
func (s Parts) awaitPerson(
	ctx context.Context, c *engine.Call, do func(context.Context) error,
) error {
	told := ""
	return engine.Await(ctx, time.Second, func(ctx context.Context) error {
		err := do(ctx)
		waits := errors.Is(err, providers.ErrByHand) ||
			!s.Vars.About().Can.Set && migration.KindOf(err) == migration.Unavailable
		if err == nil || !waits {
			return err
		}
		if now := err.Error(); now != told {
			told = now
			c.Progress("%s", now)
		}
		return engine.NotYet("%v", err)
	})
}

// awaitTargetConnections waits until every live worker attests that it is connected. Where
// nobody but the app knows the variable's value, the database itself must show a client that
// is not Switchyard's, too: the app could be connected to another one.
func (s Parts) awaitTargetConnections(ctx context.Context, c *engine.Call) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	return nil, engine.Await(ctx, 250*time.Millisecond, func(ctx context.Context) error {
		asked := s.Workers.OnTarget(ctx, c.Run.MigrationID)
		if asked.Verdict() != migration.Met {
			c.Progress("waiting for workers to connect to the managed Redis: %s", asked)
			return engine.NotYet("a ready producer connection to the managed Redis: %s", asked)
		}
		if !s.Vars.About().Can.Read {
			if err := s.seenThere(ctx, c); err != nil {
				return err
			}
		}
		c.Log("%d live workers are connected to the managed Redis", len(asked.Members))
		return nil
	})
}

// seenThere: the database's own list of clients has somebody besides Switchyard.
func (s Parts) seenThere(ctx context.Context, c *engine.Call) error {
	client, endpoint, err := s.Servers.Target(ctx)
	if err != nil {
		return err
	}
	clients, err := redisconn.ForeignClients(ctx, client)
	if err != nil {
		return fmt.Errorf("who is connected to %s: %w", endpoint.Address(), err)
	}
	if len(clients) == 0 {
		c.Progress("waiting for the app's connections to appear on %s", endpoint.Address())
		return engine.NotYet("workers attest connections to the managed Redis, and %s has no "+
			"client but Switchyard: %s leads to another database", endpoint.Address(),
			environment.TargetVar)
	}
	var names []string
	for _, cl := range clients {
		names = append(names, cl.Addr)
	}
	c.Log("%s itself lists %d clients besides Switchyard: %s", endpoint.Address(), len(clients),
		strings.Join(names, ", "))
	return nil
}
