package breaker

import (
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

func TestEachGateIsGreenAndRedByItself(t *testing.T) {
	t.Parallel()
	at := func(stage migration.Stage) migration.Routing {
		return migration.Routing{Stage: stage, Source: migration.SourceStandalone}
	}
	for _, tc := range []struct {
		rule, reds string
		make       func(t *testing.T, b *stepstest.Bench, w *stepstest.Worker, src *redistest.Server)
	}{
		{"all hold", "",
			func(*testing.T, *stepstest.Bench, *stepstest.Worker, *redistest.Server) {}},
		{"the source is still primary in shadow", "",
			func(t *testing.T, b *stepstest.Bench, _ *stepstest.Worker, _ *redistest.Server) {
				b.Route(t, at(migration.StageShadow))
			}},
		{"the target is primary", "stage",
			func(t *testing.T, b *stepstest.Bench, _ *stepstest.Worker, _ *redistest.Server) {
				b.Route(t, migration.Routing{Stage: migration.StageLive, Ramp: 10,
					Source: migration.SourceStandalone})
			}},
		{"a worker is behind", "workers",
			func(t *testing.T, b *stepstest.Bench, w *stepstest.Worker, _ *redistest.Server) {
				w.Behind(true)
				b.Route(t, at(migration.StageDualWrite))
			}},
		{"another app is connected", "connected",
			func(t *testing.T, _ *stepstest.Bench, _ *stepstest.Worker, src *redistest.Server) {
				if err := src.Foreign("shop").Ping(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
			}},
		{"the source does not answer", "reachable:standalone connected",
			func(_ *testing.T, _ *stepstest.Bench, _ *stepstest.Worker, src *redistest.Server) {
				src.Kill()
			}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			src := redistest.Start(t)
			cfg := stepstest.Settings(t.TempDir())
			cfg.Source.Standalone.URL = migration.Secret(src.URL())
			b := stepstest.Open(t, cfg, func(b *stepstest.Bench) []engine.Step {
				return []engine.Step{partsOf(b).Step()}
			})
			b.Route(t, at(migration.StageOff))
			w := b.Worker(t, "web.1")
			b.Warm()
			tc.make(t, b, w, src)
			b.AwaitReds(t, migration.StepBreakerDrill, strings.Fields(tc.reds)...)
		})
	}
}
