package workflows

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/alarm"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// monitor keeps looking at what a step has shown once, so that a criterion turns unmet by
// itself when the world changes behind our back. It observes nothing that no step has
// observed: before anything ran there is no evidence.
type monitor struct {
	env      *environment.Environment
	store    *store.Store
	every    time.Duration
	engine   *engine.Engine
	notifier *alarm.Notifier
	now      func() time.Time
	notify   func(topic string)
	log      *slog.Logger
	// checks that could not be observed the last time, so that each is logged once
	ill map[string]bool
	// rests holds when a heavy check may be looked at again.
	rests map[string]time.Time
}

// watch is one check that can be observed again at any time without changing anything.
type watch struct {
	check string
	// while says whether there is still something to observe. Nil: always.
	while func(r migration.Routing) bool
	// look also gives what the facts rest on.
	look looks
	// exact: any change of the facts is worth a row. Otherwise only a change of what they
	// amount to is.
	exact bool
	// heavy: it reads every key, and rests a hundred times as long as it took, so that it never
	// costs more than 1 % of a core.
	heavy bool
	// same, when given, says instead whether the facts are worth no row.
	same func(last, now []byte) bool
}

type looks func(ctx context.Context, e *environment.Environment, mid string) (
	facts any, as providers.Basis, err error)

// from is a look whose facts always rest on the same.
func from(
	proof migration.Proof, source string,
	look func(ctx context.Context, e *environment.Environment, mid string) (any, error),
) looks {
	return func(ctx context.Context, e *environment.Environment, mid string) (
		any, providers.Basis, error,
	) {
		facts, err := look(ctx, e, mid)
		return facts, providers.Basis{Proof: proof, Source: source}, err
	}
}

const byTheApp = "attestation by the running app"

var watches = []watch{
	{
		check: evidence.Policy, while: migration.Routing.HasSource, exact: true,
		look: from(migration.Observed, "CONFIG GET maxmemory-policy, INFO",
			func(ctx context.Context, e *environment.Environment, mid string) (any, error) {
				facts, _, err := e.Servers.Policies(ctx, mid, false)
				return facts, err
			}),
	},
	{
		check: evidence.Audit, while: migration.Routing.HasSource, same: environment.SameAudit,
		look: from(migration.Observed, "INFO, CONFIG GET, SLOWLOG, LATENCY on every node",
			func(ctx context.Context, e *environment.Environment, mid string) (any, error) {
				_, facts, err := e.Servers.Audits(ctx, mid)
				return facts, err
			}),
	},
	{
		check: evidence.Readiness,
		while: func(r migration.Routing) bool { return r.Source == migration.SourceSentinel },
		look: from(migration.Observed, "SENTINEL and INFO on every node",
			func(ctx context.Context, e *environment.Environment, _ string) (any, error) {
				return e.Servers.Readiness(ctx)
			}),
	},
	{
		check: evidence.TargetPlan, exact: true,
		look: func(ctx context.Context, e *environment.Environment, _ string) (
			any, providers.Basis, error,
		) {
			return e.Managed.Present(ctx)
		},
	},
	{
		check: evidence.TargetConn,
		look: from(migration.Observed, "commands on the database itself",
			func(ctx context.Context, e *environment.Environment, _ string) (any, error) {
				return e.Probe.Again(ctx)
			}),
	},
	{
		check: evidence.Attestation, exact: true,
		look: from(migration.Attested, byTheApp,
			func(ctx context.Context, e *environment.Environment, mid string) (any, error) {
				facts, err := e.Workers.Attestation(ctx, mid)
				if err == nil && len(facts.Producers) == 0 {
					err = migration.Errorf(migration.Unavailable,
						"no live worker reports a producer connection")
				}
				return facts, err
			}),
	},
	{
		check: evidence.Intake,
		look: from(migration.Attested, byTheApp,
			func(ctx context.Context, e *environment.Environment, mid string) (any, error) {
				facts := e.Workers.Intake(ctx, mid)
				if len(facts.Instances) == 0 {
					return nil, migration.Errorf(migration.Unavailable,
						"no live app that accepts orders reports")
				}
				return facts, nil
			}),
	},
	{
		check: evidence.Residue, heavy: true,
		while: func(r migration.Routing) bool {
			return r.Stage == migration.StageComplete && r.HasSource()
		},
		look: from(migration.Observed, "counts of every state of every queue on the source",
			func(ctx context.Context, e *environment.Environment, mid string) (any, error) {
				return e.Servers.Residue(ctx, mid)
			}),
	},
	{
		check: evidence.Ledger,
		look: from(migration.Attested, "the app's whole journal, and both servers' events",
			func(ctx context.Context, e *environment.Environment, mid string) (any, error) {
				return e.Streams.Facts(ctx, mid)
			}),
	},
	{
		check: evidence.Off, exact: true,
		look: func(ctx context.Context, e *environment.Environment, _ string) (
			any, providers.Basis, error,
		) {
			return e.Host.Off(ctx)
		},
	},
}

// run looks every interval until ctx ends.
func (m *monitor) run(ctx context.Context) {
	ticker := time.NewTicker(m.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			all, err := m.store.Migrations(ctx)
			if err != nil {
				m.log.Warn("monitor", "err", err)
				continue
			}
			for _, mig := range all {
				if err := m.env.Load.Measure(ctx, mig.ID); err != nil && ctx.Err() == nil {
					m.log.Warn("load is not recorded", "migration", mig.ID, "err", err)
				}
				if err := m.look(ctx, mig); err != nil && ctx.Err() == nil {
					m.log.Warn("monitor", "migration", mig.ID, "err", err)
				}
				if err := m.env.Debts.LiftUnheld(ctx, mig.ID); err != nil && ctx.Err() == nil {
					m.log.Warn("debts are not looked for", "migration", mig.ID, "err", err)
				}
				if err := m.notifier.Observe(ctx, mig); err != nil && ctx.Err() == nil {
					m.log.Warn("alerts are not looked for", "migration", mig.ID, "err", err)
				}
			}
		}
	}
}

func (m *monitor) look(ctx context.Context, mig migration.Migration) error {
	if err := m.env.World.Look(ctx, mig.ID); err != nil {
		return err
	}
	latest, err := m.store.LatestEvidence(ctx, mig.ID)
	if err != nil {
		return err
	}
	routing, err := m.env.Routing.Read(ctx, mig.ID)
	if err != nil {
		return err
	}
	for _, w := range watches {
		last, shown := latest[w.check]
		if !shown || (w.while != nil && !w.while(routing)) {
			continue
		}
		begun := time.Now()
		if begun.Before(m.rests[mig.ID+w.check]) {
			continue
		}
		bounded, cancel := context.WithTimeout(ctx, 8*time.Second)
		facts, as, err := w.look(bounded, m.env, mig.ID)
		cancel()
		if w.heavy {
			m.rests[mig.ID+w.check] = begun.Add(100 * time.Since(begun))
		}
		// What cannot be observed is not evidence of anything: the last observation grows
		// old and turns stale by itself.
		if err != nil {
			if !m.ill[w.check] && ctx.Err() == nil {
				m.log.Warn("cannot observe", "check", w.check, "err", err)
			}
			m.ill[w.check] = true
			continue
		}
		m.ill[w.check] = false
		if err := m.keep(ctx, mig, w, last, facts, as); err != nil {
			return err
		}
	}
	m.notify("overview")
	m.notify("queues")
	return nil
}

// keep appends an observation when it says something new, or when the last one is half way
// to being stale: the evidence table must not grow by a row for every look.
func (m *monitor) keep(
	ctx context.Context,
	mig migration.Migration,
	w watch,
	last migration.Evidence,
	facts any,
	as providers.Basis,
) error {
	raw, err := json.Marshal(facts)
	if err != nil {
		return err
	}
	check, _ := evidence.Of(w.check)
	was, _, errWas := check.Judge(last.Facts)
	is, _, errIs := check.Judge(raw)
	// a person's word instead of a service's is something new
	same := was == is && (errWas == nil) == (errIs == nil) && last.Proof == as.Proof
	world, err := m.env.World.Known(ctx, mig.ID)
	if err != nil {
		return err
	}
	// what the last observation was about is not what is there now
	if void, _ := last.Subject.Void(world, check.About, m.now()); void != migration.Met {
		same = false
	}
	age := m.now().Sub(last.ObservedAt)
	fresh := cmp.Or(maxAge(mig.Plan, w.check), check.MaxAge)
	little := bytes.Equal(raw, last.Facts) || (is && !w.exact)
	if w.same != nil {
		same, little = same && w.same(last.Facts, raw), true
	}
	if same && little && (fresh == 0 || age < fresh/2) && age < time.Hour {
		return nil
	}
	if w.check == evidence.Audit {
		m.alert(mig, last.Facts, raw)
	}
	return m.engine.Record(ctx, mig.ID, "", w.check, as.Proof, as.Source, facts)
}

// alert says what has become worse since the last look, and what is well again.
func (m *monitor) alert(mig migration.Migration, last, now []byte) {
	was, _ := environment.DecodeAudit(last)
	is, _ := environment.DecodeAudit(now)
	key := func(a migration.Alert) string { return a.Node + " " + a.Check }
	before := map[string]bool{}
	for _, a := range was.Alerts() {
		before[key(a)] = true
	}
	for _, a := range is.Alerts() {
		if !before[key(a)] {
			m.log.Warn(
				"alert",
				"migration",
				mig.ID,
				"node",
				a.Node,
				"check",
				a.Check,
				"severity",
				a.Severity,
				"measured",
				a.Measured,
			)
		}
		delete(before, key(a))
	}
	for k := range before {
		m.log.Info("alert is over", "migration", mig.ID, "check", k)
	}
}

// maxAge is the strictest limit that the plan sets for a check; 0 when it sets none.
func maxAge(p migration.Plan, check string) time.Duration {
	var limit time.Duration
	for _, c := range p.Criteria {
		for _, r := range c.Requires {
			if r.Check == check && r.MaxAge > 0 && (limit == 0 || r.MaxAge < limit) {
				limit = r.MaxAge
			}
		}
	}
	return limit
}
