package move_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/bullmq/move"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// Real BullMQ of every version fills two queues with all its features; a producer and a
// worker of that version go on while the queues move to a worker of version 6. Each job
// runs exactly once, wherever.
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
