package bullmq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// finder finds the queues among the keys of a server, as they are passed to it.
type finder struct {
	c      redis.UniversalClient
	proven map[string]Found // by "prefix:name:"
	// events and lists of what may be a queue without a meta that proves it, with their
	// types
	rest map[string]string
}

func newFinder(c redis.UniversalClient) *finder {
	return &finder{c: c, proven: map[string]Found{}, rest: map[string]string{}}
}

const (
	// restHeld is how many keys are remembered for their queue's meta to turn up.
	restHeld = 10_000
	// restBatch is how many of them are looked at in one round trip.
	restBatch = 20
)

// batch looks at those keys that may be a part of a queue. What proves a queue is what its
// library wrote: BullMQ's options or version in "meta", one of its events in "events", a
// job that a list names; bee-queue's record of a job in "jobs". A name never does.
func (f *finder) batch(ctx context.Context, keys []string) error {
	kinds := map[string]*redis.StatusCmd{}
	if err := batched(ctx, f.c, func(p redis.Pipeliner) {
		for _, k := range keys {
			if _, part, ok := split(k); ok && (parts[part] != "" || part == "jobs") {
				kinds[k] = p.Type(ctx, k)
			}
		}
	}); err != nil {
		return err
	}
	metas, bees := map[string]*redis.SliceCmd{}, map[string]*redis.ScanCmd{}
	if err := batched(ctx, f.c, func(p redis.Pipeliner) {
		for k, kind := range kinds {
			_, part, _ := split(k)
			switch is := kind.Val(); {
			case part == "jobs" && is == "hash":
				bees[k] = p.HScan(ctx, k, 0, "", 1)
			case is != parts[part]:
			case part == "meta":
				metas[k] = p.HMGet(ctx, k, fieldNames...)
			case is != "string" && part != "repeat":
				f.rest[k] = is
			}
		}
	}); err != nil {
		return err
	}
	for k, kind := range kinds {
		if err := kind.Err(); err != nil {
			return err
		}
		q, _, _ := split(k)
		if cmd := metas[k]; cmd != nil {
			if err := cmd.Err(); err != nil && !wrongType(err) {
				return err
			}
			kind, why := fields(cmd.Val()).meta()
			f.note(q, kind, why)
		}
		if cmd := bees[k]; cmd != nil {
			if err := cmd.Err(); err != nil && !wrongType(err) {
				return err
			}
			kind, why := beeProof(cmd)
			f.note(q, kind, why)
		}
	}
	if len(f.rest) > restHeld {
		return f.judgeRest(ctx)
	}
	return nil
}

// note records a proof. BullMQ's own word counts most: an application that went from Bull
// to BullMQ has keys of both under one name.
func (f *finder) note(q Queue, kind Kind, why string) {
	was, there := f.proven[q.Key("")]
	if kind != "" && (!there || rank(kind) > rank(was.Kind)) {
		f.proven[q.Key("")] = Found{Queue: q, Kind: kind, Proof: why}
	}
}

func rank(k Kind) int { return slices.Index([]Kind{KindBull, KindBee, KindBullMQ, KindPro}, k) }

// ownEvents are events of a queue that name no job: nothing else is in their entries.
var ownEvents = map[string]bool{"paused": true, "resumed": true, "drained": true}

// jobEvents are events of a job that BullMQ names in the field jobId.
var jobEvents = map[string]bool{"added": true, "waiting": true, "active": true,
	"completed": true, "failed": true, "delayed": true, "progress": true, "stalled": true,
	"removed": true, "duplicated": true, "deduplicated": true, "debounced": true,
	"retries-exhausted": true, "waiting-children": true}

func eventProof(entries []redis.XMessage) (Kind, string) {
	for _, e := range entries {
		name, _ := e.Values["event"].(string)
		_, job := e.Values["jobId"].(string)
		if jobEvents[name] && job || ownEvents[name] && len(e.Values) == 1 {
			return KindBullMQ, "events of BullMQ: " + name
		}
	}
	return "", ""
}

func beeProof(found *redis.ScanCmd) (Kind, string) {
	pairs, _ := found.Val()
	for i := 1; i < len(pairs); i += 2 {
		var job struct {
			Data    json.RawMessage `json:"data"`
			Options json.RawMessage `json:"options"`
			Status  string          `json:"status"`
		}
		if json.Unmarshal([]byte(pairs[i]), &job) == nil && job.Data != nil &&
			job.Options != nil && job.Status != "" {
			return KindBee, "job " + pairs[i-1] + " in the hash jobs"
		}
	}
	return "", ""
}

// judgeRest looks at the events and lists of queues that nothing has proven yet.
func (f *finder) judgeRest(ctx context.Context) error {
	for _, look := range []func(context.Context, []string) error{f.events, f.named} {
		var keys []string
		for k := range f.rest {
			q, _, _ := split(k)
			if _, there := f.proven[q.Key("")]; !there {
				keys = append(keys, k)
			}
		}
		for some := range slices.Chunk(keys, restBatch) {
			if err := look(ctx, some); err != nil {
				return err
			}
		}
	}
	clear(f.rest)
	return nil
}

func (f *finder) events(ctx context.Context, keys []string) error {
	last := map[string]*redis.XMessageSliceCmd{}
	if err := batched(ctx, f.c, func(p redis.Pipeliner) {
		for _, k := range keys {
			if f.rest[k] == "stream" {
				last[k] = p.XRevRangeN(ctx, k, "+", "-", 3)
			}
		}
	}); err != nil {
		return err
	}
	for k, cmd := range last {
		if err := cmd.Err(); err != nil && !wrongType(err) {
			return err
		}
		q, _, _ := split(k)
		kind, why := eventProof(cmd.Val())
		f.note(q, kind, why)
	}
	return nil
}

func (f *finder) named(ctx context.Context, keys []string) error {
	const some = 5 // ids of each that are tried: one may have no job
	ids := make([]*redis.StringSliceCmd, len(keys))
	if err := batched(ctx, f.c, func(p redis.Pipeliner) {
		for i, k := range keys {
			switch f.rest[k] {
			case "list":
				ids[i] = p.LRange(ctx, k, -some, -1)
			case "zset":
				ids[i] = p.ZRange(ctx, k, 0, some-1)
			}
		}
	}); err != nil {
		return err
	}
	jobs := map[string]*redis.SliceCmd{}
	if err := batched(ctx, f.c, func(p redis.Pipeliner) {
		for i, k := range keys {
			if ids[i] == nil {
				continue
			}
			q, _, _ := split(k)
			for _, id := range ids[i].Val() {
				jobs[q.Key(id)] = p.HMGet(ctx, q.Key(id), fieldNames...)
			}
		}
	}); err != nil {
		return err
	}
	for i, k := range keys {
		if ids[i] == nil {
			continue
		}
		q, part, _ := split(k)
		for _, id := range ids[i].Val() {
			if fields(jobs[q.Key(id)].Val()).job() {
				f.note(q, KindBull, fmt.Sprintf("%s names job %s, and there is neither meta "+
					"nor events", part, id))
			}
		}
	}
	return nil
}

// end returns what was found, once every key was passed.
func (f *finder) end(ctx context.Context) (Ownership, error) {
	if err := f.judgeRest(ctx); err != nil {
		return Ownership{}, err
	}
	o := Ownership{found: f.proven}
	return o, o.readNested(ctx, f.c)
}

// readNested reads what queues list under the names of longer ones.
func (o *Ownership) readNested(ctx context.Context, c redis.UniversalClient) error {
	o.outer = map[string]map[string]bool{}
	all := o.Queues()
	for i, each := range all {
		if inner := inner(all, i); each.Kind == KindBullMQ && len(inner) > 0 {
			if err := o.readOuter(ctx, c, each.Queue, inner); err != nil {
				return err
			}
		}
	}
	return nil
}

// inner returns the queues whose names begin with that of the i-th: since they are sorted,
// they follow it.
func inner(all []Found, i int) []Found {
	end := i + 1
	for end < len(all) &&
		strings.HasPrefix(all[end].Queue.Key(""), all[i].Queue.Key("")) {
		end++
	}
	return all[i+1 : end]
}

// readOuter notes the ids that a queue lists although their keys have the name of an inner
// queue, and whether that one lists them too. O(entries of its lists).
func (o Ownership) readOuter(
	ctx context.Context, c redis.UniversalClient, q Queue, inner []Found,
) error {
	const chunk = 10_000
	ids := map[string]bool{}
	for _, part := range jobIndexes {
		read := c.ZRange
		if isList(part) {
			read = c.LRange
		}
		for at := int64(0); ; at += chunk {
			some, err := read(ctx, q.Key(part), at, at+chunk-1).Result()
			if err != nil && !wrongType(err) {
				return fmt.Errorf("%s: %w", q.Key(part), err)
			}
			for _, id := range some {
				key := q.Key(id) + ":"
				for _, in := range inner {
					if !strings.HasPrefix(key, in.Queue.Key("")) {
						continue
					}
					rest := strings.TrimPrefix(q.Key(id), in.Queue.Key(""))
					both := false
					if len(key) > len(in.Queue.Key("")) {
						if both, err = isListed(ctx, c, in.Queue, rest); err != nil {
							return err
						}
					}
					ids[id] = ids[id] || both
				}
			}
			if len(some) < chunk {
				break
			}
		}
	}
	if len(ids) > 0 {
		o.outer[q.Key("")] = ids
	}
	return nil
}

// isListed reports whether any list of a queue names a job.
func isListed(ctx context.Context, c redis.UniversalClient, q Queue, id string) (bool, error) {
	var cmds []redis.Cmder
	if err := batched(ctx, c, func(p redis.Pipeliner) {
		for _, part := range jobIndexes {
			if isList(part) {
				cmds = append(cmds, p.LPos(ctx, q.Key(part), id, redis.LPosArgs{}))
			} else {
				cmds = append(cmds, p.ZScore(ctx, q.Key(part), id))
			}
		}
	}); err != nil {
		return false, err
	}
	for _, cmd := range cmds {
		switch err := cmd.Err(); {
		case err == nil:
			return true, nil
		case !errors.Is(err, redis.Nil) && !wrongType(err):
			return false, err
		}
	}
	return false, nil
}
