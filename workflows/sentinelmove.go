package workflows

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/sentinel"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// sentinelMove takes every key from the single server to the Sentinel master by a replication swap. The sentinels look away meanwhile,
// because a watched master that becomes a replica is failed over. Queues are paused and drained first: without that, jobs in progress run
// twice. The old server ends as a fenced replica, so that the way back is the same swap.
func sentinelMove() Step {
	return Step{
		ID:       migration.StepSentinelMove,
		Approval: migration.ApprovalOne,
		Look: func(ctx context.Context, e *Estate, _ migration.Params) (Outlook, error) {
			v := viewFrom(ctx)
			out := Outlook{Summary: "Move every queue from the single Redis to the Sentinel deployment by a replication swap.",
				Impact: "Workers pause for some seconds. New webhooks are refused with a 503 for a few seconds and come back by the provider's retries; writes on the server itself freeze for milliseconds."}
			if e.cluster == nil {
				return out, errNoSentinel()
			}
			at := migration.Gate{ID: "source", Title: "The queues are on the single Redis", OK: v.routing.Source == migration.SourceStandalone, Measured: string(v.routing.Source), Limit: "standalone"}
			if !at.OK {
				at.Next = "nothing to do: the queues were moved already"
			}
			stage := migration.Gate{ID: "stage", Title: "Cutover has not begun", OK: v.routing.Stage == migration.StageOff, Measured: v.routing.String(), Limit: "off"}
			if !stage.OK {
				stage.Next = "move the queue back to off first"
			}
			out.Gates = append(out.Gates, at, stage, reachable(ctx, e.standalone, e.standaloneEndpoint), fleetGate(e, v))
			checks, err := e.cluster.Readiness(ctx)
			if err != nil {
				return out, migration.Errorf(migration.Unavailable, "the Sentinel deployment cannot be read: %w", err)
			}
			for _, c := range checks {
				out.Gates = append(out.Gates, migration.Gate(c))
			}
			out.Gates = append(out.Gates, e.emptyMaster(ctx))
			return out, nil
		},
		Actions: func(migration.Params) []Action { return sentinelMoveActions() },
	}
}

// emptyMaster: replication replaces everything the new master holds, so it must hold nothing.
func (e *Estate) emptyMaster(ctx context.Context) migration.Gate {
	g := migration.Gate{ID: "empty", Title: "The Sentinel master is empty", Limit: "0 keys"}
	master, err := e.masterNode(ctx)
	if err != nil {
		g.Measured, g.Next = err.Error(), "make the Sentinel deployment reachable"
		return g
	}
	defer func() { _ = master.client.Close() }()
	n, err := master.client.DBSize(ctx).Result()
	if err != nil {
		g.Measured, g.Next = redisconn.Explain(err).Error(), "make the Sentinel deployment reachable"
		return g
	}
	if g.OK, g.Measured = n == 0, fmt.Sprintf("%d keys on %s", n, master.address); !g.OK {
		g.Next = "check what these keys are and remove them: replication from the single Redis would replace them"
	}
	return g
}

func (e *Estate) masterNode(ctx context.Context) (node, error) {
	addr, err := e.cluster.Master(ctx)
	if err != nil {
		return node{}, err
	}
	c := redisconn.Node(e.sentinelEndpoint, addr)
	return node{addr, c, c.Close}, nil
}

// suspended is what the move remembers: how the sentinels watched, and which node was their master. The sentinels cannot be asked while
// they look away.
type suspended struct {
	Monitor sentinel.Monitor `json:"monitor"`
	Master  string           `json:"master"`
}

func (c *Call) suspended(ctx context.Context) (s suspended, master redis.UniversalClient, err error) {
	ok, err := c.Output(ctx, "suspend-sentinels", &s)
	if err != nil || !ok {
		return s, nil, errorOr(err, "the run did not record which node was the Sentinel master")
	}
	return s, redisconn.Node(c.sentinelEndpoint, s.Master), nil
}

func errorOr(err error, text string) error {
	if err != nil {
		return err
	}
	return migration.Errorf(migration.Conflict, "%s", text)
}

// eachQueue does something to every queue on a server, shadow queues included.
func (e *Estate) eachQueue(do func(q bullmq.Queue) error) error {
	for _, q := range e.queues {
		for _, each := range []bullmq.Queue{q, shadowQueue(q)} {
			if err := do(each); err != nil {
				return fmt.Errorf("queue %s: %w", each.Name, err)
			}
		}
	}
	return nil
}

// pauseAndDrain stops workers from taking jobs and waits until none is in progress.
func (c *Call) pauseAndDrain(ctx context.Context, client redis.UniversalClient) error {
	if err := c.eachQueue(func(q bullmq.Queue) error { return bullmq.Pause(ctx, client, q) }); err != nil {
		return err
	}
	c.Log("queues paused; waiting until no job is in progress")
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	return c.eachQueue(func(q bullmq.Queue) error { return bullmq.WaitIdle(ctx, client, q) })
}

func (c *Call) resumeQueues(ctx context.Context, client redis.UniversalClient) error {
	err := c.eachQueue(func(q bullmq.Queue) error { return bullmq.Resume(ctx, client, q) })
	if err == nil {
		c.Log("queues resumed")
	}
	return err
}

// pointSource tells workers which server is the source side, and waits until they follow.
func (c *Call) pointSource(ctx context.Context, to migration.SourceEndpoint, reason string) error {
	r, err := c.Routing(ctx, c.Run.MigrationID)
	if err != nil {
		return err
	}
	r.Source = to
	revision, err := c.setRouting(ctx, c.Run.MigrationID, r, c.Run.RequestedBy, reason, c.Run.ID)
	if err != nil {
		return err
	}
	c.Log("flag revision %d: source-endpoint is %s", revision, to)
	_, err = c.awaitWorkers(ctx, revision)
	return err
}

func sentinelMoveActions() []Action {
	return []Action{
		{
			ActionPlan: migration.ActionPlan{ID: "suspend-sentinels", Title: "Let the sentinels look away", Changes: "SENTINEL REMOVE on each sentinel", Undo: "SENTINEL MONITOR with the same settings"},
			Do: func(ctx context.Context, c *Call) (any, error) {
				var s suspended
				known, err := c.Output(ctx, c.Action, &s)
				if err != nil {
					return nil, err
				}
				if !known {
					if s.Master, err = c.cluster.Master(ctx); err != nil {
						return nil, err
					}
					if s.Monitor, err = c.cluster.Monitor(ctx); err != nil {
						return nil, err
					}
					if err := c.Remember(ctx, s); err != nil {
						return nil, err
					}
				}
				if _, err := c.cluster.Suspend(ctx); err != nil && !errors.Is(err, sentinel.ErrSuspended) {
					return nil, err
				}
				c.Log("no sentinel watches %s now", s.Master)
				return s, nil
			},
			Undo: func(ctx context.Context, c *Call) error {
				var s suspended
				if ok, err := c.Output(ctx, "suspend-sentinels", &s); err != nil || !ok {
					return err
				}
				return c.cluster.Resume(ctx, s.Monitor)
			},
		},
		{
			ActionPlan: migration.ActionPlan{ID: "replicate", Title: "Replicate the single Redis to the Sentinel master", Changes: "the Sentinel master becomes a replica of the single Redis", Undo: "stops replication and empties the Sentinel master again"},
			Timeout:    30 * time.Minute,
			Do: func(ctx context.Context, c *Call) (any, error) {
				_, master, err := c.suspended(ctx)
				if err != nil {
					return nil, err
				}
				defer func() { _ = master.Close() }()
				host, port, err := net.SplitHostPort(c.standaloneEndpoint.Address())
				if err != nil {
					return nil, err
				}
				if err := sentinel.StartReplication(ctx, master, c.standalone, host, port, c.standaloneEndpoint.Credentials()); err != nil {
					return nil, err
				}
				return nil, sentinel.WaitSynced(ctx, master, func(gap int64) { c.Progress("replicating, %d bytes behind", gap) })
			},
			Undo: func(ctx context.Context, c *Call) error {
				_, master, err := c.suspended(ctx)
				if err != nil {
					return err
				}
				defer func() { _ = master.Close() }()
				return sentinel.StopReplication(ctx, master, c.standalone, c.sentinelEndpoint.Credentials())
			},
		},
		{
			ActionPlan: migration.ActionPlan{ID: "pause-queues", Title: "Pause the queues and let jobs in progress finish", Changes: "workers take no new job", Undo: "resumes the queues"},
			Do:         func(ctx context.Context, c *Call) (any, error) { return nil, c.pauseAndDrain(ctx, c.standalone) },
			Undo:       func(ctx context.Context, c *Call) error { return c.resumeQueues(ctx, c.standalone) },
		},
		{
			ActionPlan: migration.ActionPlan{ID: "switch", Title: "Swap the roles", Changes: "writes freeze for milliseconds; then the Sentinel master holds everything and the single Redis refuses writes", Undo: "the same swap reversed"},
			Do: func(ctx context.Context, c *Call) (any, error) {
				s, master, err := c.suspended(ctx)
				if err != nil {
					return nil, err
				}
				defer func() { _ = master.Close() }()
				host, port, err := net.SplitHostPort(s.Master)
				if err != nil {
					return nil, err
				}
				report, err := sentinel.Switch(ctx, master, c.standalone, host, port, c.sentinelEndpoint.Credentials())
				if err != nil {
					return nil, err
				}
				c.Log("swapped at replication offset %d; writes were frozen for %d ms", report.Offset, report.FreezeMS)
				return report, nil
			},
			Undo: func(ctx context.Context, c *Call) error {
				_, master, err := c.suspended(ctx)
				if err != nil {
					return err
				}
				defer func() { _ = master.Close() }()
				host, port, err := net.SplitHostPort(c.standaloneEndpoint.Address())
				if err != nil {
					return err
				}
				report, err := sentinel.SwitchBack(ctx, master, c.standalone, host, port, c.standaloneEndpoint.Credentials())
				if err == nil {
					c.Log("swapped back; writes were frozen for %d ms", report.FreezeMS)
				}
				return err
			},
		},
		{
			ActionPlan: migration.ActionPlan{ID: "resume-sentinels", Title: "Let the sentinels watch the new master", Changes: "SENTINEL MONITOR on each sentinel", Undo: "SENTINEL REMOVE again"},
			Do: func(ctx context.Context, c *Call) (any, error) {
				s, master, err := c.suspended(ctx)
				if err != nil {
					return nil, err
				}
				defer func() { _ = master.Close() }()
				return nil, c.cluster.Resume(ctx, s.Monitor)
			},
			Undo: func(ctx context.Context, c *Call) error {
				if _, err := c.cluster.Suspend(ctx); err != nil && !errors.Is(err, sentinel.ErrSuspended) {
					return err
				}
				return nil
			},
		},
		{
			ActionPlan: migration.ActionPlan{ID: "point-workers", Title: "Point the app at Sentinel by flag", Changes: "flag source-endpoint: sentinel", Undo: "flag source-endpoint: standalone"},
			Do: func(ctx context.Context, c *Call) (any, error) {
				return nil, c.pointSource(ctx, migration.SourceSentinel, "moved onto Sentinel")
			},
			Undo: func(ctx context.Context, c *Call) error {
				return c.pointSource(ctx, migration.SourceStandalone, "move onto Sentinel taken back")
			},
		},
		{
			ActionPlan: migration.ActionPlan{ID: "resume-queues", Title: "Resume the queues", Changes: "workers take jobs again", Undo: "pauses the queues and lets jobs in progress finish"},
			Do:         func(ctx context.Context, c *Call) (any, error) { return nil, c.resumeQueues(ctx, c.failover) },
			Undo:       func(ctx context.Context, c *Call) error { return c.pauseAndDrain(ctx, c.failover) },
		},
		{
			ActionPlan: migration.ActionPlan{ID: "verify", Title: "Check that the app accepts jobs there, and that Sentinel is ready"},
			Do: func(ctx context.Context, c *Call) (any, error) {
				if err := c.canaryAccepted(ctx, "sentinel"); err != nil {
					return nil, err
				}
				return nil, c.recordReadiness(ctx)
			},
		},
	}
}

// canaryAccepted waits until the app takes a canary job on the given endpoint.
func (c *Call) canaryAccepted(ctx context.Context, endpoint string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return await(ctx, 250*time.Millisecond, func(ctx context.Context) error {
		r, err := c.ingestion.Canary(ctx, "canary_"+newToken()[:12])
		switch {
		case err != nil:
			return notYet("the app does not answer: %v", err)
		case r.Status != 200:
			return notYet("the app refuses jobs with %d (%s)", r.Status, r.Error)
		case r.Endpoint != endpoint:
			return notYet("the app put a job on %s, not on %s", r.Endpoint, endpoint)
		}
		c.Log("the app put a canary job on %s in %d ms", r.Endpoint, r.MS)
		return nil
	})
}

// readiness reads the Sentinel deployment's readiness as evidence.
func (e *Estate) readiness(ctx context.Context) (evidence.ReadinessFacts, error) {
	checks, err := e.cluster.Readiness(ctx)
	if err != nil {
		return evidence.ReadinessFacts{}, err
	}
	var facts evidence.ReadinessFacts
	for _, c := range checks {
		facts.Checks = append(facts.Checks, migration.Gate(c))
	}
	facts.Master, err = e.cluster.Master(ctx)
	return facts, err
}

// recordReadiness waits until the deployment is ready and records it; replicas need a moment after a change of roles.
func (c *Call) recordReadiness(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	var facts evidence.ReadinessFacts
	err := await(ctx, 500*time.Millisecond, func(ctx context.Context) (err error) {
		if facts, err = c.readiness(ctx); err != nil {
			return notYet("%v", err)
		}
		if bad := migration.Failing(facts.Checks); len(bad) > 0 {
			return notYet("%s: %s", bad[0].Title, bad[0].Measured)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.Evidence(ctx, evidence.Readiness, migration.Observed, "SENTINEL and INFO on every node", facts)
}
