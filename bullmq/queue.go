// Package bullmq knows how BullMQ stores a queue in Redis: where its jobs are; how
// to count, pause and resume them under the rules of the BullMQ version that owns
// the queue; how to find and act on single jobs; and how to move what is left of a
// queue to another server exactly once.
//
// The layout is that of BullMQ 3 to 6, read from its sources and checked against
// real BullMQ. This package never runs a job.
package bullmq

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/redisconn"
)

// DefaultPrefix is the first part of BullMQ's keys unless the application chooses
// another.
const DefaultPrefix = "bull"

// Queue is one BullMQ queue on some server.
type Queue struct {
	Prefix string `json:"prefix"` // empty: bull
	Name   string `json:"name"`
}

// Key returns the Redis key of a part of the queue ("wait", "meta") or of a job
// (its id).
func (q Queue) Key(suffix string) string { return q.prefix() + ":" + q.Name + ":" + suffix }

// String returns "prefix:name", or just the name with the default prefix; ParseQueue reads
// it. Of a name with colons the first parts count as the prefix: the keys are the same.
func (q Queue) String() string {
	if q.prefix() == DefaultPrefix && !strings.Contains(q.Name, ":") {
		return q.Name
	}
	return q.prefix() + ":" + q.Name
}

// Same reports whether two queues have the same keys.
func (q Queue) Same(other Queue) bool { return q.Key("") == other.Key("") }

// ParseQueue reads what String returns. A prefix may contain colons, a name only at its end.
func ParseQueue(s string) Queue {
	if at := strings.LastIndexByte(strings.TrimRight(s, ":"), ':'); at >= 0 {
		return Queue{Prefix: s[:at], Name: s[at+1:]}
	}
	return Queue{Name: s}
}

func (q Queue) prefix() string {
	if q.Prefix == "" {
		return DefaultPrefix
	}
	return q.Prefix
}

// parts are the keys that reveal a queue, with their types. The type distinguishes
// them from a job whose id happens to be "meta", and from the "<job>:failed" hash
// of a flow.
var parts = map[string]string{"meta": "hash", "id": "string", "events": "stream",
	"wait": "list", "paused": "list", "active": "list",
	"delayed": "zset", "completed": "zset", "failed": "zset", "prioritized": "zset",
	"waiting-children": "zset", "repeat": "zset"}

// split takes "prefix:name:part" apart. An empty name is BullMQ's relay, not a queue.
func split(key string) (q Queue, part string, ok bool) {
	last := strings.LastIndexByte(key, ':')
	if last < 0 || strings.Contains(key, "::relay:") {
		return q, "", false
	}
	name := strings.TrimRight(key[:last], ":")
	middle := strings.LastIndexByte(name, ':')
	if middle < 1 {
		return q, "", false
	}
	return Queue{Prefix: key[:middle], Name: key[middle+1 : last]}, key[last+1:], true
}

// WaitIdle waits until no job of the queue is being processed. If ctx ends first,
// the error says how many still were.
func WaitIdle(ctx context.Context, c redis.UniversalClient, q Queue) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	still := "an unknown number of"
	for {
		n, err := c.LLen(ctx, q.Key("active")).Result()
		if err == nil {
			still = strconv.FormatInt(n, 10)
		}
		switch deadline, set := ctx.Deadline(); {
		case err == nil && n == 0:
			return nil
		case err != nil && ctx.Err() == nil && (!set || time.Until(deadline) > 0):
			// the server's fault, not the deadline's
			return fmt.Errorf("wait until %s is idle: %w", q, redisconn.Explain(err))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s is idle: %s jobs are still active: %w", q, still,
				context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// Workers lists the workers connected to the server for a queue, as "name address",
// by the name BullMQ gives their connections. A worker's second connection, on
// which it blocks, has no name; a connection does not prove that the worker takes
// jobs.
func Workers(ctx context.Context, c redis.UniversalClient, q Queue) ([]string, error) {
	clients, err := redisconn.ForeignClients(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("workers of %s: %w", q, err)
	}
	var out []string
	for _, cl := range clients {
		if _, is := workerOf(q, cl.Name); is {
			out = append(out, cl.Name+" "+cl.Addr)
		}
	}
	sort.Strings(out)
	return out, nil
}

// workerOf reports whether a connection is a worker's of the queue, by the name that BullMQ
// gives it, and returns the worker's own name, which follows ":w:" if it has one. Where
// the prefix ends and the name begins, the keys do not tell, so every way is tried.
func workerOf(q Queue, connection string) (worker string, is bool) {
	whole := q.prefix() + ":" + q.Name
	for at := 0; ; {
		colon := strings.IndexByte(whole[at:], ':')
		if colon < 0 {
			return "", false
		}
		at += colon + 1
		own := whole[:at] + base64.StdEncoding.EncodeToString([]byte(whole[at:]))
		if connection == own {
			return "", true
		}
		if worker, is := strings.CutPrefix(connection, own+":w:"); is {
			return worker, true
		}
	}
}

// QueueOfWorker gives the queue that the name of a worker's connection tells: its prefix, a colon,
// and its name in base64. It is what the client says of itself.
func QueueOfWorker(connection string) (Queue, bool) {
	own, _, _ := strings.Cut(connection, ":w:")
	at := strings.LastIndexByte(own, ':')
	if at < 1 {
		return Queue{}, false
	}
	name, err := base64.StdEncoding.DecodeString(own[at+1:])
	if err != nil || len(name) == 0 {
		return Queue{}, false
	}
	q := Queue{Prefix: own[:at], Name: string(name)}
	_, is := workerOf(q, connection)
	return q, is
}

// Worked lists the queues that workers are connected to the server for, as their connections say
// of themselves, sorted.
func Worked(ctx context.Context, c redis.UniversalClient) ([]Queue, error) {
	clients, err := redisconn.ForeignClients(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("workers: %w", err)
	}
	var out []Queue
	for _, cl := range clients {
		if q, is := QueueOfWorker(cl.Name); is && !slices.ContainsFunc(out, q.Same) {
			out = append(out, q)
		}
	}
	slices.SortFunc(out, func(a, b Queue) int { return strings.Compare(a.String(), b.String()) })
	return out, nil
}

// OnBoth returns the ids of jobs that are waiting, delayed or prioritized on a
// while b has a job of that id too, looking at the first limit jobs of each state.
func OnBoth(
	ctx context.Context, a, b redis.UniversalClient, q Queue, limit int64,
) ([]string, error) {
	var both []string
	for _, part := range []string{"wait", "paused", "delayed", "prioritized"} {
		list := a.ZRange
		if isList(part) {
			list = a.LRange
		}
		ids, err := list(ctx, q.Key(part), 0, limit-1).Result()
		if err != nil {
			return nil, fmt.Errorf("ids of %s: %w", q, redisconn.Explain(err))
		}
		if len(ids) == 0 {
			continue
		}
		cmds, err := b.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, id := range ids {
				p.Exists(ctx, q.Key(id))
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("ids of %s: %w", q, redisconn.Explain(err))
		}
		for i, c := range cmds {
			if n, ok := c.(*redis.IntCmd); ok && n.Val() == 1 && !isMarker(ids[i]) {
				both = append(both, ids[i])
			}
		}
	}
	return both, nil
}
