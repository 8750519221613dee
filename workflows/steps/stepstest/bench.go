// Package stepstest runs steps as the server does, on a real database and engine, without
// pages, monitor and accounts.
package stepstest

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
)

const (
	// Migration is the id of the migration that every bench has.
	Migration = "orders"
	// Patience is how long a bench waits for what has to happen.
	Patience = 20 * time.Second
)

// Clock is the time of a test: the real one, moved on by hand.
type Clock struct{ ahead atomic.Int64 }

// Now is the time.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// Advance moves the clock on.
func (c *Clock) Advance(d time.Duration) { c.ahead.Add(int64(d)) }

// Bench is an engine over a database, an environment and some steps.
type Bench struct {
	Config config.Config
	Store  *store.Store
	Env    *environment.Environment
	Engine *engine.Engine
	Steps  map[string]engine.Step
	Clock  *Clock
	Fleet  *fleet.Fleet
	// Stop ends it as a process that is told to stop does: runs stay as they are. Stopping
	// again does nothing.
	Stop func()

	runs atomic.Int64

	mu      sync.Mutex
	talking []func(leaving bool) error // the workers
}

// Settings is a configuration that reaches nothing, with its data in a folder.
func Settings(dir string) config.Config {
	cfg := config.Default()
	cfg.DataDir = dir
	cfg.WorkerToken = "worker-token"
	cfg.Source.Standalone.URL = "redis://:redis-CANARY@127.0.0.1:1"
	cfg.Ingestion.URL, cfg.Ingestion.Token = "http://127.0.0.1:1", "ingestion-token"
	cfg.Linode.API, cfg.Linode.Token = "http://127.0.0.1:1", "linode-token"
	cfg.Migration.Name = "Orders of the shop"
	return cfg
}

// Open opens a bench on the configured database, which may be that of an earlier bench: its
// runs go on. catalogue makes the steps from the environment.
func Open(t testing.TB, cfg config.Config, catalogue func(b *Bench) []engine.Step) *Bench {
	t.Helper()
	st, err := store.Open(t.Context(), cfg.Database().Reveal())
	if err != nil {
		t.Fatal(err)
	}
	b := &Bench{Config: cfg, Store: st, Clock: &Clock{}, Steps: map[string]engine.Step{}}
	log := slog.New(slog.DiscardHandler)
	b.Fleet = fleet.New(b.Clock.Now)
	holder := flags.NewHolder(
		flags.Options{File: filepath.Join(cfg.DataDir, "flags.json"), Now: b.Clock.Now, Log: log},
	)
	b.Env, err = environment.Open(
		environment.Options{
			Config: cfg,
			Store:  st,
			Flags:  holder,
			Fleet:  b.Fleet,
			Log:    log,
			Now:    b.Clock.Now,
			Notify: func(string) {},
		},
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range catalogue(b) {
		b.Steps[s.ID] = s
	}
	b.Engine = engine.New(st, b.Steps, b.Env.World, log, b.Clock.Now, func(string) {})
	b.create(t)
	ctx, cancel := context.WithCancel(context.Background())
	if err := b.Engine.Launch(ctx); err != nil {
		t.Fatal(err)
	}
	b.Stop = sync.OnceFunc(func() {
		cancel()
		b.Engine.Close()
		b.Env.Close()
		_ = st.Close() // the test is over, or opens it again
	})
	t.Cleanup(b.Stop)
	return b
}

// create makes the migration and its flag set, where they are not there yet.
func (b *Bench) create(t testing.TB) {
	t.Helper()
	if _, err := b.Store.Migration(t.Context(), Migration); err == nil {
		return
	}
	p := migration.Plan{Name: "Test"}
	for id := range b.Steps {
		p.Steps = append(p.Steps, migration.PlanStep{ID: id, Title: id})
	}
	now := b.Clock.Now()
	m := migration.Migration{
		ID:        Migration,
		Name:      b.Config.Migration.Name,
		Plan:      p,
		EventDate: now,
		CreatedBy: "test",
		CreatedAt: now,
	}
	if err := b.Store.CreateMigration(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	set := migration.FlagSet{
		ID:          Migration,
		MigrationID: Migration,
		Name:        m.Name,
		CreatedBy:   "test",
		CreatedAt:   now,
	}
	if err := b.Store.CreateFlagSet(t.Context(), set); err != nil {
		t.Fatal(err)
	}
}

// Plan plans a step with the view of this moment.
func (b *Bench) Plan(
	ctx context.Context,
	step string,
	p migration.Params,
) (migration.StepPlan, error) {
	v, err := b.Env.Views.Fresh(ctx, Migration)
	if err != nil {
		return migration.StepPlan{}, err
	}
	return b.Steps[step].PlanFor(ctx, v, p)
}

// Start plans a step and begins a run of it, whatever its gates say and without approval.
func (b *Bench) Start(t testing.TB, step string, p migration.Params) migration.Run {
	t.Helper()
	plan, err := b.Plan(t.Context(), step, p)
	if err != nil {
		t.Fatal(err)
	}
	return b.begin(t, migration.Run{Step: step, Params: p, Plan: plan})
}

// Rollback begins a run that takes a former one back, as its step does: action by action,
// or by a forward run to where it came from.
func (b *Bench) Rollback(t testing.TB, run migration.Run) migration.Run {
	t.Helper()
	s := b.Steps[run.Step]
	if s.Reverse != nil {
		p, err := s.Reverse(run)
		if err != nil {
			t.Fatal(err)
		}
		return b.Start(t, run.Step, p)
	}
	plan, err := s.RollbackPlan(run)
	if err != nil {
		t.Fatal(err)
	}
	return b.begin(
		t,
		migration.Run{Step: run.Step, Params: run.Params, Plan: plan, Rollback: run.ID},
	)
}

func (b *Bench) begin(t testing.TB, run migration.Run) migration.Run {
	t.Helper()
	run.ID = fmt.Sprintf("run%d-%d", b.runs.Add(1), time.Now().UnixNano())
	run.MigrationID, run.RequestedBy, run.CreatedAt, run.State = Migration, "ada", b.Clock.Now(), migration.RunQueued
	if err := b.Store.CreateRun(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	b.Engine.Start(run.ID)
	return run
}

// Await waits until a run is in a state, and gives it.
func (b *Bench) Await(t testing.TB, id string, want migration.RunState) migration.Run {
	t.Helper()
	var r migration.Run
	redistest.Eventually(t, Patience, func() (err error) {
		if r, err = b.Store.Run(t.Context(), id); err == nil && r.State != want {
			err = fmt.Errorf("run %s is %s (%s), want %s", id, r.State, r.Error, want)
		}
		return err
	})
	return r
}
