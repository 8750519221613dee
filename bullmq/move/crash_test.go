package move_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/bullmq/move"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// Calls that the mover makes on either server are cut: every fifth one, a different
// selection per version, and each in three ways: before the server saw it, after it
// was executed, or in the middle of a pipeline, on what real BullMQ of each version
// left. Then the move is run again. The target must hold the same, whatever was
// cut.
func TestTheTargetIsTheSameWhereverTheMoverIsKilled(t *testing.T) {
	for _, major := range []bullmqtest.Major{3, 4, 5, 6} {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			src, dst := redistest.Start(t), redistest.Start(t)
			from, to := src.Client(), dst.Client()
			major.Populate(t, src, "orders")
			filled := take(t, from)
			o := move.Options{Run: "r",
				Queues: []bullmq.Queue{{Name: "orders"}, {Name: "orders-children"}}}
			// attempt reports whether the fault was reached.
			attempt := func(at int, fault *redistest.Fault, when redistest.When) bool {
				t.Helper()
				filled.put(t, from)
				if err := to.FlushAll(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
				fault.Arm(at, when)
				_, err := move.Move(t.Context(), from, to, o)
				hit := fault.Hit()
				if err != nil && !errors.Is(err, redistest.ErrCut) {
					t.Fatalf("call %d, %v: %v", at, when, err)
				}
				if err != nil {
					if _, err := move.Move(t.Context(), from, to, o); err != nil {
						t.Fatalf("call %d, %v: again: %v", at, when, err)
					}
				}
				return hit
			}
			attempt(0, &redistest.Fault{}, redistest.Before)
			want := contents(t, to)
			if len(want) < 50 {
				t.Fatalf("the target holds %d keys only", len(want))
			}
			kills := 0
			for side, c := range map[string]redis.UniversalClient{"source": from,
				"target": to} {
				fault := &redistest.Fault{}
				c.AddHook(fault)
				for _, when := range []redistest.When{redistest.Before, redistest.After,
					redistest.Half} {
					for at := int(major) - 2; attempt(at, fault, when); at += 5 {
						if got := contents(t, to); !maps.Equal(got, want) {
							t.Fatalf("%s, call %d, %v: %s", side, at, when,
								difference(got, want))
						}
						kills++
					}
				}
			}
			t.Logf("%d kills", kills)
		})
	}
}

// snapshot is every key of a server, to restore the same state many times.
type snapshot map[string]struct {
	dump     string
	expireAt int64 // unix ms; 0 never
}

func take(t *testing.T, c redis.UniversalClient) snapshot {
	t.Helper()
	out := snapshot{}
	for _, k := range c.Keys(t.Context(), "*").Val() {
		v := out[k]
		v.dump, v.expireAt = c.Dump(t.Context(), k).Val(), max(0,
			c.Do(t.Context(), "PEXPIRETIME", k).Val().(int64))
		out[k] = v
	}
	return out
}

func (s snapshot) put(t *testing.T, c redis.UniversalClient) {
	t.Helper()
	_, err := c.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
		p.FlushAll(t.Context())
		for k, v := range s {
			args := []any{"RESTORE", k, v.expireAt, v.dump}
			if v.expireAt > 0 {
				args = append(args, "ABSTTL")
			}
			p.Do(t.Context(), args...)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// contents is every key of a server with its typed value, except the move's record,
// the event streams and the server's own keys.
func contents(t *testing.T, c redis.UniversalClient) map[string]string {
	t.Helper()
	ctx, out := t.Context(), map[string]string{}
	for _, k := range c.Keys(ctx, "*").Val() {
		if strings.HasPrefix(k, "switchyard:") || strings.HasSuffix(k, ":events") ||
			strings.HasSuffix(k, ":stalled-check") {
			continue
		}
		var v any
		switch kind := c.Type(ctx, k).Val(); kind {
		case "string":
			v = c.Get(ctx, k).Val()
		case "list":
			v = c.LRange(ctx, k, 0, -1).Val()
		case "hash":
			v = c.HGetAll(ctx, k).Val() // fmt prints maps in order
		case "set":
			members := c.SMembers(ctx, k).Val()
			slices.Sort(members)
			v = members
		case "zset":
			v = c.ZRangeWithScores(ctx, k, 0, -1).Val()
		default:
			t.Fatalf("%s is a %s", k, kind)
		}
		out[k] = fmt.Sprint(v)
	}
	return out
}

func difference(got, want map[string]string) string {
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if got[k] != want[k] {
			return fmt.Sprintf("%s is %.200q, want %.200q", k, got[k], want[k])
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			return fmt.Sprintf("%s should not be there: %.200q", k, got[k])
		}
	}
	return "no difference"
}

// shop is a producer and a worker that follow BullMQ 6's rules, in Go, so that
// hundreds of moves can be tested under them.
type shop struct {
	c     redis.UniversalClient
	q     bullmq.Queue
	added chan string // acknowledged
	done  chan string
}

var (
	shopAdd = redis.NewScript(`
local id = redis.call('INCR', KEYS[1] .. 'id')
if ARGV[1] ~= '' then
  id = ARGV[1]
  if redis.call('EXISTS', KEYS[1] .. id) == 1 then return '' end
end
redis.call('HSET', KEYS[1] .. id, 'name', 'order', 'data', '{}', 'opts', '{}', 'timestamp', '1',
  'delay', '0', 'priority', '0')
redis.call('LPUSH', KEYS[1] .. 'wait', id)
return tostring(id)`)
	shopTake = redis.NewScript(`
if redis.call('HEXISTS', KEYS[1] .. 'meta', 'paused') == 1 then return '' end
local id = redis.call('RPOPLPUSH', KEYS[1] .. 'wait', KEYS[1] .. 'active')
if not id then return '' end
redis.call('SET', KEYS[1] .. id .. ':lock', 't', 'PX', 30000)
redis.call('HSET', KEYS[1] .. id, 'processedOn', '2', 'ats', '1')
return id`)
	shopDone = redis.NewScript(`
redis.call('LREM', KEYS[1] .. 'active', -1, ARGV[1])
redis.call('DEL', KEYS[1] .. ARGV[1] .. ':lock')
if ARGV[2] == '1' then redis.call('DEL', KEYS[1] .. ARGV[1])
else
  redis.call('HSET', KEYS[1] .. ARGV[1], 'finishedOn', '3', 'returnvalue', 'null')
  redis.call('ZADD', KEYS[1] .. 'completed', 3, ARGV[1])
end
return 1`)
)

func newRandom(seed, stream uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, stream)) }

// produce adds jobs, with explicit and automatic ids, until ctx ends.
func (s *shop) produce(ctx context.Context, name string) {
	for i := 0; ctx.Err() == nil; i++ {
		id := ""
		if i%2 == 0 {
			id = fmt.Sprintf("%s_%d", name, i)
		}
		if id, err := shopAdd.Run(context.WithoutCancel(ctx), s.c, []string{s.q.Key("")},
			id).Text(); err == nil && id != "" {
			s.added <- id
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// work runs jobs until ctx ends.
func (s *shop) work(ctx context.Context, random *rand.Rand) {
	for ctx.Err() == nil {
		id, err := shopTake.Run(context.WithoutCancel(ctx), s.c, []string{s.q.Key("")}).Text()
		if err != nil || id == "" {
			time.Sleep(200 * time.Microsecond)
			continue
		}
		s.done <- id
		if err := shopDone.Run(context.WithoutCancel(ctx), s.c, []string{s.q.Key("")}, id,
			random.IntN(2)).Err(); err != nil {
			panic(err)
		}
	}
}

// One producer and worker stay on the source, another pair works on the target,
// while the mover is killed again and again at a random call; now and then the move
// is taken back in between and started again. Every acknowledged job runs exactly
// once, on one side or the other.
func TestNothingIsLostOrDoubledWhileTheMoverIsKilled(t *testing.T) {
	t.Parallel()
	src, dst := redistest.Start(t), redistest.Start(t)
	from, to := src.Client(), dst.Client()
	faults := [2]*redistest.Fault{{}, {}}
	// The mover has its own clients, so that only its calls are cut.
	mine := [2]redis.UniversalClient{src.Client(), dst.Client()}
	for i, c := range mine {
		c.AddHook(faults[i])
	}
	kills, moves, backs, jobs := 0, 0, 0, 0
	for seed := seedOf(t); kills < 600; seed++ {
		random := newRandom(seed, 1)
		q := bullmq.Queue{Name: fmt.Sprintf("q%d", seed)}
		if err := from.HSet(t.Context(), q.Key("meta"), "version", "bullmq:6.7.0",
			"opts.maxLenEvents", "10000").Err(); err != nil {
			t.Fatal(err)
		}
		s := &shop{c: from, q: q, added: make(chan string, 1_000_000),
			done: make(chan string, 1_000_000)}
		there := &shop{c: to, q: q, added: s.added, done: s.done}
		producing, endProducing := context.WithCancel(t.Context())
		working, endWorking := context.WithCancel(t.Context())
		var producers, workers sync.WaitGroup
		producers.Go(func() { s.produce(producing, "a") })
		workerSeeds := [2]*rand.Rand{newRandom(seed, 2), newRandom(seed, 3)}
		workers.Go(func() { s.work(working, workerSeeds[0]) })
		workers.Go(func() { there.work(working, workerSeeds[1]) })

		o := move.Options{Run: fmt.Sprintf("r%d", seed), Queues: []bullmq.Queue{q},
			Drain: 10 * time.Second}
		// Every other time, somebody adds on the target during the copy already.
		// Such a move is not taken back.
		early := sync.OnceFunc(func() {
			producers.Go(func() { there.produce(producing, "b") })
		})
		mayGoBack := seed%2 == 0
		if !mayGoBack {
			o.Ready = func(move.Prediction) bool { early(); return true }
		}
		for tries := 1; ; tries++ {
			side := random.IntN(2)
			at := 1 + random.IntN(30)
			if tries > 4 {
				at = 0
			}
			faults[side].Arm(at, redistest.When(random.IntN(3)))
			var err error
			if mayGoBack && tries > 1 && random.IntN(4) == 0 {
				err = move.Back(t.Context(), mine[0], mine[1], o)
				if strings.Contains(fmt.Sprint(err), "other direction") {
					err = nil // it was activated already
				}
				backs++
				if err == nil {
					err = redistest.ErrCut // start again
				}
			} else {
				_, err = move.Move(t.Context(), mine[0], mine[1], o)
			}
			hit := faults[side].Hit()
			if hit {
				kills++
			}
			if err == nil {
				break
			}
			if !errors.Is(err, redistest.ErrCut) {
				t.Fatalf("seed %d, try %d: %v", seed, tries, err)
			}
		}
		moves++
		endProducing()
		producers.Wait()
		for {
			side := random.IntN(2)
			faults[side].Arm(1+random.IntN(20), redistest.When(random.IntN(3)))
			_, err := move.Sweep(t.Context(), mine[0], mine[1], o)
			if faults[side].Hit() {
				kills++
			}
			if err == nil {
				break
			}
			if !errors.Is(err, redistest.ErrCut) {
				t.Fatalf("seed %d: sweep: %v", seed, err)
			}
		}
		close(s.added)
		owed := map[string]int{}
		for id := range s.added {
			owed[id] = 0
		}
		for n := 0; n < len(owed); {
			select {
			case id := <-s.done:
				if owed[id]++; owed[id] > 1 {
					t.Fatalf("seed %d: %s ran twice", seed, id)
				}
				n++
			case <-time.After(10 * time.Second):
				for id, runs := range owed {
					if runs == 0 {
						t.Fatalf("seed %d: %s of %d jobs never ran: source %v, target %v", seed,
							id, len(owed), from.Exists(t.Context(), q.Key(id)),
							to.Exists(t.Context(), q.Key(id)))
					}
				}
			}
		}
		endWorking()
		workers.Wait()
		select {
		case id := <-s.done:
			t.Fatalf("seed %d: %s ran once more", seed, id)
		default:
		}
		// Nothing of jobs that ran and were deleted on the source is left behind on
		// the target.
		for _, k := range to.Keys(t.Context(), q.Key("*")).Val() {
			id := strings.TrimPrefix(k, q.Key(""))
			if _, isJob := owed[id]; isJob &&
				to.ZScore(t.Context(), q.Key("completed"), id).Err() != nil {
				t.Fatalf("seed %d: %s is on the target and in no list", seed, id)
			}
		}
		jobs += len(owed)
	}
	t.Logf("%d kills in %d moves, %d taken back, %d jobs", kills, moves, backs, jobs)
}
