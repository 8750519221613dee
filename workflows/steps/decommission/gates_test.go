package decommission

import (
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/byhand"
	"github.com/switchyard-dev/switchyard/providers/ingestiontest"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

// planned is a source on a machine that a person looks after, a complete cutover, an app that
// has journalled an order, and a worker that follows the flags.
type planned struct {
	*stepstest.Bench
	journal *ingestiontest.Journal
	worker  *stepstest.Worker
	src     *redistest.Server
}

var complete = migration.Routing{Stage: migration.StageComplete, Source: migration.SourceStandalone}

func openPlanned(t *testing.T) *planned {
	t.Helper()
	r := &planned{journal: ingestiontest.NewJournal(t), src: redistest.Start(t)}
	cfg := stepstest.Settings(t.TempDir())
	cfg.Queues = []string{"orders"}
	cfg.Source.Standalone.URL = migration.Secret(r.src.URL())
	cfg.Source.Machines, cfg.Source.SilentFor = byhand.Name, 100*time.Millisecond
	cfg.Source.Standalone.Machine = byhand.Machine{Label: "redis"}
	cfg.Linode.Token = ""
	cfg.Ingestion.URL = r.journal.URL
	use := stepstest.Target(t, &cfg, redistest.Start(t))
	r.Bench = stepstest.Open(t, cfg, func(b *stepstest.Bench) []engine.Step {
		return []engine.Step{partsOf(b).Step()}
	})
	use(r.Env)
	r.Route(t, complete)
	r.worker = r.Worker(t, "web.1")
	r.Watch(t)
	r.journal.Order("o1", r.Clock.Now(), true)
	return r
}

func (r *planned) noResidue(t *testing.T) {
	t.Helper()
	r.Prove(t, evidence.Residue,
		evidence.ResidueFacts{Databases: []int{0},
			Queues: []evidence.QueueResidue{{Queue: "orders"}}})
}

func TestEachGateIsGreenAndRedByItself(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule string
		reds []string
		make func(t *testing.T, r *planned)
	}{
		{"all hold", nil, func(t *testing.T, r *planned) { r.noResidue(t) }},
		{"cutover is not complete", []string{"stage"}, func(t *testing.T, r *planned) {
			r.noResidue(t)
			r.Route(t, migration.Routing{Stage: migration.StageRampDown, Source: complete.Source})
		}},
		{"a worker is behind", []string{"workers"}, func(t *testing.T, r *planned) {
			r.noResidue(t)
			r.worker.Behind(true)
			r.Route(t, migration.Routing{Stage: migration.StageRampDown, Source: complete.Source})
			r.Route(t, complete)
		}},
		{"an order took effect twice", []string{"ledger-closed"},
			func(t *testing.T, r *planned) {
				r.noResidue(t)
				r.journal.Order("o1", r.Clock.Now(), true)
			}},
		{"the journal is not current", []string{"ledger-closed"},
			func(t *testing.T, r *planned) {
				r.noResidue(t)
				r.journal.Set(func() { r.journal.Down = true })
			}},
		{"no run has moved what was left", []string{"check:" + evidence.Residue},
			func(*testing.T, *planned) {}},
		{"a job has come since", []string{"residue"}, func(t *testing.T, r *planned) {
			r.noResidue(t)
			ok(t, r.src.Client().LPush(t.Context(), "bull:orders:wait", "1").Err())
		}},
		{"another app is connected", []string{"connected"}, func(t *testing.T, r *planned) {
			r.noResidue(t)
			ok(t, r.src.Foreign("shop").Ping(t.Context()).Err())
		}},
		{"no machine is configured", []string{"machines"}, func(t *testing.T, r *planned) {
			r.noResidue(t)
			r.Env.Host.Machines = nil
		}},
		{"the machine is another than the configured one", []string{"host:redis"},
			func(t *testing.T, r *planned) {
				r.noResidue(t)
				r.Env.Host.Machines[0].Label = "cache"
			}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			r := openPlanned(t)
			tc.make(t, r)
			r.AwaitReds(t, migration.StepDecommission, tc.reds...)
		})
	}
}

func TestEachOtherCriterionIsAGateUntilItIsMet(t *testing.T) {
	t.Parallel()
	r := openPlanned(t)
	r.noResidue(t)
	for _, verdict := range []migration.Verdict{migration.Met, migration.Unmet, migration.Unknown} {
		v := r.View(t)
		v.Checklist = []migration.Item{{Criterion: migration.Criterion{ID: "breaker"},
			Verdict: verdict, Why: "no evidence", Next: "run the drill"}}
		p, err := r.Steps[migration.StepDecommission].PlanFor(t.Context(), v, migration.Params{})
		ok(t, err)
		red := false
		for _, id := range stepstest.Reds(p.Gates) {
			red = red || id == "criterion:breaker"
		}
		if red != (verdict != migration.Met) {
			t.Errorf("%s: red are %v", verdict, stepstest.Reds(p.Gates))
		}
	}
}
