package stepstest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

// Watch follows, lets the time pass that workers get to be heard, and returns once what there
// is was read to its end.
func (b *Bench) Watch(t testing.TB) {
	t.Helper()
	b.Follow(t)
	b.Warm()
	redistest.Eventually(t, Patience, func() error {
		if _, err := b.Env.Journal.Read(); err != nil {
			return err
		}
		if g := b.Env.Streams.Gate(t.Context(), Migration); !g.OK {
			return fmt.Errorf("%s: %s", g.Title, g.Measured)
		}
		return nil
	})
}

// Follow reads the app's journal and both servers' events until the test ends, as Control
// does.
func (b *Bench) Follow(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	tasks.Go(func() { b.Env.Journal.Run(ctx) })
	tasks.Go(func() { b.Env.Journal.Keep(ctx) })
	tasks.Go(func() { b.Env.Streams.Follow(ctx, Migration) })
	stop := b.Stop
	b.Stop = sync.OnceFunc(func() { cancel(); tasks.Wait(); stop() })
	t.Cleanup(b.Stop)
}

// Warm lets the time pass that workers get to be heard after a start. They go on reporting
// meanwhile: one leap would make each of them silent for a moment.
func (b *Bench) Warm() {
	for range 10 {
		b.Clock.Advance(time.Second)
		b.mu.Lock()
		for _, say := range b.talking {
			_ = say(false) // the bench has stopped
		}
		b.mu.Unlock()
	}
}

// Route has the flags say where orders go, as a run does.
func (b *Bench) Route(t testing.TB, r migration.Routing) {
	t.Helper()
	if _, err := b.Env.Routing.Set(t.Context(), Migration, r, "test", "test", ""); err != nil {
		t.Fatal(err)
	}
}

// View reads what decides what may be done next.
func (b *Bench) View(t testing.TB) progress.View {
	t.Helper()
	v, err := b.Env.Views.Fresh(t.Context(), Migration)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Worker is a worker that reports itself until the test ends. It takes every revision of the
// flags over at once, unless it is told to stay behind.
type Worker struct {
	mu     sync.Mutex
	behind bool
	held   int64
}

// Worker starts one, and returns once it is heard.
func (b *Bench) Worker(t testing.TB, instance string) *Worker {
	t.Helper()
	w := &Worker{}
	who := fleet.Who{Set: Migration, Instance: instance}
	say := func(leaving bool) error {
		r, err := b.Env.Routing.Read(context.Background(), Migration)
		if err != nil {
			return err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.behind {
			w.held = r.Revision
		}
		return b.Fleet.Attest(fleet.Attestation{Service: "shop", Instance: instance,
			Revision: w.held, Leaving: leaving}, who)
	}
	if err := say(false); err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	b.talking = append(b.talking, say)
	b.mu.Unlock()
	done := make(chan struct{})
	var talking sync.WaitGroup
	talking.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(50 * time.Millisecond):
				_ = say(false) // the bench has stopped
			}
		}
	})
	t.Cleanup(func() { close(done); talking.Wait() })
	return w
}

// Behind makes the worker keep the revision that it holds, or follow again.
func (w *Worker) Behind(stays bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.behind = stays
}

// Reds gives the ids of the gates that do not hold.
func Reds(gates []migration.Gate) []string {
	reds := []string{}
	for _, g := range migration.Failing(gates) {
		reds = append(reds, g.ID)
	}
	return reds
}

// AwaitReds waits until exactly those gates of a step do not hold. Each must say what was
// measured, its limit and what to do.
func (b *Bench) AwaitReds(t testing.TB, step string, want ...string) {
	t.Helper()
	redistest.Eventually(t, Patience, func() error {
		p, err := b.Plan(t.Context(), step, migration.Params{})
		if err != nil {
			return err
		}
		failing := migration.Failing(p.Gates)
		if got := Reds(p.Gates); !slices.Equal(got, want) {
			return fmt.Errorf("red are %v, want %v: %+v", got, want, failing)
		}
		for _, g := range failing {
			if g.Measured == "" || g.Limit == "" || g.Next == "" {
				return fmt.Errorf("it does not say what was measured and what to do: %+v", g)
			}
		}
		return nil
	})
}

// Reading waits until the journal of the app was read after everything that was written to
// it so far.
func (b *Bench) Reading(t testing.TB, j *environment.Journal, position int64) {
	t.Helper()
	redistest.Eventually(t, Patience, func() error {
		if got := j.Heads()[0].After; got < position {
			return fmt.Errorf("the journal was read to %d, not to %d", got, position)
		}
		return nil
	})
}
