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

// Listing is what a move of a queue would touch, and what has its name and would be left
// alone.
type Listing struct {
	Queue bullmq.Queue `json:"queue"`
	Jobs  int64        `json:"jobs"`  // hashes of jobs
	Parts int64        `json:"parts"` // keys beside those: logs, children, locks
	Own   int64        `json:"own"`   // lists, counters, settings, schedulers
	Alone int64        `json:"alone"`
	// examples of those left alone, at most 10
	AloneKeys []string `json:"alone_keys"`
}

// aloneExamples is how many keys are named that are left alone.
const aloneExamples = 10

// List says what moves of queues would touch, and partitions the queues into those that
// flows tie together: each group has to move as one. A tie to a queue that is not in the
// list is left for Move to refuse. O(keys of the server), in batches, whatever the queues.
func List(
	ctx context.Context, c redis.UniversalClient, own bullmq.Ownership, queues []bullmq.Queue,
) ([][]bullmq.Queue, []Listing, error) {
	l := lister{c: c, own: own, ties: make(groups, len(queues)), at: map[string]int{}}
	for i, q := range queues {
		l.ties[i], l.at[q.Key("")] = i, i
		l.out = append(l.out, Listing{Queue: q, AloneKeys: []string{}})
	}
	if err := bullmq.EachKey(ctx, c, func(keys []string) error {
		return l.batch(ctx, keys)
	}); err != nil {
		return nil, nil, fmt.Errorf("list queues: %w", err)
	}
	return l.ties.of(queues), l.out, nil
}

type lister struct {
	c    redis.UniversalClient
	own  bullmq.Ownership
	at   map[string]int // index of a queue by "prefix:name:"
	ties groups
	out  []Listing
}

func (l lister) index(q bullmq.Queue) (int, bool) {
	i, ok := l.at[q.Key("")]
	return i, ok
}

func (l lister) batch(ctx context.Context, keys []string) error {
	var named []string // those that have the name of one of the queues
	for _, k := range keys {
		q, _, ok := l.own.Of(k)
		if _, listed := l.index(q); listed || !ok && len(l.own.Contesting(k)) > 0 {
			named = append(named, k)
		}
	}
	all, err := l.own.Whose(ctx, l.c, named)
	if err != nil {
		return err
	}
	var parents []int // index of the queue of each pending parent
	var children []*redis.StringSliceCmd
	if err := pipe(ctx, l.c, func(p redis.Pipeliner) {
		for _, w := range all {
			i, listed := l.index(w.Owner.Queue)
			switch {
			case w.Gone:
			case !w.Owned():
				l.left(w)
			case listed:
				l.count(i, w)
				if strings.HasSuffix(w.Part, ":dependencies") {
					parents = append(parents, i)
					children = append(children, p.SMembers(ctx, w.Key))
				}
			}
		}
	}); err != nil {
		return redisconn.Explain(err)
	}
	for n, cmd := range children {
		for _, key := range cmd.Val() {
			l.tie(parents[n], key)
		}
	}
	return nil
}

// left counts a key that has the name of a queue that did not make it.
func (l lister) left(w bullmq.Whose) {
	for _, q := range l.own.Contesting(w.Key) {
		if i, listed := l.index(q); listed && !w.Ours {
			if l.out[i].Alone++; len(l.out[i].AloneKeys) < aloneExamples {
				l.out[i].AloneKeys = append(l.out[i].AloneKeys, w.Key)
			}
			return
		}
	}
}

func (l lister) count(i int, w bullmq.Whose) {
	switch {
	case bullmq.IsJob(w.Part):
		l.out[i].Jobs++
		l.tie(i, w.Parent())
	case jobOf(w.Part) != w.Part || strings.HasSuffix(w.Part, ":lock"):
		l.out[i].Parts++
	default:
		l.out[i].Own++
	}
}

// tie notes that a flow connects a queue with the one of a job's key.
func (l lister) tie(i int, key string) {
	if q, _, ok := l.own.Of(key); ok {
		if other, listed := l.index(q); listed {
			l.ties.join(i, other)
		}
	}
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

func (g groups) join(i, j int) {
	i, j = g.root(i), g.root(j)
	g[max(i, j)] = min(i, j)
}

// of returns the groups, in the order of their first queues.
func (g groups) of(queues []bullmq.Queue) (out [][]bullmq.Queue) {
	var roots []int
	for i, q := range queues {
		at := slices.Index(roots, g.root(i))
		if at < 0 {
			at, roots, out = len(roots), append(roots, i), append(out, nil)
		}
		out[at] = append(out[at], q)
	}
	return out
}
