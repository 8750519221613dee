package movequeues

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/upstash"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

// holding is what the managed service tells of a plan as it should be.
var holding = evidence.TargetPlanFacts{DatabaseID: "d1", Fixed1GB: true, TLS: true, State: "active"}

// open opens a bench whose step moves queues from one server to another.
func open(t *testing.T, cfg config.Config, src, dst *redistest.Server) *stepstest.Bench {
	t.Helper()
	cfg.Source.Standalone.URL = migration.Secret(src.URL())
	target := stepstest.Target(t, &cfg, dst)
	b := stepstest.Open(
		t,
		cfg,
		func(b *stepstest.Bench) []engine.Step { return []engine.Step{partsOf(b).Step()} },
	)
	target(b.Env)
	return b
}

func partsOf(b *stepstest.Bench) Parts {
	return Parts{
		Servers:  b.Env.Servers,
		Managed:  b.Env.Managed,
		Settings: b.Store,
		Move:     b.Config.Move,
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused wants the step to be blocked, for the reasons given.
func refused(t *testing.T, b *stepstest.Bench, says ...string) {
	t.Helper()
	p, err := b.Plan(t.Context(), migration.StepMoveQueues, migration.Params{})
	ok(t, err)
	err = engine.Blocked(migration.StepMoveQueues, p.Gates)
	if migration.KindOf(err) != migration.Blocked {
		t.Fatalf("got %v, want it blocked", err)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Fatalf("got %q, want it to say %q", err, s)
		}
	}
}

// allowed wants every gate of the step to hold.
func allowed(t *testing.T, b *stepstest.Bench) {
	t.Helper()
	p, err := b.Plan(t.Context(), migration.StepMoveQueues, migration.Params{})
	ok(t, err)
	ok(t, engine.Blocked(migration.StepMoveQueues, p.Gates))
}

// begin starts the step, which its gates must allow.
func begin(t *testing.T, b *stepstest.Bench) migration.Run {
	t.Helper()
	allowed(t, b)
	return b.Start(t, migration.StepMoveQueues, migration.Params{})
}

// The shop's other queues, which no flag routes, share the old server with the pipeline. They are found, move whole with what flows tie to them,
// come back on demand, and count as something that is left on the source until they moved.
func TestTheOtherQueuesMoveWholeAndBack(t *testing.T) {
	t.Parallel()
	src, dst := redistest.Start(t), redistest.Start(t)
	v6 := bullmqtest.Major(6)
	want := v6.Populate(t, src, "mail")
	v6.Add(t, src, "reports", bullmqtest.Task{Name: "monthly", Data: map[string]any{"k": "report"}})
	v6.Add(
		t,
		src,
		"order-ingestion",
		bullmqtest.Task{Name: "order", Data: map[string]any{"k": "order"}},
	)

	cfg := stepstest.Settings(t.TempDir())
	cfg.Queues = []string{"order-ingestion"}
	b := open(t, cfg, src, dst)
	refused(t, b, "Managed plan", "no evidence yet")
	b.Prove(t, evidence.TargetPlan, holding)

	left := func() (queues []string) {
		t.Helper()
		facts, err := b.Env.Servers.Residue(t.Context(), stepstest.Migration)
		ok(t, err)
		for _, q := range facts.Queues {
			if q.Pending > 0 {
				queues = append(queues, q.Queue)
			}
		}
		return queues
	}
	if got := strings.Join(left(), " "); got != "order-ingestion mail-children mail reports" {
		t.Fatalf("left on the source: %s", got)
	}
	before := pending(t, src.Client(), "mail")

	b.Await(t, begin(t, b).ID, migration.RunSucceeded)
	if got := strings.Join(left(), " "); got != "order-ingestion" {
		t.Fatalf("left on the source: %s", got)
	}
	if n := pending(t, dst.Client(), "mail"); n != before {
		t.Errorf("%d jobs of mail on the target, %d were on the source", n, before)
	}

	// What is added late is carried over when the step runs again.
	v6.Add(
		t,
		src,
		"mail",
		bullmqtest.Task{
			Name: "late",
			Data: map[string]any{"k": "late"},
			Opts: map[string]any{"jobId": "late"},
		},
	)
	if got := strings.Join(left(), " "); got != "order-ingestion mail" {
		t.Fatalf("left on the source: %s", got)
	}
	again := b.Await(t, begin(t, b).ID, migration.RunSucceeded)
	if n := pending(t, dst.Client(), "mail"); n != before+1 {
		t.Errorf("%d jobs of mail on the target, want %d and the late one", n, before)
	}

	// And all of it comes back.
	b.Await(t, b.Rollback(t, again).ID, migration.RunSucceeded)
	if n := pending(t, src.Client(), "mail"); n != before+1 {
		t.Errorf("%d jobs of mail are back, want %d", n, before+1)
	}
	if n := pending(t, dst.Client(), "mail"); n != 0 {
		t.Errorf("%d jobs of mail stayed on the target", n)
	}

	// A third time forward: what the target held is out of date and must not come to life again. Every job runs once.
	b.Await(t, begin(t, b).ID, migration.RunSucceeded)
	w := v6.Work(t, dst, "mail,mail-children,reports")
	expected := map[string]int{"late": 0, "report": 0}
	for _, k := range want.Jobs {
		expected[k] = 0
	}
	for ran := 0; ran < len(expected); {
		e := <-w.Jobs
		if k := e.Key(); k != "tick" {
			if n, known := expected[k]; !known || n > 0 {
				t.Fatalf("%s ran, known %v, %d times before", k, known, n)
			}
			expected[k]++
			ran++
		}
	}
}

// While a move is paused, jobs run on the source; what ran there does not run again on the target.
func TestAPausedMoveOfQueuesLeavesThemWorking(t *testing.T) {
	t.Parallel()
	src, dst := redistest.Start(t), redistest.Start(t)
	v6 := bullmqtest.Major(6)
	const jobs = 300
	v6.Add(t, src, "mail", bullmqtest.Plain("mail", jobs)...)
	cfg := stepstest.Settings(t.TempDir())
	cfg.Move.TargetRate = 400 // a second of copying is a hundred jobs
	b := open(t, cfg, src, dst)
	b.Prove(t, evidence.TargetPlan, holding)

	r := begin(t, b)
	redistest.Eventually(t, stepstest.Patience, func() error {
		run, err := b.Store.Run(t.Context(), r.ID)
		if err == nil && (run.Measure == nil || run.Measure.Done == 0 || run.Measure.Total < jobs) {
			err = fmt.Errorf("nothing is copied yet: %+v", run.Measure)
		}
		return err
	})
	ok(t, b.Store.SetPaused(t.Context(), r.ID, "ada"))
	b.Clock.Advance(time.Second) // past the interval at which an action looks whether it is paused
	redistest.Eventually(t, stepstest.Patience, func() error {
		lines, err := b.Store.Log(t.Context(), r.ID, 0, 1000)
		if err == nil && !slices.ContainsFunc(lines, func(l migration.LogLine) bool {
			return l.Message == "paused by ada until somebody resumes it"
		}) {
			err = fmt.Errorf("it is not paused: %+v", lines)
		}
		return err
	})
	on := v6.Work(t, src, "mail", "LIMIT=20") // a second: some are left for the target
	ran := map[string]int{}
	for range 20 {
		ran[(<-on.Jobs).ID]++
	}
	if n := pending(t, dst.Client(), "mail"); n != 0 {
		t.Errorf("%d jobs are in line on the target while the move is paused", n)
	}
	ok(t, b.Store.SetPaused(t.Context(), r.ID, ""))
	r = b.Await(t, r.ID, migration.RunSucceeded)
	if r.Measure != nil {
		t.Errorf("a run that is over still measures: %+v", r.Measure)
	}
	there := v6.Work(t, dst, "mail", "CONCURRENCY=20")
	for len(ran) < jobs {
		select {
		case e := <-on.Jobs:
			ran[e.ID]++
		case e := <-there.Jobs:
			ran[e.ID]++
		}
	}
	for id, n := range ran {
		if n != 1 {
			t.Errorf("%s ran %d times", id, n)
		}
	}
}

// What else is on the server goes with it, and nobody has said what becomes of it.
func TestWhatIsInOtherDatabasesAndOfOtherLibrariesIsUnknown(t *testing.T) {
	t.Parallel()
	src, dst := redistest.Start(t), redistest.Start(t)
	w := bullmqtest.NewWriter(src.Client())
	w.Queue(t, "bull:mail:")
	w.Others(t, "bull:mail:")
	one, err := redisconn.InDatabase(src.Client(), 1)
	ok(t, err)
	defer one.Close()
	in1 := bullmqtest.NewWriter(one)
	in1.Queue(t, "bull:orders:")
	in1.Job(t, "bull:orders:", "wait", "7")
	b := open(t, stepstest.Settings(t.TempDir()), src, dst)
	b.Prove(t, evidence.TargetPlan, holding)

	facts, err := b.Env.Servers.Residue(t.Context(), stepstest.Migration)
	ok(t, err)
	if !slices.Equal(facts.Databases, []int{0, 1}) {
		t.Errorf("looked at databases %v", facts.Databases)
	}
	got := map[string]int64{}
	for _, u := range facts.Unknown {
		got[u.Member] = u.Pending
	}
	want := map[string]int64{"db0/bq:mail": 1, "db0/bull:old": 1, "db0/other keys": 0,
		"db1/bull:orders": 2}
	if !maps.Equal(got, want) {
		t.Errorf("unknown are %v, want %v", got, want)
	}

	// The plan names what it moves, and what it leaves alone.
	p, err := b.Plan(t.Context(), migration.StepMoveQueues, migration.Params{})
	ok(t, err)
	text := fmt.Sprint(p.Observed)
	for _, says := range []string{"not moved: a queue of Bull", "not moved: a queue of bee-queue",
		"Left alone under bull:mail:", "bull:mail:lastSeen", "keys: 1 of jobs"} {
		if !strings.Contains(text, says) {
			t.Errorf("the plan does not say %q: %s", says, text)
		}
	}
}

func TestMovingTheOtherQueuesIsRefusedWithEveryReason(t *testing.T) {
	t.Parallel()
	src, dst := redistest.Start(
		t,
	), redistest.Start(
		t,
		redistest.Config("maxmemory 50mb", "maxmemory-policy allkeys-lru"),
	)
	bullmqtest.Major(4).
		Add(t, src, "mail", bullmqtest.Task{Name: "r", Opts: map[string]any{"repeat": map[string]any{"every": 60_000}}})
	b := open(t, stepstest.Settings(t.TempDir()), src, dst)
	refused(t, b, "mail can be moved", "allkeys-lru", "repeatable")
}

// The evidence may be older than the moment of the move, so the move asks by itself.
func TestQueuesAreNotMovedToADatabaseThatEvicts(t *testing.T) {
	t.Parallel()
	src, dst := redistest.Start(t), redistest.Start(t)
	b := open(t, stepstest.Settings(t.TempDir()), src, dst)
	c := b.Call(t, migration.Run{MigrationID: stepstest.Migration}, "move-queues")
	service := b.Env.Managed.Service.(*upstash.Managed).Client
	db, err := service.Create(
		t.Context(),
		upstash.CreateRequest{DatabaseName: "evicts", Platform: "aws", PrimaryRegion: "us-east-1",
			Plan: upstash.Fixed1GB, TLS: true, Eviction: true},
	)
	ok(t, err)
	ok(t, b.Env.Servers.UseTarget(t.Context(), db.ID))
	if _, err := partsOf(b).doMoveQueues(t.Context(), c); err == nil ||
		!strings.Contains(err.Error(), "eviction is on") {
		t.Errorf("got %v", err)
	}
	ok(t, service.DisableEviction(t.Context(), db.ID))
	ok(t, b.Env.Managed.EvictsNothing(t.Context(), c))
}

func pending(t *testing.T, c redis.UniversalClient, queue string) int64 {
	t.Helper()
	n, err := bullmq.Census(t.Context(), c, bullmq.Queue{Name: queue})
	ok(t, err)
	return n.Pending()
}

// What moves is left on the source by whoever goes on adding there, and nobody has said who that is.
func TestQueuesAreNotMovedWhileSomebodyUnknownIsConnected(t *testing.T) {
	t.Parallel()
	src, dst := redistest.Start(t), redistest.Start(t)
	b := open(t, stepstest.Settings(t.TempDir()), src, dst)
	b.Prove(t, evidence.TargetPlan, holding)
	b.AwaitReds(t, migration.StepMoveQueues)
	mailer := src.Foreign("mailer")
	ok(t, mailer.Ping(t.Context()).Err())
	b.AwaitReds(t, migration.StepMoveQueues, "connected")
	ok(t, mailer.Close())
	b.AwaitReds(t, migration.StepMoveQueues)
}
