package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	// lets DBOS use the store's SQLite file
	_ "github.com/dbos-inc/dbos-transact-golang/dbos/driver/sqlite"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// Engine carries runs out on DBOS Transact. DBOS remembers which actions are done, so that
// a process that was killed goes on with the first one that is not. What an action gives is
// a value, also when it fails: an error of the engine itself stops the run where it is and
// undoes nothing, because an unknown state is no reason to change production.
type Engine struct {
	store   *store.Store
	steps   map[string]Step
	witness Witness
	log_    *slog.Logger
	now     func() time.Time
	notify  func(topic string)

	stop  context.CancelFunc
	tasks sync.WaitGroup

	mu sync.Mutex
	// nil: another replica carries runs out, or none does
	dbos    dbos.Context
	cancels map[string]context.CancelCauseFunc // of the action under way, by run
}

// engineVersion names the history format of runs for DBOS. It is pinned because DBOS would
// otherwise leave the runs of another build alone for ever. Change it when an action of a
// step is renamed or moved.
const engineVersion = "1"

// executorID is fixed: one process at a time launches the engine (the SQLite file's lock,
// or the leader's lock on Postgres), so whoever launches it owns all runs, also those that
// a former leader left behind.
const executorID = "switchyard"

var errCancelled = errors.New("cancelled")

// outcome is what one action gives the engine.
type outcome struct {
	Failed    string `json:"failed,omitempty"` // why, for people
	Cancelled bool   `json:"cancelled,omitempty"`
	// Untouched: it was cancelled before it began, so there is nothing of it to take back.
	Untouched bool `json:"untouched,omitempty"`
}

// Witness looks at what evidence is about, and gives those aspects that it could look at, for
// who looks since from (migration.World.Subject).
type Witness interface {
	Subject(ctx context.Context, mid string, aspects []migration.Aspect, from time.Time) (
		migration.Subject, error)
}

// New gives an engine for steps, by id. witness tells what evidence is about when it is
// recorded. notify is called with the topic of whatever has changed: run:<id>, overview, audit; it must
// not block.
func New(
	st *store.Store,
	steps map[string]Step,
	witness Witness,
	log *slog.Logger,
	now func() time.Time,
	notify func(topic string),
) *Engine {
	return &Engine{
		store:   st,
		steps:   steps,
		witness: witness,
		log_:    log,
		now:     now,
		notify:  notify,
		cancels: map[string]context.CancelCauseFunc{},
	}
}

// Launch opens DBOS on the store's database and resumes every run that was under way. close
// ends it; then it may be launched again.
func (e *Engine) Launch(ctx context.Context) error {
	ctx, e.stop = context.WithCancel(ctx)
	cfg := dbos.Config{
		AppName:            "switchyard",
		ApplicationVersion: engineVersion,
		ExecutorID:         executorID,
		Logger:             slog.New(quiet{e.log_.Handler()}),
	}
	if e.store.Postgres() {
		cfg.DatabaseURL = e.store.URL().Reveal()
	} else {
		cfg.SQLiteSystemDB = e.store.SQL()
	}
	d, err := dbos.NewContext(ctx, cfg)
	if err != nil {
		return fmt.Errorf("workflow engine: %w", err)
	}
	e.mu.Lock()
	e.dbos = d // from here on start takes runs, so that none falls between this and the list below
	e.mu.Unlock()
	dbos.RegisterWorkflow(
		d,
		e.workflow,
		dbos.WithWorkflowName("run"),
		dbos.WithMaxRecoveryAttempts(1_000_000),
	)
	if err := dbos.Launch(d); err != nil {
		return fmt.Errorf("workflow engine: %w", err)
	}
	for _, state := range []migration.RunState{migration.RunQueued, migration.RunRunning, migration.RunUndoing} {
		ids, err := e.store.RunsInState(ctx, state)
		if err != nil {
			return err
		}
		for _, id := range ids {
			e.Start(id)
		}
	}
	return nil
}

// Close stops carrying out; runs under way stay as they are for the next launch.
func (e *Engine) Close() {
	e.mu.Lock()
	d := e.dbos
	e.dbos = nil
	e.mu.Unlock()
	if d == nil {
		return
	}
	e.stop()
	if err := dbos.Shutdown(d, 10*time.Second); err != nil {
		e.log_.Warn("workflow engine did not stop in time", "err", err)
	}
	e.tasks.Wait()
}

// Start hands a run to DBOS. It may be called again for the same run: the workflow id makes
// it one. An engine error is tried again until it passes or the process ends. Where another
// replica carries runs out it does nothing: the database tells that one.
//
// What is between two approvals of a run is a part, and each part a workflow of its own:
// while a run waits for a person, the engine has nothing of it (see docs/adr/0001).
//
//nolint:contextcheck // a run outlives the request that starts it
func (e *Engine) Start(id string) {
	e.mu.Lock() // until the task is counted: close waits for all of them
	defer e.mu.Unlock()
	d := e.dbos
	if d == nil {
		return
	}
	e.tasks.Go(func() {
		for first := true; d.Err() == nil; first = false {
			var before migration.Run
			if e.persist(
				d,
				func() (err error) { before, err = e.store.Run(d, id); return err },
			) != nil {
				return
			}
			wid := partID(id, len(before.Approvals))
			h, err := dbos.RunWorkflow(d, e.workflow, wid, dbos.WithWorkflowID(wid))
			if err == nil {
				_, err = h.GetResult()
			}
			if d.Err() != nil {
				return
			}
			if err == nil {
				run, readErr := e.store.Run(d, id)
				if readErr == nil &&
					(!run.State.Open() || run.State == migration.RunAwaitingApproval) {
					return
				}
				// answered meanwhile: on with the next part
				if readErr == nil && len(run.Approvals) != len(before.Approvals) {
					continue
				}
				err = fmt.Errorf(
					"the workflow ended but the run is open: %w",
					errors.Join(readErr, ErrNotYet),
				)
			}
			// A process that was told to stop, as opposed to killed, leaves its runs
			// cancelled in DBOS: no error, they only need a push.
			if !first || !errors.Is(err, dbos.ErrAwaitedWorkflowCancelled) {
				e.log_.Error("workflow engine error; trying again", "run", id, "err", err)
				select {
				case <-d.Done():
					return
				case <-time.After(time.Second):
				}
			}
			if _, err := dbos.ResumeWorkflow[string](d, wid); err != nil {
				e.log_.Warn("resume", "run", id, "err", err)
			}
		}
	})
}

// persist writes until it is written. A database that does not answer is no result of an
// action, so it must not become one.
func (e *Engine) persist(ctx context.Context, write func() error) error {
	for {
		err := write()
		if err == nil || ctx.Err() != nil || migration.KindOf(err) != migration.Internal {
			return err
		}
		e.log_.Error("the database does not answer; trying again", "err", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// Record keeps facts as evidence. Invalid: nobody says what they rest on, which proves nothing.
func (e *Engine) Record(
	ctx context.Context,
	mid, runID, check string,
	proof migration.Proof,
	source string,
	facts any,
) error {
	known, _ := evidence.Of(check)
	subject, err := e.witness.Subject(ctx, mid, known.About, time.Time{})
	if err != nil {
		return err
	}
	return e.record(ctx, mid, runID, check, proof, source, facts, subject)
}

func (e *Engine) record(
	ctx context.Context,
	mid, runID, check string,
	proof migration.Proof,
	source string,
	facts any,
	subject migration.Subject,
) error {
	if proof == "" {
		return migration.Errorf(migration.Invalid, "what the evidence of %s rests on is not known",
			check)
	}
	b, err := json.Marshal(facts)
	if err != nil {
		return err
	}
	known, _ := evidence.Of(check) // the store refuses what is not known
	ev := migration.Evidence{
		Check:      check,
		Subject:    subject,
		Proof:      known.Basis(proof),
		Facts:      b,
		Source:     source,
		RunID:      runID,
		ObservedAt: e.now(),
	}
	err = e.persist(ctx, func() error { _, err := e.store.AddEvidence(ctx, mid, ev); return err })
	e.notify("overview")
	return err
}

//nolint:contextcheck // what a run did is written down also when it was cancelled
func (e *Engine) log(runID, action, level, message string) {
	if err := e.store.AppendLog(context.Background(), runID, action, level,
		migration.Plain(message), e.now()); err != nil {
		e.log_.Warn("run log", "run", runID, "err", err)
	}
	e.notify("run:" + runID)
}

//nolint:contextcheck // as above
func (e *Engine) progress(runID, text string, m *migration.Measure) {
	if err := e.store.SetProgress(context.Background(), runID, text, m); err != nil {
		e.log_.Warn("progress", "run", runID, "err", err)
	}
	e.notify("run:" + runID)
}

func (e *Engine) Changed(runID string) {
	e.notify("run:" + runID)
	e.notify("overview")
}

// quiet keeps DBOS' own progress messages out of our log; its warnings stay.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && q.Handler.Enabled(ctx, l)
}
func (q quiet) WithAttrs(a []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(a)} }
func (q quiet) WithGroup(name string) slog.Handler   { return quiet{q.Handler.WithGroup(name)} }
