package move

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// Groups partitions queues into those that flows tie together: each group has to
// move as one. It reads every key of the queues once, in batches. A tie to a queue
// that is not in the list is left for Move to refuse.
func Groups(
	ctx context.Context, c redis.UniversalClient, queues []bullmq.Queue,
) ([][]bullmq.Queue, error) {
	g := make(groups, len(queues))
	for i := range g {
		g[i] = i
	}
	m := &mover{o: Options{Queues: queues}}
	for i, q := range queues {
		one := &mover{o: Options{Queues: []bullmq.Queue{q}}}
		err := one.scan(ctx, c, nil, func(keys []string) error {
			others, err := ties(ctx, c, keys)
			if err != nil {
				return err
			}
			for _, key := range others {
				if other, _, ok := m.queueOf(key); ok {
					g.join(i, slices.Index(queues, other))
				}
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("groups of queues: %w", err)
		}
	}
	byRoot := map[int][]bullmq.Queue{}
	var roots []int
	for i, q := range queues {
		r := g.root(i)
		if byRoot[r] == nil {
			roots = append(roots, r)
		}
		byRoot[r] = append(byRoot[r], q)
	}
	var out [][]bullmq.Queue
	for _, r := range roots {
		out = append(out, byRoot[r])
	}
	return out, nil
}

// groups is a union-find: each entry names another member of the same group, a root
// names itself.
type groups []int

func (g groups) root(i int) int {
	for g[i] != i {
		i = g[i]
	}
	return i
}

func (g groups) join(i, j int) { g[max(g.root(i), g.root(j))] = min(g.root(i), g.root(j)) }

// ties returns the keys of parents and children that some keys name.
func ties(ctx context.Context, c redis.UniversalClient, keys []string) ([]string, error) {
	var parents []*redis.StringCmd
	var children []*redis.StringSliceCmd
	if err := pipe(ctx, c, func(p redis.Pipeliner) {
		for _, k := range keys {
			if strings.HasSuffix(k, ":dependencies") {
				children = append(children, p.SMembers(ctx, k))
			} else {
				// not a hash: the error means that there is none
				parents = append(parents, p.HGet(ctx, k, "parentKey"))
			}
		}
	}); err != nil {
		return nil, redisconn.Explain(err)
	}
	var out []string
	for _, p := range parents {
		if p.Val() != "" {
			out = append(out, p.Val())
		}
	}
	for _, c := range children {
		out = append(out, c.Val()...)
	}
	return out, nil
}
