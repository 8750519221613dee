// Package breaker is the circuit-breaker drill.
package breaker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/webhooks"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

// Parts is what the step is handed, and all that it can touch.
type Parts struct {
	Servers     *environment.Servers
	Debts       *environment.Debts
	Workers     *environment.Workers
	App         environment.App
	Queues      []string // the pipeline's
	Drill       config.Drill
	AppURL      string
	RedisServer string // the program for the drill's own server; empty: looked for
	// Providers are those that send orders; none: any that is known may.
	Providers []config.Provider
}

// answerLimit is how fast a webhook must get its 503: within the deadline of the provider that
// waits the shortest. What the app's own deadline is does not matter.
func (s Parts) answerLimit() time.Duration {
	var senders []webhooks.Sender
	for _, p := range s.Providers {
		if sender, known := webhooks.ByID(p.ID); known {
			senders = append(senders, sender)
		}
	}
	if len(senders) == 0 {
		senders = webhooks.Senders()
	}
	return slices.MinFunc(senders, func(a, b webhooks.Sender) int {
		return cmp.Compare(a.Deadline.Total, b.Deadline.Total)
	}).Deadline.Total
}

const (
	// cutFor is short of the time after which Sentinel would call the master down.
	cutFor    = 1200 * time.Millisecond
	frozenFor = 4 * time.Second
)

// Step makes the source fail in three ways and looks at what a webhook gets meanwhile: the
// connection is cut and does not come back, the server refuses writes, the server is frozen
// and answers nothing. The last is the one that enableOfflineQueue alone does not cover.
func (s Parts) Step() engine.Step {
	return engine.Step{
		ID:       migration.StepBreakerDrill,
		Approval: migration.ApprovalOne,
		Plan: func(ctx context.Context, v progress.View, _ migration.Params) (engine.PlanResult, error) {
			out := engine.PlanResult{
				Summary: "Inject " + migration.Count(len(Faults), "fault") + " on a disposable " +
					"Redis, using the app's connection options. Then cut connections to the " +
					"source, reject writes and freeze it for a few seconds each, and check what " +
					"webhooks get.",
				Impact: "The first part affects no orders. " + s.benchEstimate(v.Migration.ID) +
					" In the second part, webhooks get 503 for about 10 s in total; the " +
					"provider's retries deliver them again. Every fault ends automatically, " +
					"even if Switchyard crashes: the pauses have a time limit, and writes are " +
					"allowed again at the next start.",
			}
			out.Gates = append(
				out.Gates,
				v.StageGate("Source is primary", "off, dual write or shadow",
					"the drill injects faults on the source, which no longer receives orders",
					migration.StageOff, migration.StageDualWrite, migration.StageShadow),
				s.Workers.Gate(ctx, v.Migration.ID, v.Routing.Revision, true),
			)
			c, endpoint, err := s.Servers.Source(ctx, v.Migration.ID)
			if err != nil {
				return out, err
			}
			out.Gates = append(out.Gates, environment.Reachable(ctx, c, endpoint),
				s.Servers.Clients.Gate(ctx, v.Migration.ID, s.Servers.Clients.Source))
			for _, p := range s.Workers.Producers(v.Migration.ID).Producers {
				off := "unknown"
				if p.EnableOfflineQueue != nil {
					off = fmt.Sprint(*p.EnableOfflineQueue)
				}
				out.Observed = append(
					out.Observed,
					migration.Fact{
						Label: p.Queue + " on " + p.Endpoint,
						Value: fmt.Sprintf(
							"enableOfflineQueue %s, commandTimeout %d ms (%s)",
							off,
							p.CommandTimeoutMS,
							p.Instance,
						),
					},
				)
			}
			return out, nil
		},
		Result: result,
		Actions: func(migration.Params) []engine.Action {
			return []engine.Action{
				{
					ActionPlan: migration.ActionPlan{
						ID:    "attest",
						Title: "Read connection options from every worker",
					},
					Do: func(ctx context.Context, c *engine.Call) (any, error) {
						if err := s.Workers.AwaitWarm(ctx); err != nil {
							return nil, err
						}
						intakes := s.Workers.Intake(ctx, c.Run.MigrationID)
						if len(intakes.Instances) > 0 {
							if err := c.Evidence(ctx, evidence.Intake, migration.Attested,
								"attestation by the running app", intakes); err != nil {
								return nil, err
							}
						}
						facts, err := s.Workers.Attestation(ctx, c.Run.MigrationID)
						if err != nil {
							return nil, err
						}
						facts.Undrilled = nil // they are drilled next
						return facts, c.Prove(
							ctx,
							evidence.Attestation,
							migration.Attested,
							"attestation by the running app",
							facts,
						)
					},
				},
				{
					ActionPlan: migration.ActionPlan{
						ID: Bench,
						Title: fmt.Sprintf(
							"Inject %s per queue on a disposable Redis, using the app's "+
								"connection options",
							migration.Count(len(Faults), "fault"),
						),
					},
					Timeout: benchTimeout,
					Do:      s.drillBench,
				},
				{
					ActionPlan: migration.ActionPlan{
						ID:    "drill",
						Title: "Inject the faults",
						Changes: "the source cuts connections, rejects writes and freezes, a " +
							"few seconds each",
						Undo: "allows writes and ends the pause",
					},
					Do: s.injectFaults,
					Undo: func(ctx context.Context, c *engine.Call) error {
						return s.Debts.LiftEarlier(ctx, c, faultDebts...)
					},
				},
			}
		},
	}
}

// faultDebts are what the faults put on the source.
var faultDebts = []migration.DebtKind{migration.DebtFence, migration.DebtClientPause}

type fault struct {
	name string
	// begin starts the fault, which is written down first; end ends it. Both are safe to call
	// again.
	begin func(ctx context.Context, owed migration.Debts, master environment.Node) error
	end   func(ctx context.Context, owed migration.Debts, master environment.Node) error
	// watch is how long webhooks are tried meanwhile.
	watch time.Duration
}

var faults = []fault{
	{
		name: "connections cut and not restored",
		begin: func(ctx context.Context, owed migration.Debts, master environment.Node) error {
			clients, err := redisconn.ForeignClients(ctx, master.Client)
			if err != nil {
				return err
			}
			if err := redisconn.OwePause(ctx, master.Client, owed, master.Address, "ALL",
				cutFor); err != nil {
				return err
			}
			// One transaction, so that no client reconnects between the pause and the cut.
			// The pause covers reads as well, so that a client which reconnects does not
			// become ready.
			_, err = master.Client.TxPipelined(ctx, func(p redis.Pipeliner) error {
				for _, cl := range clients {
					p.Do(ctx, "CLIENT", "KILL", "ID", cl.ID)
				}
				p.Do(ctx, "CLIENT", "PAUSE", cutFor.Milliseconds(), "ALL")
				return nil
			})
			return err
		},
		// it ends by itself, and nothing gets through before
		end: func(ctx context.Context, owed migration.Debts, master environment.Node) error {
			return redisconn.UnpausePaid(ctx, master.Client, owed, master.Address, "ALL")
		},
		watch: cutFor - 200*time.Millisecond,
	},
	{
		name: "server rejects writes",
		begin: func(ctx context.Context, owed migration.Debts, master environment.Node) error {
			return redisconn.FenceOwing(ctx, master.Client, owed, master.Address)
		},
		end: func(ctx context.Context, owed migration.Debts, master environment.Node) error {
			return redisconn.UnfencePaid(ctx, master.Client, owed, master.Address)
		},
		watch: 500 * time.Millisecond,
	},
	{
		name: "server frozen",
		begin: func(ctx context.Context, owed migration.Debts, master environment.Node) error {
			return redisconn.PauseOwing(ctx, master.Client, owed, master.Address, "WRITE",
				frozenFor)
		},
		end: func(ctx context.Context, owed migration.Debts, master environment.Node) error {
			return redisconn.UnpausePaid(ctx, master.Client, owed, master.Address, "WRITE")
		},
		watch: 0, // one webhook takes as long as the app's own timeout
	},
}

func (s Parts) injectFaults(ctx context.Context, c *engine.Call) (any, error) {
	_, endpoint, err := s.Servers.Source(ctx, c.Run.MigrationID)
	if err != nil {
		return nil, err
	}
	// A drill whose process was killed in the middle may have left its fault behind.
	if err := s.Debts.LiftEarlier(ctx, c, faultDebts...); err != nil {
		return nil, err
	}
	var facts evidence.DrillFacts
	if ok, err := c.Output(ctx, Bench, &facts.Bench); err != nil || !ok {
		return nil, engine.OrMissing(
			err,
			"the run did not record how the app handled the faults on the disposable Redis",
		)
	}
	for _, f := range faults {
		if err := s.App.CanaryAccepted(ctx, c, endpoint.Name); err != nil {
			return nil, fmt.Errorf("before %q: %w", f.name, err)
		}
		cases, err := s.inject(ctx, c, f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		facts.Cases = append(facts.Cases, cases...)
	}
	if err := s.App.CanaryAccepted(ctx, c, endpoint.Name); err != nil {
		return nil, err
	}
	facts.Recovered, facts.Routed = true, s.Queues
	if err := s.Workers.AwaitWarm(ctx); err != nil {
		return nil, err
	}
	// also those that came up meanwhile
	facts.Attested = environment.AttestedQueues(s.Workers.Producers(c.Run.MigrationID))
	return facts, c.Prove(
		ctx,
		evidence.Drill,
		migration.Observed,
		"faults on the source, canary jobs through the app; faults on a disposable Redis, jobs "+
			"with the app's connection options",
		facts,
	)
}

// inject begins one fault, offers canary jobs while it lasts, and ends it whatever happens.
func (s Parts) inject(
	ctx context.Context,
	c *engine.Call,
	f fault,
) (cases []evidence.DrillCase, err error) {
	master, err := s.Servers.SourceMaster(ctx, c.Run.MigrationID)
	if err != nil {
		return nil, err
	}
	defer environment.CloseNodes([]environment.Node{master})
	c.Log("fault: %s", f.name)
	if err := f.begin(ctx, c, master); err != nil {
		return nil, err
	}
	defer func() {
		detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
		defer cancel()
		err = errors.Join(err, f.end(detached, c, master))
	}()
	cases = make([]evidence.DrillCase, len(s.Queues))
	var offering sync.WaitGroup
	for i, queue := range s.Queues {
		offering.Go(func() { cases[i] = s.offer(ctx, queue, f) })
	}
	offering.Wait()
	for _, d := range cases {
		c.Log("%s: slowest response of %s: %d in %d ms %s", f.name, d.Queue, d.Status, d.MS, d.Note)
	}
	return cases, ctx.Err()
}

// offer offers canary jobs of a queue for as long as a fault is watched, one at least. The worst
// answer stands for the fault.
func (s Parts) offer(ctx context.Context, queue string, f fault) (worst evidence.DrillCase) {
	begun := time.Now()
	for tries := 0; tries == 0 || time.Since(begun) < f.watch; tries++ {
		r, err := s.App.Canary(ctx, environment.CanaryID(), queue)
		d := evidence.DrillCase{Fault: f.name, Side: "source", Queue: queue,
			LimitMS: s.answerLimit().Milliseconds()}
		if err != nil {
			d.Note = migration.PlainError(err)
		} else {
			d.Status, d.MS, d.Note = r.Status, r.RoundTrip.Milliseconds(), r.Error
		}
		if tries == 0 || worst.Status == 503 && (d.Status != 503 || d.MS > worst.MS) {
			worst = d
		}
		select {
		case <-ctx.Done():
			return worst
		case <-time.After(50 * time.Millisecond):
		}
	}
	return worst
}
