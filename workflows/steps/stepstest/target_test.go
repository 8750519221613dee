package stepstest_test

import (
	"testing"

	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

func TestATargetIsTheServerBehindTheManagedService(t *testing.T) {
	t.Parallel()
	withTLS := redistest.Start(t, redistest.TLS(), redistest.Password("managed-CANARY"))
	for rule, srv := range map[string]*redistest.Server{
		"a server in the clear":            redistest.Start(t),
		"a server with TLS and a password": withTLS,
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			cfg := stepstest.Settings(t.TempDir())
			use := stepstest.Target(t, &cfg, srv)
			b := stepstest.Open(t, cfg, func(*stepstest.Bench) []engine.Step { return nil })
			use(b.Env)
			target, _, err := b.Env.Servers.Target(t.Context())
			if err == nil {
				err = target.Set(t.Context(), "written", "by the target", 0).Err()
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := srv.Client().Get(t.Context(), "written").Val(); got != "by the target" {
				t.Errorf("the server holds %q", got)
			}
		})
	}
}
