// Package bullmq knows how BullMQ keeps a queue in Redis: where its jobs are, how to count, pause and resume them under the rules of the
// BullMQ version that owns the queue, how to move what is left of a queue onto another server exactly once, and how to prove from the
// application's journal that no order was lost or run twice.
//
// The layout is that of BullMQ 3 to 6, read from its sources and measured against real BullMQ. This package never runs a job.
package bullmq

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/redisconn"
)

// DefaultPrefix is the first part of BullMQ's keys unless the application chooses another.
const DefaultPrefix = "bull"

// Queue is one BullMQ queue on some server.
type Queue struct {
	Prefix string `json:"prefix"` // "" is DefaultPrefix
	Name   string `json:"name"`
}

// Key is the Redis key of a part of the queue ("wait", "meta") or of a job (its id).
func (q Queue) Key(suffix string) string { return q.prefix() + ":" + q.Name + ":" + suffix }

// String gives "prefix:name", or the name alone with the default prefix.
func (q Queue) String() string {
	if q.prefix() == DefaultPrefix {
		return q.Name
	}
	return q.Prefix + ":" + q.Name
}

// ParseQueue reads what String gives. A prefix may hold colons, a name may not.
func ParseQueue(s string) Queue {
	if at := strings.LastIndexByte(s, ':'); at >= 0 {
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

// parts are the keys that show a queue, with their types. The type tells them from a job whose id happens to be "meta", and from the
// "<job>:failed" hash of a flow.
var parts = map[string]string{"meta": "hash", "id": "string", "events": "stream", "wait": "list", "paused": "list", "active": "list",
	"delayed": "zset", "completed": "zset", "failed": "zset", "prioritized": "zset", "waiting-children": "zset", "repeat": "zset"}

// proof are the parts one of which every queue has.
var proof = map[string]bool{"meta": true, "id": true, "events": true}

// Discover finds the queues on a server by scanning its keys (SCAN, and TYPE of those that could be a queue's). The prefix may hold colons.
func Discover(ctx context.Context, c redis.UniversalClient) ([]Queue, error) {
	found := map[Queue]bool{}
	var cursor uint64
	for {
		keys, next, err := c.Scan(ctx, cursor, "*", 1000).Result()
		if err != nil {
			return nil, fmt.Errorf("discover queues: %w", redisconn.Explain(err))
		}
		if err := discover(ctx, c, keys, found); err != nil {
			return nil, fmt.Errorf("discover queues: %w", redisconn.Explain(err))
		}
		if cursor = next; cursor == 0 {
			break
		}
	}
	return proven(found), nil
}

// proven gives the queues that have one of the parts that every queue has.
func proven(found map[Queue]bool) []Queue {
	var out []Queue
	for q, is := range found {
		if is {
			out = append(out, q)
		}
	}
	sortQueues(out)
	return out
}

func discover(ctx context.Context, c redis.UniversalClient, keys []string, found map[Queue]bool) error {
	kinds := map[string]*redis.StatusCmd{}
	_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, k := range keys {
			if _, part, ok := split(k); ok && parts[part] != "" {
				kinds[k] = p.Type(ctx, k)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for k, kind := range kinds {
		if q, part, _ := split(k); kind.Val() == parts[part] {
			found[q] = found[q] || proof[part]
		}
	}
	return nil
}

// split takes "prefix:name:part" apart. An empty name is BullMQ's relay, not a queue.
func split(key string) (q Queue, part string, ok bool) {
	last := strings.LastIndexByte(key, ':')
	if last < 0 {
		return q, "", false
	}
	middle := strings.LastIndexByte(key[:last], ':')
	if middle < 1 || middle+1 == last {
		return q, "", false
	}
	return Queue{Prefix: key[:middle], Name: key[middle+1 : last]}, key[last+1:], true
}

// Counts is what a queue holds.
type Counts struct {
	Queue           string `json:"queue"`
	Version         string `json:"version"` // meta.version without "bullmq:"; "" before 4.18 and where only a FlowProducer adds
	Paused          bool   `json:"paused"`
	Waiting         int64  `json:"waiting"` // with those in the list that BullMQ before 6 keeps while paused
	Active          int64  `json:"active"`
	Delayed         int64  `json:"delayed"`
	Prioritized     int64  `json:"prioritized"`
	WaitingChildren int64  `json:"waiting_children"`
	Completed       int64  `json:"completed"`
	Failed          int64  `json:"failed"`
	Schedulers      int64  `json:"schedulers"`
	OldestJobAgeMS  int64  `json:"oldest_job_age_ms"` // of the job next in line, since it was added; 0 when none waits
}

// Pending is every job that is not completed: what would be lost with the server.
func (c Counts) Pending() int64 {
	return c.Waiting + c.Active + c.Delayed + c.Prioritized + c.WaitingChildren + c.Failed
}

// ByState gives the counts under BullMQ's names of the states.
func (c Counts) ByState() map[string]int64 {
	return map[string]int64{
		"waiting": c.Waiting, "prioritized": c.Prioritized, "delayed": c.Delayed,
		"waiting-children": c.WaitingChildren, "active": c.Active, "failed": c.Failed,
		"completed": c.Completed,
	}
}

// Census counts a queue's jobs by state, all at one moment. It reads only, without scripts.
func Census(ctx context.Context, c redis.UniversalClient, q Queue) (Counts, error) {
	tx := c.TxPipeline()
	meta := tx.HMGet(ctx, q.Key("meta"), "version", "paused")
	now := tx.Time(ctx)
	lists, newest, oldest := map[string]*redis.IntCmd{}, map[string]*redis.StringCmd{}, map[string]*redis.StringCmd{}
	for _, l := range []string{"wait", "paused", "active"} {
		lists[l], newest[l], oldest[l] = tx.LLen(ctx, q.Key(l)), tx.LIndex(ctx, q.Key(l), 0), tx.LIndex(ctx, q.Key(l), -1)
	}
	sets := map[string]*redis.IntCmd{}
	for _, s := range []string{"delayed", "prioritized", "waiting-children", "completed", "failed", "repeat"} {
		sets[s] = tx.ZCard(ctx, q.Key(s))
	}
	if _, err := tx.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return Counts{}, fmt.Errorf("census of %s: %w", q, redisconn.Explain(err))
	}
	out := Counts{Queue: q.String(), Active: lists["active"].Val(), Delayed: sets["delayed"].Val(), Prioritized: sets["prioritized"].Val(),
		WaitingChildren: sets["waiting-children"].Val(), Completed: sets["completed"].Val(), Failed: sets["failed"].Val(), Schedulers: sets["repeat"].Val()}
	if v, ok := meta.Val()[0].(string); ok {
		out.Version = strings.TrimPrefix(v, "bullmq:")
	}
	out.Paused = meta.Val()[1] != nil
	next := ""
	for _, l := range []string{"wait", "paused"} {
		out.Waiting += lists[l].Val()
		// BullMQ 3 and 4 wake blocked workers with a fake id "0:<delay>" at an end of the list.
		if isMarker(newest[l].Val()) || isMarker(oldest[l].Val()) {
			out.Waiting--
		}
		if id := oldest[l].Val(); next == "" && !isMarker(id) {
			next = id
		}
	}
	if next != "" {
		added, err := c.HGet(ctx, q.Key(next), "timestamp").Int64()
		switch {
		case err == nil:
			out.OldestJobAgeMS = max(now.Val().UnixMilli()-added, 0)
		case !errors.Is(err, redis.Nil): // gone meanwhile
			return Counts{}, fmt.Errorf("census of %s: %w", q, redisconn.Explain(err))
		}
	}
	return out, nil
}

func isMarker(id string) bool { return strings.HasPrefix(id, "0:") }

// major is the major version of the BullMQ that owns a queue, 0 when it is not known.
func (c Counts) major() int {
	n, _, _ := strings.Cut(c.Version, ".")
	m, _ := strconv.Atoi(n)
	return m
}

// Residue is Census of a queue that is being left; see Counts.Pending.
func Residue(ctx context.Context, c redis.UniversalClient, q Queue) (Counts, error) {
	return Census(ctx, c, q)
}

// WaitIdle waits until no job of the queue is being processed. When ctx ends first the error says how many still were at the last look.
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
		case err != nil && ctx.Err() == nil && (!set || time.Until(deadline) > 0): // the server's fault, not the deadline's
			return fmt.Errorf("wait until %s is idle: %w", q, redisconn.Explain(err))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s is idle: %s jobs are still active: %w", q, still, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// Workers lists the workers connected to the server for a queue, as "name address", by the name BullMQ gives their connection. A worker's
// second connection, on which it waits, has no name; a connection is not proof that the worker takes jobs.
func Workers(ctx context.Context, c redis.UniversalClient, q Queue) ([]string, error) {
	clients, err := redisconn.ForeignClients(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("workers of %s: %w", q, err)
	}
	name := workerName(q)
	var out []string
	for _, cl := range clients {
		if cl.Name == name || strings.HasPrefix(cl.Name, name+":w:") {
			out = append(out, cl.Name+" "+cl.Addr)
		}
	}
	sort.Strings(out)
	return out, nil
}

// workerName is how BullMQ names a worker's connection, followed by ":w:" and the worker's name if it has one.
func workerName(q Queue) string {
	return q.prefix() + ":" + base64.StdEncoding.EncodeToString([]byte(q.Name))
}

// OnBoth gives the ids of jobs that are waiting, delayed or prioritized on a and that b has a job of too, among the first limit of each state.
func OnBoth(ctx context.Context, a, b redis.UniversalClient, q Queue, limit int64) ([]string, error) {
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
