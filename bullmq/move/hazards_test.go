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

const v6 = bullmqtest.Major(6)

// pair is two servers, and a move of queue "orders" from one to the other.
type pair struct {
	src, dst *redistest.Server
	from, to redis.UniversalClient
	q        bullmq.Queue
	o        move.Options
}

func start(t *testing.T, opts ...redistest.Option) *pair {
	t.Helper()
	p := &pair{src: redistest.Start(t), dst: redistest.Start(t, opts...),
		q: bullmq.Queue{Name: "orders"}}
	p.from, p.to = p.src.Client(), p.dst.Client()
	p.o = move.Options{Run: "r1", Queues: []bullmq.Queue{p.q}}
	return p
}

func (p *pair) move(t *testing.T) move.Report {
	t.Helper()
	r, err := move.Move(t.Context(), p.from, p.to, p.o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// job is one plain job of n with options.
func job(k string, opts map[string]any) bullmqtest.Task {
	return bullmqtest.Task{Name: "order", Data: map[string]any{"k": k}, Opts: opts}
}

// keysOf waits for n jobs and gives their data.k in the order they ran.
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

func TestHazardAutomaticIDsGoOnBehindTheSources(t *testing.T) {
	t.Parallel()
	p := start(t)
	first := v6.Add(t, p.src, "orders", job("a", nil), job("b", nil))
	p.move(t)
	if v := p.to.HGet(t.Context(), p.q.Key("meta"), "version").Val(); v != "bullmq:6.7.0" {
		// which decides how it is paused, and what may be done to its jobs
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

// A lock on the target would keep a job active for ever, or until it ends.
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

// A queue with workers is never still: they move delayed jobs that come due to the
// waiting ones, paused or not. Indexes that are read one after the other lose or double
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

// A full server refuses writes, and workers wedge on it.
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

func TestHazardIdleWorkerOfTheTargetIsWokenAtOnce(t *testing.T) {
	t.Parallel()
	p := start(t)
	w := v6.Work(t, p.dst, "orders") // it looks again by itself after 60 s only
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

func TestHazardRateLimitHolds(t *testing.T) {
	t.Parallel()
	p := start(t)
	// A limiter without an end, as a copy without TTL leaves it, would switch the limit
	// off; one with an end is carried over.
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
	// The active job ends while the mover waits for it; the payload that was kept for
	// its end becomes a job then, and moves.
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

func TestRefusesWhatItCannotMoveExactly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want string
		set        func(*testing.T, *pair)
		target     []redistest.Option
	}{
		{name: "target evicts", want: "maxmemory-policy is allkeys-lru",
			target: []redistest.Option{redistest.Config("maxmemory-policy allkeys-lru")}},
		{name: "target is too small", want: "MB free",
			target: []redistest.Option{redistest.Config("maxmemory 3mb",
				"maxmemory-policy noeviction")}, set: func(t *testing.T, p *pair) {
				for i := range 5 {
					v6.Add(t, p.src, "orders", bullmqtest.Task{Name: "big",
						Data: map[string]any{"pad": strings.Repeat(fmt.Sprint(i), 400_000)}})
				}
				big := strings.Builder{}
				for i := range 300_000 {
					fmt.Fprintf(&big, "%d,", i)
				}
				v6.Add(t, p.src, "orders",
					bullmqtest.Task{Name: "big", Data: map[string]any{"pad": big.String()}})
			}},
		{name: "target holds jobs", want: "holds 1 jobs", set: func(t *testing.T, p *pair) {
			v6.Add(t, p.dst, "orders", job("there", nil))
		}},
		{name: "target holds jobs in no list",
			want: "belong to no listed job (bull:orders:lost)",
			set: func(t *testing.T, p *pair) {
				p.to.HSet(t.Context(), "bull:orders:lost", "data", "{}")
			}},
		{name: "target's app is older", want: "used by BullMQ 4.18.3",
			set: func(t *testing.T, p *pair) {
				bullmqtest.Major(4).Run(t, p.dst, "orders", "pause", "")
				p.to.HDel(t.Context(), "bull:orders:meta", "paused")
			}},
		{name: "repeatable job of the old kind", want: "repeatable jobs of the kind",
			set: func(t *testing.T, p *pair) {
				bullmqtest.Major(4).Add(t, p.src, "orders",
					job("r", map[string]any{"repeat": map[string]any{"every": 3_600_000}}))
			}},
		{name: "no such queue", want: "no such queue", set: func(t *testing.T, p *pair) {
			p.o.Queues = []bullmq.Queue{{Name: "nobody"}}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, c.target...)
			v6.Add(t, p.src, "orders", job("a", nil))
			if c.set != nil {
				c.set(t, p)
			}
			before, there := contents(t, p.from), contents(t, p.to)
			_, err := move.Move(t.Context(), p.from, p.to, p.o)
			if err == nil || !strings.Contains(err.Error(), c.want) ||
				!strings.Contains(err.Error(), "nothing was changed") {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if d := difference(contents(t, p.from), before) + difference(contents(t, p.to),
				there); d != "no differenceno difference" {
				t.Errorf("something was changed: %s", d)
			}
		})
	}
}

func TestBackLeavesTheSourceAsItWasWithWhatWasAddedMeanwhile(t *testing.T) {
	t.Parallel()
	p := start(t)
	v6.Populate(t, p.src, "orders")
	p.o.Queues = append(p.o.Queues, bullmq.Queue{Name: "orders-children"})
	v6.Run(t, p.src, "orders", "call", `{"method":"removeJobScheduler","args":["tick"]}`)
	before := contents(t, p.from)
	// The last step on the target fails until the end: the source is fenced, and stays
	// so.
	fault := &redistest.Fault{}
	p.to.AddHook(fault)
	p.o.Progress = func(pr move.Progress) {
		if pr.Phase == "activate" {
			fault.Arm(1, redistest.Before)
		}
	}
	if _, err := move.Move(t.Context(), p.from, p.to, p.o); err == nil {
		t.Fatal("the fault was not met")
	}
	if n := p.from.Exists(t.Context(), "bull:orders:wait").Val(); n != 0 {
		t.Fatal("the source is not fenced")
	}
	late := v6.Add(t, p.src, "orders", job("late", nil))
	for range 2 { // the second time there is nothing left to do
		if err := move.Back(t.Context(), p.from, p.to, p.o); err != nil {
			t.Fatal(err)
		}
	}
	p.from.LRem(t.Context(), "bull:orders:wait", 1, late[0])
	p.from.Del(t.Context(), "bull:orders:"+late[0])
	p.from.Set(t.Context(), "bull:orders:id", before["bull:orders:id"], 0)
	p.from.Set(t.Context(), "bull:orders-children:id", before["bull:orders-children:id"], 0)
	if d := difference(contents(t, p.from), before); d != "no difference" {
		t.Error(d)
	}
}

func TestAfterTheActivationTheWayBackIsAMoveInTheOtherDirection(t *testing.T) {
	t.Parallel()
	p := start(t)
	ids := v6.Add(t, p.src, "orders", job("a", map[string]any{"removeOnComplete": true}),
		job("b", nil), job("c", map[string]any{"delay": 1000}))
	p.move(t)
	if err := move.Back(t.Context(), p.from, p.to, p.o); err == nil ||
		!strings.Contains(err.Error(), "other direction") {
		t.Fatalf("took back an activated move: %v", err)
	}
	w := v6.Work(t, p.dst, "orders", "LIMIT=1")
	if got := keysOf(t, w, 1); got[0] != "a" {
		t.Fatalf("ran %v", got)
	}
	w.Stop()
	back := move.Options{Run: "r2", Queues: p.o.Queues}
	if _, err := move.Move(t.Context(), p.to, p.from, back); err == nil ||
		!strings.Contains(err.Error(), "belong to no listed job") {
		t.Fatalf("moved over copies that nobody said are out of date: %v", err)
	}
	back.Replaces = "r1"
	if _, err := move.Move(t.Context(), p.to, p.from, back); err != nil {
		t.Fatal(err)
	}
	if p.from.Exists(t.Context(), "bull:orders:"+ids[0]).Val() != 0 {
		t.Error("the job that ran on the target came back")
	}
	again := v6.Work(t, p.src, "orders")
	ran := drain(w) // the limited worker may have run one more
	ran = append(ran, keysOf(t, again, 2-len(ran))...)
	slices.Sort(ran)
	if !slices.Equal(ran, []string{"b", "c"}) {
		t.Errorf("ran %v after the way back", ran)
	}
	again.ExpectNone(t)
}

// drain gives what a worker has run and nobody looked at.
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

// The order in which a worker runs what waits is that of an unmoved queue of the same
// version.
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

func TestMovesOverTLSToAServerThatDeniesWhatManagedOnesDo(t *testing.T) {
	t.Parallel()
	p := start(t, redistest.TLS(), redistest.Password("secret"))
	if err := p.to.Do(t.Context(), "ACL", "SETUSER", "default", "-config", "-replicaof",
		"-slaveof", "-client|pause", "-client|kill", "-debug", "-object", "-slowlog",
		"-migrate").Err(); err != nil {
		t.Fatal(err)
	}
	want := v6.Populate(t, p.src, "orders")
	p.o.Queues = append(p.o.Queues, bullmq.Queue{Name: "orders-children"})
	r := p.move(t)
	var moved int64
	for where, n := range r.Jobs {
		if !strings.HasSuffix(where, "completed") && !strings.HasSuffix(where, " failed") {
			moved += n
		}
	}
	if moved < int64(len(want.Jobs)) {
		t.Errorf("%d of %d jobs moved: %v", moved, len(want.Jobs), r.Jobs)
	}
}

func TestMovesFromASentinelMasterWhoseReplicaKnowsTheFence(t *testing.T) {
	t.Parallel()
	d := redistest.StartSentinel(t, 1)
	d.AwaitHealthy(30 * time.Second)
	dst := redistest.Start(t)
	from := d.Client()
	q := bullmq.Queue{Name: "orders"}
	for i := range 20 {
		id := fmt.Sprint("j", i)
		from.HSet(t.Context(), q.Key(id), "name", "order", "data", fmt.Sprintf(`{"k":"%s"}`,
			id), "opts", "{}", "timestamp", "1", "delay", "0", "priority", "0")
		from.LPush(t.Context(), q.Key("wait"), id)
	}
	from.HSet(t.Context(), q.Key("meta"), "version", "bullmq:6.7.0")
	o := move.Options{Run: "r1", Queues: []bullmq.Queue{q}}
	if _, err := move.Move(t.Context(), from, dst.Client(), o); err != nil {
		t.Fatal(err)
	}
	if got := keysOf(t, v6.Work(t, dst, "orders"), 20); got[0] != "j0" {
		t.Errorf("ran %v", got)
	}
}

func TestGroupsAreQueuesTiedByFlows(t *testing.T) {
	t.Parallel()
	p := start(t)
	v6.Populate(t, p.src, "orders")
	v6.Populate(t, p.src, "mail")
	v6.Add(t, p.src, "alone", job("a", nil))
	all, err := bullmq.Discover(t.Context(), p.from)
	if err != nil {
		t.Fatal(err)
	}
	got, err := move.Groups(t.Context(), p.from, all)
	if want := "[[alone] [mail-children mail] [orders-children orders]]"; err != nil ||
		fmt.Sprint(got) != want {
		t.Errorf("%v %v, want %s", got, err, want)
	}
}

// When nobody can tell what changed, everything travels while the queue stands still.
func TestMovesWithoutKnowingWhatChanged(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*testing.T, *pair){
		"the source denies CLIENT TRACKING": func(t *testing.T, p *pair) {
			if err := p.from.Do(t.Context(), "ACL", "SETUSER", "default",
				"-client|tracking").Err(); err != nil {
				t.Fatal(err)
			}
		},
		"the connection that follows the keys is cut before the fence": func(t *testing.T,
			p *pair) {
			p.o.Progress = func(pr move.Progress) {
				if pr.Phase != "fence" {
					return
				}
				for line := range strings.Lines(p.from.ClientList(t.Context()).Val()) {
					if id, flags := field(line, "id"), field(line,
						"flags"); strings.Contains(flags, "t") {
						if err := p.from.Do(t.Context(), "CLIENT", "KILL", "ID",
							id).Err(); err != nil {
							t.Error(err)
						}
					}
				}
				p.from.HSet(t.Context(), p.q.Key("a"), "data", `{"k":"changed"}`)
				p.from.LRem(t.Context(), p.q.Key("wait"), 0, "b")
				p.from.Del(t.Context(), p.q.Key("b"))
			}
		},
	} {
		p := start(t)
		v6.Add(t, p.src, "orders", job("a", map[string]any{"jobId": "a"}),
			job("b", map[string]any{"jobId": "b"}), job("c", map[string]any{"jobId": "c"}))
		spoil(t, p)
		r := p.move(t)
		if r.Changed < 2 {
			t.Errorf("%s: only %d keys travelled at the stand", name, r.Changed)
		}
		want := []string{"a", "b", "c"}
		if p.o.Progress != nil {
			want = []string{"changed", "c"}
			if p.to.Exists(t.Context(), p.q.Key("b")).Val() != 0 {
				t.Errorf("%s: a removed job is on the target", name)
			}
		}
		if got := keysOf(t, v6.Work(t, p.dst, "orders", "CONCURRENCY=1"),
			len(want)); !slices.Equal(got, want) {
			t.Errorf("%s: ran %v, want %v", name, got, want)
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

func TestRefusesToStandStillForTooLong(t *testing.T) {
	t.Parallel()
	p := start(t)
	fillQueue(t, p.from, p.q, 20_000)
	p.o.MaxFreeze = time.Millisecond // staging 20,000 ids takes longer on any machine
	before := contents(t, p.from)
	if _, err := move.Move(t.Context(), p.from, p.to, p.o); err == nil ||
		!strings.Contains(err.Error(), "stand still for about") {
		t.Fatalf("got %v", err)
	}
	if d := difference(contents(t, p.from), before); d != "no difference" {
		t.Error(d)
	}
}
