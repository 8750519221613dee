package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	// lets DBOS use the store's SQLite file
	_ "github.com/dbos-inc/dbos-transact-golang/dbos/driver/sqlite"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/store"
)

// Engine carries runs out on DBOS Transact. DBOS remembers which actions are done, so that
// a process that was killed goes on with the first one that is not. What an action gives is
// a value, also when it fails: an error of the engine itself stops the run where it is and
// undoes nothing, because an unknown state is no reason to change production.
type Engine struct {
	store  *store.Store
	steps  map[string]Step
	log_   *slog.Logger
	now    func() time.Time
	notify func(topic string)

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

// New gives an engine for steps, by id. notify is called with the topic of whatever has
// changed: run:<id>, overview; it must not block.
func New(
	st *store.Store,
	steps map[string]Step,
	log *slog.Logger,
	now func() time.Time,
	notify func(topic string),
) *Engine {
	return &Engine{
		store:   st,
		steps:   steps,
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

// partID names the part of a run after that many answers. The first is named by the run
// alone, as when there were no others.
func partID(run string, answers int) string {
	if answers == 0 {
		return run
	}
	return fmt.Sprintf("%s:%d", run, answers)
}

func partOf(wid string) (run string, answers int) {
	run, n, _ := strings.Cut(wid, ":")
	answers, _ = strconv.Atoi(n) // "" is 0
	return run, answers
}

// approved gives the actions in the order of the plan that was approved, which may be that
// of an earlier version.
func approved(run migration.Run, known []Action) []Action {
	var out []Action
	for _, p := range run.Plan.Actions {
		i := slices.IndexFunc(known, func(a Action) bool { return a.ID == p.ID })
		if i < 0 {
			out = append(out, Action{ActionPlan: p, Do: func(context.Context, *Call) (any, error) {
				return nil, fmt.Errorf("this version does not know the action %q", p.ID)
			}})
			continue
		}
		a := known[i]
		a.ActionPlan = p
		out = append(out, a)
	}
	return out
}

// beginning is the action with which a part begins: the first, or the one that the last
// answer was about.
func beginning(actions []Action, answers int) int {
	for i, a := range actions {
		if a.Approval == "" {
			continue
		}
		if answers--; answers == 0 {
			return i
		}
	}
	return 0
}

// workflow is one part of a run from start to end. Everything in it that is not a DBOS step
// must be deterministic.
func (e *Engine) workflow(ctx dbos.Context, wid string) (string, error) {
	id, answers := partOf(wid)
	run, err := dbos.RunAsStep(ctx, func(ctx context.Context) (migration.Run, error) {
		var run migration.Run
		err := e.persist(ctx, func() (err error) {
			moved := e.store.MoveRun(
				ctx,
				id,
				[]migration.RunState{migration.RunQueued, migration.RunRunning},
				migration.RunRunning,
				store.RunChange{},
				e.now(),
			)
			if moved != nil && migration.KindOf(moved) != migration.Conflict {
				return moved
			}
			run, err = e.store.Run(ctx, id)
			return err
		})
		e.Changed(id)
		return run, err
	}, dbos.WithStepName("begin"))
	if err != nil {
		return "", err
	}
	step, ok := e.steps[run.Step]
	if !ok {
		return "", e.finish(
			ctx,
			id,
			migration.RunFailed,
			fmt.Sprintf("this version knows no step %q", run.Step),
		)
	}
	actions := step.Actions(run.Params)
	if run.Rollback != "" {
		return e.rollback(ctx, run, actions)
	}
	actions = approved(run, actions)
	from := beginning(actions, answers)
	for i := from; i < len(actions); i++ {
		a := actions[i]
		if a.Approval != "" && (i > from || answers == 0) {
			held, err := e.hold(ctx, run.ID, answers, a)
			if err != nil || held {
				return "waiting", err
			}
			return e.giveUp(ctx, run, actions[:i], outcome{Cancelled: true})
		}
		out, err := e.perform(ctx, run, a, a.Do, "")
		if err != nil {
			return "", err
		}
		if out.Untouched {
			return e.giveUp(ctx, run, actions[:i], out)
		}
		if out.Failed != "" || out.Cancelled {
			return e.giveUp(ctx, run, actions[:i+1], out)
		}
	}
	return "succeeded", e.finish(ctx, id, migration.RunSucceeded, "")
}

// rollback takes a former run back, action by action in reverse.
func (e *Engine) rollback(ctx dbos.Context, run migration.Run, actions []Action) (string, error) {
	for i := len(actions) - 1; i >= 0; i-- {
		a := actions[i]
		if a.Undo == nil {
			continue
		}
		out, err := e.perform(ctx, run, a, undo(a), "")
		if err != nil {
			return "", err
		}
		if out.Failed != "" {
			return "failed", e.finish(ctx, run.ID, migration.RunFailed, out.Failed)
		}
	}
	return "succeeded", e.finish(ctx, run.ID, migration.RunSucceeded, "")
}

// giveUp undoes what a failed or cancelled run did, the interrupted action included, and
// says what could not be undone.
func (e *Engine) giveUp(
	ctx dbos.Context,
	run migration.Run,
	done []Action,
	why outcome,
) (string, error) {
	final, reason := migration.RunFailed, why.Failed
	if why.Cancelled {
		final, reason = migration.RunCancelled, "cancelled; what was done has been taken back"
		if n := len(run.Approvals); n > 0 && !run.Approvals[n-1].Approved &&
			run.Approvals[n-1].Comment != "" {
			reason = fmt.Sprintf(
				"not approved by %s: %s; what was done has been taken back",
				run.Approvals[n-1].By,
				run.Approvals[n-1].Comment,
			)
		}
	}
	if err := e.move(ctx, run.ID, migration.RunUndoing); err != nil {
		return "", err
	}
	for i := len(done) - 1; i >= 0; i-- {
		a := done[i]
		if a.Undo == nil {
			continue
		}
		out, err := e.perform(ctx, run, a, undo(a), "undo:")
		if err != nil {
			return "", err
		}
		if out.Failed != "" {
			reason += fmt.Sprintf("; taking back %q failed as well: %s", a.Title, out.Failed)
		}
	}
	return string(final), e.finish(ctx, run.ID, final, reason)
}

// hold lets the run wait for the approval of an action. False: it is cancelled.
func (e *Engine) hold(ctx dbos.Context, id string, answers int, a Action) (bool, error) {
	return dbos.RunAsStep(ctx, func(ctx context.Context) (held bool, err error) {
		err = e.persist(
			ctx,
			func() (err error) { held, err = e.store.HoldRun(ctx, id, answers); return err },
		)
		if err == nil && held {
			e.log(id, a.ID, "info", "waits for the approval of: "+a.Title)
			e.progress(id, "waits for the approval of: "+a.Title, nil)
		}
		e.Changed(id)
		return held, err
	}, dbos.WithStepName("hold:"+a.ID))
}

func undo(a Action) func(context.Context, *Call) (any, error) {
	return func(ctx context.Context, c *Call) (any, error) { return nil, a.Undo(ctx, c) }
}

// perform carries out one action as a DBOS step. prefix is "undo:" for taking back within a
// run that went wrong.
func (e *Engine) perform(
	ctx dbos.Context,
	run migration.Run,
	a Action,
	do func(context.Context, *Call) (any, error),
	prefix string,
) (outcome, error) {
	return dbos.RunAsStep(ctx, func(ctx context.Context) (outcome, error) {
		undoing := prefix != "" || run.Rollback != ""
		out, err := e.attempt(ctx, run, a, do, undoing)
		e.Changed(run.ID)
		return out, err
	}, dbos.WithStepName(prefix+a.ID))
}

func (e *Engine) attempt(
	ctx context.Context,
	run migration.Run,
	a Action,
	do func(context.Context, *Call) (any, error),
	undoing bool,
) (outcome, error) {
	save := func(state migration.ActionState, detail string, output json.RawMessage) error {
		return e.persist(
			ctx,
			func() error { return e.store.SaveAction(ctx, run.ID, a.ID, state, detail, output, e.now()) },
		)
	}
	var current migration.Run
	if err := e.persist(ctx, func() (err error) { current, err = e.store.Run(ctx, run.ID); return err }); err != nil {
		return outcome{}, err
	}
	// An undo is never interrupted: half of it would be worse than all of it.
	if current.CancelledBy != "" && !undoing {
		untouched := slices.ContainsFunc(
			current.Actions,
			func(was migration.RunAction) bool { return was.ID == a.ID && was.State == migration.ActionPending },
		)
		return outcome{Cancelled: true, Untouched: untouched}, nil
	}
	if err := save(migration.ActionRunning, "", nil); err != nil {
		return outcome{}, err
	}
	e.Changed(run.ID)
	title := a.Title
	if undoing {
		title = "taking back: " + title
	}
	e.log(run.ID, a.ID, "info", title)

	timeout := a.Timeout
	if timeout == 0 {
		timeout = 2 * time.Minute
	}
	cancellable, cancel := context.WithCancelCause(ctx)
	budget := startBudget(timeout, func() { cancel(context.DeadlineExceeded) })
	if !undoing {
		e.watch(run.ID, cancel)
	}
	result, err := do(cancellable, &Call{Run: current, Action: a.ID, engine: e, budget: budget})
	cancelled := errors.Is(context.Cause(cancellable), errCancelled)
	if errors.Is(context.Cause(cancellable), context.DeadlineExceeded) &&
		errors.Is(err, context.Canceled) {
		err = fmt.Errorf("it took longer than %s", timeout)
	}
	e.watch(run.ID, nil)
	budget.stop()
	cancel(nil)

	if ctx.Err() != nil {
		// The process is going away. Nothing is written: the next one carries the action out again.
		return outcome{}, ctx.Err()
	}
	state := migration.ActionDone
	if undoing {
		state = migration.ActionUndone
	}
	var output json.RawMessage
	if err == nil && result != nil {
		if output, err = json.Marshal(result); err != nil {
			err = fmt.Errorf("output of %s: %w", a.ID, err)
		}
	}
	if err == nil {
		return outcome{}, save(state, "", output)
	}
	if cancelled && !undoing {
		e.log(run.ID, a.ID, "warn", "cancelled by "+e.cancelledBy(ctx, run.ID))
		return outcome{Cancelled: true}, save(migration.ActionFailed, "cancelled", nil)
	}
	e.log(run.ID, a.ID, "error", err.Error())
	return outcome{
			Failed: a.Title + ": " + err.Error(),
		}, save(
			migration.ActionFailed,
			err.Error(),
			nil,
		)
}

func (e *Engine) cancelledBy(ctx context.Context, id string) string {
	if run, err := e.store.Run(ctx, id); err == nil {
		return run.CancelledBy
	}
	return "somebody"
}

func (e *Engine) move(ctx dbos.Context, id string, to migration.RunState) error {
	_, err := dbos.RunAsStep(ctx, func(ctx context.Context) (bool, error) {
		err := e.persist(ctx, func() error {
			err := e.store.MoveRun(
				ctx,
				id,
				[]migration.RunState{migration.RunRunning, to},
				to,
				store.RunChange{},
				e.now(),
			)
			if migration.KindOf(err) == migration.Conflict {
				return nil
			}
			return err
		})
		e.Changed(id)
		return true, err
	}, dbos.WithStepName("to:"+string(to)))
	return err
}

func (e *Engine) finish(ctx dbos.Context, id string, to migration.RunState, reason string) error {
	_, err := dbos.RunAsStep(ctx, func(ctx context.Context) (bool, error) {
		err := e.persist(ctx, func() error {
			err := e.store.MoveRun(
				ctx,
				id,
				[]migration.RunState{
					migration.RunQueued,
					migration.RunRunning,
					migration.RunUndoing,
				},
				to,
				store.RunChange{Error: reason},
				e.now(),
			)
			if migration.KindOf(err) == migration.Conflict { // written before a kill
				return nil
			}
			if err == nil {
				e.audit(ctx, id, to, reason)
			}
			return err
		})
		if err == nil {
			e.log(id, "", "info", "run "+string(to))
		}
		e.Changed(id)
		return true, err
	}, dbos.WithStepName("finish"))
	return err
}

// audit notes how a run ended. The run itself is the record; a log that cannot be written
// does not keep it open.
func (e *Engine) audit(ctx context.Context, id string, to migration.RunState, reason string) {
	run, err := e.store.Run(ctx, id)
	if err == nil {
		detail := "run " + id
		if reason != "" {
			detail += ": " + reason
		}
		err = e.store.AppendAudit(
			ctx,
			migration.AuditEntry{
				At:      e.now(),
				Actor:   "switchyard",
				Action:  "finish",
				Subject: run.Step + run.Params.Suffix(),
				Detail:  detail,
				Result:  string(to),
			},
		)
	}
	if err != nil {
		e.log_.Error("audit log", "run", id, "err", err)
	}
}

// watch keeps the function that cancels a run's action; nil forgets it.
func (e *Engine) watch(id string, cancel context.CancelCauseFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if cancel == nil {
		delete(e.cancels, id)
		return
	}
	e.cancels[id] = cancel
}

// Cancel interrupts the action under way. Between actions the mark in the store does it.
func (e *Engine) Cancel(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if cancel := e.cancels[id]; cancel != nil {
		cancel(errCancelled)
	}
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

func (e *Engine) Record(
	ctx context.Context,
	mid, runID, check string,
	proof migration.Proof,
	source string,
	facts any,
) error {
	b, err := json.Marshal(facts)
	if err != nil {
		return err
	}
	ev := migration.Evidence{
		Check:      check,
		Proof:      proof,
		Facts:      b,
		Source:     source,
		RunID:      runID,
		ObservedAt: e.now(),
	}
	err = e.persist(ctx, func() error { _, err := e.store.AddEvidence(ctx, mid, ev); return err })
	e.notify("overview")
	return err
}

func (e *Engine) log(runID, action, level, message string) {
	if err := e.store.AppendLog(context.Background(), runID, action, level, message, e.now()); err != nil {
		e.log_.Warn("run log", "run", runID, "err", err)
	}
	e.notify("run:" + runID)
}

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
