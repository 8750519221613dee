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

// PauseAndDrain stops workers from taking jobs and waits until none is in progress.
func (s *Servers) PauseAndDrain(
	ctx context.Context,
	c *engine.Call,
	client redis.UniversalClient,
) error {
	if err := s.EachQueue(func(q bullmq.Queue) error { return bullmq.Pause(ctx, client, q) }); err != nil {
		return err
	}
	c.Log("queues paused; waiting until no job is in progress")
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	return s.EachQueue(func(q bullmq.Queue) error { return bullmq.WaitIdle(ctx, client, q) })
}

// ResumeQueues lets workers take jobs again.
func (s *Servers) ResumeQueues(
	ctx context.Context,
	c *engine.Call,
	client redis.UniversalClient,
) error {
	err := s.EachQueue(func(q bullmq.Queue) error { return bullmq.Resume(ctx, client, q) })
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
