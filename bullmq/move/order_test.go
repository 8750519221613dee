package move_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// Waiting jobs run in the same order as in an unmoved queue of the same version.
func TestOrderIsThatOfAnUnmovedQueueOfBullMQ(t *testing.T) {
	for _, major := range []bullmqtest.Major{3, 4, 5, 6} {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			p := start(t)
			var tasks []bullmqtest.Task
			for i := range 30 {
				opts := map[string]any{}
				switch i % 5 {
				case 1:
					opts["priority"] = 1 + (i*7)%4
				case 2:
					opts["lifo"] = true
				case 3:
					opts["jobId"] = fmt.Sprint("own_", i)
				}
				tasks = append(tasks, job(fmt.Sprint(i), opts))
			}
			major.Add(t, p.src, "orders", tasks...)
			reference := redistest.Start(t)
			take(t, p.from).put(t, reference.Client())
			want := keysOf(t, major.Work(t, reference, "orders", "CONCURRENCY=1"), len(tasks))
			p.move(t)
			if got := keysOf(t, v6.Work(t, p.dst, "orders", "CONCURRENCY=1"),
				len(tasks)); !slices.Equal(got, want) {
				t.Errorf("ran\n%v, unmoved\n%v", got, want)
			}
		})
	}
}

func TestDelaysHold(t *testing.T) {
	t.Parallel()
	p := start(t)
	v6.Add(t, p.src, "orders", job("soon", map[string]any{"delay": 1200}),
		job("hour", map[string]any{"delay": 3_600_000}))
	due := p.from.ZRangeWithScores(t.Context(), p.q.Key("delayed"), 0, -1).Val()
	p.move(t)
	if got := p.to.ZRangeWithScores(t.Context(), p.q.Key("delayed"), 0,
		-1).Val(); fmt.Sprint(got) != fmt.Sprint(due) {
		t.Errorf("due %v, were %v", got, due)
	}
	if got := keysOf(t, v6.Work(t, p.dst, "orders"), 1); got[0] != "soon" {
		t.Errorf("ran %v", got)
	}
}

func TestHazardEqualPrioritiesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	p := start(t)
	prio := map[string]any{"priority": 5}
	for i := range 4 {
		v6.Add(t, p.src, "orders", job(fmt.Sprint("old", i), prio))
	}
	p.move(t)
	v6.Add(t, p.dst, "orders", job("new0", prio), job("new1", prio))
	w := v6.Work(t, p.dst, "orders", "CONCURRENCY=1")
	if got := keysOf(t, w, 6); !slices.Equal(got,
		[]string{"old0", "old1", "old2", "old3", "new0", "new1"}) {
		t.Errorf("ran %v", got)
	}
}

func TestHazardIdleWorkerOfTheTargetIsWokenAtOnce(t *testing.T) {
	t.Parallel()
	p := start(t)
	w := v6.Work(t, p.dst, "orders") // by itself it looks again only after 60 s
	w.ExpectNone(t)
	v6.Add(t, p.src, "orders", job("now", nil))
	p.move(t)
	if got := keysOf(t, w, 1); got[0] != "now" {
		t.Errorf("ran %v", got)
	}
}

func TestHazardIdleWorkerOfTheTargetIsWokenForTheFirstDelayedJob(t *testing.T) {
	t.Parallel()
	p := start(t)
	w := v6.Work(t, p.dst, "orders")
	w.ExpectNone(t)
	v6.Add(t, p.src, "orders", job("later", map[string]any{"delay": 1000}))
	p.move(t)
	if got := keysOf(t, w, 1); got[0] != "later" {
		t.Errorf("ran %v", got)
	}
}

// A queue with workers is never still: they promote delayed jobs that come due,
// paused or not. Reading the indexes one after the other would lose or duplicate
// these.
func TestHazardDelayedJobsComeDueWhileTheQueueMoves(t *testing.T) {
	t.Parallel()
	p := start(t)
	var tasks []bullmqtest.Task
	want := []string{}
	for i := range 200 {
		k := fmt.Sprintf("d%03d", i)
		want = append(want, k)
		tasks = append(tasks, job(k, map[string]any{"delay": 200 + 10*i}))
	}
	v6.Add(t, p.src, "orders", tasks...)
	source, target := v6.Work(t, p.src, "orders"), v6.Work(t, p.dst, "orders")
	got := keysOf(t, source, 1) // they come due from now on
	p.move(t)
	for len(got) < len(want) {
		select {
		case e := <-source.Jobs:
			got = append(got, e.Key())
		case e := <-target.Jobs:
			got = append(got, e.Key())
		case <-time.After(20 * time.Second):
			t.Fatalf("%d of %d ran", len(got), len(want))
		}
	}
	source.ExpectNone(t)
	target.ExpectNone(t)
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("ran %v", got)
	}
}
