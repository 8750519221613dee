package decommission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/progress"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

// bench is a bench whose step does some of the decommission's actions on a real server.
type bench struct {
	*stepstest.Bench
	parts Parts
	// waives: a person waives whoever is connected when a run is planned.
	waives bool
}

const patience = stepstest.Patience

// oldServer opens a bench over a server.
func oldServer(t *testing.T, s *redistest.Server, window time.Duration, ids ...string) *bench {
	t.Helper()
	cfg := stepstest.Settings(t.TempDir())
	cfg.Source.Standalone.URL = migration.Secret(s.URL())
	b := &bench{}
	b.Bench = stepstest.Open(t, cfg, func(of *stepstest.Bench) []engine.Step {
		b.parts = partsOf(of)
		b.parts.QuietWindow, b.parts.FenceWindow = window, window
		all := b.parts.Step().Actions(migration.Params{})
		actions := []engine.Action{{
			ActionPlan: migration.ActionPlan{ID: "release", Title: "Remember the server"},
			Do: func(context.Context, *engine.Call) (any, error) {
				return oldServers{Master: s.Addr(), Address: []string{s.Addr()}}, nil
			},
		}}
		for _, id := range ids {
			a := all[slices.IndexFunc(all, func(a engine.Action) bool { return a.ID == id })]
			a.Approval = ""
			actions = append(actions, a)
		}
		one := stepstest.Step("one", actions...)
		one.Plan = func(ctx context.Context, _ progress.View, _ migration.Params) (
			engine.PlanResult, error,
		) {
			if !b.waives {
				return engine.PlanResult{}, nil
			}
			return engine.PlanResult{Gates: []migration.Gate{b.connected(ctx)}}, nil
		}
		return []engine.Step{one}
	})
	return b
}

func partsOf(b *stepstest.Bench) Parts {
	e := b.Env
	return Parts{
		Servers:     e.Servers,
		Debts:       e.Debts,
		Routing:     e.Routing,
		Workers:     e.Workers,
		Journal:     e.Journal,
		Streams:     e.Streams,
		Host:        e.Host,
		QuietWindow: b.Config.Migration.QuietWindow,
		FenceWindow: b.Config.Migration.FenceWindow,
		DataDir:     b.Config.DataDir,
	}
}

// connected is the gate of who is connected to the old server.
func (b *bench) connected(ctx context.Context) migration.Gate {
	clients := b.Env.Servers.Clients
	return clients.Gate(ctx, stepstest.Migration, clients.Old)
}

func (b *bench) begin(t *testing.T) migration.Run {
	t.Helper()
	if b.waives {
		now := b.Clock.Now()
		for _, m := range b.connected(t.Context()).Asked.Unknown() {
			_, err := b.Store.AddWaiver(t.Context(), stepstest.Migration, migration.Waiver{
				Member: m.Key, By: "ada", Why: "it stops soon", At: now, Until: now.Add(time.Hour)})
			ok(t, err)
		}
	}
	return b.Start(t, "one", migration.Params{})
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// output reads what an action gave so far.
func output[T any](r migration.Run, id string) (v T) {
	for _, a := range r.Actions {
		if a.ID == id && a.Output != nil {
			_ = json.Unmarshal(a.Output, &v) // stays empty
		}
	}
	return v
}

// awaitKnock waits until the page would show a client.
func (b *bench) awaitKnock(t *testing.T, id string, is func(evidence.Knock) bool) evidence.Knock {
	t.Helper()
	var found evidence.Knock
	redistest.Eventually(t, patience, func() error {
		r, err := b.Store.Run(t.Context(), id)
		if err != nil {
			return err
		}
		f := output[evidence.WatchFacts](r, FenceWindow)
		i := slices.IndexFunc(f.Knocks, is)
		if i < 0 {
			return fmt.Errorf("run %s (%s): it is not among %+v", r.State, r.Error, f.Knocks)
		}
		found = f.Knocks[i]
		return nil
	})
	return found
}

func awaitFenced(t *testing.T, s *redistest.Server) {
	t.Helper()
	c := s.Client()
	redistest.Eventually(t, patience, func() error {
		if on, err := redisconn.Fenced(t.Context(), c); err != nil || !on {
			return errors.Join(errors.New("not fenced"), err)
		}
		return nil
	})
}

// An app that came since the servers were quiet is not fenced: nobody has stopped it.
func TestNobodyIsFencedWhoIsConnected(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b := oldServer(t, s, time.Minute, "fence")
	app := s.Foreign("shop")
	ok(t, app.Ping(t.Context()).Err())
	r := b.Await(t, b.begin(t).ID, migration.RunFailed)
	if !strings.Contains(r.Error, "shop on "+s.Addr()) {
		t.Error(r.Error)
	}
	ok(t, app.Set(t.Context(), "k", "v", 0).Err())
}

// The Show: a client that still uses the fenced source is named, and the run does not go on while it does.
func TestAClientThatStillUsesTheFencedSourceIsNamedAndHoldsTheWindow(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b := oldServer(t, s, 2*time.Second, "fence", FenceWindow)
	worker := bullmqtest.Major(6).Command(t, s, "orders", "work")
	_, err := worker.StdinPipe() // it works until that ends
	ok(t, err)
	ok(t, worker.Start())
	stop := sync.OnceFunc(func() { _ = worker.Process.Kill(); _ = worker.Wait() })
	defer stop()
	c := s.Client()
	redistest.Eventually(t, patience, func() error {
		clients, err := redisconn.ForeignClients(t.Context(), c)
		if err == nil &&
			!slices.ContainsFunc(
				clients,
				func(cl redisconn.Client) bool { return strings.HasPrefix(cl.Name, "bull:") },
			) {
			err = fmt.Errorf("no worker yet: %+v", clients)
		}
		return err
	})
	b.waives = true
	r := b.begin(t)
	k := b.awaitKnock(
		t,
		r.ID,
		func(k evidence.Knock) bool { return strings.HasPrefix(k.Name, "bull:") },
	)
	if !k.Connected || !strings.HasPrefix(k.Addr, "127.0.0.1:") || k.User != "default" ||
		k.Times == 0 {
		t.Errorf("%+v", k)
	}
	// A client that comes for a moment and is refused is told of, too.
	out, _ := exec.CommandContext(t.Context(), "redis-cli", "-p", strconv.Itoa(s.Port), "LPUSH", "k", "v").
		CombinedOutput()
	if !strings.Contains(string(out), "NOREPLICAS") {
		t.Fatalf("the write was not refused: %s", out)
	}
	b.awaitKnock(t, r.ID, func(k evidence.Knock) bool { return k.Refused > 0 })
	stop()
	r = b.Await(t, r.ID, migration.RunSucceeded)
	f := output[fenceOutput](r, FenceWindow)
	if !f.Over || len(f.Tallies) != 1 || f.SeenAt.Sub(f.Since) < 2*time.Second ||
		slices.ContainsFunc(f.Knocks, func(k evidence.Knock) bool { return k.Connected }) {
		t.Errorf("%+v", f)
	}
	history, err := b.Store.Evidence(t.Context(), stepstest.Migration, evidence.Fence, 1)
	ok(t, err)
	rule, _ := evidence.Of(evidence.Fence)
	if met, says, err := rule.Judge(history[0].Facts); !met || err != nil {
		t.Errorf("%s %v", says, err)
	}
	// Whoever comes after the window stops the power-off.
	call := b.Call(t, r, "power-off")
	if failing := migration.Failing(b.parts.fenceHolds(t.Context(), call)); len(failing) != 0 {
		t.Fatalf("%+v", failing)
	}
	app := redis.NewClient(&redis.Options{Addr: s.Addr(), DisableIdentity: true, MaxRetries: -1})
	defer app.Close()
	if err := app.Set(t.Context(), "late", "v", 0).Err(); err == nil {
		t.Fatal("the fence let a write through")
	}
	failing := migration.Failing(b.parts.fenceHolds(t.Context(), call))
	if len(failing) != 1 || failing[0].ID != FenceWindow ||
		!strings.Contains(failing[0].Measured, "1 refused attempts") {
		t.Fatalf("%+v", failing)
	}
}

func TestAFenceThatSomebodyLiftsEndsTheRunAndIsTakenBack(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b := oldServer(t, s, time.Minute, "fence", FenceWindow)
	r := b.begin(t)
	c := s.Client()
	redistest.Eventually(t, patience, func() error {
		if on, err := redisconn.Fenced(t.Context(), c); err != nil || !on {
			return errors.Join(errors.New("not fenced"), err)
		}
		r, err := b.Store.Run(t.Context(), r.ID)
		if f := output[evidence.WatchFacts](r, FenceWindow); err != nil || f.WindowSeconds != 60 {
			return fmt.Errorf("no window yet: %w", err)
		}
		return nil
	})
	ok(t, c.ConfigSet(t.Context(), "min-replicas-to-write", "0").Err())
	r = b.Await(t, r.ID, migration.RunFailed)
	if !strings.Contains(r.Error, "takes writes again") {
		t.Error(r.Error)
	}
}

func TestACancelledFenceWindowLiftsTheFence(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Config("min-replicas-to-write 0"))
	b := oldServer(t, s, time.Minute, "fence", FenceWindow)
	r := b.begin(t)
	awaitFenced(t, s)
	app := s.Foreign("shop")
	ok(t, app.Ping(t.Context()).Err())
	b.awaitKnock(t, r.ID, func(k evidence.Knock) bool { return k.Name == "shop" })
	if err := app.Set(t.Context(), "k", "v", 0).Err(); err == nil {
		t.Fatal("the fence let a write through")
	}
	ok(t, b.Store.RequestCancel(t.Context(), r.ID, "bob"))
	b.Engine.Cancel(r.ID)
	b.Await(t, r.ID, migration.RunCancelled)
	ok(t, app.Set(t.Context(), "k", "v", 0).Err())
}

func TestWhatComesAfterTheProofOfQuietStopsTheFence(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b := oldServer(t, s, time.Second)
	call := b.Call(t, migration.Run{MigrationID: stepstest.Migration}, "fence")
	c := s.Client()
	before, err := b.parts.events(t.Context(), call, c)
	ok(t, err)
	if failing := migration.Failing(b.parts.cameSince(t.Context(), call, c, before)); len(
		failing,
	) != 0 {
		t.Fatalf("%+v", failing)
	}
	bullmqtest.Major(6).
		Add(t, s, "order-ingestion", bullmqtest.Task{Name: "order", Data: map[string]any{"n": 1}})
	failing := migration.Failing(b.parts.cameSince(t.Context(), call, c, before))
	if len(failing) != 2 || !strings.Contains(failing[0].Measured,
		"not: order-ingestion (1 job left)") ||
		!strings.Contains(failing[1].Measured, "new entries in order-ingestion") ||
		failing[1].Next == "" {
		t.Fatalf("%+v", failing)
	}
}

func TestWhoeverUsesAQuietServerIsListedWithEverythingElse(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b := oldServer(t, s, time.Hour)
	r := b.begin(t)
	r = b.Await(t, r.ID, migration.RunSucceeded)
	call := b.Call(t, r, "release")
	_, nodes, err := b.parts.oldNodes(t.Context(), call)
	ok(t, err)
	v, err := b.parts.keepVigil(t.Context(), call, nodes, 400*time.Millisecond, false)
	ok(t, err)
	defer v.close()
	one, two := s.Foreign("web.1"), s.Foreign("web.2")
	ok(t, one.Set(t.Context(), "k", "v", 0).Err())
	ok(t, two.Ping(t.Context()).Err())
	ok(t, b.parts.watchQuiet(t.Context(), call, v, 400*time.Millisecond))
	failing := migration.Failing(v.use())
	if len(failing) != 2 || !strings.Contains(failing[0].Measured, `"web.1"`) ||
		!strings.Contains(failing[0].Measured, `"web.2"`) ||
		failing[1].Measured != "1 writes" ||
		failing[0].Next == "" {
		t.Fatalf("%+v", failing)
	}
}

func TestADecommissionIsRefusedWithEverythingThatIsUnmet(t *testing.T) {
	t.Parallel()
	b := stepstest.Open(
		t,
		stepstest.Settings(t.TempDir()),
		func(b *stepstest.Bench) []engine.Step { return []engine.Step{partsOf(b).Step()} },
	)
	v, err := b.Env.Views.Read(t.Context(), stepstest.Migration)
	ok(t, err)
	v.Migration.Plan.Criteria = []migration.Criterion{
		{
			ID:       "noeviction",
			Title:    "Policy",
			Requires: []migration.Requirement{{Check: evidence.Policy, MaxAge: time.Hour}},
		},
		{
			ID:       "breaker",
			Title:    "Breaker",
			Requires: []migration.Requirement{{Check: evidence.Drill}},
		},
	}
	v.Checklist = evidence.Evaluate(v.Migration.Plan, v.Basis())
	p, err := b.Steps[migration.StepDecommission].PlanFor(t.Context(), v, migration.Params{})
	ok(t, err)
	err = engine.Blocked(migration.StepDecommission, p.Gates)
	if migration.KindOf(err) != migration.Blocked {
		t.Fatal(err)
	}
	for _, says := range []string{"Cutover is complete", "Policy: Eviction policy: no evidence", "Breaker: Breaker drill: no evidence", "All orders on the source are settled", "No unfinished job is left on the source", "Both servers' events"} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%q does not say %q", err, says)
		}
	}
	e, _ := errors.AsType[*migration.Error](err)
	if len(e.Blockers) < 6 {
		t.Errorf("%d blockers: %+v", len(e.Blockers), e.Blockers)
	}
}
