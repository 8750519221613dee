package workflows

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/plan"
	"github.com/switchyard-dev/switchyard/store"
)

// Control is everything a person or a program can do with Switchyard. Pages, API and command line call it and nothing below it, so they
// offer the same verbs and the same next steps.
type Control struct {
	cfg       config.Config
	store     *store.Store
	estate    *Estate
	engine    *Engine
	monitor   *monitor
	notifier  *notifier
	readers   Readers
	steps     map[string]Step
	log       *slog.Logger
	now       func() time.Time
	scheduled chan struct{} // holds at most one: look again
	hashing   chan struct{} // bounds the memory that password hashing may take
	created   []config.User
	stop      context.CancelFunc
	done      chan struct{}
	changed   atomic.Pointer[func(topic string)]
}

// Open opens the database, resumes the runs that were under way and starts looking after the servers. At the very first start it creates
// the migration from the plan, and the accounts. Close ends it.
func Open(ctx context.Context, cfg config.Config, readers Readers, log *slog.Logger) (*Control, error) {
	p, err := plan.Read(cfg.Migration.PlanFile, StepIDs())
	if err != nil {
		return nil, err
	}
	st, err := store.Open(ctx, cfg.Database().Reveal())
	if err != nil {
		return nil, err
	}
	c := &Control{cfg: cfg, store: st, log: log, now: time.Now, scheduled: make(chan struct{}, 1), hashing: make(chan struct{}, 2), done: make(chan struct{}), readers: readers}
	if c.estate, err = openEstate(cfg, st, readers, log, c.now); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	c.steps = map[string]Step{}
	for _, s := range steps(cfg) {
		c.steps[s.ID] = s
	}
	c.engine = newEngine(st, c.estate, c.steps, log, c.now)
	if c.notifier, err = newNotifier(c.estate, log); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	c.estate.notify, c.engine.notify = c.notify, c.notify
	c.monitor = newMonitor(c.estate, c.engine, c.notifier, log)
	// Two replicas may meet at their very first start: who comes second finds what the first has made.
	for err = c.firstRun(ctx, p); migration.KindOf(err) == migration.Conflict && err != nil && ctx.Err() == nil; err = c.firstRun(ctx, p) {
		log.Info("another replica is making the first migration; looking again")
	}
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	ctx, c.stop = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(c.done)
		c.background(ctx)
	}()
	return c, nil
}

// background runs until ctx ends: the ledger and the flags' readers are fed in every replica, runs and watches belong to the leader.
func (c *Control) background(ctx context.Context) {
	var tasks sync.WaitGroup
	tasks.Go(func() { c.estate.ledger.run(ctx) })
	tasks.Go(func() { c.feedReaders(ctx) })
	if c.store.Postgres() {
		tasks.Go(func() { c.shareFleet(ctx) })
	}
	if err := c.store.Lead(ctx, c.lead); err != nil && ctx.Err() == nil {
		c.log.Error("this replica carries nothing out: it cannot find out who leads", "err", err)
	}
	tasks.Wait()
}

// lead carries out runs and keeps watch until ctx ends or the leadership does.
func (c *Control) lead(ctx context.Context) {
	for err := c.engine.launch(ctx); err != nil; err = c.engine.launch(ctx) {
		c.log.Error("workflow engine; trying again", "err", err)
		c.engine.close()
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
	defer c.engine.close()
	var tasks sync.WaitGroup
	tasks.Go(func() { c.runSchedules(ctx) })
	tasks.Go(func() { c.followStreams(ctx) })
	tasks.Go(func() { c.notifier.run(ctx) })
	c.monitor.run(ctx)
	tasks.Wait()
}

// followStreams follows the servers' events for the first migration: the queues, and the servers, are its.
func (c *Control) followStreams(ctx context.Context) {
	for {
		all, err := c.store.Migrations(ctx)
		if err == nil && len(all) > 0 {
			(&streams{e: c.estate, log: c.log, mid: all[0].ID}).run(ctx)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(streamsEvery):
		}
	}
}

// Close stops looking and carrying out; runs under way go on at the next Open.
func (c *Control) Close() error {
	c.stop()
	<-c.done
	c.engine.close() // where nobody led
	c.estate.close()
	return c.store.Close()
}

var notSlug = regexp.MustCompile(`[^a-z0-9]+`)

// MigrationID is the id that the configured migration gets: its name as a slug.
func MigrationID(cfg config.Config) string {
	return cmp.Or(strings.Trim(notSlug.ReplaceAllString(strings.ToLower(cfg.Migration.Name), "-"), "-"), "migration")
}

func (c *Control) firstRun(ctx context.Context, p migration.Plan) error {
	all, err := c.store.Migrations(ctx)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		m := migration.Migration{ID: MigrationID(c.cfg), Name: c.cfg.Migration.Name, Plan: p,
			EventDate: c.cfg.Event(c.now()), CreatedBy: "switchyard", CreatedAt: c.now()}
		if err := c.store.CreateMigration(ctx, m); err != nil {
			return err
		}
		all = append(all, m)
	}
	for _, m := range all {
		sets, err := c.store.FlagSets(ctx, m.ID)
		if err != nil {
			return err
		}
		if len(sets) == 0 {
			if err := c.store.CreateFlagSet(ctx, migration.FlagSet{ID: m.ID, MigrationID: m.ID, Name: m.Name, CreatedBy: "switchyard", CreatedAt: c.now()}); err != nil {
				return err
			}
		}
		r, err := c.estate.Routing(ctx, m.ID)
		if err != nil {
			return err
		}
		reason := "routing flags in the form of this version" // makes no revision when they are
		if r.Revision == 0 {
			reason = "migration created: everything stays on the old Redis"
		}
		if _, err := c.estate.setRouting(ctx, m.ID, r, "switchyard", reason, ""); err != nil {
			return err
		}
	}
	if err := c.serveReaders(ctx); err != nil {
		return err
	}
	n, err := c.store.UserCount(ctx)
	if err != nil || n > 0 {
		return err
	}
	users := c.cfg.FirstRunUsers
	if len(users) == 0 {
		for _, name := range []string{"engineer", "second"} {
			users = append(users, config.User{Name: name, Role: migration.RoleEngineer, Password: migration.Secret(newToken()[:24])})
		}
		users = append(users, config.User{Name: "lead", Role: migration.RoleViewer, Password: migration.Secret(newToken()[:24])})
		c.created = users
	}
	for _, u := range users {
		if err := c.store.CreateUser(ctx, u.Name, u.Role, hashPassword(u.Password.Reveal()), c.now()); err != nil {
			return err
		}
	}
	return nil
}

// NewAccounts gives the accounts that were made with random passwords at this very start, so that they can be shown once. Later starts
// give none.
func (c *Control) NewAccounts() []config.User { return c.created }

// OnChange has f called whenever something that pages show has changed. Topics: overview, flags, queues, notifications, run:<id>. f must not block.
func (c *Control) OnChange(f func(topic string)) { c.changed.Store(&f) }

func (c *Control) notify(topic string) {
	if topic == "overview" { // a run's change of state among other things
		poke(c.notifier.wake)
	}
	if f := c.changed.Load(); f != nil {
		(*f)(topic)
	}
}

// Ready reports whether requests can be served, and what is wrong where something is.
func (c *Control) Ready(ctx context.Context) (bool, map[string]string) {
	detail := map[string]string{"database": "ok", "flags": "ok", "ledger": "ok"}
	ok := true
	if err := c.store.Ping(ctx); err != nil {
		detail["database"], ok = "does not answer", false
	}
	if stale, since := c.readers.Flags.Stale(); stale {
		detail["flags"] = "last known good, since " + since.UTC().Format(time.RFC3339)
	}
	if _, err := c.estate.ledger.read(); err != nil {
		detail["ledger"] = err.Error()
	}
	return ok, detail
}

// Migrations lists the migrations.
func (c *Control) Migrations(ctx context.Context) ([]migration.Migration, error) {
	return c.store.Migrations(ctx)
}

// Evidence lists the observations of a check (empty: of all), newest first.
func (c *Control) Evidence(ctx context.Context, mid, check string, limit int) ([]migration.Evidence, error) {
	if _, err := c.store.Migration(ctx, mid); err != nil {
		return nil, err
	}
	return c.store.Evidence(ctx, mid, check, limit)
}

// Plan computes what a step would do now, without doing anything.
func (c *Control) Plan(ctx context.Context, mid, step string, p migration.Params) (migration.StepPlan, error) {
	view, err := c.view(ctx, mid)
	if err != nil {
		return migration.StepPlan{}, err
	}
	return c.plan(ctx, view, step, p)
}

func (c *Control) plan(ctx context.Context, v view, step string, p migration.Params) (migration.StepPlan, error) {
	s, ok := c.steps[step]
	if _, inPlan := v.migration.Plan.Step(step); !ok || !inPlan {
		return migration.StepPlan{}, migration.Errorf(migration.NotFound, "there is no step %q; the plan's steps are %s", step, strings.Join(v.stepIDs(), ", "))
	}
	if s.ID != migration.StepCutover && p != (migration.Params{}) {
		return migration.StepPlan{}, migration.Errorf(migration.Invalid, "step %s takes no parameters", step)
	}
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	sp, err := s.plan(withView(ctx, v), c.estate, p)
	if err != nil {
		return sp, err
	}
	sp.Gates = append(v.needs(step), sp.Gates...)
	return sp, nil
}

// Start begins a step: planned, checked and, where the step touches production, waiting for approval. planHash, when given, must be that of
// the plan now. Conflict names who runs what; Blocked carries the gates that do not hold, and nothing is done.
func (c *Control) Start(ctx context.Context, a migration.Actor, mid, step string, p migration.Params, planHash string) (migration.Run, error) {
	run, err := c.start(ctx, a, mid, step, p, planHash)
	c.audit(ctx, a, "start", step+params(p), run.ID, err)
	return run, err
}

func (c *Control) start(ctx context.Context, a migration.Actor, mid, step string, p migration.Params, planHash string) (migration.Run, error) {
	if err := engineer(a); err != nil {
		return migration.Run{}, err
	}
	v, err := c.view(ctx, mid)
	if err != nil {
		return migration.Run{}, err
	}
	// Who runs what comes before what is missing: the second of two clicks should hear of the first.
	if v.open != nil {
		return migration.Run{}, migration.Errorf(migration.Conflict, "%s already runs %q (run %s, %s): wait for it, or cancel it", v.open.RequestedBy, v.open.Step, v.open.ID, v.open.State)
	}
	sp, err := c.plan(ctx, v, step, p)
	if err != nil {
		return migration.Run{}, err
	}
	if planHash != "" && planHash != sp.Hash {
		return migration.Run{}, migration.Errorf(migration.Conflict, "the plan has changed since it was shown: look at it again")
	}
	if err := blocked(step, sp.Gates); err != nil {
		return migration.Run{}, err
	}
	return c.create(ctx, migration.Run{MigrationID: mid, Step: step, Params: p, Plan: sp, RequestedBy: a.Name})
}

func (c *Control) create(ctx context.Context, run migration.Run) (migration.Run, error) {
	run.ID, run.CreatedAt, run.State = newToken()[:10], c.now(), migration.RunAwaitingApproval
	if run.Plan.Approval == migration.ApprovalNone || run.Rollback != "" {
		run.State = migration.RunQueued
	}
	if err := c.store.CreateRun(ctx, run); err != nil {
		return migration.Run{}, err
	}
	if run.State == migration.RunQueued {
		c.engine.start(run.ID)
	}
	c.engine.changed(run.ID)
	return c.store.Run(ctx, run.ID)
}

func blocked(step string, gates []migration.Gate) error {
	failing := migration.Failing(gates)
	if len(failing) == 0 {
		return nil
	}
	var list []string
	for _, g := range failing {
		list = append(list, fmt.Sprintf("%s: %s (want %s)", g.Title, g.Measured, g.Limit))
	}
	err := migration.Errorf(migration.Blocked, "%s cannot start, %d of %d preconditions are unmet: %s", step, len(failing), len(gates), strings.Join(list, "; "))
	if e, ok := errors.AsType[*migration.Error](err); ok {
		e.Blockers = failing
	}
	return err
}

// Decision is an answer to a run that waits for approval.
type Decision struct {
	Approve     bool   `json:"approve"`
	Comment     string `json:"comment"`
	ConfirmName string `json:"confirm_name"` // the migration's name, for irreversible steps
	PlanHash    string `json:"plan_hash"`    // of the plan that was shown; empty: the run's
	Action      string `json:"action"`       // what the run waits with, see migration.Run.Waiting; empty: its start
}

// Decide approves or rejects a waiting run. An approval is for the exact plan that was shown, and its preconditions must still hold.
// Irreversible steps need somebody other than who asked, and the migration's name typed.
func (c *Control) Decide(ctx context.Context, a migration.Actor, runID string, d Decision) (migration.Run, error) {
	verb := "reject"
	if d.Approve {
		verb = "approve"
	}
	run, err := c.decide(ctx, a, runID, d)
	detail := d.Comment
	if d.Action != "" {
		detail = strings.TrimSuffix(d.Action+": "+d.Comment, ": ")
	}
	c.audit(ctx, a, verb, runID, detail, err)
	return run, err
}

func (c *Control) decide(ctx context.Context, a migration.Actor, runID string, d Decision) (migration.Run, error) {
	if err := engineer(a); err != nil {
		return migration.Run{}, err
	}
	run, err := c.store.Run(ctx, runID)
	if err != nil {
		return run, err
	}
	if run.State != migration.RunAwaitingApproval {
		return run, migration.Errorf(migration.Conflict, "run %s is %s: it does not wait for approval", run.ID, run.State)
	}
	waitsWith, midway := run.Waiting()
	if d.Action != waitsWith.ID {
		with := "its start"
		if midway {
			with = fmt.Sprintf("%q (action %s)", waitsWith.Title, waitsWith.ID)
		}
		return run, migration.Errorf(migration.Conflict, "run %s waits for the approval of %s: look at it again", run.ID, with)
	}
	change := store.RunChange{DecidedBy: a.Name, Comment: d.Comment}
	waiting := []migration.RunState{migration.RunAwaitingApproval}
	if !d.Approve {
		if strings.TrimSpace(d.Comment) == "" {
			return run, migration.Errorf(migration.Invalid, "say in a comment why it is rejected")
		}
		if midway {
			return c.answer(ctx, a, run, migration.Consent{Action: waitsWith.ID, By: a.Name, Comment: d.Comment})
		}
		err := c.store.MoveRun(ctx, run.ID, waiting, migration.RunRejected, change, c.now())
		c.engine.changed(run.ID)
		return c.reread(ctx, run.ID, err)
	}
	if d.PlanHash != "" && d.PlanHash != run.Plan.Hash {
		return run, migration.Errorf(migration.Conflict, "the approval is for another plan: look at the run again")
	}
	v, err := c.view(ctx, run.MigrationID)
	if err != nil {
		return run, err
	}
	if run.Needs() == migration.ApprovalTwo {
		if a.Name == run.RequestedBy {
			return run, migration.Errorf(migration.Forbidden, "%s asked for this irreversible step, so somebody else must approve it", a.Name)
		}
		if d.ConfirmName != v.migration.Name {
			return run, migration.Errorf(migration.Invalid, "type the migration's name exactly to approve an irreversible step: %q was given, %q is needed", d.ConfirmName, v.migration.Name)
		}
	}
	if midway {
		if err := c.ready(ctx, run, waitsWith); err != nil {
			return run, err
		}
		return c.answer(ctx, a, run, migration.Consent{Action: waitsWith.ID, Approved: true, By: a.Name, Comment: d.Comment})
	}
	fresh, err := c.plan(ctx, v, run.Step, run.Params)
	if err != nil {
		return run, err
	}
	if fresh.Hash != run.Plan.Hash {
		return run, migration.Errorf(migration.Conflict, "what the step would do has changed since it was asked for: reject it and start it again")
	}
	if err := blocked(run.Step, fresh.Gates); err != nil {
		return run, err
	}
	if err := c.store.MoveRun(ctx, run.ID, waiting, migration.RunQueued, change, c.now()); err != nil {
		return run, err
	}
	c.engine.start(run.ID)
	c.engine.changed(run.ID)
	return c.store.Run(ctx, run.ID)
}

// answer lets a run that waits before an action go on: with it, or to take back what it did.
func (c *Control) answer(ctx context.Context, a migration.Actor, run migration.Run, consent migration.Consent) (migration.Run, error) {
	consent.At = c.now()
	cancelledBy := ""
	if !consent.Approved {
		cancelledBy = a.Name
	}
	err := c.store.AnswerRun(ctx, run.ID, len(run.Approvals), consent, cancelledBy)
	if err == nil {
		c.engine.start(run.ID)
	}
	c.engine.changed(run.ID)
	return c.reread(ctx, run.ID, err)
}

// ready refuses with the gates of the action that do not hold.
func (c *Control) ready(ctx context.Context, run migration.Run, waitsWith migration.ActionPlan) error {
	for _, known := range c.steps[run.Step].Actions(run.Params) {
		if known.ID == waitsWith.ID && known.Ready != nil {
			ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
			defer cancel()
			return blocked(waitsWith.Title, known.Ready(ctx, &Call{Estate: c.estate, Run: run, Action: known.ID, engine: c.engine}))
		}
	}
	return nil
}

func (c *Control) reread(ctx context.Context, id string, err error) (migration.Run, error) {
	run, readErr := c.store.Run(ctx, id)
	return run, errors.Join(err, readErr)
}

// Cancel stops an open run. What it has done is taken back, except where an action says that it cannot be.
func (c *Control) Cancel(ctx context.Context, a migration.Actor, runID string) (migration.Run, error) {
	run, err := c.cancel(ctx, a, runID)
	c.audit(ctx, a, "cancel", runID, run.Step, err)
	return run, err
}

func (c *Control) cancel(ctx context.Context, a migration.Actor, runID string) (migration.Run, error) {
	if err := engineer(a); err != nil {
		return migration.Run{}, err
	}
	run, err := c.store.Run(ctx, runID)
	if err != nil {
		return run, err
	}
	if run.Rollback != "" {
		return run, migration.Errorf(migration.Conflict, "run %s takes another back and is not interrupted half way", run.ID)
	}
	if waitsWith, midway := run.Waiting(); midway {
		return c.answer(ctx, a, run, migration.Consent{Action: waitsWith.ID, By: a.Name})
	}
	if run.State == migration.RunAwaitingApproval {
		err = c.store.MoveRun(ctx, run.ID, []migration.RunState{migration.RunAwaitingApproval}, migration.RunCancelled, store.RunChange{CancelledBy: a.Name}, c.now())
	} else if err = c.store.RequestCancel(ctx, run.ID, a.Name); err == nil {
		c.engine.cancel(run.ID)
	}
	c.engine.changed(run.ID)
	return c.reread(ctx, run.ID, err)
}

// RollbackPlan computes what taking a run back would do.
func (c *Control) RollbackPlan(ctx context.Context, runID string) (migration.StepPlan, error) {
	run, err := c.store.Run(ctx, runID)
	if err != nil {
		return migration.StepPlan{}, err
	}
	v, err := c.view(ctx, run.MigrationID)
	if err != nil {
		return migration.StepPlan{}, err
	}
	return c.rollbackPlan(ctx, v, run)
}

func (c *Control) rollbackPlan(ctx context.Context, v view, run migration.Run) (migration.StepPlan, error) {
	s, ok := c.steps[run.Step]
	switch {
	case !ok:
		return migration.StepPlan{}, migration.Errorf(migration.NotFound, "this version knows no step %q", run.Step)
	case run.State != migration.RunSucceeded || run.Rollback != "":
		return migration.StepPlan{}, migration.Errorf(migration.Conflict, "run %s is %s: only a run that succeeded can be taken back", run.ID, run.State)
	case run.RolledBackBy != "":
		return migration.StepPlan{}, migration.Errorf(migration.Conflict, "run %s was taken back by run %s already", run.ID, run.RolledBackBy)
	}
	if latest := v.latest(run.Step); latest == nil || latest.ID != run.ID {
		return migration.StepPlan{}, migration.Errorf(migration.Conflict, "run %s is not the latest of %s: take back the latest first", run.ID, run.Step)
	}
	if s.Reverse != nil {
		p, err := s.Reverse(run)
		if err != nil {
			return migration.StepPlan{}, err
		}
		return c.plan(ctx, v, run.Step, p)
	}
	for _, id := range v.dependants(run.Step) {
		if v.done(id) {
			return migration.StepPlan{}, migration.Errorf(migration.Blocked, "%s builds on %s: take it back first", id, run.Step)
		}
	}
	if r := v.routing; r.Stage != migration.StageOff {
		return migration.StepPlan{}, migration.Errorf(migration.Blocked, "the queue is at %s: move it back to off before taking back %s", r, run.Step)
	}
	return s.rollbackPlan(run)
}

// Rollback takes a run that succeeded back, by a run of its own. It needs no approval: the way back must be quick.
func (c *Control) Rollback(ctx context.Context, a migration.Actor, runID string) (migration.Run, error) {
	run, err := c.rollback(ctx, a, runID)
	c.audit(ctx, a, "rollback", runID, run.Step, err)
	return run, err
}

func (c *Control) rollback(ctx context.Context, a migration.Actor, runID string) (migration.Run, error) {
	if err := engineer(a); err != nil {
		return migration.Run{}, err
	}
	run, err := c.store.Run(ctx, runID)
	if err != nil {
		return run, err
	}
	v, err := c.view(ctx, run.MigrationID)
	if err != nil {
		return run, err
	}
	sp, err := c.rollbackPlan(ctx, v, run)
	if err != nil {
		return run, err
	}
	if s := c.steps[run.Step]; s.Reverse != nil {
		return c.start(ctx, a, run.MigrationID, run.Step, sp.Params, sp.Hash)
	}
	return c.create(ctx, migration.Run{MigrationID: run.MigrationID, Step: run.Step, Params: run.Params, Plan: sp, Rollback: run.ID, RequestedBy: a.Name})
}

// Run gives one run with its actions.
func (c *Control) Run(ctx context.Context, id string) (migration.Run, error) {
	return c.store.Run(ctx, id)
}

// Runs lists a migration's runs of a step (empty: of all), newest first.
func (c *Control) Runs(ctx context.Context, mid, step string, limit int) ([]migration.Run, error) {
	return c.store.Runs(ctx, mid, step, limit)
}

// Log lists a run's log after a sequence number.
func (c *Control) Log(ctx context.Context, runID string, after int64, limit int) ([]migration.LogLine, error) {
	return c.store.Log(ctx, runID, after, limit)
}

// Workers lists who reads a migration's flag sets and was heard of in the last hour.
func (c *Control) Workers(context.Context, string) ([]migration.Worker, error) {
	return c.readers.Fleet.Workers(), nil
}

// Audit lists the audit log, newest first; before is a sequence number to page on from.
func (c *Control) Audit(ctx context.Context, before int64, limit int) ([]migration.AuditEntry, error) {
	return c.store.Audit(ctx, before, limit)
}

func (c *Control) audit(ctx context.Context, a migration.Actor, action, subject, detail string, err error) {
	e := migration.AuditEntry{At: c.now(), Actor: a.Name, Action: action, Subject: subject, Detail: detail, Result: "ok"}
	if err != nil {
		e.Result, e.Detail = "refused", err.Error()
		if migration.KindOf(err) == migration.Internal {
			e.Detail = "internal error"
		}
	}
	if err := c.store.AppendAudit(context.WithoutCancel(ctx), e); err != nil {
		c.log.Error("audit log", "err", err)
	}
}

// MayAct refuses viewers, and keeps in the audit log what they tried: for what is asked before anything is changed.
func (c *Control) MayAct(ctx context.Context, a migration.Actor, action, subject string) error {
	err := engineer(a)
	if err != nil {
		c.audit(ctx, a, action, subject, "", err)
	}
	return err
}

func engineer(a migration.Actor) error {
	if a.Role != migration.RoleEngineer {
		return migration.Errorf(migration.Forbidden, "%s is a %s and may look but not act: sign in as an engineer", a.Name, a.Role)
	}
	return nil
}

func params(p migration.Params) string {
	if p == (migration.Params{}) {
		return ""
	}
	return " to " + p.Move().String()
}

// newToken gives 256 random bits in hexadecimal.
func newToken() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails, by its documentation
	return hex.EncodeToString(b[:])
}

// StepIDs lists the ids of all workflows, sorted.
func StepIDs() []string {
	var ids []string
	for _, s := range steps(config.Default()) {
		ids = append(ids, s.ID)
	}
	slices.Sort(ids)
	return ids
}
