package keycopy_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/redisconn/keycopy"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// Each call on either server is cut: before the server saw it, after it was
// executed, or in the middle of a pipeline. Run again, the target is the same.
func TestACopyThatWasCutOffIsRunAgain(t *testing.T) {
	t.Parallel()
	for _, path := range []keycopy.Path{keycopy.Scan, keycopy.Typed, keycopy.Stream} {
		t.Run(string(path), func(t *testing.T) {
			t.Parallel()
			src := server(t)
			from := src.Client()
			redistest.FillRandom(t, from, 9, 120)
			dropDeletedPending(t, from)
			dst := server(t)
			to := dst.Client()
			kills := 0
			for side, s := range map[string]*redistest.Server{"source": src, "target": dst} {
				mine := map[string]redis.UniversalClient{"source": from, "target": to}
				mine[side] = s.Client()
				fault := &redistest.Fault{}
				mine[side].AddHook(fault)
				for _, when := range []redistest.When{redistest.Before, redistest.After,
					redistest.Half} {
					for at := 1; ; at += 2 {
						to.FlushAll(t.Context())
						o := keycopy.Options{Path: path, Pace: keycopy.Pace{Workers: 1}}
						fault.Arm(at, when)
						_, err := keycopy.Copy(t.Context(), mine["source"], mine["target"], o)
						hit := fault.Hit()
						if err != nil && !errors.Is(err, redistest.ErrCut) {
							t.Fatalf("%s, call %d, %v: %v", side, at, when, err)
						}
						if err != nil {
							o.Overwrite = true
							if _, err := keycopy.Copy(t.Context(), mine["source"],
								mine["target"], o); err != nil {
								t.Fatalf("%s, call %d, %v: again: %v", side, at, when, err)
							}
						}
						if !hit {
							break
						}
						kills++
						if a, b := digest(t, from), digest(t, to); a != b {
							mustBeSame(t, from, to)
						}
					}
				}
			}
			mustBeSame(t, from, to)
			t.Logf("%d kills", kills)
		})
	}
}

func TestAStreamThatIsCutOffGoesOnByScan(t *testing.T) {
	t.Parallel()
	src := server(t)
	from := src.Client()
	redistest.FillRandom(t, from, 11, 500)
	dst := server(t)
	to := dst.Client()
	p := newProxy(t, src.Addr())
	cuts := 0
	for at := int64(1); ; at = at*2 + 7 {
		to.FlushAll(t.Context())
		c := redis.NewClient(&redis.Options{Addr: p.addr, Protocol: 2, MaxRetries: -1,
			DisableIdentity: true, ContextTimeoutEnabled: true})
		cut := p.arm("PSYNC", at)
		r, err := keycopy.Copy(t.Context(), c, to, keycopy.Options{})
		_ = c.Close()
		if err != nil {
			t.Fatalf("cut after %d bytes: %v", at, err)
		}
		mustBeSame(t, from, to)
		if !cut() {
			if r.Path != keycopy.Stream {
				t.Errorf("not cut, and yet %+v", r)
			}
			break
		}
		if cuts++; r.Path != keycopy.Scan || !strings.Contains(r.Why, "stream") {
			t.Errorf("cut after %d bytes: %+v", at, r)
		}
	}
	if cuts < 5 {
		t.Errorf("%d cuts only", cuts)
	}
}

func TestWithoutPSYNCOnTheSourceTheCopyScans(t *testing.T) {
	t.Parallel()
	from, to := server(t, `rename-command PSYNC ""`).Client(), server(t).Client()
	redistest.FillRandom(t, from, 12, 100)
	r, err := keycopy.Copy(t.Context(), from, to, keycopy.Options{})
	if err != nil || r.Path != keycopy.Scan || !strings.Contains(r.Why, "PSYNC") {
		t.Fatalf("got %+v %v", r, err)
	}
	mustBeSame(t, from, to)
	to.FlushAll(t.Context())
	if r, err := keycopy.Copy(t.Context(), from, to,
		keycopy.Options{Path: keycopy.Stream}); err == nil {
		t.Errorf("a stream was asked for: got %+v", r)
	}
}

// otherVersion makes payloads of a version that no server accepts.
type otherVersion struct{}

func (otherVersion) DialHook(next redis.DialHook) redis.DialHook { return next }

func (otherVersion) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		spoil(cmd)
		return next(ctx, cmd)
	}
}

func (otherVersion) ProcessPipelineHook(
	next redis.ProcessPipelineHook,
) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, c := range cmds {
			spoil(c)
		}
		return next(ctx, cmds)
	}
}

func TestATargetThatRefusesPayloadsGetsValuesByType(t *testing.T) {
	t.Parallel()
	from := server(t).Client()
	redistest.FillRandom(t, from, 13, 300)
	dropDeletedPending(t, from)
	denied := server(t)
	denied.Client().Do(t.Context(), "ACL", "SETUSER", "default", "-restore")
	spoiled := server(t).Client()
	spoiled.AddHook(otherVersion{})
	for rule, to := range map[string]redis.UniversalClient{"no such command": server(t,
		`rename-command RESTORE ""`).Client(), "not allowed": denied.Client(),
		"another version": spoiled} {
		for _, path := range []keycopy.Path{keycopy.Auto, keycopy.Scan} {
			to.FlushAll(t.Context())
			r, err := keycopy.Copy(t.Context(), from, to, keycopy.Options{Path: path})
			if err != nil || r.Path != keycopy.Typed || r.Typed != r.Keys {
				t.Fatalf("%s, %s: %+v %v", rule, path, r, err)
			}
			mustBeSame(t, from, to)
		}
	}
}

// A key that is deleted while it is copied by type, at whichever call, ends no copy, and nothing of
// it stays on the target.
func TestAKeyThatVanishesWhileItIsCopiedByTypeIsNotCopied(t *testing.T) {
	t.Parallel()
	src, dst := server(t), server(t)
	from, to, ctx := src.Client(), dst.Client(), t.Context()
	for kind, fill := range map[string]func(p redis.Pipeliner){
		"string": func(p redis.Pipeliner) { p.Set(ctx, "k", strings.Repeat("x", big), 0) },
		"hash": func(p redis.Pipeliner) {
			for i := range 40 {
				p.HSet(ctx, "k", i, strings.Repeat("y", 100_000))
			}
		},
		"stream": func(p redis.Pipeliner) {
			p.XAdd(ctx, &redis.XAddArgs{Stream: "k", ID: "1-1", Values: []any{"f", "v"}})
			p.XGroupCreate(ctx, "k", "g", "0")
			p.XGroupCreate(ctx, "k", "h", "0")
			p.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "g", Consumer: "c",
				Streams: []string{"k", ">"}})
		},
	} {
		gone := 0
		for at, hit := 1, true; hit; at++ {
			from.FlushAll(ctx)
			to.FlushAll(ctx)
			if _, err := from.Pipelined(ctx, func(p redis.Pipeliner) error {
				fill(p)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			hit = false
			watched := src.Client()
			watched.AddHook(&atCall{n: at, do: func() {
				hit = true
				from.Del(ctx, "k")
			}})
			if _, err := keycopy.Copy(ctx, watched, to, keycopy.Options{Path: keycopy.Typed,
				Pace: keycopy.Pace{Workers: 1}}); err != nil {
				t.Errorf("%s, gone at call %d: %v", kind, at, err)
			}
			if to.Exists(ctx, "k").Val() == 0 {
				gone++
			}
		}
		if gone < 3 {
			t.Errorf("%s: it was gone in time %d times", kind, gone)
		}
	}
}
