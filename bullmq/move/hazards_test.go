package move_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/bullmq/move"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func TestHazardAutomaticIDsGoOnBehindTheSources(t *testing.T) {
	t.Parallel()
	p := start(t)
	first := v6.Add(t, p.src, "orders", job("a", nil), job("b", nil))
	p.move(t)
	if v := p.to.HGet(t.Context(), p.q.Key("meta"), "version").Val(); v != "bullmq:6.7.0" {
		// the version decides how it is paused, and what may be done to its jobs
		t.Errorf("the target says it is of version %q", v)
	}
	if j, err := bullmq.FindJob(t.Context(), p.from, p.q, first[0]); err != nil ||
		j.State != "" || !j.Moved {
		t.Errorf("the copy on the source: %+v %v", j, err)
	}
	next := v6.Add(t, p.dst, "orders", job("c", nil))
	if first[1] != "2" || next[0] != "3" {
		t.Errorf("ids %v, then %v on the target", first, next)
	}
	if got := keysOf(t, v6.Work(t, p.dst, "orders"), 3); !slices.Equal(got,
		[]string{"a", "b", "c"}) {
		t.Errorf("ran %v", got)
	}
}

func TestHazardActiveJobIsWaitedForAndNotCopied(t *testing.T) {
	t.Parallel()
	p := start(t)
	w := v6.Work(t, p.src, "orders")
	v6.Add(t, p.src, "orders",
		bullmqtest.Task{Name: "order", Data: map[string]any{"k": "slow", "hold": true}})
	redistest.Eventually(t, 10*time.Second, func() error {
		if n := p.from.LLen(t.Context(), p.q.Key("active")).Val(); n != 1 {
			return fmt.Errorf("%d active", n)
		}
		return nil
	})
	p.o.Drain = 50 * time.Millisecond
	if _, err := move.Move(t.Context(), p.from, p.to, p.o); err == nil ||
		!strings.Contains(err.Error(), "orders:1") {
		t.Fatalf("moved with an active job: %v", err)
	}
	if n, err := bullmq.Census(t.Context(), p.from, p.q); err != nil || n.Paused {
		t.Errorf("the source was not resumed: %+v %v", n, err)
	}
	p.o.Drain = time.Minute
	p.o.Progress = func(pr move.Progress) {
		if pr.Phase == "pause" {
			go w.Stop() // lets the job end
		}
	}
	p.move(t)
	if got := keysOf(t, w, 1); got[0] != "slow" {
		t.Errorf("ran %v on the source", got)
	}
	for _, k := range []string{"1:lock", "active", "stalled"} {
		if p.to.Exists(t.Context(), p.q.Key(k)).Val() != 0 {
			t.Errorf("%s was copied", k)
		}
	}
	v6.Work(t, p.dst, "orders").ExpectNone(t)
}

// A lock on the target would keep a job active forever, or until it expires.
func TestHazardLocksAreNotCopied(t *testing.T) {
	t.Parallel()
	p := start(t)
	v6.Add(t, p.src, "orders", job("a", map[string]any{"jobId": "a"}),
		job("b", map[string]any{"jobId": "b"}))
	p.from.Set(t.Context(), p.q.Key("a:lock"), "worker", 0)
	p.from.Set(t.Context(), p.q.Key("b:lock"), "worker", time.Minute)
	p.move(t)
	for _, k := range p.to.Keys(t.Context(), "*:lock").Val() {
		t.Errorf("%s was copied", k)
	}
	if got := keysOf(t, v6.Work(t, p.dst, "orders", "CONCURRENCY=1"), 2); !slices.Equal(got,
		[]string{"a", "b"}) {
		t.Errorf("ran %v", got)
	}
}

// A full server refuses writes, and workers get stuck on it.
func TestHazardTheTargetFillsUp(t *testing.T) {
	t.Parallel()
	p := start(t)
	const jobs = 2000
	for _, phase := range []string{"copy", "stage"} {
		for _, c := range []redis.UniversalClient{p.from, p.to} {
			c.FlushAll(t.Context())
		}
		fillQueue(t, p.from, p.q, jobs)
		before := contents(t, p.from)
		p.o.Progress = func(pr move.Progress) {
			if pr.Phase == phase {
				p.to.ConfigSet(t.Context(), "maxmemory", "1")
			}
		}
		if _, err := move.Move(t.Context(), p.from, p.to, p.o); err == nil ||
			!strings.Contains(err.Error(), "OOM") {
			t.Fatalf("%s: %v", phase, err)
		}
		if phase == "copy" {
			if d := difference(contents(t, p.from), before); d != "no difference" {
				t.Errorf("%s: %s", phase, d)
			}
		}
		if n := p.to.LLen(t.Context(), p.q.Key("wait")).Val(); n != 0 {
			t.Errorf("%s: %d jobs may run on the target", phase, n)
		}
		p.o.Progress = nil
		p.to.ConfigSet(t.Context(), "maxmemory", "0")
		p.move(t)
		if n := p.to.LLen(t.Context(), p.q.Key("wait")).Val(); n != jobs {
			t.Errorf("%s, again: %d jobs moved", phase, n)
		}
	}
}

func TestHazardLateAutomaticIDsMeetNoneOfTheTargets(t *testing.T) {
	t.Parallel()
	p := start(t)
	v6.Add(t, p.src, "orders", job("a", nil))
	p.move(t)
	// by a producer that still knows the source
	late := v6.Add(t, p.src, "orders", job("late", nil))
	v6.Add(t, p.dst, "orders", job("new", nil))
	swept, err := move.Sweep(t.Context(), p.from, p.to, p.o)
	if err != nil || swept["orders"].Moved != 1 || swept["orders"].Conflicts != 0 {
		t.Fatalf("late id %s: %+v %v", late[0], swept, err)
	}
	got := keysOf(t, v6.Work(t, p.dst, "orders"), 3)
	slices.Sort(got)
	if !slices.Equal(got, []string{"a", "late", "new"}) {
		t.Errorf("ran %v", got)
	}
}

func TestHazardSomebodyResumesTheSourceBeforeTheFence(t *testing.T) {
	t.Parallel()
	for name, meddle := range map[string]func(*pair){
		"has 1 active jobs": func(p *pair) {
			p.from.LMove(t.Context(), p.q.Key("wait"), p.q.Key("active"), "right", "left")
		},
		"was resumed by somebody": func(p *pair) {
			p.from.HDel(t.Context(), p.q.Key("meta"), "paused")
		},
	} {
		p := start(t)
		v6.Add(t, p.src, "orders", job("a", nil), job("b", nil))
		p.o.Progress = func(pr move.Progress) {
			if pr.Phase == "fence" {
				meddle(p)
			}
		}
		if _, err := move.Move(t.Context(), p.from, p.to, p.o); err == nil ||
			!strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if n := p.from.LLen(t.Context(), p.q.Key("wait")).Val(); n == 0 {
			t.Errorf("%s: fenced all the same", name)
		}
		if n := p.to.LLen(t.Context(), p.q.Key("wait")).Val(); n != 0 {
			t.Errorf("%s: %d jobs are on the target", name, n)
		}
	}
}

func TestHazardRateLimitHolds(t *testing.T) {
	t.Parallel()
	p := start(t)
	// A limiter that never expires, as a copy without TTL leaves it, would block
	// the queue; one that expires is carried over.
	p.from.Set(t.Context(), p.q.Key("limiter"), 2, time.Minute)
	v6.Run(t, p.src, "orders", "call", `{"method":"setGlobalRateLimit","args":[2,1000]}`)
	p.move(t)
	if ttl := p.to.PTTL(t.Context(), p.q.Key("limiter")).Val(); ttl <= 50*time.Second ||
		ttl > time.Minute {
		t.Errorf("the limiter ends in %v", ttl)
	}
	if m := p.to.HMGet(t.Context(), p.q.Key("meta"), "max",
		"duration").Val(); fmt.Sprint(m) != "[2 1000]" {
		t.Errorf("global rate limit %v", m)
	}
	p = start(t)
	p.from.Set(t.Context(), p.q.Key("limiter"), 2, 0)
	v6.Add(t, p.src, "orders", job("a", nil))
	p.move(t)
	if n := p.to.Exists(t.Context(), p.q.Key("limiter")).Val(); n != 0 {
		t.Error("a limiter without an end was copied")
	}
}

func TestHazardFlowsMoveWithAllTheirQueues(t *testing.T) {
	t.Parallel()
	for _, alone := range []string{"orders", "orders-children"} {
		p := start(t)
		v6.Populate(t, p.src, "orders")
		p.o.Queues = []bullmq.Queue{{Name: alone}}
		before := contents(t, p.from)
		_, err := move.Move(t.Context(), p.from, p.to, p.o)
		other := map[string]string{"orders": "bull:orders-children",
			"orders-children": "bull:orders"}[alone]
		if err == nil || !strings.Contains(err.Error(), other+" (named by") {
			t.Fatalf("%s alone: %v", alone, err)
		}
		if err := move.Back(t.Context(), p.from, p.to, p.o); err != nil {
			t.Fatal(err)
		}
		if got := contents(t, p.from); difference(got, before) != "no difference" {
			t.Errorf("%s alone changed the source: %s", alone, difference(got, before))
		}
		for k := range contents(t, p.to) {
			if k != "bull:"+alone+":id" && k != "bull:"+alone+":marker" {
				t.Errorf("%s was left on the target", k)
			}
		}
	}
}

func TestHazardSchedulerTicksOnOnOneSideOnly(t *testing.T) {
	t.Parallel()
	p := start(t)
	v6.Run(t, p.src, "orders", "call", `{"method":"upsertJobScheduler","args":["tick",{"every":700},{"name":"tick","data":{"k":"tick"}}]}`)
	source, target := v6.Work(t, p.src, "orders"), v6.Work(t, p.dst, "orders")
	seen := map[string]int{}
	for range 2 {
		e := <-source.Jobs
		seen[e.ID]++
	}
	p.move(t)
	deadline := time.After(20 * time.Second)
	for range 3 {
		select {
		case e := <-target.Jobs:
			seen[e.ID]++
		case e := <-source.Jobs: // reported late
			seen[e.ID]++
		case <-deadline:
			t.Fatalf("the scheduler stopped: %v", seen)
		}
	}
	source.ExpectNone(t)
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s ran %d times", id, n)
		}
	}
}

func TestHazardDeduplicationKeepsItsEnd(t *testing.T) {
	t.Parallel()
	p := start(t)
	v6.Add(t, p.src, "orders", job("a",
		map[string]any{"deduplication": map[string]any{"id": "throttle", "ttl": 60_000}}),
		job("b", map[string]any{"deduplication": map[string]any{"id": "simple"}}))
	p.move(t)
	if ttl := p.to.PTTL(t.Context(), p.q.Key("de:throttle")).Val(); ttl <= 40*time.Second ||
		ttl > time.Minute {
		t.Errorf("the throttle ends in %v", ttl)
	}
	v6.Add(t, p.dst, "orders",
		job("again", map[string]any{"deduplication": map[string]any{"id": "simple"}}))
	w := v6.Work(t, p.dst, "orders")
	if got := keysOf(t, w, 2); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("ran %v", got)
	}
	w.ExpectNone(t)
}

func TestHazardHiddenNextPayloadOfADeduplicatedJob(t *testing.T) {
	t.Parallel()
	p := start(t)
	// The active job ends while the mover waits for it; the payload kept for its
	// end then becomes a job, and moves.
	w := v6.Work(t, p.src, "orders")
	opts := map[string]any{"deduplication": map[string]any{"id": "d", "keepLastIfActive": true}}
	v6.Add(t, p.src, "orders", bullmqtest.Task{Name: "order",
		Data: map[string]any{"k": "first", "hold": true}, Opts: opts})
	redistest.Eventually(t, 10*time.Second, func() error {
		if n := p.from.LLen(t.Context(), p.q.Key("active")).Val(); n != 1 {
			return fmt.Errorf("%d active", n)
		}
		return nil
	})
	v6.Add(t, p.src, "orders", job("last", opts))
	if p.from.Exists(t.Context(), p.q.Key("dn:d")).Val() != 1 {
		t.Fatal("BullMQ kept no next payload")
	}
	p.o.Progress = func(pr move.Progress) {
		if pr.Phase == "pause" {
			go w.Stop()
		}
	}
	p.move(t)
	got := append(keysOf(t, w, 1), keysOf(t, v6.Work(t, p.dst, "orders"), 1)...)
	if !slices.Equal(got, []string{"first", "last"}) {
		t.Errorf("ran %v", got)
	}
}

func TestHazardJobTriedByBullMQ4IsNotRetriedForEver(t *testing.T) {
	t.Parallel()
	p := start(t)
	old := bullmqtest.Major(4)
	w := old.Work(t, p.src, "orders")
	old.Add(t, p.src, "orders",
		bullmqtest.Task{Name: "order", Data: map[string]any{"k": "bad", "fail": true},
			Opts: map[string]any{"jobId": "bad", "attempts": 3,
				"backoff": map[string]any{"type": "fixed", "delay": 400}}})
	redistest.Eventually(t, 10*time.Second, func() error {
		if made := p.from.HGet(t.Context(), p.q.Key("bad"), "attemptsMade").Val(); made != "1" {
			return fmt.Errorf("%s attempts", made)
		}
		return nil
	})
	w.Stop()
	p.move(t)
	if h := p.to.HGetAll(t.Context(), p.q.Key("bad")).Val(); h["atm"] != "1" ||
		h["attemptsMade"] != "" {
		t.Fatalf("attempts %q %q", h["atm"], h["attemptsMade"])
	}
	v6.Work(t, p.dst, "orders")
	redistest.Eventually(t, 15*time.Second, func() error {
		if n, err := bullmq.Census(t.Context(), p.to, p.q); err != nil || n.Failed != 1 {
			return fmt.Errorf("%+v %v", n, err)
		}
		return nil
	})
	if atm := p.to.HGet(t.Context(), p.q.Key("bad"), "atm").Val(); atm != "3" {
		t.Errorf("%s attempts, want 3", atm)
	}
}

func TestHazardIndexEntryWithoutJobIsLeftOutAndNamed(t *testing.T) {
	t.Parallel()
	p := start(t)
	v6.Add(t, p.src, "orders", job("a", map[string]any{"jobId": "a"}), job("evicted",
		map[string]any{"jobId": "evicted"}), job("c", map[string]any{"jobId": "c"}))
	p.from.Del(t.Context(), p.q.Key("evicted"))
	r := p.move(t)
	if !slices.Equal(r.Empty, []string{"bull:orders:evicted"}) {
		t.Errorf("named %v", r.Empty)
	}
	w := v6.Work(t, p.dst, "orders")
	if got := keysOf(t, w, 2); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("ran %v", got)
	}
	w.ExpectNone(t)
}
