// Package sentinelmove is the step that moves every queue onto Sentinel.
package sentinelmove

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/sentinel"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

// Parts is what the step is handed, and all that it can touch.
type Parts struct {
	Servers *environment.Servers
	Debts   *environment.Debts
	Routing *environment.Routing
	Workers *environment.Workers
	App     environment.App
}

// Step takes every key from the single server to the Sentinel master by a replication swap.
// The sentinels look away meanwhile, because a watched master that becomes a replica is
// failed over. Queues are paused and drained first: without that, jobs in progress run
// twice. The old server ends as a fenced replica, so that the way back is the same swap.
func (s Parts) Step() engine.Step {
	return engine.Step{
		ID:       migration.StepSentinelMove,
		Approval: migration.ApprovalOne,
		Plan: func(ctx context.Context, v progress.View, _ migration.Params) (engine.PlanResult, error) {
			out := engine.PlanResult{
				Summary: "Move every queue from the single Redis to the Sentinel deployment by " +
					"replication.",
				Impact: "Workers pause for a few seconds. New webhooks get 503 for a few " +
					"seconds and are delivered again by the provider's retries; writes on the " +
					"server itself are blocked for milliseconds.",
			}
			if s.Servers.Cluster == nil {
				return out, environment.ErrNoSentinel()
			}
			out.Gates = append(
				out.Gates,
				v.SourceIs(migration.SourceStandalone, "The queues are on the single Redis",
					"nothing to do: the queues have already been moved"),
				v.StageGate("Cutover has not begun", "off", "move the queue back to off first",
					migration.StageOff),
				environment.Reachable(ctx, s.Servers.Standalone, s.Servers.StandaloneEndpoint),
				s.Workers.Gate(ctx, v.Migration.ID, v.Routing.Revision, true),
				s.Servers.Clients.Gate(ctx, v.Migration.ID, s.Servers.Clients.Old),
			)
			checks, err := s.Servers.Cluster.Readiness(ctx)
			if err != nil {
				return out, migration.Errorf(
					migration.Unavailable,
					"the Sentinel deployment cannot be read: %w",
					err,
				)
			}
			out.Gates = append(out.Gates, checks...)
			out.Gates = append(out.Gates, s.emptyMaster(ctx))
			return out, nil
		},
		Actions: func(migration.Params) []engine.Action { return s.actions() },
		Result:  result,
	}
}

// emptyMaster: replication replaces everything the new master holds, so it must hold nothing.
func (s Parts) emptyMaster(ctx context.Context) migration.Gate {
	c := migration.Claim{ID: "empty", Title: "The Sentinel primary is empty",
		Limit: "0 keys in any database", Next: "make the Sentinel deployment reachable"}
	master, err := s.Servers.MasterNode(ctx)
	if err != nil {
		return c.About("server", "the Sentinel primary", false, err)
	}
	defer func() { _ = master.Client.Close() }()
	info, err := redisconn.Inspect(ctx, master.Client)
	if err == nil {
		c.Measured = fmt.Sprintf("%d keys on %s", info.Keys, master.Address)
	}
	if info.Keys > 0 {
		c.Next = "check what these keys are and remove them: replication from the single Redis " +
			"would overwrite them"
	}
	return c.About("server", master.Address, info.Keys == 0, err)
}

// suspended is what the move remembers: how the sentinels watched, and which node was their
// master. The sentinels cannot be asked while they look away.
type suspended struct {
	Monitor sentinel.Monitor `json:"monitor"`
	Master  string           `json:"master"`
}

func (s Parts) suspended(
	ctx context.Context,
	c *engine.Call,
) (was suspended, master redis.UniversalClient, err error) {
	ok, err := c.Output(ctx, "suspend-sentinels", &was)
	if err != nil || !ok {
		return was, nil, engine.OrMissing(
			err,
			"the run did not record which node was the Sentinel master",
		)
	}
	return was, redisconn.Node(s.Servers.SentinelEndpoint, was.Master), nil
}

func (s Parts) actions() []engine.Action {
	return []engine.Action{
		{
			ActionPlan: migration.ActionPlan{
				ID:      "suspend-sentinels",
				Title:   "Stop Sentinel monitoring",
				Changes: "SENTINEL REMOVE on each sentinel",
				Undo:    "SENTINEL MONITOR with the same settings",
			},
			Do: func(ctx context.Context, c *engine.Call) (any, error) {
				var was suspended
				known, err := c.Output(ctx, c.Action, &was)
				if err != nil {
					return nil, err
				}
				if !known {
					if err := s.Servers.Clients.Check(ctx, c, s.Servers.Clients.Old); err != nil {
						return nil, err
					}
					if was.Master, err = s.Servers.Cluster.Master(ctx); err != nil {
						return nil, err
					}
					if was.Monitor, err = s.Servers.Cluster.Monitor(ctx); err != nil {
						return nil, err
					}
					if err := c.Remember(ctx, was); err != nil {
						return nil, err
					}
				}
				if err := s.Debts.Suspend(ctx, c, was.Monitor); err != nil {
					return nil, err
				}
				c.Log("no sentinel monitors %s now", was.Master)
				return was, nil
			},
			Undo: func(ctx context.Context, c *engine.Call) error {
				var was suspended
				if ok, err := c.Output(ctx, "suspend-sentinels", &was); err != nil || !ok {
					return err
				}
				return s.Debts.Watch(ctx, c, was.Monitor)
			},
		},
		s.admitSentinels(),
		{
			ActionPlan: migration.ActionPlan{
				ID:      "replicate",
				Title:   "Replicate the single Redis to the Sentinel primary",
				Changes: "the Sentinel primary becomes a replica of the single Redis",
				Undo:    "stops replication and empties the Sentinel primary again",
			},
			Timeout: 30 * time.Minute,
			Do: func(ctx context.Context, c *engine.Call) (any, error) {
				_, master, err := s.suspended(ctx, c)
				if err != nil {
					return nil, err
				}
				defer func() { _ = master.Close() }()
				host, port, err := net.SplitHostPort(s.Servers.StandaloneEndpoint.Address())
				if err != nil {
					return nil, err
				}
				if err := sentinel.StartReplication(ctx, master, s.Servers.Standalone, host, port,
					s.Servers.StandaloneEndpoint.Credentials()); err != nil {
					return nil, err
				}
				return nil, sentinel.WaitSynced(
					ctx,
					master,
					func(gap int64) { c.Progress("replicating, %d bytes behind", gap) },
				)
			},
			Undo: func(ctx context.Context, c *engine.Call) error {
				_, master, err := s.suspended(ctx, c)
				if err != nil {
					return err
				}
				defer func() { _ = master.Close() }()
				return sentinel.StopReplication(
					ctx,
					master,
					s.Servers.Standalone,
					s.Servers.SentinelEndpoint.Credentials(),
				)
			},
		},
		{
			ActionPlan: migration.ActionPlan{
				ID:      environment.PauseQueues,
				Title:   "Pause the queues and let jobs in progress finish",
				Changes: "workers take no new jobs",
				Undo:    "resumes the queues",
			},
			Do: func(ctx context.Context, c *engine.Call) (any, error) {
				found, err := s.Servers.AtWork(ctx)
				if err != nil {
					return nil, err
				}
				if err := s.Servers.PauseAndDrain(ctx, c, s.Servers.Standalone); err != nil {
					return found, err
				}
				return paused{found, s.pending(ctx, found.Worked)}, nil
			},
			Undo: func(ctx context.Context, c *engine.Call) error {
				return s.Servers.ResumeQueues(ctx, c, s.Servers.Standalone)
			},
		},
		{
			ActionPlan: migration.ActionPlan{
				ID:    "switch",
				Title: "Swap the roles",
				Changes: "writes are blocked for milliseconds; then the Sentinel primary has " +
					"everything and the single Redis rejects writes",
				Undo: "the same swap in reverse",
			},
			Do: func(ctx context.Context, c *engine.Call) (any, error) {
				was, master, err := s.suspended(ctx, c)
				if err != nil {
					return nil, err
				}
				defer func() { _ = master.Close() }()
				host, port, err := net.SplitHostPort(was.Master)
				if err != nil {
					return nil, err
				}
				// The sentinels name no node now. From here on whoever else writes is frozen out.
				single := func(context.Context, string) ([]environment.Node, error) {
					return []environment.Node{
						s.Servers.Old(s.Servers.StandaloneEndpoint.Address()),
						s.Servers.Old(was.Master),
					}, nil
				}
				if err := s.Servers.Clients.Check(ctx, c, single); err != nil {
					return nil, err
				}
				var report sentinel.SwitchReport
				err = s.Debts.Swapping(
					ctx,
					c,
					s.Servers.Old(s.Servers.StandaloneEndpoint.Address()),
					was.Master,
					func() (err error) {
						report, err = sentinel.Switch(
							ctx,
							master,
							s.Servers.Standalone,
							host,
							port,
							s.Servers.SentinelEndpoint.Credentials(),
						)
						return err
					},
				)
				if err != nil {
					return nil, err
				}
				c.Log(
					"swapped at replication offset %d; writes were blocked for: %s",
					report.Offset,
					report.FreezeMS.Text(migration.Millis),
				)
				return swapped{report, keysOn(ctx, master)}, nil
			},
			Undo: func(ctx context.Context, c *engine.Call) error {
				was, master, err := s.suspended(ctx, c)
				if err != nil {
					return err
				}
				defer func() { _ = master.Close() }()
				single := s.Servers.StandaloneEndpoint.Address()
				host, port, err := net.SplitHostPort(single)
				if err != nil {
					return err
				}
				var report sentinel.SwitchReport
				err = s.Debts.Swapping(
					ctx,
					c,
					environment.Node{Address: was.Master, Client: master},
					single,
					func() (err error) {
						report, err = sentinel.SwitchBack(
							ctx,
							master,
							s.Servers.Standalone,
							host,
							port,
							s.Servers.StandaloneEndpoint.Credentials(),
						)
						return err
					},
				)
				if err == nil {
					c.Log("swapped back; writes were blocked for: %s",
						report.FreezeMS.Text(migration.Millis))
				}
				return err
			},
		},
		{
			ActionPlan: migration.ActionPlan{
				ID:      "resume-sentinels",
				Title:   "Start Sentinel monitoring of the new primary",
				Changes: "SENTINEL MONITOR on each sentinel",
				Undo:    "SENTINEL REMOVE again",
			},
			Do: func(ctx context.Context, c *engine.Call) (any, error) {
				was, master, err := s.suspended(ctx, c)
				if err != nil {
					return nil, err
				}
				defer func() { _ = master.Close() }()
				return nil, s.Debts.Watch(ctx, c, was.Monitor)
			},
			Undo: func(ctx context.Context, c *engine.Call) error {
				was, master, err := s.suspended(ctx, c)
				if err != nil {
					return err
				}
				defer func() { _ = master.Close() }()
				return s.Debts.Suspend(ctx, c, was.Monitor)
			},
		},
		{
			ActionPlan: migration.ActionPlan{
				ID:      "point-workers",
				Title:   "Point the app at Sentinel by flag",
				Changes: "flag source-endpoint: sentinel",
				Undo:    "flag source-endpoint: standalone",
			},
			Do: func(ctx context.Context, c *engine.Call) (any, error) {
				return nil, s.Workers.PointSource(
					ctx,
					c,
					s.Routing,
					migration.SourceSentinel,
					"moved to Sentinel",
				)
			},
			Undo: func(ctx context.Context, c *engine.Call) error {
				return s.Workers.PointBack(
					ctx,
					c,
					s.Routing,
					migration.SourceStandalone,
					"move to Sentinel rolled back",
				)
			},
		},
		{
			ActionPlan: migration.ActionPlan{
				ID:      "resume-queues",
				Title:   "Resume the queues",
				Changes: "workers take jobs again",
				Undo:    "pauses the queues and lets jobs in progress finish",
			},
			Do: func(ctx context.Context, c *engine.Call) (any, error) {
				return nil, s.Servers.ResumeQueues(ctx, c, s.Servers.Sentinel)
			},
			Undo: func(ctx context.Context, c *engine.Call) error {
				return s.Servers.PauseAndDrain(ctx, c, s.Servers.Sentinel)
			},
		},
		{
			ActionPlan: migration.ActionPlan{
				ID:    "verify",
				Title: "Check that the app accepts jobs and that Sentinel is ready",
			},
			Do: func(ctx context.Context, c *engine.Call) (any, error) {
				if err := s.App.CanaryAccepted(ctx, c, "sentinel"); err != nil {
					return nil, err
				}
				return nil, s.Servers.RecordReadiness(ctx, c)
			},
		},
	}
}
