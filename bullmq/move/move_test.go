package move_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/bullmq/move"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// Real BullMQ of every version fills two queues with all its features; a producer
// and a worker of that version continue while the queues move to a worker of
// version 6. Each job runs exactly once, on either side.
func TestEveryJobRunsOnceAcrossTheMoveFromBullMQ(t *testing.T) {
	for _, major := range []bullmqtest.Major{3, 4, 5, 6} {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			src, dst := redistest.Start(t), redistest.Start(t)
			want := major.Populate(t, src, "orders")
			producer := major.Produce(t, src, "orders")
			worker := major.Work(t, src, "orders,orders-children")
			target := bullmqtest.Major(6).Work(t, dst, "orders,orders-children")
			runs := map[string]int{}
			for len(runs) < 15 { // some run before
				runs[(<-worker.Jobs).Key()]++
			}
			o := move.Options{Run: "r1",
				Queues: []bullmq.Queue{{Name: "orders"}, {Name: "orders-children"}}}
			added := 0
			o.Ready = func(move.Prediction) bool { added++; return added > 3 }
			report, err := move.Move(t.Context(), src.Client(), dst.Client(), o)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", report)
			producer.Stop()
			swept, err := move.Sweep(t.Context(), src.Client(), dst.Client(), o)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("swept %+v", swept)

			expected := map[string]bool{}
			for _, k := range want.Jobs {
				expected[k] = true
			}
			for id := range producer.Added {
				expected[id] = true
			}
			awaitRuns(t, runs, expected, worker, target)
		})
	}
}

// awaitRuns waits until every expected key has run, then looks for second runs for a
// moment.
func awaitRuns(
	t *testing.T, runs map[string]int, expected map[string]bool,
	workers ...*bullmqtest.Worker,
) {
	t.Helper()
	missing := maps.Clone(expected)
	for k := range runs {
		delete(missing, k)
	}
	ticks := runs["tick"]
	delete(runs, "tick")
	deadline, linger := time.After(40*time.Second), (<-chan time.Time)(nil)
	for {
		var e bullmqtest.Executed
		select {
		case e = <-workers[0].Jobs:
		case e = <-workers[1].Jobs:
		case <-linger:
			for k, n := range runs {
				if n != 1 {
					t.Errorf("%s ran %d times", k, n)
				}
			}
			t.Logf("%d jobs, %d ticks", len(runs), ticks)
			return
		case <-deadline:
			t.Fatalf("%d jobs did not run: %v", len(missing),
				slices.Sorted(maps.Keys(missing))[:min(20, len(missing))])
		}
		k := e.Key()
		if k == "tick" {
			ticks++
			continue
		}
		if !expected[k] {
			if !strings.HasPrefix(k, "p_") {
				t.Errorf("%s ran, which is none of ours", k)
			}
			continue
		}
		runs[k]++
		delete(missing, k)
		if len(missing) == 0 && linger == nil {
			linger = time.After(time.Second)
		}
	}
}

const v6 = bullmqtest.Major(6)

// pair is two servers, and a move of queue "orders" from one to the other.
type pair struct {
	src, dst *redistest.Server
	from, to redis.UniversalClient
	q        bullmq.Queue
	o        move.Options
}

func (p *pair) move(t *testing.T) move.Report {
	t.Helper()
	r, err := move.Move(t.Context(), p.from, p.to, p.o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// bulk opens a server for values of any size, however busy this machine is.
func bulk(t *testing.T, s *redistest.Server) redis.UniversalClient {
	t.Helper()
	c, err := redisconn.OpenBulk(s.Endpoint(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func start(t *testing.T, opts ...redistest.Option) *pair {
	t.Helper()
	p := &pair{src: redistest.Start(t), dst: redistest.Start(t, opts...),
		q: bullmq.Queue{Name: "orders"}}
	p.from, p.to = bulk(t, p.src), bulk(t, p.dst)
	p.o = move.Options{Run: "r1", Queues: []bullmq.Queue{p.q}}
	return p
}

// job makes one plain job with the given options.
func job(k string, opts map[string]any) bullmqtest.Task {
	return bullmqtest.Task{Name: "order", Data: map[string]any{"k": k}, Opts: opts}
}

// keysOf waits for n jobs and returns their data.k in the order they ran.
func keysOf(t *testing.T, w *bullmqtest.Worker, n int) []string {
	t.Helper()
	deadline := time.After(20 * time.Second)
	var out []string
	for len(out) < n {
		select {
		case e := <-w.Jobs:
			out = append(out, e.Key())
		case <-deadline:
			t.Fatalf("%d of %d jobs ran: %v", len(out), n, out)
		}
	}
	return out
}

// drain returns what a worker has run so far.
func drain(w *bullmqtest.Worker) (out []string) {
	for {
		select {
		case e := <-w.Jobs:
			out = append(out, e.Key())
		default:
			return out
		}
	}
}

func field(line, name string) string {
	for f := range strings.FieldsSeq(line) {
		if v, ok := strings.CutPrefix(f, name+"="); ok {
			return v
		}
	}
	return ""
}
