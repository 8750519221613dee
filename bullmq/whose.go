package bullmq

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/redisconn"
)

// jobParts are the keys that BullMQ keeps beside a job's hash, with their types.
var jobParts = []struct{ suffix, kind string }{{":lock", "string"}, {":logs", "list"},
	{":dependencies", "set"}, {":processed", "hash"}, {":failed", "hash"},
	{":unsuccessful", "zset"}}

// looked is what was read of a key to tell who made it.
type looked struct {
	kind   string // its type; "none" when it is gone
	fields fields // of a hash
	parent fields // of the hash of the job to which it belongs by its name
}

// fields are those that tell what a hash is, as HMGET returns them; nil: not read.
type fields []any

var fieldNames = []string{"name", "opts", "timestamp", "every", "pattern", "ic", "jid",
	"version", "opts.maxLenEvents", movedField, "parentKey", "atm", "attemptsMade"}

func (f fields) text(name string) (string, bool) {
	at := slices.Index(fieldNames, name)
	if at >= len(f) {
		return "", false
	}
	s, ok := f[at].(string)
	return s, ok
}

func (f fields) has(names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { _, ok := f.text(n); return ok })
}

// job reports whether a hash is shaped like a job: Bull and BullMQ of every version write
// name, opts and timestamp when a job is added.
func (f fields) job() bool {
	opts, _ := f.text("opts")
	at, _ := f.text("timestamp")
	_, err := strconv.ParseFloat(at, 64)
	return f.has("name") && strings.HasPrefix(opts, "{") && err == nil
}

// meta says what a hash proves that is called "meta" and is not a job of that name.
func (f fields) meta() (Kind, string) {
	version, _ := f.text("version")
	length, _ := f.text("opts.maxLenEvents")
	_, err := strconv.ParseUint(length, 10, 64)
	switch {
	case strings.HasPrefix(version, "bullmq-pro:"):
		return KindPro, "meta of version " + version
	case strings.HasPrefix(version, "bullmq:"):
		return KindBullMQ, "meta of version " + version
	case err == nil:
		return KindBullMQ, "meta with BullMQ's options"
	case f.has(movedField):
		return KindBullMQ, "meta of a queue that Switchyard moved away"
	}
	return "", ""
}

// fits reports whether a queue could have made the key, given the part after its name.
// job is the id of the job that the key is, or belongs to; "" if it is the queue's own.
func (l looked) fits(c candidate) (job string, ok bool) {
	if c.found.Kind != KindBullMQ { // whose keys we do not know well enough to tell
		return "", true
	}
	if kind := ownType(c.part); kind != "" {
		return "", l.kind == kind
	}
	for _, s := range jobParts {
		if id, is := strings.CutSuffix(c.part, s.suffix); is && id != "" && l.kind == s.kind &&
			!l.fields.job() && (l.parent.job() || s.suffix == ":lock") {
			return id, true
		}
	}
	first, rest, _ := strings.Cut(c.part, ":")
	switch {
	case l.kind == "hash" && l.fields.job():
		return c.part, true
	case rest == "":
		return "", false
	case first == "de" || first == "limiter":
		return "", l.kind == "string"
	case first == "dn":
		return "", l.kind == "hash" && l.fields.has("jid", "name")
	case first == "repeat":
		return "", l.kind == "hash" && l.fields.has("name") &&
			l.fields.has("every", "pattern", "ic")
	case first == "metrics":
		of, data, more := strings.Cut(rest, ":")
		if of != "completed" && of != "failed" {
			return "", false
		}
		return "", !more && l.kind == "hash" || more && data == "data" && l.kind == "list"
	}
	return "", false
}

// more are parts of a queue, with their types, that prove nothing.
var more = map[string]string{"marker": "zset", "stalled": "set", "stalled-check": "string",
	"limiter": "string", "pc": "string", "priority": "zset"}

// ownType is the type of one of a queue's own parts; "" for what is none.
func ownType(part string) string { return cmp.Or(parts[part], more[part]) }

// whose judges one key by what was read of it.
func (o Ownership) whose(key string, l looked) Whose {
	w := Whose{Key: key, fields: l.fields}
	all := o.candidates(key)
	switch {
	case o.ours(key):
		w.Ours = true
		return w
	case l.kind == "none":
		w.Gone = true
		if q, part, ok := o.Of(key); ok {
			w.Owner, w.Part = o.found[q.Key("")], part
		}
		return w
	case len(all) == 0:
		w.Why = "no queue's name matches it"
		return w
	}
	for i, c := range all {
		job, ok := l.fits(c)
		if !ok {
			continue
		}
		if i > 0 && job != "" { // a longer name matches as well: what is listed counts
			both, lists := o.lists(c)
			if !lists {
				continue
			}
			if both {
				w.Why = fmt.Sprintf("both %s and %s list this job", all[0].found, c.found)
				w.Contested = true
				return w
			}
		}
		for _, outer := range all[i+1:] {
			both, lists := o.lists(outer)
			if _, fits := l.fits(outer); !lists || !fits {
				continue
			}
			if both {
				w.Why = fmt.Sprintf("both %s and %s list this job", c.found, outer.found)
				w.Contested = true
				return w
			}
			c = outer
		}
		w.Owner, w.Part = c.found, c.part
		return w
	}
	w.Why = fmt.Sprintf("it has the name of %s, which makes no such key: a %s", all[0].found,
		l.kind)
	return w
}

// ours reports whether Switchyard itself keeps a key: its own, and the lists of a queue
// that it moved away.
func (o Ownership) ours(key string) bool {
	if strings.HasPrefix(key, "switchyard:") {
		return true
	}
	rest, is := strings.CutPrefix(key, "fenced:")
	if !is {
		return false
	}
	_, rest, _ = strings.Cut(rest, ":") // the name of the move
	f, part, ok := o.longest(rest)
	return ok && f.Kind == KindBullMQ && ownType(part) != ""
}

// Whose looks at keys, in two round trips, and says for each which queue made it, in
// order. O(keys): a TYPE each, and some fields of each hash.
func (o Ownership) Whose(
	ctx context.Context, c redis.UniversalClient, keys []string,
) ([]Whose, error) {
	look := make([]looked, len(keys))
	kinds := make([]*redis.StatusCmd, len(keys))
	if err := batched(ctx, c, func(p redis.Pipeliner) {
		for i, k := range keys {
			kinds[i] = p.Type(ctx, k)
		}
	}); err != nil {
		return nil, err
	}
	own, parents := make([]*redis.SliceCmd, len(keys)), make([]*redis.SliceCmd, len(keys))
	if err := batched(ctx, c, func(p redis.Pipeliner) {
		for i, k := range keys {
			if look[i].kind = kinds[i].Val(); look[i].kind == "hash" {
				own[i] = p.HMGet(ctx, k, fieldNames...)
			}
			if id, is := ofJob(k, look[i].kind); is {
				parents[i] = p.HMGet(ctx, id, fieldNames...)
			}
		}
	}); err != nil {
		return nil, err
	}
	out := make([]Whose, len(keys))
	for i, k := range keys {
		if err := kinds[i].Err(); err != nil {
			return nil, fmt.Errorf("key %q: %w", k, redisconn.Explain(err))
		}
		if own[i] != nil {
			if err := own[i].Err(); err != nil && !wrongType(err) {
				return nil, fmt.Errorf("key %q: %w", k, redisconn.Explain(err))
			}
			look[i].fields = own[i].Val()
		}
		if parents[i] != nil {
			look[i].parent = parents[i].Val() // an error: it is no hash, and so no job
		}
		out[i] = o.whose(k, look[i])
	}
	return out, nil
}

// ofJob returns the key of the job to which a key belongs, if its name and type are those
// of a part of a job.
func ofJob(key, kind string) (job string, is bool) {
	for _, s := range jobParts {
		if job, is := strings.CutSuffix(key, s.suffix); is && kind == s.kind {
			return job, true
		}
	}
	return "", false
}

// batched sends commands in one round trip. The error is the connection's; a command's own
// error stays with the command.
func batched(
	ctx context.Context, c redis.UniversalClient, fill func(redis.Pipeliner),
) error {
	p := c.Pipeline()
	fill(p)
	if p.Len() == 0 {
		return nil
	}
	return redisconn.Explain(connectionError(p.Exec(ctx)))
}

// lookBatch is how many keys are asked for in one round trip.
const lookBatch = 1000
