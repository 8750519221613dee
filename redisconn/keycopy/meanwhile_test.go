package keycopy_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/keycopy"
)

// gated compares two databases of two small keys and a large one, and has something done each
// time that it may be told to wait, one after the other. It gives how often it was asked.
func gated(
	t *testing.T, from, to redis.UniversalClient, do func(n int) error,
) (redisconn.CompareReport, int, error) {
	t.Helper()
	n := 0
	r, err := keycopy.Compare(t.Context(), from, to, keycopy.CompareOptions{
		Pace: keycopy.Pace{Workers: 1, Gate: func(context.Context) error {
			n++
			return do(n)
		}}})
	return r, n, err
}

// Whenever a writer's change arrives, and whenever the comparison is ended: what is the same at
// last is the same, and what was not looked at to its end is not.
func TestAChangeOrAnEndAtAnyMomentOfAComparison(t *testing.T) {
	t.Parallel()
	from, to := server(t).Client(), server(t).Client()
	ctx, large := t.Context(), strings.Repeat("x", big)
	reset := func() {
		for _, c := range []redis.UniversalClient{from, to} {
			c.FlushAll(ctx)
			c.MSet(ctx, "a", "1", "b", "2", "large", large)
		}
	}
	for rule, tc := range map[string]struct {
		before, then func(c redis.UniversalClient) error
	}{
		"a key more": {nil, func(c redis.UniversalClient) error {
			return c.Set(ctx, "c", "3", 0).Err()
		}},
		"a key less": {nil, func(c redis.UniversalClient) error { return c.Del(ctx, "b").Err() }},
		"a value": {nil, func(c redis.UniversalClient) error {
			return c.Set(ctx, "b", "3", 0).Err()
		}},
		"a large value": {nil, func(c redis.UniversalClient) error {
			return c.Set(ctx, "large", large+"y", 0).Err()
		}},
		"another type": {nil, func(c redis.UniversalClient) error {
			c.Del(ctx, "b")
			return c.HSet(ctx, "b", "f", "v").Err()
		}},
	} {
		for ahead, follow := range map[redis.UniversalClient]redis.UniversalClient{from: to, to: from} {
			for at, asks := 1, 2; at <= asks; at++ {
				reset()
				if err := tc.then(ahead); err != nil {
					t.Fatal(err)
				}
				var r redisconn.CompareReport
				var err error
				r, asks, err = gated(t, from, to, func(n int) error {
					if n != at {
						return nil
					}
					return tc.then(follow)
				})
				if at <= asks && (err != nil || !r.Same || len(r.Differences) != 0) {
					t.Errorf("%s, which arrives at %d of %d: %+v, %v", rule, at, asks, r, err)
				}
			}
		}
		stop := errors.New("enough")
		reset()
		if err := tc.then(to); err != nil {
			t.Fatal(err)
		}
		_, asks, err := gated(t, from, to, func(int) error { return nil })
		if err != nil || asks < 3 {
			t.Fatalf("%s: asked %d times, %v", rule, asks, err)
		}
		for at := 1; at <= asks; at++ {
			r, _, err := gated(t, from, to, func(n int) error {
				if n >= at {
					return stop
				}
				return nil
			})
			if !errors.Is(err, stop) || r.Same {
				t.Errorf("%s, ended at %d of %d: %+v, %v", rule, at, asks, r, err)
			}
		}
	}
}

// A key that is gone from both meanwhile, at whichever call, is none, and is told apart.
func TestAKeyThatIsGoneFromBothMeanwhileIsNone(t *testing.T) {
	t.Parallel()
	from, to := server(t), server(t)
	for kind, make := range map[string]func(c redis.UniversalClient) error{
		"small": func(c redis.UniversalClient) error { return c.Set(t.Context(), "k", "v", 0).Err() },
		"large": func(c redis.UniversalClient) error {
			return c.Set(t.Context(), "k", strings.Repeat("x", big), 0).Err()
		},
		"stream": func(c redis.UniversalClient) error {
			return errors.Join(c.XAdd(t.Context(), &redis.XAddArgs{Stream: "k", ID: "1-1",
				Values: []any{"f", "v"}}).Err(), c.XGroupCreate(t.Context(), "k", "g", "0").Err())
		},
	} {
		expired, hit := int64(0), true
		for at := 1; hit; at++ {
			for _, c := range []redis.UniversalClient{from.Client(), to.Client()} {
				c.FlushAll(t.Context())
				if err := make(c); err != nil {
					t.Fatal(err)
				}
			}
			hit = false
			watched := from.Client()
			watched.AddHook(&atCall{n: at, do: func() {
				hit = true
				from.Client().Del(t.Context(), "k")
				to.Client().Del(t.Context(), "k")
			}})
			r, err := keycopy.Compare(t.Context(), watched, to.Client(),
				keycopy.CompareOptions{Pace: keycopy.Pace{Workers: 1}})
			// between two commands about its value a key may vanish from one side, as it seems;
			// then it is looked at again
			if expired += r.Expired; err != nil || !r.Same || r.Expired+r.Keys > 1 {
				t.Errorf("%s, gone at call %d: %+v, %v", kind, at, r, err)
			}
		}
		if expired == 0 {
			t.Errorf("%s: it was never gone from both", kind)
		}
	}
}

// atCall does something before the n-th call of a client.
type atCall struct {
	n  int
	do func()
}

func (h *atCall) call() {
	if h.n--; h.n == 0 {
		h.do()
	}
}

func (h *atCall) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *atCall) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.call()
		return next(ctx, cmd)
	}
}

func (h *atCall) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.call()
		return next(ctx, cmds)
	}
}
