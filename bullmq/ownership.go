package bullmq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/redisconn"
)

// Kind is the library that made a queue.
type Kind string

const (
	KindBullMQ Kind = "BullMQ"
	// KindPro has keys that we do not know: its groups.
	KindPro Kind = "BullMQ Pro"
	// KindBull is Bull 3 and 4, the predecessor of BullMQ. Its lists look the same, its
	// jobs do not: they are never moved as BullMQ's.
	KindBull Kind = "Bull"
	KindBee  Kind = "bee-queue"
)

// Found is a queue on a server, and what proves that it is one.
type Found struct {
	Queue Queue  `json:"queue"`
	Kind  Kind   `json:"kind"`
	Proof string `json:"proof"`
}

// String names the queue, with its library unless that is BullMQ.
func (f Found) String() string {
	if f.Kind == KindBullMQ {
		return f.Queue.String()
	}
	return fmt.Sprintf("%s (%s)", f.Queue, f.Kind)
}

// Ownership says to which queue of a server each of its keys belongs: the one answer to
// that question. A key belongs to the queue with the longest matching name that could have
// made it, as its type and its fields show; a shorter-named queue gets it only if it lists
// the job, and if both list it, it belongs to neither.
type Ownership struct {
	found map[string]Found // by "prefix:name:"
	// ids that a queue lists although the name of a longer one matches their keys; true if
	// that one lists them too
	outer map[string]map[string]bool
}

// Whose is the answer for one key.
type Whose struct {
	Key string
	// Owner is the queue; its Kind is "" if none owns the key.
	Owner Found
	Part  string // of the queue: what follows "prefix:name:"
	// Ours means that Switchyard itself keeps the key.
	Ours bool
	Gone bool // there is no such key; Owner is by its name then
	// Why nobody owns it, or it cannot be told who does, when two queues contest it.
	Why       string
	Contested bool

	fields fields
}

// Parent is the key of the job's parent in a flow; "" if it is no job, or has none.
func (w Whose) Parent() string {
	key, _ := w.fields.text("parentKey")
	return key
}

// Reveals returns the queue of which the key is the meta although Look did not find it: it
// came into being since.
func (w Whose) Reveals() (Queue, bool) {
	q, part, ok := split(w.Key)
	if kind, _ := w.fields.meta(); !ok || part != "meta" || kind == "" {
		return Queue{}, false
	}
	return q, w.Owner.Kind == "" || !w.Owner.Queue.Same(q)
}

// Owned reports whether a queue of BullMQ made the key.
func (w Whose) Owned() bool { return w.Owner.Kind == KindBullMQ && !w.Gone }

// Queues are all the queues that were found, by their keys.
func (o Ownership) Queues() []Found {
	var out []Found
	for _, f := range o.found {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b Found) int {
		return strings.Compare(a.Queue.Key(""), b.Queue.Key(""))
	})
	return out
}

// BullMQ are the queues of that kind, by their keys.
func (o Ownership) BullMQ() []Queue {
	var out []Queue
	for _, f := range o.Queues() {
		if f.Kind == KindBullMQ {
			out = append(out, f.Queue)
		}
	}
	return out
}

// Find returns what was found under a queue's name.
func (o Ownership) Find(q Queue) (Found, bool) {
	f, ok := o.found[q.Key("")]
	return f, ok
}

// NameOwnership tells queues apart that are known from elsewhere, by their names alone.
func NameOwnership(queues []Queue) Ownership {
	var known []Found
	for _, q := range queues {
		known = append(known, Found{Queue: q, Kind: KindBullMQ})
	}
	return Ownership{}.with(known...)
}

// Knowing adds queues that are known from elsewhere: what was proven on the server that a
// queue moves from is its name on the other one too, before it is there. Their names may
// nest, so the lists of this server are read again for that.
func (o Ownership) Knowing(
	ctx context.Context, c redis.UniversalClient, known []Found,
) (Ownership, error) {
	out := o.with(known...)
	return out, out.readNested(ctx, c)
}

func (o Ownership) with(known ...Found) Ownership {
	out := Ownership{found: map[string]Found{}, outer: o.outer}
	for _, f := range known {
		out.found[f.Queue.Key("")] = f
	}
	for base, f := range o.found {
		out.found[base] = f
	}
	return out
}

// Expecting adds what is known of another server whose keys are on their way to this one: its
// queues, and the jobs that they list.
func (o Ownership) Expecting(
	ctx context.Context, c redis.UniversalClient, other Ownership,
) (Ownership, error) {
	out, err := o.Knowing(ctx, c, other.Queues())
	if err != nil {
		return Ownership{}, err
	}
	for base, ids := range other.outer {
		if out.outer[base] == nil {
			out.outer[base] = map[string]bool{}
		}
		for id, both := range ids {
			for _, in := range out.candidates(base + id) {
				if len(in.found.Queue.Key("")) <= len(base) || both {
					break
				}
				if both, err = isListed(ctx, c, in.found.Queue, in.part); err != nil {
					return Ownership{}, err
				}
			}
			out.outer[base][id] = out.outer[base][id] || both
		}
	}
	return out, nil
}

// Contested are the ids of a queue's jobs whose keys another queue lists as its own: whose
// they are cannot be told.
func (o Ownership) Contested(q Queue) []string {
	var out []string
	for base, ids := range o.outer {
		for id, both := range ids {
			owner, _, _ := o.longest(base + id)
			if both && (base == q.Key("") || owner.Queue.Key("") == q.Key("")) {
				out = append(out, base+id)
			}
		}
	}
	slices.Sort(out)
	return out
}

// candidate is a queue whose name matches a key.
type candidate struct {
	found Found
	part  string
}

// candidates are the queues whose names match, the longest first. O(length of the key).
func (o Ownership) candidates(key string) (out []candidate) {
	for end := len(key); end > 0; {
		at := strings.LastIndexByte(key[:end], ':')
		if at < 0 {
			break
		}
		if f, ok := o.found[key[:at+1]]; ok {
			out = append(out, candidate{f, key[at+1:]})
		}
		end = at
	}
	return out
}

// Contesting are the queues whose names a key has, the longest first, whoever made it.
// O(length of the key).
func (o Ownership) Contesting(key string) (out []Queue) {
	for _, c := range o.candidates(key) {
		out = append(out, c.found.Queue)
	}
	return out
}

func (o Ownership) longest(key string) (Found, string, bool) {
	if c := o.candidates(key); len(c) > 0 {
		return c[0].found, c[0].part, true
	}
	return Found{}, "", false
}

// Of returns the queue to which a key belongs by its name, and the part after
// "prefix:name:"; false if it belongs to none, or it cannot be told to which. Whether the
// queue made it, only Whose can say. O(length of the key).
func (o Ownership) Of(key string) (q Queue, part string, ok bool) {
	all := o.candidates(key)
	if len(all) == 0 {
		return Queue{}, "", false
	}
	if ownType(all[0].part) == "" {
		for _, c := range all[1:] {
			if both, lists := o.lists(c); lists {
				return c.found.Queue, c.part, !both
			}
		}
	}
	return all[0].found.Queue, all[0].part, true
}

// lists reports whether a queue lists the job to which a part belongs, although a
// longer-named queue matches it, and whether that one lists it as well.
func (o Ownership) lists(c candidate) (both, lists bool) {
	ids := o.outer[c.found.Queue.Key("")]
	if both, lists = ids[c.part]; lists || len(ids) == 0 {
		return both, lists
	}
	for _, s := range jobParts {
		if id, is := strings.CutSuffix(c.part, s.suffix); is {
			if both, lists = ids[id]; lists {
				return both, true
			}
		}
	}
	return false, false
}

// Look finds the queues of a server's database and whose its keys are. O(keys): SCAN, and
// a few commands for each key that has the name of a part of a queue; where one queue's
// name begins with another's, also the entries of that one's lists.
func Look(ctx context.Context, c redis.UniversalClient) (Ownership, error) {
	f := newFinder(c)
	if err := EachKey(ctx, c, func(keys []string) error { return f.batch(ctx, keys) }); err != nil {
		return Ownership{}, fmt.Errorf("discover queues: %w", err)
	}
	o, err := f.end(ctx)
	if err != nil {
		return Ownership{}, fmt.Errorf("discover queues: %w", redisconn.Explain(err))
	}
	return o, nil
}

// EachKey passes on every key of the database, in batches. O(keys).
func EachKey(ctx context.Context, c redis.UniversalClient, batch func([]string) error) error {
	var cursor uint64
	for {
		keys, next, err := c.Scan(ctx, cursor, "*", lookBatch).Result()
		if err != nil {
			return redisconn.Explain(err)
		}
		if len(keys) > 0 {
			if err := batch(keys); err != nil {
				return redisconn.Explain(err)
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// Discover finds the BullMQ queues on a server: see Look.
func Discover(ctx context.Context, c redis.UniversalClient) ([]Queue, error) {
	o, err := Look(ctx, c)
	return o.BullMQ(), err
}

// WrongTypes returns the keys that have the name of one of a queue's own parts and are of
// another type: nothing may be done to such a queue, since half of it would fail. O(1).
func WrongTypes(ctx context.Context, c redis.UniversalClient, q Queue) ([]string, error) {
	kinds := map[string]*redis.StatusCmd{}
	if err := batched(ctx, c, func(p redis.Pipeliner) {
		for _, of := range []map[string]string{parts, more} {
			for part := range of {
				kinds[part] = p.Type(ctx, q.Key(part))
			}
		}
	}); err != nil {
		return nil, err
	}
	var wrong []string
	for part, kind := range kinds {
		want := ownType(part)
		switch is, err := kind.Result(); {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", q.Key(part), redisconn.Explain(err))
		case is != "none" && is != want:
			wrong = append(wrong, fmt.Sprintf("%s is a %s, not a %s", q.Key(part), is, want))
		}
	}
	slices.Sort(wrong)
	return wrong, nil
}

// fleeting reports which of some keys are only what a worker of BullMQ leaves for some
// seconds on a queue that never had a job: "stalled-check", a time that expires.
func fleeting(ctx context.Context, c redis.UniversalClient, keys []string) ([]bool, error) {
	values, ttls := make([]*redis.StringCmd, len(keys)), make([]*redis.DurationCmd, len(keys))
	if err := batched(ctx, c, func(p redis.Pipeliner) {
		for i, k := range keys {
			if strings.HasSuffix(k, ":stalled-check") {
				values[i], ttls[i] = p.Get(ctx, k), p.PTTL(ctx, k)
			}
		}
	}); err != nil {
		return nil, err
	}
	out := make([]bool, len(keys))
	for i := range keys {
		if values[i] == nil {
			continue
		}
		_, err := values[i].Int64()
		out[i] = err == nil && ttls[i].Val() > 0 || errors.Is(values[i].Err(), redis.Nil)
	}
	return out, nil
}
