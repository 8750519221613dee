package bullmq_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func newEvent(key string) *redis.XAddArgs {
	return &redis.XAddArgs{Stream: key, Values: []any{"event", "added", "jobId", "1"}}
}

// snapshot is every key of a server, to restore the same state many times.
type snapshot map[string]string

func take(t *testing.T, c redis.UniversalClient) snapshot {
	t.Helper()
	out := snapshot{}
	for _, k := range c.Keys(t.Context(), "*").Val() {
		out[k] = c.Dump(t.Context(), k).Val()
	}
	return out
}

func (s snapshot) put(t *testing.T, c redis.UniversalClient) {
	t.Helper()
	if err := c.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	for k, v := range s {
		if err := c.Restore(t.Context(), k, 0, v).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// Every attempt is cut at one call, before or after the server executed it, and run
// again until it succeeds. The worker deletes what it completes, so only the ledger
// can tell that a job has been moved.
func TestMergeRunsEveryJobOnceWhereverItIsInterrupted(t *testing.T) {
	t.Parallel()
	src, dst := redistest.Start(t), redistest.Start(t)
	ctx, q := t.Context(), bullmq.Queue{Name: "orders"}
	fill(t, src, q)
	filled := take(t, src.Client())
	w := bullmqtest.Major(6).Work(t, dst, q.Name)
	from, to := src.Client(), dst.Client()
	runs := map[string]int{} // by attempt and job
	attempt := 0
	for _, side := range []struct {
		name   string
		client redis.UniversalClient
	}{{"source", from}, {"target", to}} {
		f := &redistest.Fault{}
		side.client.AddHook(f)
		for _, after := range []redistest.When{redistest.Before, redistest.After} {
			for call := 1; ; call++ {
				attempt++
				f.Arm(0, redistest.Before)
				filled.put(t, from)
				cleanTarget(t, to, q)
				o := bullmq.MergeOptions{Ledger: fmt.Sprintf("switchyard:import:%d", attempt),
					Rewrite: func(_ string, data []byte) ([]byte, error) {
						return bullmq.RewriteStamp(data, "_switchyard",
							map[string]any{"movedTo": "target", "attempt": attempt})
					}}
				f.Arm(call, after)
				r, err := bullmq.Merge(ctx, from, to, q, o)
				hit := f.Hit()
				if hit != (err != nil) {
					t.Fatalf("%s call %d (after %v): hit %v, error %v", side.name, call,
						after, hit, err)
				}
				if err != nil {
					if !errors.Is(err, redistest.ErrCut) {
						t.Fatalf("%s call %d: %v", side.name, call, err)
					}
					if r, err = bullmq.Merge(ctx, from, to, q, o); err != nil {
						t.Fatalf("%s call %d (after %v), again: %v", side.name,
							call, after, err)
					}
				}
				if r.Conflicts != 0 {
					t.Fatalf("%s call %d (after %v): %+v", side.name, call, after, r)
				}
				collect(t, w, to, q, runs, attempt, 8)
				// A worker reports a job just before BullMQ deletes it; until then
				// the next attempt's job would conflict with it.
				if err := bullmq.WaitIdle(ctx, to, q); err != nil {
					t.Fatal(err)
				}
				if n, err := bullmq.Census(ctx, from, q); err != nil || n.Pending() != 0 {
					t.Fatalf("%s call %d (after %v): left behind %+v %v", side.name, call,
						after, n, err)
				}
				if n, err := bullmq.Census(ctx, to, q); err != nil || n.Failed != 2 {
					t.Fatalf("%s call %d (after %v): the target holds %+v %v", side.name, call,
						after, n, err)
				}
				if !hit {
					break
				}
			}
		}
	}
	w.ExpectNone(t)
	for job, n := range runs {
		if n != 1 {
			t.Errorf("%s ran %d times", job, n)
		}
	}
	t.Logf("%d attempts, %d jobs run", attempt, len(runs))
}

// fill makes 4 waiting, 2 delayed, 2 prioritized and 2 failed jobs with real BullMQ and
// pauses the queue.
func fill(t *testing.T, s *redistest.Server, q bullmq.Queue) {
	t.Helper()
	var tasks []bullmqtest.Task
	for i := range 10 {
		o := map[string]any{"jobId": fmt.Sprintf("stripe_evt%d", i), "removeOnComplete": true,
			"attempts": 1}
		data := map[string]any{"order": map[string]any{"id": fmt.Sprintf("ord_%d", i)},
			"_switchyard": map[string]any{"authority": "source"}}
		switch {
		case i < 2:
			data["fail"] = true
		case i < 4:
			o["delay"] = 50
		case i < 6:
			o["priority"] = i
		}
		tasks = append(tasks, bullmqtest.Task{Name: "order", Data: data, Opts: o})
	}
	w := bullmqtest.Major(6).Work(t, s, q.Name)
	bullmqtest.Major(6).Add(t, s, q.Name, tasks[:2]...)
	redistest.Eventually(t, 10*time.Second, func() error {
		if n, err := bullmq.Census(t.Context(), s.Client(), q); err != nil || n.Failed != 2 {
			return fmt.Errorf("%+v %v", n, err)
		}
		return nil
	})
	w.Stop()
	redistest.Eventually(t, 10*time.Second, func() error {
		if ws, err := bullmq.Workers(t.Context(), s.Client(), q); err != nil || len(ws) > 0 {
			return fmt.Errorf("%v %v", ws, err)
		}
		return nil
	})
	if err := bullmq.Pause(t.Context(), s.Client(), q); err != nil {
		t.Fatal(err)
	}
	bullmqtest.Major(6).Add(t, s, q.Name, tasks[2:]...)
}

// cleanTarget deletes what the last attempt left: its failed jobs.
func cleanTarget(t *testing.T, c redis.UniversalClient, q bullmq.Queue) {
	t.Helper()
	for i := range 2 {
		c.Del(t.Context(), q.Key(fmt.Sprintf("stripe_evt%d", i)))
	}
	if err := c.Del(t.Context(), q.Key("failed")).Err(); err != nil {
		t.Fatal(err)
	}
}

// collect waits for n jobs of an attempt and counts every run.
func collect(
	t *testing.T, w *bullmqtest.Worker, c redis.UniversalClient, q bullmq.Queue,
	runs map[string]int, attempt, n int,
) {
	t.Helper()
	deadline := time.After(15 * time.Second)
	for mine := 0; mine < n; {
		select {
		case e := <-w.Jobs:
			var data struct {
				Stamp struct {
					Authority, MovedTo string
					Attempt            int
				} `json:"_switchyard"`
			}
			if err := json.Unmarshal(e.Data, &data); err != nil ||
				data.Stamp.MovedTo != "target" || data.Stamp.Authority != "source" {
				t.Fatalf("job %s has data %s", e.ID, e.Data)
			}
			runs[fmt.Sprintf("attempt %d job %s", data.Stamp.Attempt, e.ID)]++
			if data.Stamp.Attempt == attempt {
				mine++
			}
		case <-deadline:
			held, err := bullmq.Census(t.Context(), c, q)
			t.Fatalf(
				"attempt %d: the worker ran %d of %d jobs; the target holds %+v %v, marker %v",
				attempt, mine, n, held, err,
				c.ZRangeWithScores(t.Context(), q.Key("marker"), 0, -1).Val())
		}
	}
}

func TestMergeKeepsOrderAndAutomaticIDs(t *testing.T) {
	t.Parallel()
	src, dst := redistest.Start(t), redistest.Start(t)
	ctx, q := t.Context(), bullmq.Queue{Name: "orders"}
	if err := bullmq.Pause(ctx, src.Client(), q); err != nil {
		t.Fatal(err)
	}
	var tasks []bullmqtest.Task
	for i := range 1000 {
		tasks = append(tasks, bullmqtest.Task{Name: "order", Data: map[string]any{"n": i}})
	}
	added := bullmqtest.Major(6).Add(t, src, q.Name, tasks...)
	to := dst.Client()
	if err := bullmq.Pause(ctx, to, q); err != nil { // so that the order can be inspected
		t.Fatal(err)
	}
	started := time.Now()
	r, err := bullmq.Merge(ctx, src.Client(), to, q,
		bullmq.MergeOptions{Ledger: "switchyard:import:1"})
	if err != nil || r.Moved != 1000 || r.ByState["wait"] != 1000 {
		t.Fatalf("got %+v %v", r, err)
	}
	t.Logf("1000 jobs in %s", time.Since(started))
	there := to.LRange(ctx, q.Key("wait"), 0, -1).Val()
	slices.Reverse(there)
	if !slices.Equal(there, added) {
		t.Error("the order has changed")
	}
	if to.Exists(ctx, q.Key("marker")).Val() != 0 {
		t.Error("workers of a paused queue were woken")
	}
	if next := bullmqtest.Major(6).Add(t, dst, q.Name,
		bullmqtest.Task{Name: "new"}); next[0] != "1001" {
		t.Errorf("the next automatic id is %s: it would overwrite a moved job", next[0])
	}
	if r, err = bullmq.Merge(ctx, src.Client(), to, q,
		bullmq.MergeOptions{Ledger: "switchyard:import:1"}); err != nil ||
		r.Moved+r.AlreadyThere != 0 {
		t.Errorf("again: %+v %v", r, err)
	}
}

func TestMergeNeverOverwritesAJobOfTheTarget(t *testing.T) {
	t.Parallel()
	src, dst := redistest.Start(t), redistest.Start(t)
	ctx, q := t.Context(), bullmq.Queue{Name: "orders"}
	bullmqtest.Major(6).Add(t, src, q.Name, bullmqtest.Plain("stripe", 3)...)
	if err := bullmq.Pause(ctx, src.Client(), q); err != nil {
		t.Fatal(err)
	}
	bullmqtest.Major(6).Add(t, dst, q.Name,
		bullmqtest.Task{Name: "own", Opts: map[string]any{"jobId": "stripe_1"}})
	r, err := bullmq.Merge(ctx, src.Client(), dst.Client(), q, bullmq.MergeOptions{Ledger: "l"})
	if err != nil || r.Moved != 2 || r.Conflicts != 1 ||
		!slices.Equal(r.ConflictIDs, []string{"stripe_1"}) {
		t.Errorf("got %+v %v", r, err)
	}
	if name := dst.Client().HGet(ctx, q.Key("stripe_1"), "name").Val(); name != "own" {
		t.Errorf("the target's job is now %q", name)
	}
	// The target's own job may be done and deleted by the next attempt: it is the
	// same event all the same.
	dst.Client().Del(ctx, q.Key("stripe_1"))
	if r, err = bullmq.Merge(ctx, src.Client(), dst.Client(), q,
		bullmq.MergeOptions{Ledger: "l"}); err != nil || r.Moved != 0 || r.Conflicts != 1 {
		t.Errorf("again: %+v %v", r, err)
	}
	if n, err := bullmq.Census(ctx, src.Client(), q); err != nil || n.Waiting != 1 {
		t.Errorf("the source holds %+v %v", n, err)
	}
}

func TestMergeRefusesWhatItCannotMoveExactlyOnce(t *testing.T) {
	t.Parallel()
	for rule, tt := range map[string]struct {
		make func(t *testing.T, s *redistest.Server, q bullmq.Queue)
		want string
	}{
		"a queue that is not paused": {func(t *testing.T, s *redistest.Server, q bullmq.Queue) {
			bullmqtest.Major(6).Add(t, s, q.Name, bullmqtest.Plain("a", 1)...)
		}, "not paused"},
		"a job being processed": {func(t *testing.T, s *redistest.Server, q bullmq.Queue) {
			s.Client().RPush(t.Context(), q.Key("active"), "x")
			s.Client().HSet(t.Context(), q.Key("meta"), "paused", 1)
		}, "1 jobs are being processed"},
		"a scheduler": {func(t *testing.T, s *redistest.Server, q bullmq.Queue) {
			bullmqtest.Major(6).Run(t, s, q.Name, "every", "")
			bullmqtest.Major(6).Run(t, s, q.Name, "pause", "")
		}, "1 schedulers"},
		"a flow": {func(t *testing.T, s *redistest.Server, q bullmq.Queue) {
			bullmqtest.Major(6).Run(t, s, q.Name, "flow", "")
			bullmqtest.Major(6).Run(t, s, q.Name, "pause", "")
		}, "belongs to a flow"},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			src, dst := redistest.Start(t), redistest.Start(t)
			q := bullmq.Queue{Name: "orders"}
			tt.make(t, src, q)
			_, err := bullmq.Merge(t.Context(), src.Client(), dst.Client(), q,
				bullmq.MergeOptions{Ledger: "l"})
			if migration.KindOf(err) != migration.Blocked ||
				!strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want a refusal with %q", err, tt.want)
			}
			if n := dst.Client().DBSize(t.Context()).Val(); n != 0 {
				t.Errorf("%d keys were written all the same", n)
			}
		})
	}
}

func TestMergeTakesADeduplicationIDAlongWithTheJobThatHoldsIt(t *testing.T) {
	t.Parallel()
	src, dst := redistest.Start(t), redistest.Start(t)
	v6, q, ctx := bullmqtest.Major(6), bullmq.Queue{Name: "orders"}, t.Context()
	dedup := func(id, d string, ttl int) bullmqtest.Task {
		opts := map[string]any{"id": d}
		if ttl > 0 {
			opts["ttl"] = ttl
		}
		return bullmqtest.Task{Name: "n",
			Opts: map[string]any{"jobId": id, "deduplication": opts}}
	}
	v6.Add(t, src, q.Name, dedup("simple", "s", 0), dedup("throttled", "t", 60_000),
		dedup("contested", "c", 0))
	v6.Add(t, dst, q.Name, dedup("first", "c", 0))
	v6.Run(t, src, q.Name, "pause", "")
	r, err := bullmq.Merge(ctx, src.Client(), dst.Client(), q, bullmq.MergeOptions{Ledger: "l"})
	if err != nil || r.Moved != 3 {
		t.Fatalf("%+v %v", r, err)
	}
	for d, want := range map[string]string{"s": "simple", "t": "throttled", "c": "first"} {
		if got := dst.Client().Get(ctx, q.Key("de:"+d)).Val(); got != want {
			t.Errorf("%s is held by %q, want %q", d, got, want)
		}
		if n := src.Client().Exists(ctx, q.Key("de:"+d)).Val(); n != 0 {
			t.Errorf("%s is still held on the source", d)
		}
	}
	if ttl := dst.Client().PTTL(ctx, q.Key("de:t")).Val(); ttl <= 40*time.Second ||
		ttl > time.Minute {
		t.Errorf("the throttle ends in %v", ttl)
	}
	v6.Add(t, dst, q.Name, dedup("late", "s", 0)) // held back by the moved job
	w := v6.Work(t, dst, q.Name)
	got := w.Expect(t, 4)
	slices.Sort(got)
	if !slices.Equal(got, []string{"contested", "first", "simple", "throttled"}) {
		t.Errorf("ran %v", got)
	}
	w.ExpectNone(t)
}
