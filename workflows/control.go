package workflows

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/plan"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/alarm"
	"github.com/switchyard-dev/switchyard/workflows/costs"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/outage"
	"github.com/switchyard-dev/switchyard/workflows/steps"
)

// Control is everything a person or a program can do with Switchyard. Pages, API and
// command line call it and nothing below it, so they offer the same verbs and the same next
// steps.
type Control struct {
	cfg       config.Config
	store     *store.Store
	env       *environment.Environment
	engine    *engine.Engine
	monitor   *monitor
	notifier  *alarm.Notifier
	outage    *outage.Clock
	costs     *costs.Book
	readers   Readers
	steps     map[string]engine.Step
	catalogue Catalogue
	log       *slog.Logger
	now       func() time.Time
	scheduled chan struct{} // holds at most one: look again
	hashing   chan struct{} // bounds the memory that password hashing may take
	created   []config.User
	stop      context.CancelFunc
	done      chan struct{}
	changed   atomic.Pointer[func(topic string)]
	headlines sync.Map // by migration: the last migration.Headline
	setup     setup
	results   sync.Map // id of a run that succeeded to its migration.RunResult, by cameTo
}

// Catalogue makes the steps, by id, from what they are given.
type Catalogue func(steps.Given) map[string]engine.Step

// Open opens the database, resumes the runs that were under way and starts looking after
// the servers. At the very first start it creates the migration from the plan, and the
// accounts. Close ends it.
func Open(
	ctx context.Context,
	cfg config.Config,
	readers Readers,
	log *slog.Logger,
) (*Control, error) {
	return OpenWith(ctx, cfg, readers, log, steps.All)
}

// OpenWith is Open with another catalogue, such as one that watches what its steps do.
func OpenWith(
	ctx context.Context,
	cfg config.Config,
	readers Readers,
	log *slog.Logger,
	catalogue Catalogue,
) (*Control, error) {
	p, err := plan.Read(cfg.Migration.PlanFile, steps.IDs())
	if err != nil {
		return nil, err
	}
	target, price := cfg.TargetPlan()
	p = plan.For(p, target, price)
	st, err := store.Open(ctx, cfg.Database().Reveal())
	if err != nil {
		return nil, err
	}
	c := &Control{
		cfg:       cfg,
		store:     st,
		log:       log,
		now:       time.Now,
		scheduled: make(chan struct{}, 1),
		hashing:   make(chan struct{}, 2),
		done:      make(chan struct{}),
		readers:   readers,
		catalogue: catalogue,
		setup:     setup{getenv: os.Getenv, asked: map[string]SetupPart{}},
	}
	if err := c.assemble(); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	// Two replicas may meet at their very first start: who comes second finds what the
	// first has made.
	met := func(err error) bool {
		return err != nil && migration.KindOf(err) == migration.Conflict
	}
	for err = c.firstRun(ctx, p); met(err) && ctx.Err() == nil; err = c.firstRun(ctx, p) {
		log.Info("another replica is making the first migration; looking again")
	}
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	ctx, c.stop = context.WithCancel(context.WithoutCancel(ctx))
	c.setup.spawn = func(test func(context.Context)) {
		c.setup.tasks.Go(func() { test(ctx) })
	}
	go func() {
		defer close(c.done)
		c.background(ctx)
	}()
	return c, nil
}

// assemble opens the environment and hands its parts to whoever needs them.
func (c *Control) assemble() (err error) {
	c.env, err = environment.Open(
		environment.Options{
			Config: c.cfg,
			Store:  c.store,
			Flags:  c.readers.Flags,
			Fleet:  c.readers.Fleet,
			Log:    c.log,
			Now:    c.now,
			Notify: c.notify,
		},
	)
	if err != nil {
		return err
	}
	e := c.env
	c.outage = &outage.Clock{
		Journal: e.Journal,
		Workers: e.Workers,
		App:     e.App,
		Config:  c.cfg,
		Now:     c.now,
	}
	c.costs = &costs.Book{
		Servers:  e.Servers,
		Routing:  e.Routing,
		Load:     e.Load,
		Managed:  e.Managed,
		Host:     e.Host,
		Settings: c.store,
		Source:   c.cfg.Source,
		Now:      c.now,
	}
	c.steps = c.catalogue(
		steps.Given{Config: c.cfg, Environment: e, Store: c.store, Now: c.now, Live: c.outage.Live},
	)
	c.engine = engine.New(c.store, c.steps, e.World, c.log, c.now, c.notify)
	c.notifier, err = alarm.New(
		alarm.Options{
			Config:  c.cfg,
			Store:   c.store,
			Views:   e.Views,
			Routing: e.Routing,
			Workers: e.Workers,
			Clients: e.Clients,
			Streams: e.Streams,
			Vitals:  e.Vitals,
			Debts:   e.Debts,
			Load:    e.Load,
			Outage:  c.outage,
			Costs:   c.costs,
			Digest:  c.makeDigest,
			Log:     c.log,
			Now:     c.now,
			Notify:  c.notify,
		},
	)
	if err != nil {
		return err
	}
	c.monitor = &monitor{
		env:      e,
		store:    c.store,
		every:    c.cfg.Migration.MonitorInterval,
		engine:   c.engine,
		notifier: c.notifier,
		log:      c.log,
		now:      c.now,
		notify:   c.notify,
		ill:      map[string]bool{},
		rests:    map[string]time.Time{},
	}
	return nil
}

// background runs until ctx ends: the ledger and the flags' readers are fed in every
// replica, runs and watches belong to the leader.
func (c *Control) background(ctx context.Context) {
	var tasks sync.WaitGroup
	tasks.Go(func() { c.env.Journal.Run(ctx) })
	tasks.Go(func() { c.feedReaders(ctx) })
	tasks.Go(func() { c.shareFleet(ctx) })
	tasks.Go(func() { c.keepHeadlines(ctx) })
	if err := c.store.Lead(ctx, c.lead); err != nil && ctx.Err() == nil {
		c.log.Error("this replica carries nothing out: it cannot find out who leads", "err", err)
	}
	tasks.Wait()
}

// lead carries out runs and keeps watch until ctx ends or the leadership does.
func (c *Control) lead(ctx context.Context) {
	for err := c.engine.Launch(ctx); err != nil; err = c.engine.Launch(ctx) {
		c.log.Error("workflow engine; trying again", "err", err)
		c.engine.Close()
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
	defer c.engine.Close()
	var tasks sync.WaitGroup
	tasks.Go(func() { c.runSchedules(ctx) })
	tasks.Go(func() { c.env.Journal.Keep(ctx) })
	tasks.Go(func() { c.followStreams(ctx) })
	tasks.Go(func() { c.notifier.Run(ctx) })
	tasks.Go(func() { c.guard(ctx) })
	tasks.Go(func() { c.liftDebts(ctx) })
	tasks.Go(func() { c.sampleSeries(ctx) })
	c.monitor.run(ctx)
	tasks.Wait()
}

// followStreams follows the servers' events for the first migration: the queues, and the
// servers, are its.
func (c *Control) followStreams(ctx context.Context) {
	for {
		all, err := c.store.Migrations(ctx)
		if err == nil && len(all) > 0 {
			c.env.Streams.Follow(ctx, all[0].ID)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

// Close stops looking and carrying out; runs under way go on at the next Open.
func (c *Control) Close() error {
	c.stop()
	<-c.done
	c.setup.tasks.Wait()
	c.engine.Close() // where nobody led
	c.env.Close()
	return c.store.Close()
}

var notSlug = regexp.MustCompile(`[^a-z0-9]+`)

// MigrationID is the id that the configured migration gets: its name as a slug.
func MigrationID(cfg config.Config) string {
	return cmp.Or(
		strings.Trim(notSlug.ReplaceAllString(strings.ToLower(cfg.Migration.Name), "-"), "-"),
		"migration",
	)
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
			if err := c.store.CreateFlagSet(ctx, migration.FlagSet{
				ID: m.ID, MigrationID: m.ID, Name: m.Name, CreatedBy: "switchyard", CreatedAt: c.now(),
			}); err != nil {
				return err
			}
		}
		r, err := c.env.Routing.Read(ctx, m.ID)
		if err != nil {
			return err
		}
		reason := "routing flags in the form of this version" // makes no revision when they are
		if r.Revision == 0 {
			reason = "migration created: everything stays on the old Redis"
		}
		if _, err := c.env.Routing.Set(ctx, m.ID, r, "switchyard", reason, ""); err != nil {
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
			users = append(
				users,
				config.User{
					Name:     name,
					Role:     migration.RoleEngineer,
					Password: migration.Secret(newToken()[:24]),
				},
			)
		}
		users = append(
			users,
			config.User{
				Name:     "lead",
				Role:     migration.RoleViewer,
				Password: migration.Secret(newToken()[:24]),
			},
		)
		c.created = users
	}
	for _, u := range users {
		if err := c.store.CreateUser(ctx, u.Name, u.Role, hashPassword(u.Password.Reveal()), c.now()); err != nil {
			return err
		}
	}
	return nil
}

// NewAccounts gives the accounts that were made with random passwords at this very start,
// so that they can be shown once. Later starts give none.
func (c *Control) NewAccounts() []config.User { return c.created }

// OnChange has f called whenever something that pages show has changed. Topics: overview,
// flags, queues, notifications, setup, audit, run:<id>; and headline, which every page shows. f
// must not block.
func (c *Control) OnChange(f func(topic string)) { c.changed.Store(&f) }

func (c *Control) notify(topic string) {
	if topic == "overview" { // a run's change of state among other things
		c.notifier.Wake()
	}
	if f := c.changed.Load(); f != nil {
		(*f)(topic)
	}
}
