package webhookretry

import (
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/ingestiontest"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

// rig is a source, an app that journals, and a worker that follows the flags.
type rig struct {
	*stepstest.Bench
	journal *ingestiontest.Journal
	worker  *stepstest.Worker
	src     *redistest.Server
}

func open(t *testing.T) *rig {
	t.Helper()
	r := &rig{journal: ingestiontest.NewJournal(t), src: redistest.Start(t)}
	cfg := stepstest.Settings(t.TempDir())
	cfg.Queues = []string{"orders"}
	cfg.Source.Standalone.URL = migration.Secret(r.src.URL())
	cfg.Ingestion.URL = r.journal.URL
	r.Bench = stepstest.Open(t, cfg, func(b *stepstest.Bench) []engine.Step {
		e := b.Env
		return []engine.Step{
			Parts{Servers: e.Servers, Debts: e.Debts, Workers: e.Workers, Journal: e.Journal}.Step(),
		}
	})
	r.Route(t, at(migration.StageOff))
	r.worker = r.Worker(t, "web.1")
	r.Watch(t)
	return r
}

func at(stage migration.Stage) migration.Routing {
	return migration.Routing{Stage: stage, Source: migration.SourceStandalone}
}

func TestEachGateIsGreenAndRedByItself(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule string
		reds []string
		make func(t *testing.T, r *rig)
	}{
		{"all hold", nil, func(*testing.T, *rig) {}},
		{"the source is still primary in shadow", nil, func(t *testing.T, r *rig) {
			r.Route(t, at(migration.StageShadow))
		}},
		{"the target is primary", []string{"stage"}, func(t *testing.T, r *rig) {
			r.Route(t, migration.Routing{Stage: migration.StageLive, Ramp: 10,
				Source: migration.SourceStandalone})
		}},
		{"a worker is behind", []string{"workers"}, func(t *testing.T, r *rig) {
			r.worker.Behind(true)
			r.Route(t, at(migration.StageDualWrite))
		}},
		{"an order took effect twice", []string{"ledger"}, func(_ *testing.T, r *rig) {
			r.journal.Order("o1", r.Clock.Now(), true)
			r.journal.Order("o1", r.Clock.Now(), true)
		}},
		{"another app is connected", []string{"connected"}, func(t *testing.T, r *rig) {
			if err := r.src.Foreign("shop").Ping(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		}},
		{"the journal is not current", []string{"ledger"}, func(_ *testing.T, r *rig) {
			r.journal.Set(func() { r.journal.Down = true })
		}},
		{"the source does not answer", []string{"connected", "reachable:standalone"},
			func(_ *testing.T, r *rig) { r.src.Kill() }},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			r := open(t)
			tc.make(t, r)
			r.AwaitReds(t, migration.StepWebhookRetry, tc.reds...)
		})
	}
}
