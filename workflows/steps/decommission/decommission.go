// Package decommission is the step that takes the old servers away.
package decommission

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/sentinel"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

// Parts is what the step is handed, and all that it can touch.
type Parts struct {
	Servers     *environment.Servers
	Debts       *environment.Debts
	Routing     *environment.Routing
	Workers     *environment.Workers
	Journal     *environment.Journal
	Streams     *environment.Streams
	Host        *environment.Host
	QuietWindow time.Duration // how long nobody may use the old servers
	FenceWindow time.Duration // how long nobody may knock while they are fenced
	DataDir     string        // where the backup goes
	RedisServer string        // the program that a backup is restored into; empty: looked for
}

// Step proves that nobody uses the old servers, backs them up, fences them, and only then
// powers them off and deletes them.
func (s Parts) Step() engine.Step {
	return engine.Step{
		ID: migration.StepDecommission,
		// of what can be taken back; what cannot waits for its own
		Approval:     migration.ApprovalOne,
		Irreversible: true,
		Plan: func(ctx context.Context, v progress.View, _ migration.Params) (engine.PlanResult, error) {
			out := s.summary()
			out.Gates = append(
				out.Gates,
				v.StageGate("Cutover is complete", "complete", "finish the cutover first",
					migration.StageComplete),
				s.Workers.Gate(ctx, v.Migration.ID, v.Routing.Revision, true),
				s.Journal.ClosedGate(),
				s.Streams.Gate(ctx, v.Migration.ID),
			)
			if !progress.GateRemoved(progress.GateResidue) {
				out.Gates = append(out.Gates, v.CheckGate(evidence.Residue))
			}
			// Released already: this run was interrupted after that point, and goes on
			// without what it can no longer reach.
			if v.Routing.Source != migration.SourceNone {
				out.Gates = append(out.Gates,
					s.Servers.Clients.Gate(ctx, v.Migration.ID, s.beforeTheSentinelsLeave))
				out.Gates = append(out.Gates, s.copiesNow(ctx, v.Migration.ID))
				out.Gates = append(out.Gates, v.OtherCriteria(migration.StepDecommission)...)
				if !progress.GateRemoved(progress.GateResidue) {
					out.Gates = append(
						out.Gates,
						nothingLeft(s.Servers.Residue(ctx, v.Migration.ID)),
					)
				}
			}
			gates, facts := s.machines(ctx)
			out.Gates = append(out.Gates, gates...)
			out.Observed = append(out.Observed, facts...)
			return out, nil
		},
		Actions: func(migration.Params) []engine.Action { return s.actions() },
		Result:  result,
	}
}

// nothingLeft: no queue of the source, the pipeline's or another, holds a job that is not finished.
func nothingLeft(residue evidence.ResidueFacts, err error) migration.Gate {
	c := migration.Claim{
		ID:    "residue",
		Title: "No unfinished job is left on the source",
		Limit: "0 jobs in every queue, and nothing that nobody decided on",
		Next:  "make sure that the source answers, then look again",
		Asked: residue.Coverage(),
	}
	if err != nil {
		return c.About("server", "the source", false, environment.Told(err))
	}
	switch c.Asked.Verdict() {
	case migration.Met:
		c.Measured = fmt.Sprintf("0 jobs in %d queues of %s, and nothing else",
			len(residue.Queues), migration.Count(len(residue.Databases), "database"))
	case migration.Unmet:
		c.Next = "run the step Move the other queues, or Move what is left, again"
	default:
		c.Next = "move it away or remove it, or decide in writing that it may go, then look again"
	}
	return c.Gate()
}

// oldServers is what the run remembers of the servers before they are gone.
type oldServers struct {
	Source  migration.SourceEndpoint `json:"source"`
	Master  string                   `json:"master"`  // whose data is backed up
	Address []string                 `json:"address"` // every old data server
}

// nodes opens a connection to every old data server.
func (s Parts) oldNodes(
	ctx context.Context,
	c *engine.Call,
) (oldServers, []environment.Node, error) {
	var old oldServers
	ok, err := c.Output(ctx, "release", &old)
	if err != nil || !ok {
		return old, nil, engine.OrMissing(err, "the run did not record the old servers")
	}
	var nodes []environment.Node
	for _, a := range old.Address {
		nodes = append(nodes, s.Servers.Old(a))
	}
	return old, nodes, nil
}

func (s Parts) actions() []engine.Action {
	quiet, window := s.QuietWindow, s.FenceWindow
	before := []engine.Action{
		{
			ActionPlan: migration.ActionPlan{
				ID:      "release",
				Title:   "Disconnect the app from the source",
				Changes: "flag source-endpoint: none",
				Undo:    "sets the former source again",
			},
			Do: s.release,
			Undo: func(ctx context.Context, c *engine.Call) error {
				var old oldServers
				if ok, err := c.Output(ctx, "release", &old); err != nil || !ok {
					return err
				}
				return s.Workers.PointBack(
					ctx,
					c,
					s.Routing,
					old.Source,
					"decommission rolled back",
				)
			},
		},
		{
			ActionPlan: migration.ActionPlan{
				ID:      "stand-down",
				Title:   "Remove Sentinel monitoring permanently",
				Changes: "SENTINEL REMOVE on each sentinel: no failover from now on",
				Undo:    "SENTINEL MONITOR with the same settings",
			},
			Do: s.standDown,
			Undo: func(ctx context.Context, c *engine.Call) error {
				var m sentinel.Monitor
				if ok, err := c.Output(ctx, "stand-down", &m); err != nil || !ok ||
					s.Servers.Cluster == nil {
					return err
				}
				return s.Debts.Watch(ctx, c, m)
			},
		},
		{
			ActionPlan: migration.ActionPlan{
				ID: "quiet",
				Title: fmt.Sprintf(
					"Watch for %s that nobody uses the old servers",
					migration.Words(quiet),
				),
			},
			Timeout: quiet*2 + 30*time.Minute,
			Do:      func(ctx context.Context, c *engine.Call) (any, error) { return s.proveQuiet(ctx, c, quiet) },
		},
		{
			ActionPlan: migration.ActionPlan{
				ID:       "fence",
				Title:    "Fence every old server against writes",
				Changes:  "min-replicas-to-write on every node: writes are refused, scripts too; reads go on",
				Undo:     "lifts the fence",
				Approval: migration.ApprovalOne,
			},
			Do:   s.fence,
			Undo: s.unfence,
		},
		{
			ActionPlan: migration.ActionPlan{
				ID:    "backup",
				Title: "Back up the source, restore the backup into a scratch server and compare it with the source",
			},
			Timeout: 2 * time.Hour,
			Do:      s.finalBackup,
		},
		{
			ActionPlan: migration.ActionPlan{
				ID: FenceWindow,
				Title: fmt.Sprintf(
					"Keep blocking writes until there is no connection attempt for %s",
					migration.Words(window),
				),
			},
			Timeout: window + knocksTimeout,
			Do:      func(ctx context.Context, c *engine.Call) (any, error) { return s.holdFence(ctx, c, window) },
		},
		{
			ActionPlan: migration.ActionPlan{
				ID:    "last-look",
				Title: "Wait until every order that was put on the source is applied, and nothing is lost or doubled",
			},
			Timeout: s.Journal.Deadline() + 2*time.Minute,
			Do: func(ctx context.Context, c *engine.Call) (any, error) {
				return nil, s.closeLedger(ctx, c)
			},
		},
	}
	return slices.Concat(before, s.switchOff(), s.snapshot(), s.remove())
}

func (s Parts) release(ctx context.Context, c *engine.Call) (any, error) {
	var old oldServers
	known, err := c.Output(ctx, c.Action, &old)
	if err != nil {
		return nil, err
	}
	if !known {
		r, err := s.Routing.Read(ctx, c.Run.MigrationID)
		if err != nil {
			return nil, err
		}
		old = oldServers{
			Source:  r.Source,
			Master:  s.Servers.StandaloneEndpoint.Address(),
			Address: []string{s.Servers.StandaloneEndpoint.Address()},
		}
		if s.Servers.Cluster != nil {
			addrs, err := s.Servers.Cluster.NodeAddrs(ctx)
			if err != nil {
				return nil, err
			}
			for _, a := range addrs {
				// which Sentinel knows as a fenced replica
				if a != s.Servers.StandaloneEndpoint.Address() {
					old.Address = append(old.Address, a)
				}
			}
			if r.Source == migration.SourceSentinel {
				if old.Master, err = s.Servers.Cluster.Master(ctx); err != nil {
					return nil, err
				}
			}
		}
		if err := c.Remember(ctx, old); err != nil {
			return nil, err
		}
		if err := s.Host.RememberOld(ctx, old.Address); err != nil {
			return nil, err
		}
	}
	return old, s.Workers.PointSource(
		ctx,
		c,
		s.Routing,
		migration.SourceNone,
		"decommission: drop every connection to the source",
	)
}

func (s Parts) fence(ctx context.Context, c *engine.Call) (any, error) {
	old, nodes, err := s.oldNodes(ctx, c)
	if err != nil {
		return nil, err
	}
	defer environment.CloseNodes(nodes)
	// Approving may have taken long since the servers were quiet.
	if err := s.Servers.Clients.Check(ctx, c, func(context.Context, string) ([]environment.Node, error) {
		var again []environment.Node
		for _, a := range old.Address {
			again = append(again, s.Servers.Old(a))
		}
		return again, nil
	}); err != nil {
		return nil, err
	}
	for _, n := range nodes {
		if err := s.Debts.Fence(ctx, c, n); err != nil {
			return nil, fmt.Errorf("%s: %w", n.Address, err)
		}
	}
	c.Log("%d servers refuse every write", len(nodes))
	// The last moment at which anything could come was just now, and the proof of quiet may
	// be some time ago.
	var quiet quietOutput
	if ok, err := c.Output(ctx, "quiet", &quiet); err != nil || !ok {
		return nil, err
	}
	for _, n := range nodes {
		if n.Address != old.Master {
			continue
		}
		if failing := migration.Failing(s.cameSince(ctx, c, n.Client, quiet.Events)); len(
			failing,
		) > 0 {
			return nil, fmt.Errorf("something came after the proof of quiet: %s", told(failing))
		}
	}
	return nil, nil //nolint:nilnil // no output
}

func (s Parts) unfence(ctx context.Context, c *engine.Call) error {
	_, nodes, err := s.oldNodes(ctx, c)
	if err != nil {
		return err
	}
	defer environment.CloseNodes(nodes)
	var errs []error
	for _, n := range nodes {
		errs = append(errs, s.Debts.Unfence(ctx, c, n))
	}
	return errors.Join(errs...)
}

const ledgerSource = "the app's whole journal, and both servers' events"

// closeLedger waits until no acknowledged order is under way and records what the whole
// journal says.
func (s Parts) closeLedger(ctx context.Context, c *engine.Call) error {
	var facts migration.LedgerFacts
	err := engine.Await(ctx, 500*time.Millisecond, func(ctx context.Context) (err error) {
		if facts, err = s.Streams.Facts(ctx, c.Run.MigrationID); err != nil {
			return engine.NotYet("%v", err)
		}
		if facts.Lost > 0 || facts.Duplicated > 0 {
			return fmt.Errorf(
				"%d orders lost, %d applied twice: %v",
				facts.Lost,
				facts.Duplicated,
				facts.Examples,
			)
		}
		if facts.PendingSource > 0 && !progress.GateRemoved(progress.GateResidue) {
			c.Progress(
				"%d orders that were put on the source are still under way",
				facts.PendingSource,
			)
			return engine.NotYet(
				"%d orders that were put on the source are still under way",
				facts.PendingSource,
			)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if progress.GateRemoved(progress.GateResidue) {
		return c.Evidence(
			ctx,
			evidence.Ledger,
			migration.Attested,
			ledgerSource,
			facts,
		)
	}
	return c.Prove(ctx, evidence.Ledger, migration.Attested, ledgerSource, facts)
}

// beforeTheSentinelsLeave are the servers that can be asked who is connected while the sentinels
// still watch. The single server cannot: sentinels that followed it there cannot sign in to it,
// and such a connection without a name cannot be told from a forgotten client. It is asked once
// they stand down, for the whole window of quiet and right before the fence.
func (s Parts) beforeTheSentinelsLeave(
	ctx context.Context, mid string,
) ([]environment.Node, error) {
	nodes, err := s.Servers.Clients.Old(ctx, mid)
	if s.Servers.Cluster == nil || err != nil {
		return nodes, err
	}
	single := s.Servers.StandaloneEndpoint.Address()
	return slices.DeleteFunc(nodes, func(n environment.Node) bool { return n.Address == single }),
		nil
}
