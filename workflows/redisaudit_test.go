package workflows

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/audit"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

func TestTheAuditIsKeptItsFixesAreAppliedAndTakenBackAndWhatGetsWorseIsAnAlert(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.Password("redis-CANARY"), redistest.Config("maxmemory 64mb", "maxmemory-policy allkeys-lru", "timeout 300", "tcp-keepalive 0",
		"client-output-buffer-limit normal 1mb 512kb 10", "latency-monitor-threshold 100"))
	redis := srv.Client()
	var log syncBuffer
	b, m := openReal(t, srv.URL(), slog.New(slog.NewTextHandler(&log, nil)))
	ctx := t.Context()
	setting := func(name string) string {
		t.Helper()
		v, err := redis.ConfigGet(ctx, name).Result()
		ok(t, err)
		return v[name]
	}
	_, err := b.RedisAudit(ctx, m)
	wantKind(t, err, migration.NotFound, "not audited yet")

	run := b.succeed(t, m, migration.StepAudit)
	a, err := b.RedisAudit(ctx, m)
	ok(t, err)
	if a.RunID != run.ID || len(a.Reports) != 1 || a.Reports[0].Address != srv.Addr() || len(a.Alerts) != 0 {
		t.Fatalf("%+v", a)
	}
	for id, want := range map[string]audit.State{"eviction-policy": audit.Problem, "timeout": audit.Problem, "queue-ttl": audit.OK, "empty-jobs": audit.OK, "slowlog": audit.OK} {
		if f, _ := a.Reports[0].Finding(id); f.State != want {
			t.Errorf("%s: %+v", id, f)
		}
	}
	lines, err := b.Log(ctx, run.ID, 0, 100)
	ok(t, err)
	if text := fmt.Sprint(lines); !strings.Contains(text, "warn "+srv.Addr()+": critical, Eviction policy: allkeys-lru") || strings.Contains(text, "CANARY") {
		t.Errorf("%s", text)
	}

	p, err := b.Plan(ctx, m, migration.StepFixPolicy, migration.Params{})
	ok(t, err)
	var names []string
	for _, s := range p.Settings {
		names = append(names, s.Name)
		if s.Node != srv.Addr() || s.From != setting(s.Name) || s.To == "" || !s.Survives || s.Risk == "" || s.Why == "" {
			t.Errorf("%+v", s)
		}
	}
	if want := []string{"maxmemory-policy", "timeout", "client-output-buffer-limit", "tcp-keepalive"}; !slices.Equal(names, want) {
		t.Fatalf("%v, want %v", names, want)
	}
	waiting, err := b.Start(ctx, ada, m, migration.StepFixPolicy, migration.Params{}, p.Hash)
	ok(t, err)
	ok(t, redis.ConfigSet(ctx, "timeout", "0").Err()) // somebody was faster: what was shown is not what would be done
	_, err = b.Decide(ctx, bob, waiting.ID, Decision{Approve: true, PlanHash: waiting.Plan.Hash})
	wantKind(t, err, migration.Conflict, "has changed since")
	_, err = b.Decide(ctx, bob, waiting.ID, Decision{Comment: "look again"})
	ok(t, err)
	ok(t, redis.ConfigSet(ctx, "timeout", "300").Err())

	fixed := b.succeed(t, m, migration.StepFixPolicy)
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

	ok(t, redis.ConfigSet(ctx, "timeout", "60").Err())
	alerts := func(want string) {
		t.Helper()
		redistest.Eventually(t, patience, func() error {
			o, err := b.Overview(ctx, m)
			if err == nil && (want == "" && len(o.Alerts) == 0 || len(o.Alerts) == 1 && o.Alerts[0].Check == want) {
				return nil
			}
			return fmt.Errorf("alerts %+v, %v", o.Alerts, err)
		})
	}
	alerts("timeout")
	if text := log.String(); !strings.Contains(text, "msg=alert") || !strings.Contains(text, "check=timeout") || !strings.Contains(text, "severity=high") {
		t.Errorf("the log says nothing of it: %s", text)
	}
	ok(t, redis.ConfigSet(ctx, "timeout", "0").Err())
	alerts("")

	back, err := b.Rollback(ctx, ada, fixed.ID)
	ok(t, err)
	b.awaitState(t, back.ID, migration.RunSucceeded)
	for name, want := range map[string]string{"maxmemory-policy": "allkeys-lru", "timeout": "300", "tcp-keepalive": "0", "client-output-buffer-limit": "normal 1048576 524288 10 slave 268435456 67108864 60 pubsub 33554432 8388608 60"} {
		if got := setting(name); got != want {
			t.Errorf("taken back, %s is %s", name, got)
		}
	}
	if rows, err := b.Evidence(ctx, m, evidence.Audit, 100); err != nil || len(rows) > 12 {
		t.Errorf("%d rows of evidence, %v", len(rows), err)
	}
}

func TestAFixThatARestartUndoesSaysSo(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.NoConfigFile(), redistest.Config("maxmemory-policy allkeys-lru"))
	b, m := openReal(t, srv.URL(), slog.New(slog.DiscardHandler))
	b.succeed(t, m, migration.StepAudit)
	p, err := b.Plan(t.Context(), m, migration.StepFixPolicy, migration.Params{})
	ok(t, err)
	if len(p.Settings) == 0 || p.Settings[0].Survives {
		t.Errorf("%+v", p.Settings)
	}
	run := b.succeed(t, m, migration.StepFixPolicy)
	lines, err := b.Log(t.Context(), run.ID, 0, 100)
	ok(t, err)
	if text := fmt.Sprint(lines); !strings.Contains(text, "maxmemory-policy is lost when it restarts") {
		t.Errorf("%s", text)
	}
}

func TestCriterion_noeviction_IsUnmetWhenKeysWereEvictedWhileNobodyLooked(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.Config("maxmemory-policy allkeys-random"))
	redis := srv.Client()
	ctx := t.Context()
	evict := func() {
		t.Helper()
		for i := range 200 {
			ok(t, redis.Set(ctx, fmt.Sprint("k", i), "v", 0).Err())
		}
		ok(t, redis.ConfigSet(ctx, "maxmemory-policy", "allkeys-random").Err())
		ok(t, redis.ConfigSet(ctx, "maxmemory", "1").Err())
		ok(t, redis.ConfigSet(ctx, "maxmemory", "0").Err())
		ok(t, redis.ConfigSet(ctx, "maxmemory-policy", "noeviction").Err())
	}
	evict() // before anybody looked: it does not count against the policy of now
	b, m := openReal(t, srv.URL(), slog.New(slog.DiscardHandler))
	b.succeed(t, m, migration.StepAudit)
	b.awaitVerdict(t, m, "noeviction", migration.Met, srv.Addr())
	evict()
	b.awaitVerdict(t, m, "noeviction", migration.Unmet, "keys since the first look")
	b.succeed(t, m, migration.StepFixPolicy) // somebody looked, and begins anew
	b.awaitVerdict(t, m, "noeviction", migration.Met, srv.Addr())
}
