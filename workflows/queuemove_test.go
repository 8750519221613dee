package workflows

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// The shop's other queues, which no flag routes, share the old server with the pipeline. They are found, move whole with what flows tie to them,
// come back on demand, and count as something that is left on the source until they moved.
func TestTheOtherQueuesMoveWholeAndBack(t *testing.T) {
	t.Parallel()
	src, dst := redistest.Start(t), redistest.Start(t)
	v6 := bullmqtest.Major(6)
	want := v6.Populate(t, src, "mail")
	v6.Add(t, src, "reports", bullmqtest.Task{Name: "monthly", Data: map[string]any{"k": "report"}})
	v6.Add(t, src, "order-ingestion", bullmqtest.Task{Name: "order", Data: map[string]any{"k": "order"}})

	cfg := settings(t.TempDir())
	cfg.Source.Standalone.URL = migration.Secret(src.URL())
	cfg.Queues = []string{"order-ingestion"}
	s := real(migration.StepMoveQueues)
	b := openBench(t, cfg, planOf(false, s), s)
	b.estate.target, b.estate.targetEndpoint = dst.Client(), dst.Endpoint()
	_, err := b.Start(t.Context(), ada, mid, migration.StepMoveQueues, migration.Params{}, "")
	wantKind(t, err, migration.Blocked, "Managed plan", "not shown yet")
	ok(t, b.engine.Record(t.Context(), mid, "", evidence.TargetPlan, migration.Observed, "test", json.RawMessage(holding[evidence.TargetPlan])))

	left := func() (queues []string) {
		t.Helper()
		facts, err := b.env.Servers.Residue(t.Context(), mid)
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

	b.awaitState(t, b.begin(t, migration.StepMoveQueues).ID, migration.RunSucceeded)
	if got := strings.Join(left(), " "); got != "order-ingestion" {
		t.Fatalf("left on the source: %s", got)
	}
	if n := pending(t, dst.Client(), "mail"); n != before {
		t.Errorf("%d jobs of mail on the target, %d were on the source", n, before)
	}

	// What is added late is carried over when the step runs again.
	v6.Add(t, src, "mail", bullmqtest.Task{Name: "late", Data: map[string]any{"k": "late"}, Opts: map[string]any{"jobId": "late"}})
	if got := strings.Join(left(), " "); got != "order-ingestion mail" {
		t.Fatalf("left on the source: %s", got)
	}
	again := b.awaitState(t, b.begin(t, migration.StepMoveQueues).ID, migration.RunSucceeded)
	if n := pending(t, dst.Client(), "mail"); n != before+1 {
		t.Errorf("%d jobs of mail on the target, want %d and the late one", n, before)
	}

	// And all of it comes back.
	back, err := b.Rollback(t.Context(), ada, again.ID)
	ok(t, err)
	if back.State == migration.RunAwaitingApproval {
		back, err = b.Decide(t.Context(), bob, back.ID, Decision{Approve: true, ConfirmName: name})
		ok(t, err)
	}
	b.awaitState(t, back.ID, migration.RunSucceeded)
	if n := pending(t, src.Client(), "mail"); n != before+1 {
		t.Errorf("%d jobs of mail are back, want %d", n, before+1)
	}
	if n := pending(t, dst.Client(), "mail"); n != 0 {
		t.Errorf("%d jobs of mail stayed on the target", n)
	}

	// A third time forward: what the target held is out of date and must not come to life again. Every job runs once.
	b.awaitState(t, b.begin(t, migration.StepMoveQueues).ID, migration.RunSucceeded)
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
	cfg := settings(t.TempDir())
	cfg.Source.Standalone.URL = migration.Secret(src.URL())
	cfg.Move.TargetRate = 400 // a second of copying is a hundred jobs
	s := real(migration.StepMoveQueues)
	b := openBench(t, cfg, planOf(false, s), s)
	b.estate.target, b.estate.targetEndpoint = dst.Client(), dst.Endpoint()
	ok(t, b.engine.Record(t.Context(), mid, "", evidence.TargetPlan, migration.Observed, "test", json.RawMessage(holding[evidence.TargetPlan])))

	r := b.begin(t, migration.StepMoveQueues)
	redistest.Eventually(t, patience, func() error {
		run, err := b.Run(t.Context(), r.ID)
		if err == nil && (run.Measure == nil || run.Measure.Done == 0 || run.Measure.Total < jobs) {
			err = fmt.Errorf("nothing is copied yet: %+v", run.Measure)
		}
		return err
	})
	_, err := b.Pause(t.Context(), ada, r.ID)
	ok(t, err)
	b.time.advance(pauseEvery)
	b.awaitLog(t, r.ID, "paused by ada: nothing more travels until somebody lets it go on", 1)
	on := v6.Work(t, src, "mail", "LIMIT=20") // a second: some are left for the target
	ran := map[string]int{}
	for range 20 {
		ran[(<-on.Jobs).ID]++
	}
	if n := pending(t, dst.Client(), "mail"); n != 0 {
		t.Errorf("%d jobs are in line on the target while the move is paused", n)
	}
	_, err = b.Resume(t.Context(), ada, r.ID)
	ok(t, err)
	r = b.awaitState(t, r.ID, migration.RunSucceeded)
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

func TestMovingTheOtherQueuesIsRefusedWithEveryReason(t *testing.T) {
	t.Parallel()
	src, dst := redistest.Start(t), redistest.Start(t, redistest.Config("maxmemory 50mb", "maxmemory-policy allkeys-lru"))
	bullmqtest.Major(4).Add(t, src, "mail", bullmqtest.Task{Name: "r", Opts: map[string]any{"repeat": map[string]any{"every": 60_000}}})
	cfg := settings(t.TempDir())
	cfg.Source.Standalone.URL = migration.Secret(src.URL())
	s := real(migration.StepMoveQueues)
	b := openBench(t, cfg, planOf(false, s), s)
	b.estate.target, b.estate.targetEndpoint = dst.Client(), redisconn.Endpoint{Name: "target"}
	_, err := b.Start(t.Context(), ada, mid, migration.StepMoveQueues, migration.Params{}, "")
	wantKind(t, err, migration.Blocked, "mail can be moved", "allkeys-lru", "repeatable")
}

func pending(t *testing.T, c redis.UniversalClient, queue string) int64 {
	t.Helper()
	n, err := bullmq.Census(t.Context(), c, bullmq.Queue{Name: queue})
	ok(t, err)
	return n.Pending()
}
