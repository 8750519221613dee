package move_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/move"
	"github.com/switchyard-dev/switchyard/redisconn/pace"
)

// runAll runs a worker on a side until every job has run, and fails if one runs
// again.
func runAll(t *testing.T, s *shop, jobs map[string]int) {
	t.Helper()
	working, end := context.WithCancel(t.Context())
	var workers sync.WaitGroup
	workers.Go(func() { s.work(working, newRandom(1, 1)) })
	for range jobs {
		select {
		case id := <-s.done:
			n, known := jobs[id]
			if !known || n > 0 {
				t.Fatalf("%s ran, known %v, %d times before", id, known, n)
			}
			jobs[id]++
		case <-time.After(20 * time.Second):
			t.Fatalf("jobs of %d did not run", len(jobs))
		}
	}
	end()
	workers.Wait()
	if len(s.done) > 0 {
		t.Fatalf("%s ran once more", <-s.done)
	}
}

func TestAGateThatHoldsStopsTheCopyAndLettingGoFinishesIt(t *testing.T) {
	t.Parallel()
	p := start(t)
	const jobs, batches = 10_000, 3
	fillQueue(t, p.from, p.q, jobs)
	release, asked, ticks, standing := make(chan struct{}), atomic.Int64{},
		make(chan move.Progress), atomic.Bool{}
	p.o.Pace.Gate = func(ctx context.Context) error {
		if standing.Load() {
			t.Error("the gate was asked while the queue stood still")
		}
		if asked.Add(1) <= batches {
			return nil
		}
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	p.o.Progress = func(pr move.Progress) {
		if pr.Phase == "copy" {
			select {
			case ticks <- pr:
			case <-release:
			}
		}
		standing.Store(pr.Phase == "pause" || standing.Load())
	}
	var r move.Report
	ended := make(chan error, 1)
	go func() {
		var err error
		r, err = move.Move(t.Context(), p.from, p.to, p.o)
		ended <- err
	}()
	<-ticks
	for last := (<-ticks); ; {
		now := <-ticks
		if now.Keys == last.Keys && asked.Load() > batches {
			if now.Keys > batches*500 || now.Total < jobs {
				t.Errorf("held: %+v", now)
			}
			break
		}
		last = now
	}
	s := &shop{c: p.from, q: p.q}
	for i := range 100 { // the source keeps working
		if err := shopAdd.Run(t.Context(), s.c, []string{p.q.Key("")},
			fmt.Sprint("late", i)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-ended:
		t.Fatalf("the move ended: %v", err)
	default:
	}
	close(release)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if r.Keys < jobs+100 {
		t.Errorf("%d keys copied", r.Keys)
	}
	want := map[string]int{}
	for i := range jobs {
		want[fmt.Sprint(i+1)] = 0
	}
	for i := range 100 {
		want[fmt.Sprint("late", i)] = 0
	}
	runAll(t, &shop{c: p.to, q: p.q, done: make(chan string, jobs+200)}, want)
}

func TestAGateThatGivesAnErrorLeavesTheSourceUntouchedAndRunning(t *testing.T) {
	t.Parallel()
	p := start(t)
	fillQueue(t, p.from, p.q, 3000)
	before := contents(t, p.from)
	stop := errors.New("stopped by an operator")
	asked := atomic.Int64{}
	p.o.Pace.Gate = func(context.Context) error {
		if asked.Add(1) > 3 {
			return stop
		}
		return nil
	}
	if _, err := move.Move(t.Context(), p.from, p.to, p.o); !errors.Is(err, stop) {
		t.Fatalf("got %v", err)
	}
	if d := difference(contents(t, p.from), before); d != "no difference" {
		t.Error(d)
	}
	s := &shop{c: p.from, q: p.q}
	if id, err := shopTake.Run(t.Context(), s.c,
		[]string{p.q.Key("")}).Text(); err != nil || id != "1" {
		t.Errorf("the source's worker got %q %v", id, err)
	}
	if err := shopDone.Run(t.Context(), s.c, []string{p.q.Key("")}, "1",
		"1").Err(); err != nil {
		t.Fatal(err)
	}
	p.o.Pace.Gate = nil
	p.move(t)
	if n := p.to.LLen(t.Context(), p.q.Key("wait")).Val(); n != 2999 ||
		p.to.Exists(t.Context(), p.q.Key("1")).Val() != 0 {
		t.Errorf("%d jobs moved, or one that was done", n)
	}
}

// Whenever a move is cancelled, it can be taken back, and the source is as it was;
// or it can be run again, and every job is on the target.
func TestAMoveMayBeCancelledAtAnyPhase(t *testing.T) {
	t.Parallel()
	p := start(t)
	for _, phase := range []string{"begin", "copy", "pause", "fence", "settle", "stage",
		"activate"} {
		for _, then := range []string{"back", "again"} {
			for _, c := range []redis.UniversalClient{p.from, p.to} {
				if err := c.FlushAll(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
			}
			fillQueue(t, p.from, p.q, 1000)
			p.from.ZAdd(t.Context(), p.q.Key("marker"), redis.Z{Member: "0"})
			before := contents(t, p.from)
			ctx, cancel := context.WithCancel(t.Context())
			seen := false
			p.o.Progress = func(pr move.Progress) {
				if pr.Phase == phase {
					seen = true
					cancel()
				}
			}
			_, err := move.Move(ctx, p.from, p.to, p.o)
			cancel()
			if !seen || !errors.Is(err, context.Canceled) {
				t.Fatalf("%s: seen %v, %v", phase, seen, err)
			}
			p.o.Progress = nil
			if then == "again" {
				p.move(t)
				if n := p.to.LLen(t.Context(), p.q.Key("wait")).Val(); n != 1000 {
					t.Errorf("%s, again: %d jobs on the target", phase, n)
				}
				continue
			}
			if err := move.Back(t.Context(), p.from, p.to, p.o); err != nil {
				t.Fatalf("%s, back: %v", phase, err)
			}
			after := contents(t, p.from)
			before[p.q.Key("id")] = after[p.q.Key("id")] // the fence leaves ids unused
			if d := difference(after, before); d != "no difference" {
				t.Errorf("%s, back: %s", phase, d)
			}
			for k := range contents(t, p.to) {
				if k != p.q.Key("id") && k != p.q.Key("marker") {
					t.Errorf("%s, back: %s was left on the target", phase, k)
				}
			}
		}
	}
}

// tally is a hook that checks the commands of a client against a rate: at any
// moment no more may have been sent than the rate allows since the beginning, plus
// a twentieth of a second's worth.
type tally struct {
	rate  float64
	began time.Time

	mu   sync.Mutex
	n    int
	over string
}

func (h *tally) sent(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.began.IsZero() {
		return
	}
	if h.n += n; float64(h.n) > h.rate*(time.Since(h.began).Seconds()+0.05)+1 && h.over == "" {
		h.over = fmt.Sprintf("%d commands after %v", h.n, time.Since(h.began))
	}
}

func (h *tally) set(began time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.began = began
}

func (h *tally) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *tally) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.sent(1)
		return next(ctx, cmd)
	}
}

func (h *tally) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		// sent by every new connection
		if cmds[0].Name() != "client" && cmds[0].Name() != "hello" {
			h.sent(len(cmds))
		}
		return next(ctx, cmds)
	}
}

func TestTheRatesAreKept(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*pair, *tally) redis.UniversalClient{
		"source": func(p *pair, h *tally) redis.UniversalClient {
			p.o.Pace.SourceRate = int(h.rate)
			return p.from
		},
		"target": func(p *pair, h *tally) redis.UniversalClient {
			p.o.Pace.TargetRate = int(h.rate)
			return p.to
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t)
			fillQueue(t, p.from, p.q, 3000)
			h := &tally{rate: 10_000}
			set(p, h).AddHook(h)
			copying := false
			p.o.Progress = func(pr move.Progress) {
				switch {
				case pr.Phase == "copy" && !copying:
					copying = true
					h.set(time.Now())
				case pr.Phase == "pause" && name == "source", pr.Phase == "activate":
					h.set(time.Time{})
				}
			}
			p.move(t)
			if h.over != "" || h.n < 3*3000 {
				t.Errorf("%d commands counted; %s", h.n, h.over)
			}
		})
	}
}

// A service slows down whoever exceeds its rate, so the standstill lasts as long as
// the rate makes it.
func TestTheTargetsRateIsInThePrediction(t *testing.T) {
	t.Parallel()
	p := start(t)
	const jobs = 100
	for i := range jobs {
		if err := shopAdd.Run(t.Context(), p.from, []string{p.q.Key("")},
			fmt.Sprint("j", i)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	p.from.HSet(t.Context(), p.q.Key("meta"), "version", "bullmq:6.7.0")
	p.o.Pace = pace.Pace{TargetRate: 500}
	p.o.MaxFreeze = 500 * time.Millisecond // 3 commands for each of 100 keys take 600 ms
	rounds := 0
	p.o.Ready = func(move.Prediction) bool {
		for i := range jobs {
			p.from.HSet(t.Context(), p.q.Key(fmt.Sprint("j", i)), "progress", rounds)
		}
		rounds++
		return rounds > 1
	}
	if _, err := move.Move(t.Context(), p.from, p.to, p.o); err == nil ||
		!strings.Contains(err.Error(), "stop for about") {
		t.Fatalf("got %v", err)
	}
	if n, err := bullmq.Census(t.Context(), p.from, p.q); err != nil || n.Paused ||
		n.Waiting != jobs {
		t.Errorf("the source: %+v %v", n, err)
	}
}

func TestTheSourcesLatencyHoldsTheCopyUpAndNotTheStand(t *testing.T) {
	t.Parallel()
	p := start(t)
	fillQueue(t, p.from, p.q, 1000)
	slow, standing := make(chan struct{}), false
	once := sync.OnceFunc(func() { close(slow) })
	p.o.Pace.MaxLatency = time.Nanosecond // no server answers that fast
	p.o.Pace.Gate = func(ctx context.Context) error {
		select {
		case <-slow:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	p.o.Progress = func(pr move.Progress) {
		if pr.Phase == "copy" && pr.LatencyMS > 0 && pr.BackingOffMS > 0 {
			once()
		}
		if standing = standing || pr.Phase == "pause"; standing && pr.BackingOffMS != 0 {
			t.Errorf("backing off in phase %s", pr.Phase)
		}
	}
	p.move(t)
	if n := p.to.LLen(t.Context(), p.q.Key("wait")).Val(); n != 1000 {
		t.Errorf("%d jobs moved", n)
	}
}
