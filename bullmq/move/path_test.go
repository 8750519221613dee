package move_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/bullmq/move"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// otherVersion is a hook that answers RESTORE like a server that does not know the
// payload's format.
type otherVersion struct{}

func (otherVersion) DialHook(next redis.DialHook) redis.DialHook { return next }

func (o otherVersion) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.EqualFold(cmd.Name(), "restore") {
			cmd.SetErr(refusal("ERR DUMP payload version or checksum are wrong"))
			return cmd.Err()
		}
		return next(ctx, cmd)
	}
}

func (o otherVersion) ProcessPipelineHook(
	next redis.ProcessPipelineHook,
) redis.ProcessPipelineHook {
	return next
}

type refusal string

func (r refusal) Error() string { return string(r) }
func (refusal) RedisError()     {}

// What real BullMQ leaves arrives the same through commands of each type as through
// RESTORE.
func TestTheTargetIsTheSameWithoutRestore(t *testing.T) {
	for _, major := range []bullmqtest.Major{3, 4, 5, 6} {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			src := redistest.Start(t)
			from := src.Client()
			major.Populate(t, src, "orders")
			from.Set(t.Context(), "bull:orders:de:soon", "1", time.Hour)
			filled := take(t, from)
			dumpless := map[string]func() redis.UniversalClient{
				move.PathRestore: func() redis.UniversalClient {
					return redistest.Start(t).Client()
				},
				"renamed": func() redis.UniversalClient {
					return redistest.Start(t,
						redistest.Config(`rename-command RESTORE ""`)).Client()
				},
				"denied": func() redis.UniversalClient {
					c := redistest.Start(t).Client()
					if err := c.Do(t.Context(), "ACL", "SETUSER", "default",
						"-restore").Err(); err != nil {
						t.Fatal(err)
					}
					return c
				},
				"another version": func() redis.UniversalClient {
					c := redistest.Start(t).Client()
					c.AddHook(otherVersion{})
					return c
				},
			}
			got, ends := map[string]map[string]string{}, map[string]map[string]int64{}
			for name, target := range dumpless {
				filled.put(t, from)
				to := target()
				o := move.Options{Run: "r",
					Queues: []bullmq.Queue{{Name: "orders"}, {Name: "orders-children"}}}
				if why, err := move.Check(t.Context(), from, to, o); err != nil ||
					len(why) > 0 {
					t.Fatalf("%s: %v %v", name, why, err)
				}
				r, err := move.Move(t.Context(), from, to, o)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				want := move.PathTyped
				if name == move.PathRestore {
					want = name
				}
				if r.Path != want {
					t.Errorf("%s: went by %q", name, r.Path)
				}
				got[name], ends[name] = contents(t, to), map[string]int64{}
				for k := range got[name] {
					ends[name][k] = to.Do(t.Context(), "PEXPIRETIME", k).Val().(int64)
				}
			}
			want := got[move.PathRestore]
			if len(want) < 50 || ends[move.PathRestore]["bull:orders:de:soon"] <= 0 {
				t.Fatalf("%d keys on the target, of which one ends at %d", len(want),
					ends[move.PathRestore]["bull:orders:de:soon"])
			}
			for name, is := range got {
				if !maps.Equal(is, want) {
					t.Errorf("%s: %s", name, difference(is, want))
				}
				if !maps.Equal(ends[name], ends[move.PathRestore]) {
					t.Errorf("%s: keys end at %v, want %v", name, ends[name],
						ends[move.PathRestore])
				}
			}
		})
	}
}

func TestATargetThatTakesNeitherPathIsRefused(t *testing.T) {
	t.Parallel()
	p := start(t, redistest.Config(`rename-command RESTORE ""`, `rename-command HSET ""`))
	v6.Add(t, p.src, "orders", job("a", nil))
	why, err := move.Check(t.Context(), p.from, p.to, p.o)
	if err != nil || len(why) != 1 ||
		!strings.Contains(why[0], "the target does not accept HSET") {
		t.Errorf("%v %v", why, err)
	}
}

// widest is a hook that records the largest request.
type widest struct {
	mu sync.Mutex
	n  int
}

func (w *widest) sent(cmds ...redis.Cmder) {
	n := 0
	for _, c := range cmds {
		for _, a := range c.Args() {
			switch a := a.(type) {
			case string:
				n += len(a)
			case []byte:
				n += len(a)
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n = max(w.n, n)
}

func (w *widest) DialHook(next redis.DialHook) redis.DialHook { return next }

func (w *widest) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		w.sent(cmd)
		return next(ctx, cmd)
	}
}

func (w *widest) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		w.sent(cmds...)
		return next(ctx, cmds)
	}
}

// noise is text that does not compress.
func noise(n int) string {
	random, b := newRandom(1, uint64(n)), make([]byte, n)
	for i := range b {
		b[i] = byte(' ' + random.IntN(90))
	}
	return string(b)
}

func TestAFieldThatNoServiceTakesEndsTheMoveAndNamesItsJob(t *testing.T) {
	t.Parallel()
	p := start(t)
	fillQueue(t, p.from, p.q, 1000)
	p.from.HSet(t.Context(), p.q.Key("77"), "data", noise(9<<20))
	before := contents(t, p.from)
	_, err := move.Move(t.Context(), p.from, p.to, p.o)
	if migration.KindOf(err) != migration.Blocked || !strings.Contains(err.Error(),
		`"bull:orders:77"`) || !strings.Contains(err.Error(), "9 MiB") {
		t.Errorf("got %v", err)
	}
	if !maps.Equal(contents(t, p.from), before) {
		t.Error("the source was changed")
	}
}

// Managed services refuse requests of more than 10 MB.
func TestLargeJobsTravelInRequestsThatAServiceTakes(t *testing.T) {
	t.Parallel()
	for _, path := range []string{move.PathRestore, move.PathTyped} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			var opts []redistest.Option
			if path == move.PathTyped {
				opts = append(opts, redistest.Config(`rename-command RESTORE ""`))
			}
			p := start(t, opts...)
			for i := range 3 {
				id := fmt.Sprint("big", i)
				if err := shopAdd.Run(t.Context(), p.from, []string{p.q.Key("")},
					id).Err(); err != nil {
					t.Fatal(err)
				}
				p.from.HSet(t.Context(), p.q.Key(id), "data", noise(6<<20), "returnvalue",
					noise(5<<20))
				for range 50 {
					p.from.RPush(t.Context(), p.q.Key(id)+":logs", noise(200_000))
				}
			}
			p.from.HSet(t.Context(), p.q.Key("meta"), "version", "bullmq:6.7.0")
			before := contents(t, p.from)
			w := &widest{}
			p.to.AddHook(w)
			if r := p.move(t); r.Path != path {
				t.Errorf("went by %q", r.Path)
			}
			if w.n < 1<<20 || w.n > 10<<20 {
				t.Errorf("the largest request has %d bytes", w.n)
			}
			after := contents(t, p.to)
			for _, k := range slices.Sorted(maps.Keys(before)) {
				if strings.Contains(k, "big") && after[k] != before[k] {
					t.Errorf("%s is not the same", k)
				}
			}
		})
	}
}
