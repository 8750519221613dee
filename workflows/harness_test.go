package workflows

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/progress"
	"github.com/switchyard-dev/switchyard/workflows/steps"
)

var (
	ada   = migration.Actor{Name: "ada", Role: migration.RoleEngineer}
	bob   = migration.Actor{Name: "bob", Role: migration.RoleEngineer}
	carol = migration.Actor{Name: "carol", Role: migration.RoleViewer}
)

const (
	mid      = "orders"
	name     = "Orders of the shop"
	patience = 20 * time.Second
)

// clock is the time of a test; it moves on only when it is told to, or with the real one.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// notes is what fake steps did, in order, over all processes of a test.
type notes struct {
	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed and replaced at every line
}

func newNotes() *notes { return &notes{more: make(chan struct{})} }

func (n *notes) add(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
	close(n.more)
	n.more = make(chan struct{})
}

func (n *notes) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.lines)
}

// await waits until a line was added count times.
func (n *notes) await(t *testing.T, line string, count int) {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		n.mu.Lock()
		found, more := 0, n.more
		for _, l := range n.lines {
			if l == line {
				found++
			}
		}
		n.mu.Unlock()
		if found >= count {
			return
		}
		select {
		case <-more:
		case <-timeout.C:
			t.Fatalf("%q did not happen %d times: %v", line, count, n.all())
		}
	}
}

func (n *notes) want(t *testing.T, lines ...string) {
	t.Helper()
	if got := n.all(); !slices.Equal(got, lines) {
		t.Fatalf("what was done:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
}

// act is an action that notes that it was done and undone. do, if given, decides how it ends.
func (n *notes) act(id string, do func(ctx context.Context, c *engine.Call) error) engine.Action {
	return engine.Action{
		ActionPlan: migration.ActionPlan{ID: id, Title: "Action " + id, Changes: "something", Undo: "puts it back"},
		Do: func(ctx context.Context, c *engine.Call) (any, error) {
			n.add("do %s", id)
			if do == nil {
				return "output of " + id, nil
			}
			return "output of " + id, do(ctx, c)
		},
		Undo: func(ctx context.Context, c *engine.Call) error {
			n.add("undo %s", id)
			return nil
		},
	}
}

// fails is an action's end.
func fails(context.Context, *engine.Call) error { return errors.New("it did not work") }

// hangs until it is interrupted.
func hangs(ctx context.Context, _ *engine.Call) error { <-ctx.Done(); return ctx.Err() }

// hangsOnce hangs the first time and works from then on.
func hangsOnce() func(context.Context, *engine.Call) error {
	var once sync.Once
	return func(ctx context.Context, _ *engine.Call) (err error) {
		once.Do(func() { <-ctx.Done(); err = ctx.Err() })
		return err
	}
}

// step is a fake step of those actions, without gates.
func step(id string, approval migration.Approval, actions ...engine.Action) engine.Step {
	return engine.Step{ID: id, Approval: approval, Irreversible: approval == migration.ApprovalTwo,
		Plan: func(context.Context, progress.View, migration.Params) (engine.PlanResult, error) {
			return engine.PlanResult{Summary: "do " + id, Impact: "none"}, nil
		},
		Actions: func(migration.Params) []engine.Action { return actions }}
}

// planOf is a plan whose steps are those, each needing the one before when chained.
func planOf(chained bool, steps ...engine.Step) migration.Plan {
	p := migration.Plan{Name: "Test", Criteria: []migration.Criterion{{ID: "noeviction", Title: "Policy", Requires: []migration.Requirement{{Check: evidence.Policy, MaxAge: time.Hour}}}}}
	for i, s := range steps {
		ps := migration.PlanStep{ID: s.ID, Title: "Step " + s.ID}
		if chained && i > 0 {
			ps.Needs = []string{steps[i-1].ID}
		}
		p.Steps = append(p.Steps, ps)
	}
	return p
}

// settings is a configuration that reaches nothing.
func settings(dir string) config.Config {
	cfg := config.Default()
	cfg.DataDir = dir
	cfg.WorkerToken = "worker-token"
	cfg.Source.Standalone.URL = "redis://:redis-CANARY@127.0.0.1:1"
	cfg.Ingestion.URL, cfg.Ingestion.Token = "http://127.0.0.1:1", "ingestion-token"
	cfg.Linode.API, cfg.Linode.Token = "http://127.0.0.1:1", "linode-token"
	cfg.Migration.Name = name
	return cfg
}

// bench is a Control over a small catalogue of fake steps, in a folder that outlives it.
type bench struct {
	*Control
	time *clock
	// close ends it, as a process that is told to stop does. Closing again does nothing.
	close func() error
}

// openBench opens a Control the way Open does, with the given steps instead of the catalogue, and on SQLite without
// monitor and journal. On PostgreSQL every bench of a database is a replica of it.
func openBench(t *testing.T, cfg config.Config, p migration.Plan, catalogue ...engine.Step) *bench {
	t.Helper()
	st, err := store.Open(t.Context(), cfg.Database().Reveal())
	if err != nil {
		t.Fatal(err)
	}
	clk := &clock{}
	log := slog.New(slog.DiscardHandler)
	c := &Control{cfg: cfg, store: st, log: log, now: clk.now, hashing: make(chan struct{}, 2), done: make(chan struct{}), scheduled: make(chan struct{}, 1),
		readers: Readers{Flags: flags.NewHolder(flags.Options{File: filepath.Join(cfg.DataDir, "flags.json"), Keys: []flags.Key{{ID: "worker-token", Name: "worker_token", Set: mid}}, Now: clk.now, Log: log}), Fleet: fleet.New(clk.now)}}
	close(c.done)
	c.catalogue = func(g steps.Given) map[string]engine.Step {
		all, some := steps.All(g), map[string]engine.Step{}
		for _, s := range catalogue {
			if s.Actions == nil {
				s = all[s.ID]
			}
			some[s.ID] = s
		}
		return some
	}
	ok(t, c.assemble())
	if _, err := st.Migration(t.Context(), mid); err != nil {
		if err := st.CreateMigration(t.Context(), migration.Migration{ID: mid, Name: name, Plan: p, EventDate: clk.now(), CreatedBy: "test", CreatedAt: clk.now()}); err != nil {
			t.Fatal(err)
		}
		if err := st.CreateFlagSet(t.Context(), migration.FlagSet{ID: mid, MigrationID: mid, Name: name, CreatedBy: "test", CreatedAt: clk.now()}); err != nil {
			t.Fatal(err)
		}
	}
	var ctx context.Context
	ctx, c.stop = context.WithCancel(context.Background())
	if st.Postgres() { // who leads is decided among the replicas
		c.done = make(chan struct{})
		go func() {
			defer close(c.done)
			c.background(ctx)
		}()
	} else if err := c.engine.Launch(ctx); err != nil {
		t.Fatal(err)
	}
	b := &bench{c, clk, sync.OnceValue(c.Close)}
	t.Cleanup(func() { _ = b.close() })
	return b
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantKind(t *testing.T, err error, k migration.Kind, says ...string) {
	t.Helper()
	if err == nil || migration.KindOf(err) != k {
		t.Fatalf("got %v (%s), want kind %s", err, migration.KindOf(err), k)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Fatalf("got %q, want it to say %q", err, s)
		}
	}
}

// begin starts a step and, where it waits for approval, approves it as somebody else.
func (b *bench) begin(t *testing.T, step string) migration.Run {
	t.Helper()
	r, err := b.Start(t.Context(), ada, mid, step, migration.Params{}, "")
	ok(t, err)
	if r.State == migration.RunAwaitingApproval {
		r, err = b.Decide(t.Context(), bob, r.ID, Decision{Approve: true, ConfirmName: name})
		ok(t, err)
	}
	return r
}

// awaitState waits until a run is in a state, and gives it.
func (b *bench) awaitState(t *testing.T, id string, want migration.RunState) migration.Run {
	t.Helper()
	var r migration.Run
	redistest.Eventually(t, patience, func() (err error) {
		if r, err = b.Run(t.Context(), id); err == nil && r.State != want {
			err = fmt.Errorf("run %s is %s (%s), want %s", id, r.State, r.Error, want)
		}
		return err
	})
	return r
}

func states(r migration.Run) string {
	var out []string
	for _, a := range r.Actions {
		out = append(out, a.ID+" "+string(a.State))
	}
	return strings.Join(out, ", ")
}
