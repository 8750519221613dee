package audit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/audit"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

// openBench opens a bench with both steps, whose source is a server.
func openBench(t *testing.T, srv *redistest.Server) *stepstest.Bench {
	t.Helper()
	cfg := stepstest.Settings(t.TempDir())
	cfg.Source.Standalone.URL = migration.Secret(srv.URL())
	return stepstest.Open(t, cfg, func(b *stepstest.Bench) []engine.Step {
		parts := Parts{
			Servers: b.Env.Servers,
			Surveys: b.Env.Surveys,
			Latest:  b.Store.LatestEvidence,
		}
		return []engine.Step{parts.Step(), parts.FixPolicy()}
	})
}

// succeed carries a step out whose gates allow it.
func succeed(t *testing.T, b *stepstest.Bench, step string) migration.Run {
	t.Helper()
	p, err := b.Plan(t.Context(), step, migration.Params{})
	ok(t, err)
	ok(t, engine.Blocked(step, p.Gates))
	return b.Await(t, b.Start(t, step, migration.Params{}).ID, migration.RunSucceeded)
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheAuditNamesWhatIsWrongAndItsFixesAreAppliedAndTakenBack(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(
		t,
		redistest.Password("redis-CANARY"),
		redistest.Config(
			"maxmemory 64mb",
			"maxmemory-policy allkeys-lru",
			"timeout 300",
			"tcp-keepalive 0",
			"client-output-buffer-limit normal 1mb 512kb 10",
			"latency-monitor-threshold 100",
		),
	)
	redis := srv.Client()
	b := openBench(t, srv)
	ctx := t.Context()
	setting := func(name string) string {
		t.Helper()
		v, err := redis.ConfigGet(ctx, name).Result()
		ok(t, err)
		return v[name]
	}
	run := succeed(t, b, migration.StepAudit)
	var reports []audit.Report
	ok(t, json.Unmarshal(run.Actions[0].Output, &reports))
	if len(reports) != 1 || reports[0].Address != srv.Addr() {
		t.Fatalf("%+v", reports)
	}
	for id, want := range map[string]audit.State{"eviction-policy": audit.Problem, "timeout": audit.Problem, "queue-ttl": audit.OK, "empty-jobs": audit.OK, "slowlog": audit.OK} {
		if f, _ := reports[0].Finding(id); f.State != want {
			t.Errorf("%s: %+v", id, f)
		}
	}
	lines, err := b.Store.Log(ctx, run.ID, 0, 100)
	ok(t, err)
	if text := fmt.Sprint(lines); !strings.Contains(
		text,
		"warn "+srv.Addr()+": critical, Eviction policy: allkeys-lru",
	) ||
		strings.Contains(text, "CANARY") {
		t.Errorf("%s", text)
	}

	p, err := b.Plan(ctx, migration.StepFixPolicy, migration.Params{})
	ok(t, err)
	var names []string
	for _, s := range p.Settings {
		names = append(names, s.Name)
		if s.Node != srv.Addr() || s.From != setting(s.Name) || s.To == "" || !s.Survives ||
			s.Risk == "" ||
			s.Why == "" {
			t.Errorf("%+v", s)
		}
	}
	if want := []string{"maxmemory-policy", "timeout", "client-output-buffer-limit", "tcp-keepalive"}; !slices.Equal(
		names,
		want,
	) {
		t.Fatalf("%v, want %v", names, want)
	}
	ok(
		t,
		redis.ConfigSet(ctx, "timeout", "0").Err(),
	) // somebody was faster: what was shown is not what would be done
	if now, err := b.Plan(ctx, migration.StepFixPolicy, migration.Params{}); err != nil ||
		now.Hash == p.Hash {
		t.Errorf("the plan is still %s, %v", now.Hash, err)
	}
	ok(t, redis.ConfigSet(ctx, "timeout", "300").Err())

	fixed := succeed(t, b, migration.StepFixPolicy)
	for name, want := range map[string]string{"maxmemory-policy": "noeviction", "timeout": "0", "tcp-keepalive": "300", "client-output-buffer-limit": "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"} {
		if got := setting(name); got != want {
			t.Errorf("%s is %s", name, got)
		}
	}
	srv.Kill()
	srv.Restart()
	if got := setting("timeout"); got != "0" {
		t.Errorf("after a restart the timeout is %s", got)
	}

	b.Await(t, b.Rollback(t, fixed).ID, migration.RunSucceeded)
	for name, want := range map[string]string{"maxmemory-policy": "allkeys-lru", "timeout": "300", "tcp-keepalive": "0", "client-output-buffer-limit": "normal 1048576 524288 10 slave 268435456 67108864 60 pubsub 33554432 8388608 60"} {
		if got := setting(name); got != want {
			t.Errorf("taken back, %s is %s", name, got)
		}
	}
}

func TestAFixIsRefusedWhileAServerHasNoMemoryLeft(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.Config("maxmemory-policy allkeys-lru"))
	b := openBench(t, srv)
	ok(t, srv.Client().ConfigSet(t.Context(), "maxmemory", "1gb").Err())
	b.AwaitReds(t, migration.StepFixPolicy)
	ok(t, srv.Client().ConfigSet(t.Context(), "maxmemory", "900kb").Err())
	b.AwaitReds(t, migration.StepFixPolicy, "headroom:"+srv.Addr())
}

func TestAFixThatARestartUndoesSaysSo(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(
		t,
		redistest.NoConfigFile(),
		redistest.Config("maxmemory-policy allkeys-lru"),
	)
	b := openBench(t, srv)
	succeed(t, b, migration.StepAudit)
	p, err := b.Plan(t.Context(), migration.StepFixPolicy, migration.Params{})
	ok(t, err)
	if len(p.Settings) == 0 || p.Settings[0].Survives {
		t.Errorf("%+v", p.Settings)
	}
	run := succeed(t, b, migration.StepFixPolicy)
	lines, err := b.Store.Log(t.Context(), run.ID, 0, 100)
	ok(t, err)
	if text := fmt.Sprint(lines); !strings.Contains(
		text,
		"maxmemory-policy is lost when it restarts",
	) {
		t.Errorf("%s", text)
	}
}
