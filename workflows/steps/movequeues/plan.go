package movequeues

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/move"
	"github.com/switchyard-dev/switchyard/migration"
)

// planQueueMoves gives the moves that were begun, and one for each group of queues that is in
// none, with what they would touch. O(keys of the source).
func (s Parts) planQueueMoves(
	ctx context.Context,
	mid string,
	source redis.UniversalClient,
	found bullmq.Ownership,
	others []bullmq.Queue,
) ([]queueMove, []move.Listing, error) {
	moves, err := s.queueMoves(ctx, mid)
	if err != nil {
		return nil, nil, err
	}
	var rest []bullmq.Queue
	for _, q := range others {
		if !slices.ContainsFunc(
			moves,
			func(m queueMove) bool { return slices.ContainsFunc(m.Queues, q.Same) },
		) {
			rest = append(rest, q)
		}
	}
	groups, listed, err := move.List(ctx, source, found, rest)
	if err != nil {
		return nil, nil, err
	}
	for _, g := range groups {
		moves = append(moves, queueMove{Queues: g})
	}
	return moves, listed, nil
}

func queueMoveGate(
	ctx context.Context,
	source, target redis.UniversalClient,
	p queueMove,
	found, there *bullmq.Ownership,
) (migration.Gate, error) {
	c := migration.Claim{
		ID:    "queues:" + p.Queues[0].String(),
		Title: p.names() + " can be moved",
		Limit: "nothing stands against it",
		Next:  "clear what is named, then look again",
	}
	var none migration.Gate
	if p.Done {
		c.Measured = "moved already; late jobs are carried over"
		return c.About("queues", p.names(), true, nil), nil
	}
	o := p.options()
	o.SourceKeys, o.TargetKeys = found, there
	why, err := move.Check(ctx, source, target, o)
	if err != nil {
		return none, migration.Errorf(migration.Unavailable, "%s: %w", p.names(), err)
	}
	c.Measured = cmp.Or(strings.Join(why, "; "), "nothing stands against it")
	return c.About("queues", p.names(), len(why) == 0, nil), nil
}

func queueFact(
	ctx context.Context,
	source, target redis.UniversalClient,
	q bullmq.Queue,
	listed []move.Listing,
) (migration.Fact, error) {
	n, err := bullmq.Census(ctx, source, q)
	if err != nil {
		return migration.Fact{}, migration.Errorf(
			migration.Unavailable,
			"%s cannot be counted: %w",
			q,
			err,
		)
	}
	waiting := "its workers on the target cannot be counted"
	if workers, err := bullmq.Workers(ctx, target, q); err == nil {
		waiting = fmt.Sprintf("%d workers on the target", len(workers))
	}
	touched := ""
	if at := slices.IndexFunc(listed, func(l move.Listing) bool { return l.Queue.Same(q) }); at >= 0 {
		l := listed[at]
		touched = fmt.Sprintf("; %s: %d of jobs, %d beside those, %d of the queue itself",
			migration.Count(l.Jobs+l.Parts+l.Own, "key"), l.Jobs, l.Parts, l.Own)
	}
	return migration.Fact{
		Label: q.String(),
		Value: fmt.Sprintf(
			"%d waiting, %d active, %d delayed, %d prioritized, %d failed, %d schedulers; %s%s",
			n.Waiting,
			n.Active,
			n.Delayed,
			n.Prioritized,
			n.Failed,
			n.Schedulers,
			waiting,
			touched,
		),
	}, nil
}

// notMoved names the queues of other libraries: their jobs stay, and go with the server.
func notMoved(found bullmq.Ownership) []migration.Fact {
	var facts []migration.Fact
	for _, f := range found.Queues() {
		if f.Kind != bullmq.KindBullMQ {
			facts = append(facts, migration.Fact{Label: f.Queue.String(), Value: fmt.Sprintf(
				"not moved: a queue of %s (%s)", f.Kind, f.Proof)})
		}
	}
	return facts
}

// leftAlone names the keys that have the name of a queue that did not make them.
func leftAlone(listed []move.Listing) []migration.Fact {
	var facts []migration.Fact
	for _, l := range listed {
		if l.Alone > 0 {
			facts = append(facts, migration.Fact{
				Label: "Left alone under " + l.Queue.Key(""),
				Value: fmt.Sprintf("%s that BullMQ did not make: %s",
					migration.Count(l.Alone, "key"), strings.Join(l.AloneKeys, ", ")),
			})
		}
	}
	return facts
}
