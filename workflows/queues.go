package workflows

import (
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// boardPatience is how long the board waits for a survey: small servers are read within that, so that their board is whole at once.
const boardPatience = 300 * time.Millisecond

// shadowQueue is where shadow copies of a queue wait: a queue of its own, because a copy with the same job id in the same queue would
// swallow a later authoritative job.
func shadowQueue(q bullmq.Queue) bullmq.Queue {
	return bullmq.Queue{Prefix: q.Prefix, Name: q.Name + "-shadow"}
}

// Queues counts the jobs on both sides, now: of the pipeline's queues, and of every other one that the last survey saw.
func (c *Control) Queues(ctx context.Context, mid string) (migration.QueueBoard, error) {
	if _, err := c.store.Migration(ctx, mid); err != nil {
		return migration.QueueBoard{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	source, endpoint, err := c.estate.Source(ctx, mid)
	board := migration.QueueBoard{At: c.now()}
	board.Sides = append(board.Sides, c.estate.count(ctx, "source", source, endpoint, err))
	target, endpoint, err := c.estate.Target(ctx)
	board.Sides = append(board.Sides, c.estate.count(ctx, "target", target, endpoint, err))
	return board, nil
}

func (e *Estate) count(
	ctx context.Context, side string, client redis.UniversalClient, endpoint redisconn.Endpoint,
	err error,
) migration.QueueSide {
	s := migration.QueueSide{
		Endpoint: migration.Endpoint{
			Side: side, Endpoint: endpoint.Name, Address: endpoint.Address(),
		},
		Queues: []migration.Queue{},
	}
	var all []bullmq.Queue
	for _, q := range e.queues {
		all = append(all, q, shadowQueue(q))
	}
	if err == nil { // the others that the last survey saw
		last := e.surveys.get(ctx, side, client, endpoint, nil, boardPatience)
		if last.Survey.At.IsZero() {
			s.Looking = last.Error
			if last.Reading != "" {
				s.Looking = "other queues are still being looked for: " + last.Reading
			}
		}
		for _, q := range last.Survey.Queues {
			if !slices.ContainsFunc(all, func(own bullmq.Queue) bool { return own.Key("") == q.Queue.Key("") }) {
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
			s.Queues = append(s.Queues, census(counts))
		}
	}
	if err != nil {
		s.Error = inWords(err)
		s.Queues = []migration.Queue{}
	}
	return s
}

func census(n bullmq.Counts) migration.Queue {
	return migration.Queue{
		Queue: n.Queue, Version: n.Version, Paused: n.Paused, Pending: n.Pending(),
		States: n.ByState(), OldestJobAgeMS: n.OldestJobAgeMS,
	}
}
