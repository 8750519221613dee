package sentineltest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

// An app that nobody knows would meet the failover too, without having been told. It may be
// connected to any node.
func TestNoFailoverIsTestedWhileSomebodyUnknownIsConnected(t *testing.T) {
	t.Parallel()
	d := redistest.StartSentinel(t, 1, redistest.Password("data"))
	e := d.Endpoint()
	cfg := stepstest.Settings(t.TempDir())
	cfg.Source.Sentinel = config.Sentinel{Addrs: e.SentinelAddrs, Master: e.MasterName,
		Password: "data"}
	b := stepstest.Open(t, cfg, func(b *stepstest.Bench) []engine.Step {
		return []engine.Step{Parts{Servers: b.Env.Servers, Debts: b.Env.Debts, App: b.Env.App,
			Journal: b.Env.Journal}.Step()}
	})
	b.Route(t, migration.Routing{Stage: migration.StageOff, Source: migration.SourceSentinel})
	connected := func(want bool) {
		t.Helper()
		redistest.Eventually(t, stepstest.Patience, func() error {
			p, err := b.Plan(t.Context(), migration.StepSentinelTest, migration.Params{})
			if err != nil {
				return err
			}
			if red := slices.Contains(stepstest.Reds(p.Gates), "connected"); red != want {
				return fmt.Errorf("red is %t: %+v", red, migration.Failing(p.Gates))
			}
			return nil
		})
	}
	connected(false)
	for i, n := range d.Nodes {
		mailer := n.Foreign("mailer")
		if err := mailer.Ping(t.Context()).Err(); err != nil {
			t.Fatal(i, err)
		}
		connected(true)
		_ = mailer.Close()
		connected(false)
	}
}
