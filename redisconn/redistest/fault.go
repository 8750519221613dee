package redistest

import (
	"context"
	"errors"
	"sync"

	"github.com/redis/go-redis/v9"
)

// ErrCut is the error of a call that a Fault cut off.
var ErrCut = errors.New("connection cut by the test")

// When says when a call is cut off.
type When int

const (
	Before When = iota // the server never sees it
	After              // the server has executed it, the reply is lost
	// of a pipeline the server has executed the first half; of a single command the
	// same as After; of a pipeline of one, nothing
	Half
	// the server sees neither it nor any call after it, as of a process that was killed
	Dead
)

// Fault is a redis.Hook that cuts off one call, as a lost connection would, or with Dead all
// from one on, as a killed process would.
type Fault struct {
	mu    sync.Mutex
	at, n int
	when  When
	seen  bool
}

// Arm cuts off the at-th call from now; 0 for none.
func (f *Fault) Arm(at int, when When) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.n, f.when, f.seen = at, 0, when, false
}

// Hit reports whether the fault occurred, and disarms it.
func (f *Fault) Hit() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = 0
	return f.seen
}

// next counts a call and reports whether it is the one to cut.
func (f *Fault) next() (cut bool, when When) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	cut = f.at > 0 && (f.n == f.at || f.when == Dead && f.n > f.at)
	f.seen = f.seen || cut
	return cut, f.when
}

// DialHook implements redis.Hook.
func (f *Fault) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (f *Fault) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		cut, when := f.next()
		var err error
		if !cut || when != Before && when != Dead {
			err = next(ctx, cmd)
		}
		if cut {
			err = ErrCut
			cmd.SetErr(err)
		}
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (f *Fault) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		cut, when := f.next()
		if !cut {
			return next(ctx, cmds)
		}
		switch when {
		case After:
			_ = next(ctx, cmds)
		case Half:
			if n := len(cmds) / 2; n > 0 {
				_ = next(ctx, cmds[:n])
			}
		}
		for _, c := range cmds {
			c.SetErr(ErrCut)
		}
		return ErrCut
	}
}
