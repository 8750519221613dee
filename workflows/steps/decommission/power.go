package decommission

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/sentinel"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// mayPowerOff gives what must still hold at the moment of the power-off: the proofs may be
// days old.
func (s Parts) mayPowerOff(ctx context.Context, c *engine.Call) []migration.Gate {
	gates := append([]migration.Gate{s.backupThere(ctx, c), s.copiesOf(ctx, c)},
		s.ledgerHolds(ctx, c)...)
	return append(gates, s.fenceHolds(ctx, c)...)
}

// ledgerHolds gives what the journals and both servers' events say now: what was let go of the
// source may have shown a loss only then.
func (s Parts) ledgerHolds(ctx context.Context, c *engine.Call) []migration.Gate {
	return []migration.Gate{s.Journal.ClosedGate(), s.Streams.Gate(ctx, c.Run.MigrationID)}
}

func (s Parts) powerOff(ctx context.Context, c *engine.Call) (any, error) {
	var checked bool
	if ok, err := c.Output(ctx, c.Action, &checked); err != nil {
		return nil, err
	} else if !ok { // an attempt that was cut off may have powered some off
		if err := errors.Join(s.Journal.AwaitRead(ctx),
			s.Streams.AwaitRead(ctx, c.Run.MigrationID)); err != nil {
			return nil, err
		}
		if failing := migration.Failing(s.mayPowerOff(ctx, c)); len(failing) > 0 {
			return nil, errors.New(told(failing))
		}
		if err := c.Remember(ctx, true); err != nil {
			return nil, err
		}
	}
	if !s.Host.Service.About().Can.PowerOff {
		c.Log("a person may now switch off: %s", s.labels())
		return true, nil
	}
	return true, s.Host.Each(func(m providers.Machine) error {
		c.Progress("waiting for %s to be off", m.Label)
		return s.Host.Service.PowerOff(ctx, m)
	})
}

// powerOn boots the servers, or waits until a person has, and until they and the sentinels
// answer, since what was done before is taken back on them.
func (s Parts) powerOn(ctx context.Context, c *engine.Call) error {
	person, cancel := context.WithTimeout(ctx, personBoots)
	defer cancel()
	err := s.Host.Each(func(m providers.Machine) error {
		return engine.Await(person, time.Second, func(ctx context.Context) error {
			err := s.Host.Service.PowerOn(ctx, m)
			if errors.Is(err, providers.ErrByHand) {
				c.Progress("%v", err)
				return engine.NotYet("%v", err)
			}
			return err
		})
	})
	if err != nil {
		return err
	}
	_, nodes, err := s.oldNodes(ctx, c)
	if err != nil {
		return err
	}
	defer environment.CloseNodes(nodes)
	bounded, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	return engine.Await(bounded, time.Second, func(ctx context.Context) error {
		return s.answer(ctx, nodes)
	})
}

// answer says who of the old nodes and the sentinels does not answer. A sentinel is a program
// of its own on its machine, and starts when it likes.
func (s Parts) answer(ctx context.Context, nodes []environment.Node) error {
	for _, n := range nodes {
		if err := n.Client.Ping(ctx).Err(); err != nil {
			return engine.NotYet("%s was booted and does not answer: %v", n.Address,
				redisconn.Explain(err))
		}
	}
	if s.Servers.Cluster == nil {
		return nil
	}
	if err := s.Servers.Cluster.Ping(ctx); err != nil {
		return engine.NotYet("the machines were booted: %v", err)
	}
	return nil
}

// mayDelete gives what must hold for what cannot be undone.
func (s Parts) mayDelete(ctx context.Context, c *engine.Call) []migration.Gate {
	claim := migration.Claim{
		ID:    "off",
		Title: "Every old server is off",
		Limit: "offline, and nothing answers",
		Next:  "power it off at the host, or find out what answers at its address",
	}
	var off bool
	facts, _, err := s.Host.Off(ctx)
	if err == nil {
		raw, _ := json.Marshal(facts) // of strings and booleans
		rule, _ := evidence.Of(evidence.Off)
		off, claim.Measured, err = rule.Judge(raw)
	}
	return append(s.ledgerHolds(ctx, c),
		claim.About("machines", s.labels(), off, environment.Told(err)), s.backupThere(ctx, c))
}

// standDown ends the sentinels' watch. They keep trying the old single server, which they
// know as a replica but cannot sign in to, and such a nameless connection cannot be told
// from a forgotten client.
func (s Parts) standDown(ctx context.Context, c *engine.Call) (any, error) {
	if s.Servers.Cluster == nil {
		return nil, nil //nolint:nilnil // no output
	}
	var m sentinel.Monitor
	known, err := c.Output(ctx, c.Action, &m)
	if err != nil {
		return nil, err
	}
	if !known {
		if m, err = s.Servers.Cluster.Monitor(ctx); err != nil {
			return nil, err
		}
		if err := c.Remember(ctx, m); err != nil {
			return nil, err
		}
	}
	return m, s.Debts.Suspend(ctx, c, m)
}
