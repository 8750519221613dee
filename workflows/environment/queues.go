package environment

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// EachQueue does something to every queue on a server, shadow queues included.
func (s *Servers) EachQueue(do func(q bullmq.Queue) error) error {
	for _, q := range s.Queues {
		for _, each := range []bullmq.Queue{q, ShadowQueue(q)} {
			if err := do(each); err != nil {
				return fmt.Errorf("queue %s: %w", each.Name, err)
			}
		}
	}
	return nil
}

// PauseAndDrain stops workers from taking jobs, which is written down first, and waits until
// none is in progress. Jobs that a killed worker has left in progress are put back as BullMQ
// would, where no worker is connected that does it.
func (s *Servers) PauseAndDrain(
	ctx context.Context,
	c *engine.Call,
	client redis.UniversalClient,
) error {
	address, err := s.addressOf(ctx, client)
	if err != nil {
		return err
	}
	if err := s.EachQueue(func(q bullmq.Queue) error {
		n, err := bullmq.Census(ctx, client, q)
		if err != nil {
			return err
		}
		debt := migration.Debt{Kind: migration.DebtQueue, Server: address, What: queueKey(q),
			Before: running, Set: alreadyPaused}
		if n.Paused {
			debt.Before = alreadyPaused
		}
		if err := c.Owe(ctx, debt); err != nil {
			return err
		}
		return bullmq.Pause(ctx, client, q)
	}); err != nil {
		return err
	}
	c.Log("queues paused; waiting until no job is in progress")
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	return s.EachQueue(func(q bullmq.Queue) error { return drain(ctx, c, client, q) })
}

// stalledEvery is how often a queue that does not become idle is looked at for jobs without a
// lock, which lasts up to half a minute after its worker was killed.
const stalledEvery = time.Second

func drain(
	ctx context.Context, c *engine.Call, client redis.UniversalClient, q bullmq.Queue,
) error {
	for {
		if err := recoverStalled(ctx, c, client, q); err != nil {
			return err
		}
		bounded, cancel := context.WithTimeout(ctx, stalledEvery)
		err := bullmq.WaitIdle(bounded, client, q)
		cancel()
		if err == nil || ctx.Err() != nil || bounded.Err() == nil {
			return err
		}
	}
}

// StalledFacts tells of jobs that a killed worker has left in progress on queues that nobody
// works: draining puts them back.
func (s *Servers) StalledFacts(
	ctx context.Context, client redis.UniversalClient,
) ([]migration.Fact, error) {
	var out []migration.Fact
	err := s.EachQueue(func(q bullmq.Queue) error {
		ids, err := bullmq.Stalled(ctx, client, q)
		if err != nil || len(ids) == 0 {
			return err
		}
		workers, err := bullmq.Workers(ctx, client, q)
		if err != nil || len(workers) > 0 {
			return err
		}
		out = append(out, migration.Fact{
			Label: q.Name + ": left in progress by a killed worker",
			Value: fmt.Sprintf("%s, no worker connected: put back to waiting",
				migration.Count(len(ids), "job")),
		})
		return nil
	})
	return out, err
}

// recoverStalled puts back what killed workers have left of a queue that nobody works.
func recoverStalled(
	ctx context.Context, c *engine.Call, client redis.UniversalClient, q bullmq.Queue,
) error {
	workers, err := bullmq.Workers(ctx, client, q)
	if err != nil || len(workers) > 0 {
		return err
	}
	r, err := bullmq.RecoverStalled(ctx, client, q)
	if n := len(r.Waiting) + len(r.Failed); n > 0 {
		c.Warn("%s: %s left in progress by a killed worker, and no worker is connected: %d wait "+
			"again, %d failed as stalled too often", q, migration.Count(n, "job was", "jobs were"),
			len(r.Waiting), len(r.Failed))
	}
	return err
}

// OweMove writes down that queues of the source stand still while they are moved.
func (s *Servers) OweMove(ctx context.Context, c *engine.Call, queues []bullmq.Queue) error {
	return s.eachMove(ctx, c, queues, func(address, what string) error {
		return c.Owe(ctx, migration.Debt{Kind: migration.DebtMove, Server: address, What: what,
			Before: running, Set: "at a stand"})
	})
}

// Moved strikes out that queues are being moved.
func (s *Servers) Moved(ctx context.Context, c *engine.Call, queues []bullmq.Queue) error {
	return s.eachMove(ctx, c, queues, func(address, what string) error {
		return c.Paid(ctx, migration.DebtMove, address, what)
	})
}

func (s *Servers) eachMove(
	ctx context.Context, c *engine.Call, queues []bullmq.Queue,
	do func(address, what string) error,
) error {
	source, _, err := s.Source(ctx, c.Run.MigrationID)
	if err != nil {
		return err
	}
	address, err := s.addressOf(ctx, source)
	if err != nil {
		return err
	}
	for _, q := range queues {
		if err := do(address, queueKey(q)); err != nil {
			return err
		}
	}
	return nil
}

func queueKey(q bullmq.Queue) string { return q.Prefix + ":" + q.Name }

// addressOf gives the address of the server that a client of the source side is for.
func (s *Servers) addressOf(ctx context.Context, c redis.UniversalClient) (string, error) {
	if c == s.Sentinel && s.Cluster != nil {
		return s.Cluster.Master(ctx)
	}
	return s.StandaloneEndpoint.Address(), nil
}

// ResumeQueues lets workers take jobs again, of every queue that was not at a stand before it
// was paused.
func (s *Servers) ResumeQueues(
	ctx context.Context,
	c *engine.Call,
	client redis.UniversalClient,
) error {
	owed, err := s.store.Debts(ctx, c.Run.MigrationID)
	if err != nil {
		return err
	}
	err = s.EachQueue(func(q bullmq.Queue) error {
		// wherever it was paused: its data may have moved since
		ours := slices.DeleteFunc(slices.Clone(owed), func(d migration.Debt) bool {
			return d.Kind != migration.DebtQueue || d.What != queueKey(q)
		})
		if slices.ContainsFunc(ours, func(d migration.Debt) bool {
			return d.Before == alreadyPaused
		}) {
			c.Log("%s was paused before and stays paused", q)
		} else if err := bullmq.Resume(ctx, client, q); err != nil {
			return err
		}
		for _, d := range ours {
			if err := s.store.StrikeOut(ctx, d); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		c.Log("queues resumed")
	}
	return err
}

// ShadowQueue is where shadow copies of a queue wait: a queue of its own, because a copy
// with the same job id in the same queue would swallow a later authoritative job.
func ShadowQueue(q bullmq.Queue) bullmq.Queue {
	return bullmq.Queue{Prefix: q.Prefix, Name: q.Name + "-shadow"}
}

// OtherQueues are the queues on a server that are not the pipeline's.
func (s *Servers) OtherQueues(
	ctx context.Context,
	c redis.UniversalClient,
) ([]bullmq.Queue, error) {
	all, err := bullmq.Discover(ctx, c)
	return s.NotOwn(all), err
}

// NotOwn leaves out the pipeline's queues and their shadows.
func (s *Servers) NotOwn(all []bullmq.Queue) []bullmq.Queue {
	return slices.DeleteFunc(all, func(q bullmq.Queue) bool {
		return slices.ContainsFunc(
			s.Queues,
			func(own bullmq.Queue) bool { return q.Same(own) || q.Same(ShadowQueue(own)) },
		)
	})
}

// Residue counts what is not finished on the source, in every queue that is found there,
// not the pipeline's alone: all of them go with the server. So do queues of other libraries,
// keys of no queue, and whatever is in the server's other databases: that is named as unknown.
// O(keys of the server). Shadow copies are left out:
// they carry no side effects, and their originals are in the order ledger.
func (s *Servers) Residue(ctx context.Context, mid string) (evidence.ResidueFacts, error) {
	source, _, err := s.Source(ctx, mid)
	if err != nil {
		return evidence.ResidueFacts{}, err
	}
	return s.ResidueOn(ctx, source)
}

// ResidueOn is Residue of one server.
func (s *Servers) ResidueOn(
	ctx context.Context,
	source redis.UniversalClient,
) (evidence.ResidueFacts, error) {
	var facts evidence.ResidueFacts
	err := redisconn.EachDatabase(ctx, source, func(
		db int, own bool, c redis.UniversalClient,
	) error {
		facts.Databases = append(facts.Databases, db)
		found, err := bullmq.TakeInventory(ctx, c)
		if err != nil {
			return err
		}
		if !own {
			return addUnknown(ctx, c, &facts, db, found, nil)
		}
		var all []bullmq.Queue
		for _, f := range found.Queues {
			if f.Kind == bullmq.KindBullMQ {
				all = append(all, f.Queue)
			}
		}
		counted := slices.Concat(s.Queues, s.NotOwn(slices.Clone(all)))
		for _, q := range counted {
			counts, err := bullmq.Census(ctx, c, q)
			if err != nil {
				return fmt.Errorf("%s: %w", q, err)
			}
			facts.Queues = append(
				facts.Queues,
				evidence.QueueResidue{Queue: q.String(), Pending: counts.Pending()},
			)
		}
		return addUnknown(ctx, c, &facts, db, found, all)
	})
	return facts, err
}

// addUnknown names what of a database is in none of the counted queues.
func addUnknown(
	ctx context.Context,
	c redis.UniversalClient,
	facts *evidence.ResidueFacts,
	db int,
	found bullmq.Inventory,
	counted []bullmq.Queue,
) error {
	for _, f := range found.Queues {
		if slices.ContainsFunc(counted, f.Queue.Same) {
			continue
		}
		pending, err := f.Pending(ctx, c)
		if err != nil {
			return err
		}
		facts.Unknown = append(facts.Unknown, evidence.UnknownResidue{
			Member:   fmt.Sprintf("db%d/%s", db, strings.TrimSuffix(f.Queue.Key(""), ":")),
			Database: db,
			Queue:    f.Queue.String(),
			Kind:     string(f.Kind),
			Pending:  pending,
			Keys:     found.Keys[f.Queue.Key("")],
		})
	}
	if found.Foreign > 0 {
		facts.Unknown = append(facts.Unknown, evidence.UnknownResidue{
			Member:   fmt.Sprintf("db%d/other keys", db),
			Database: db,
			Keys:     found.Foreign,
			Examples: found.ForeignKeys,
		})
	}
	return nil
}

// boardPatience is how long the board waits for a survey: small servers are read within
// that, so that their board is whole at once.
const boardPatience = 300 * time.Millisecond

// Board counts the jobs on both sides, now: of the pipeline's queues, and of every other
// one that the last survey saw.
func (s *Servers) Board(
	ctx context.Context,
	surveys *Surveys,
	mid string,
	at time.Time,
) migration.QueueBoard {
	source, endpoint, err := s.Source(ctx, mid)
	board := migration.QueueBoard{
		At:    at,
		Sides: []migration.QueueSide{s.count(ctx, surveys, "source", source, endpoint, err)},
	}
	target, endpoint, err := s.Target(ctx)
	board.Sides = append(board.Sides, s.count(ctx, surveys, "target", target, endpoint, err))
	return board
}

func (s *Servers) count(
	ctx context.Context,
	surveys *Surveys,
	side string,
	client redis.UniversalClient,
	endpoint redisconn.Endpoint,
	err error,
) migration.QueueSide {
	out := migration.QueueSide{
		Endpoint: migration.Endpoint{
			Side: side, Endpoint: endpoint.Name, Address: endpoint.Address(),
		},
		Queues: []migration.Queue{},
	}
	var all []bullmq.Queue
	for _, q := range s.Queues {
		all = append(all, q, ShadowQueue(q))
	}
	if err == nil { // the others that the last survey saw
		last := surveys.Get(ctx, side, client, endpoint, nil, boardPatience)
		if last.Survey.At.IsZero() {
			out.Looking = last.Error
			if last.Reading != "" {
				out.Looking = "other queues are still being looked for: " + last.Reading
			}
		}
		for _, q := range last.Survey.Queues {
			if !slices.ContainsFunc(
				all,
				func(own bullmq.Queue) bool { return own.Key("") == q.Queue.Key("") },
			) {
				all = append(all, q.Queue)
			}
		}
	}
	for _, q := range all {
		if err != nil {
			break
		}
		var counts bullmq.Counts
		if counts, err = bullmq.Census(ctx, client, q); err == nil {
			out.Queues = append(out.Queues, census(counts))
		}
	}
	if err != nil {
		out.Error = InWords(err)
		out.Queues = []migration.Queue{}
	}
	return out
}

func census(n bullmq.Counts) migration.Queue {
	return migration.Queue{
		Queue: n.Queue, Version: n.Version, Paused: n.Paused, Pending: n.Pending(),
		States: n.ByState(), OldestJobAgeMS: n.OldestJobAgeMS,
	}
}
