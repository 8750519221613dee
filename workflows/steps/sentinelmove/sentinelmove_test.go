package sentinelmove

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

type rig struct {
	*stepstest.Bench
	parts      Parts
	src        *redistest.Server
	deployment *redistest.Sentinel
	worker     *stepstest.Worker
}

func open(t *testing.T, opts ...redistest.Option) *rig {
	t.Helper()
	r := &rig{
		src: redistest.Start(t, append(opts, redistest.Config("appendonly yes",
			"repl-diskless-sync-delay 0", "maxmemory-policy noeviction"))...),
		deployment: redistest.StartSentinel(t, 2, redistest.Password("data"),
			redistest.SentinelPassword("watch"), redistest.DownAfter(2*time.Second)),
	}
	cfg := stepstest.Settings(t.TempDir())
	cfg.Queues = []string{"orders"}
	cfg.Source.Standalone.URL = migration.Secret(r.src.URL())
	e := r.deployment.Endpoint()
	cfg.Source.Sentinel.Addrs, cfg.Source.Sentinel.Master = e.SentinelAddrs, e.MasterName
	cfg.Source.Sentinel.Password = e.Password
	cfg.Source.Sentinel.SentinelPassword = e.SentinelPassword
	r.Bench = stepstest.Open(t, cfg, func(b *stepstest.Bench) []engine.Step {
		r.parts = Parts{Servers: b.Env.Servers, Debts: b.Env.Debts, Routing: b.Env.Routing, Workers: b.Env.Workers,
			App: b.Env.App}
		whole := r.parts.Step()
		all := whole.Actions(migration.Params{})
		// The last one asks the app, which the harness of all steps has.
		return []engine.Step{whole, stepstest.Step("swap", all[:len(all)-1]...)}
	})
	r.Route(t, migration.Routing{Stage: migration.StageOff, Source: migration.SourceStandalone})
	r.worker = r.Worker(t, "web.1")
	r.Clock.Advance(10 * time.Second)
	return r
}

// master is the node that the sentinels call the master.
func (r *rig) master(t *testing.T) *redistest.Server {
	t.Helper()
	addr, err := r.Env.Servers.Cluster.Master(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r.deployment.Node(addr)
}

func TestEachGateIsGreenAndRedByItself(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.AwaitReds(t, migration.StepSentinelMove)
	ctx := t.Context()
	off := migration.Routing{Stage: migration.StageOff, Source: migration.SourceStandalone}
	var other *redis.Client
	for _, tc := range []struct {
		rule, red string
		make      func()
		mend      func()
	}{
		{
			"the queues were moved already", "source",
			func() {
				moved := off
				moved.Source = migration.SourceSentinel
				r.Route(t, moved)
			},
			func() { r.Route(t, off) },
		},
		{
			"cutover has begun", "stage",
			func() {
				begun := off
				begun.Stage = migration.StageDualWrite
				r.Route(t, begun)
			},
			func() { r.Route(t, off) },
		},
		{
			"a worker is behind", "workers",
			func() {
				r.worker.Behind(true)
				r.Route(t, migration.Routing{Stage: migration.StageDualWrite, Source: off.Source})
				r.Route(t, off)
			},
			func() { r.worker.Behind(false) },
		},
		{
			"the new master holds a key", "empty",
			func() { r.master(t).Client().Set(ctx, "somebody's", "data", 0) },
			func() { r.master(t).Client().Del(ctx, "somebody's") },
		},
		{
			"the single Redis does not answer", "reachable:standalone connected",
			func() { r.src.Freeze() },
			func() { r.src.Thaw() },
		},
		{
			"another app is connected to the single Redis", "connected",
			func() { other = r.src.Foreign("reports"); other.Ping(ctx) },
			func() { _ = other.Close() },
		},
		{
			"another app is connected to the new master", "connected",
			func() { other = r.master(t).Foreign("reports"); other.Ping(ctx) },
			func() { _ = other.Close() },
		},
	} {
		// what follows a change of the flags or of a server may take a moment
		tc.make()
		t.Log(tc.rule)
		r.AwaitReds(t, migration.StepSentinelMove, strings.Fields(tc.red)...)
		tc.mend()
		r.AwaitReds(t, migration.StepSentinelMove)
	}
}

// The 22 checks of readiness have tests of their own; here one stands for all of them.
func TestTheDeploymentMustBeReady(t *testing.T) {
	t.Parallel()
	r := open(t)
	if err := r.master(t).Client().ConfigSet(t.Context(), "maxmemory-policy",
		"allkeys-lru").Err(); err != nil {
		t.Fatal(err)
	}
	p, err := r.Plan(t.Context(), migration.StepSentinelMove, migration.Params{})
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.Blocked(p.Step, p.Gates); err == nil ||
		!strings.Contains(err.Error(), "allkeys-lru") {
		t.Errorf("%v", err)
	}
}

func TestWithoutASentinelDeploymentThereIsNothingToPlan(t *testing.T) {
	t.Parallel()
	src := redistest.Start(t)
	cfg := stepstest.Settings(t.TempDir())
	cfg.Source.Standalone.URL = migration.Secret(src.URL())
	b := stepstest.Open(t, cfg, func(b *stepstest.Bench) []engine.Step {
		return []engine.Step{Parts{Servers: b.Env.Servers, Debts: b.Env.Debts, Routing: b.Env.Routing,
			Workers: b.Env.Workers, App: b.Env.App}.Step()}
	})
	_, err := b.Plan(t.Context(), migration.StepSentinelMove, migration.Params{})
	if err == nil || !strings.Contains(err.Error(), "source.sentinel") {
		t.Errorf("%v", err)
	}
}

// The keys are on the Sentinel master afterwards, the single Redis follows it and refuses
// writes, and the way back leaves both as they were.
func TestEveryKeyMovesAndTheSingleRedisStaysAsAReplicaThatTakesNoWrites(t *testing.T) {
	t.Parallel()
	r := open(t)
	bullmqtest.Major(6).Add(t, r.src, "orders", bullmqtest.Plain("order", 20)...)
	before := r.src.Client().DBSize(t.Context()).Val()
	run := r.Await(t, r.Start(t, "swap", migration.Params{}).ID, migration.RunSucceeded)
	master := r.master(t)
	if n := master.Client().DBSize(t.Context()).Val(); n < before {
		t.Errorf("%d keys on the master, %d were on the single Redis", n, before)
	}
	facts, err := redisconn.Inspect(t.Context(), r.src.Client())
	if err != nil || facts.Role != "slave" {
		t.Errorf("the single Redis is a %s, %v", facts.Role, err)
	}
	if err := r.src.Client().Set(t.Context(), "late", "write", 0).Err(); err == nil ||
		!strings.Contains(err.Error(), "READONLY") {
		t.Errorf("a late write gets %v", err)
	}
	if got := r.View(t).Routing.Source; got != migration.SourceSentinel {
		t.Errorf("the flags say %s", got)
	}
	r.Await(t, r.Rollback(t, run).ID, migration.RunSucceeded)
	if n := r.master(t).Client().DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d keys stay on the Sentinel master", n)
	}
	if err := r.src.Client().Set(t.Context(), "late", "write", 0).Err(); err != nil {
		t.Errorf("the single Redis takes no write: %v", err)
	}
	if got := r.View(t).Routing.Source; got != migration.SourceStandalone {
		t.Errorf("the flags say %s", got)
	}
}

// Without a name on the single Redis a sentinel looks like an app that still uses it.
func TestTheSentinelsSignInToASingleRedisThatHasAPasswordOfItsOwn(t *testing.T) {
	t.Parallel()
	r := open(t, redistest.Password("old"))
	ctx, as := t.Context(), r.Env.Servers.SentinelEndpoint.Credentials()
	lets := func() error {
		return redisconn.TakesName(ctx, r.src.Endpoint(), r.src.Addr(), as)
	}
	users := r.src.Client().Do(ctx, "ACL", "LIST").String()
	if lets() == nil {
		t.Fatal("the sentinels can sign in from the start")
	}
	run := r.Await(t, r.Start(t, "swap", migration.Params{}).ID, migration.RunSucceeded)
	if err := lets(); err != nil {
		t.Error(err)
	}
	redistest.Eventually(t, 40*time.Second, func() error {
		others, err := redisconn.ForeignClients(ctx, r.src.Client())
		if err == nil && len(others) > 0 {
			err = fmt.Errorf("%+v", others)
		}
		return err
	})
	found, left, err := r.Env.Servers.Clients.Stranded(ctx, run.MigrationID)
	if err != nil || !left || len(found.Clients) > 0 {
		t.Errorf("%+v %v %v", found, left, err)
	}
	app := r.src.Foreign("") // an app without a name is seen all the same
	if err := app.Ping(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	found, _, err = r.Env.Servers.Clients.Stranded(ctx, run.MigrationID)
	if err != nil || len(found.Clients) != 1 ||
		strings.Contains(found.Clients[0].Why, "may be a sentinel") {
		t.Errorf("%+v %v", found, err)
	}
	_ = app.Close()
	r.Await(t, r.Rollback(t, run).ID, migration.RunSucceeded)
	if got := r.src.Client().Do(ctx, "ACL", "LIST").String(); lets() == nil || got != users {
		t.Errorf("the way back leaves %s, it was %s", got, users)
	}
}

func TestAServerThatKeepsItsUsersToItselfIsMovedAllTheSame(t *testing.T) {
	t.Parallel()
	r := open(t, redistest.Password("old"), redistest.Config("rename-command ACL \"\""))
	run := r.Await(t, r.Start(t, "swap", migration.Params{}).ID, migration.RunSucceeded)
	redistest.Eventually(t, 40*time.Second, func() error {
		found, _, err := r.Env.Servers.Clients.Stranded(t.Context(), run.MigrationID)
		if err == nil && (len(found.Clients) != 1 ||
			!strings.Contains(found.Clients[0].Why, "may be a sentinel")) {
			err = fmt.Errorf("%+v", found.Clients)
		}
		return err
	})
	r.Await(t, r.Rollback(t, run).ID, migration.RunSucceeded)
}
