package bullmq

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/redisconn"
)

// Inventory is whose all the keys of one database are.
type Inventory struct {
	Queues []Found          // of every library
	Keys   map[string]int64 // by the queue's "prefix:name:"
	// keys that no queue owns, or of which it cannot be told whose they are
	Foreign int64
	// examples of those, at most 20
	ForeignKeys []string
}

// TakeInventory looks at every key of a database. O(keys): two SCANs, a TYPE of each key and
// some fields of each hash. It only reads.
func TakeInventory(ctx context.Context, c redis.UniversalClient) (Inventory, error) {
	o, err := Look(ctx, c)
	if err != nil {
		return Inventory{}, err
	}
	out := Inventory{Queues: o.Queues(), Keys: map[string]int64{}}
	if err := EachKey(ctx, c, func(keys []string) error {
		all, err := o.Whose(ctx, c, keys)
		if err != nil {
			return err
		}
		var unowned []string
		for _, w := range all {
			switch {
			case w.Ours, w.Gone:
			case w.Owner.Kind != "":
				out.Keys[w.Owner.Queue.Key("")]++
			default:
				unowned = append(unowned, w.Key)
			}
		}
		brief, err := fleeting(ctx, c, unowned)
		if err != nil {
			return err
		}
		for i, k := range unowned {
			if brief[i] {
				continue
			}
			if out.Foreign++; len(out.ForeignKeys) < surveyExamples {
				out.ForeignKeys = append(out.ForeignKeys, k)
			}
		}
		return nil
	}); err != nil {
		return Inventory{}, fmt.Errorf("whose the keys are: %w", err)
	}
	return out, nil
}

// Pending counts the jobs of a queue of any library that are not done.
func (f Found) Pending(ctx context.Context, c redis.UniversalClient) (int64, error) {
	if f.Kind != KindBee {
		n, err := Census(ctx, c, f.Queue)
		return n.Pending(), err
	}
	var all, done *redis.IntCmd
	if _, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
		all, done = p.HLen(ctx, f.Queue.Key("jobs")), p.SCard(ctx, f.Queue.Key("succeeded"))
		return nil
	}); err != nil {
		return 0, fmt.Errorf("jobs of %s: %w", f, redisconn.Explain(err))
	}
	return max(0, all.Val()-done.Val()), nil
}
