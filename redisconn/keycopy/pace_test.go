package keycopy_test

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

	"github.com/switchyard-dev/switchyard/redisconn/keycopy"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func TestTheGatePausesAndEndsACopy(t *testing.T) {
	t.Parallel()
	from, to := server(t).Client(), server(t).Client()
	redistest.FillRandom(t, from, 15, 2000)
	enough := errors.New("enough")
	for _, path := range paths {
		to.FlushAll(t.Context())
		var asked atomic.Int64
		waiting, goOn := make(chan struct{}, 100), make(chan struct{})
		gate := func(ctx context.Context) error {
			switch n := asked.Add(1); {
			case n == 2:
				waiting <- struct{}{}
				select {
				case <-goOn:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			case n > 3:
				return enough
			}
			return nil
		}
		ended := make(chan error)
		go func() {
			_, err := keycopy.Copy(t.Context(), from, to,
				keycopy.Options{Path: path, Pace: keycopy.Pace{Gate: gate, Workers: 1}})
			ended <- err
		}()
		<-waiting
		select {
		case err := <-ended:
			t.Fatalf("%s: ended while it was held: %v", path, err)
		default:
		}
		close(goOn)
		if err := <-ended; !errors.Is(err, enough) {
			t.Errorf("%s: %v", path, err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		_, err := keycopy.Copy(ctx, from, to, keycopy.Options{Path: path, Overwrite: true,
			Pace: keycopy.Pace{Gate: func(context.Context) error {
				cancel(enough)
				return nil
			}}})
		if !errors.Is(err, enough) && !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled: %v", path, err)
		}
	}
	r, err := keycopy.Compare(t.Context(), from, to,
		keycopy.CompareOptions{Pace: keycopy.Pace{Gate: func(context.Context) error {
			return enough
		}}})
	if !errors.Is(err, enough) || r.Same {
		t.Errorf("compare: %+v %v", r, err)
	}
}

func TestARateIsKeptAndForetold(t *testing.T) {
	t.Parallel()
	from, to := server(t).Client(), server(t).Client()
	const keys, rate = 600, 1000
	from.Eval(t.Context(), "for i = 1, 600 do redis.call('SET', i, i) end", nil)
	for _, path := range paths {
		to.FlushAll(t.Context())
		before := commands(t, to)
		began := time.Now()
		r, err := keycopy.Copy(t.Context(), from, to, keycopy.Options{Path: path,
			Pace: keycopy.Pace{TargetRate: rate, SourceRate: 4 * rate}})
		if err != nil {
			t.Fatal(err)
		}
		took, sent := time.Since(began).Seconds(), commands(t, to)-before
		if least := float64(r.TargetCommands-rate/20) / rate; took < least {
			t.Errorf("%s: %d commands in %.3f s, expected at least %.3f s", path,
				r.TargetCommands, took, least)
		}
		if n := r.TargetCommands; sent < n || sent > n+20 { // including the check before
			t.Errorf("%s: counted %d commands, the target got %d", path, n, sent)
		}
		want := float64(keys) / rate
		if path == keycopy.Typed { // DEL and SET
			want *= 2
		}
		if r.ETASeconds != want {
			t.Errorf("%s: foretold %.3f s, want %.3f s", path, r.ETASeconds, want)
		}
	}
}

// commands returns how many commands a server was sent.
func commands(t *testing.T, c redis.UniversalClient) int64 {
	t.Helper()
	var n int64
	for line := range strings.Lines(c.Info(t.Context(), "stats").Val()) {
		if v, ok := strings.CutPrefix(line, "total_commands_processed:"); ok {
			_, _ = fmt.Sscan(v, &n)
		}
	}
	return n
}

func TestProgressEndsWithEverything(t *testing.T) {
	t.Parallel()
	from, to := server(t).Client(), server(t).Client()
	redistest.FillRandom(t, from, 16, 300)
	for _, path := range paths {
		to.FlushAll(t.Context())
		var last keycopy.Progress
		r, err := keycopy.Copy(t.Context(), from, to,
			keycopy.Options{Path: path, Progress: func(p keycopy.Progress) {
				last = p
			}})
		if err != nil || last.Keys != 300 || last.Total != 300 || last.Bytes != r.Bytes ||
			r.Bytes == 0 || last.ETASeconds != 0 {
			t.Errorf("%s: %+v %+v %v", path, last, r, err)
		}
	}
}

// slowPings answers PING late, like a busy source.
type slowPings struct{ redistest.Fault }

// ProcessHook implements redis.Hook.
func (*slowPings) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.EqualFold(cmd.Name(), "ping") {
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return next(ctx, cmd)
	}
}

func TestASlowSourceIsLeftTimeToAnswerOthers(t *testing.T) {
	t.Parallel()
	from, to := server(t).Client(), server(t).Client()
	redistest.FillRandom(t, from, 17, 100)
	from.AddHook(&slowPings{})
	heldBack := make(chan struct{})
	told := sync.OnceFunc(func() { close(heldBack) })
	o := keycopy.Options{Path: keycopy.Scan, Pace: keycopy.Pace{MaxLatency: 5 *
		time.Millisecond, Gate: func(ctx context.Context) error {
		select {
		case <-heldBack:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}}}
	o.Progress = func(p keycopy.Progress) {
		if p.BackingOffMS > 0 && p.LatencyMS > 5 {
			told()
		}
	}
	if _, err := keycopy.Copy(t.Context(), from, to, o); err != nil {
		t.Fatal(err)
	}
	mustBeSame(t, from, to)
}
