package steps_test

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"sync"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

var (
	// only has one step taken every way, for whoever works on it.
	only = flag.String("step", "", "the one step that is taken every way")
	// broken makes one Undo do nothing, to show that the harness fails then.
	broken = flag.String("broken-undo", "", "step/action whose Undo does nothing")
	// writes has the process end after each kind of write of an action: some twenty minutes.
	writes = flag.Bool("writes", false, "end the process after each kind of write of an action")
)

// ways says how the actions of steps end, and remembers what was seen of them. It outlives
// the process whose steps it watches.
type ways struct {
	mu sync.Mutex
	// cancel is the action at whose end its run is cancelled.
	cancel string
	// kill ends the process after each action, and each undoing, of a run: when the effect
	// is there and nobody has written down that it is; and in the middle of it, see cut.
	kill   bool
	killed map[string]bool
	// changed makes every plan another than it was.
	changed bool
	// midway brings about what an action leaves outside that is killed in the middle of it.
	midway map[string]func(context.Context, *world, *engine.Call) error
	// trace holds the actions, as step/action, whose undoing could be seen from outside.
	trace map[string]bool
	// kept are outputs of actions that change nothing and take long.
	kept map[string]any
	slow []string

	reached chan string
	notes   []string
}

func newWays() *ways {
	return &ways{
		killed:  map[string]bool{},
		trace:   map[string]bool{},
		kept:    map[string]any{},
		reached: make(chan string, 1),
	}
}

func (y *ways) note(format string, args ...any) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if line := fmt.Sprintf(format, args...); len(y.notes) == 0 || y.notes[len(y.notes)-1] != line {
		y.notes = append(y.notes, line)
	}
}

// set changes how runs end from now on.
func (y *ways) set(f func()) {
	y.mu.Lock()
	defer y.mu.Unlock()
	f()
}

// kills reports whether the process is to end here, which it does once.
func (y *ways) kills(at string) bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	if !y.kill || y.killed[at] {
		return false
	}
	y.killed[at] = true
	return true
}

// watch gives a step whose actions end as the ways say.
func (y *ways) watch(w *world, s engine.Step) engine.Step {
	plan, actions := s.Plan, s.Actions
	s.Plan = func(
		ctx context.Context, v progress.View, p migration.Params,
	) (engine.PlanResult, error) {
		out, err := plan(ctx, v, p)
		y.mu.Lock()
		defer y.mu.Unlock()
		if y.changed {
			out.Summary += " And something else."
		}
		return out, err
	}
	s.Actions = func(p migration.Params) []engine.Action {
		all := slices.Clone(actions(p))
		for i, a := range all {
			all[i].Do = y.do(w, s.ID, a)
			if a.Undo != nil {
				all[i].Undo = y.undo(w, s.ID, a)
			}
		}
		return all
	}
	return s
}

func (y *ways) do(
	w *world, step string, a engine.Action,
) func(context.Context, *engine.Call) (any, error) {
	name := step + "/" + a.ID
	return func(ctx context.Context, c *engine.Call) (any, error) {
		y.mu.Lock()
		out, known := y.kept[name]
		cancel := y.cancel == a.ID
		y.mu.Unlock()
		if !known {
			var err error
			if out, err = a.Do(y.cutting(ctx, "do "+name), c); err != nil {
				return out, err
			}
			if slices.Contains(y.slow, name) {
				y.set(func() { y.kept[name] = out })
			}
		}
		switch {
		case cancel:
			if _, err := w.control.Cancel(context.WithoutCancel(ctx), ada, c.Run.ID); err != nil {
				return nil, err
			}
			<-ctx.Done()
			return nil, context.Cause(ctx)
		case y.kills(c.Run.ID + " do " + name):
			y.reached <- name
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
		return out, nil
	}
}

func (y *ways) undo(
	w *world, step string, a engine.Action,
) func(context.Context, *engine.Call) error {
	name := step + "/" + a.ID
	return func(ctx context.Context, c *engine.Call) error {
		y.mu.Lock()
		leave := y.midway[name]
		y.mu.Unlock()
		if leave != nil {
			if err := leave(ctx, w, c); err != nil {
				return err
			}
		}
		before := w.look(ctx)
		if *broken != name {
			if err := a.Undo(y.cutting(ctx, "undo "+name), c); err != nil {
				return err
			}
		}
		if before.diff(w.look(ctx)) != "" {
			y.set(func() { y.trace[name] = true })
		}
		if y.kills(c.Run.ID + " undo " + name) {
			y.reached <- "undoing " + name
			<-ctx.Done()
			return context.Cause(ctx)
		}
		return nil
	}
}
