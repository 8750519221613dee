package workflows

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

func TestTheAuditIsKeptItsFixesAreApprovedAsShownAndWhatGetsWorseIsAnAlert(t *testing.T) {
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
	var log syncBuffer
	b, m := openReal(t, srv.URL(), slog.New(slog.NewTextHandler(&log, nil)))
	ctx := t.Context()
	_, err := b.RedisAudit(ctx, m)
	wantKind(t, err, migration.NotFound, "not audited yet")

	run := b.succeed(t, m, migration.StepAudit)
	a, err := b.RedisAudit(ctx, m)
	ok(t, err)
	if a.RunID != run.ID || len(a.Reports) != 1 || a.Reports[0].Address != srv.Addr() ||
		len(a.Alerts) != 0 {
		t.Fatalf("%+v", a)
	}
	p, err := b.Plan(ctx, m, migration.StepFixPolicy, migration.Params{})
	ok(t, err)
	waiting, err := b.Start(ctx, ada, m, migration.StepFixPolicy, migration.Params{}, p.Hash)
	ok(t, err)
	ok(
		t,
		redis.ConfigSet(ctx, "timeout", "0").Err(),
	) // somebody was faster: what was shown is not what would be done
	_, err = b.Decide(ctx, bob, waiting.ID, Decision{Approve: true, PlanHash: waiting.Plan.Hash})
	wantKind(t, err, migration.Conflict, "has changed since")
	_, err = b.Decide(ctx, bob, waiting.ID, Decision{Comment: "look again"})
	ok(t, err)
	ok(t, redis.ConfigSet(ctx, "timeout", "300").Err())

	fixed := b.succeed(t, m, migration.StepFixPolicy)
	ok(t, redis.ConfigSet(ctx, "timeout", "60").Err())
	alerts := func(want string) {
		t.Helper()
		redistest.Eventually(t, patience, func() error {
			o, err := b.Overview(ctx, m)
			if err == nil &&
				(want == "" && len(o.Alerts) == 0 || len(o.Alerts) == 1 && o.Alerts[0].Check == want) {
				return nil
			}
			return fmt.Errorf("alerts %+v, %v", o.Alerts, err)
		})
	}
	alerts("timeout")
	if text := log.String(); !strings.Contains(text, "msg=alert") ||
		!strings.Contains(text, "check=timeout") ||
		!strings.Contains(text, "severity=high") {
		t.Errorf("the log says nothing of it: %s", text)
	}
	ok(t, redis.ConfigSet(ctx, "timeout", "0").Err())
	alerts("")

	back, err := b.Rollback(ctx, ada, fixed.ID)
	ok(t, err)
	b.awaitState(t, back.ID, migration.RunSucceeded)
	if rows, err := b.Evidence(ctx, m, evidence.Audit, 100); err != nil || len(rows) > 12 {
		t.Errorf("%d rows of evidence, %v", len(rows), err)
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
	b.awaitVerdict(t, m, "noeviction", migration.Unmet, "keys since the first check")
	b.succeed(t, m, migration.StepFixPolicy) // somebody looked, and begins anew
	b.awaitVerdict(t, m, "noeviction", migration.Met, srv.Addr())
}
