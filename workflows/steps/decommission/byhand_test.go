package decommission

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/byhand"
	"github.com/switchyard-dev/switchyard/providers/ingestiontest"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/sentinel"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

// byHand opens a bench over a server whose machine a person looks after. Its step remembers the
// server, has a verified backup, and does the actions of those ids, with their approvals.
func byHand(t *testing.T, s *redistest.Server, ids ...string) *bench {
	t.Helper()
	cfg := stepstest.Settings(t.TempDir())
	cfg.Source.Standalone.URL = migration.Secret(s.URL())
	cfg.Source.Machines, cfg.Source.SilentFor = byhand.Name, 100*time.Millisecond
	cfg.Source.Standalone.Machine = byhand.Machine{Label: "redis"}
	cfg.Linode.Token = ""
	journal := ingestiontest.NewJournal(t)
	cfg.Ingestion.URL, cfg.Queues = journal.URL, []string{"orders"}
	use := stepstest.Target(t, &cfg, redistest.Start(t))
	b := &bench{}
	b.Bench = stepstest.Open(t, cfg, func(of *stepstest.Bench) []engine.Step {
		b.parts = partsOf(of)
		all := b.parts.Step().Actions(migration.Params{})
		one := func(id string) engine.Action {
			i := slices.IndexFunc(all, func(a engine.Action) bool { return a.ID == id })
			if i < 0 {
				t.Fatalf("there is no action %s", id)
			}
			return all[i]
		}
		actions := []engine.Action{{
			ActionPlan: migration.ActionPlan{ID: "release", Title: "Remember the server"},
			Do: func(ctx context.Context, _ *engine.Call) (any, error) {
				return oldServers{Master: s.Addr(), Address: []string{s.Addr()}},
					of.Env.Host.RememberOld(ctx, []string{s.Addr()})
			},
		}, {
			ActionPlan: migration.ActionPlan{ID: "backup", Title: "Have a backup"},
			Do: func(context.Context, *engine.Call) (any, error) {
				f := evidence.BackupFacts{File: "backup", Bytes: 4, SHA256: "ab", Verified: true}
				return f, os.WriteFile(filepath.Join(cfg.DataDir, f.File), []byte("jobs"), 0o600)
			},
		}}
		for _, id := range ids {
			actions = append(actions, one(id))
		}
		return []engine.Step{stepstest.Step("one", actions...)}
	})
	use(b.Env)
	b.Route(t, migration.Routing{Stage: migration.StageComplete, Source: migration.SourceNone})
	journal.Order("o1", b.Clock.Now(), true)
	b.Watch(t)
	return b
}

// holdsAt waits until the run waits before an action, and gives what the person must still mend.
func (b *bench) holdsAt(t *testing.T, id, action string) (migration.Run, []migration.Gate) {
	t.Helper()
	r := b.Await(t, id, migration.RunAwaitingApproval)
	if at, _ := r.Waiting(); at.ID != action {
		t.Fatalf("it waits with %q, not %q", at.ID, action)
	}
	return r, migration.Failing(b.Engine.Ready(t.Context(), r, action))
}

// approve gives the approval, whatever its gates say.
func (b *bench) approve(t *testing.T, r migration.Run, by string) {
	t.Helper()
	at, _ := r.Waiting()
	ok(t, b.Store.AnswerRun(t.Context(), r.ID, len(r.Approvals),
		migration.Consent{Action: at.ID, Approved: true, By: by, At: b.Clock.Now()}, ""))
	b.Engine.Start(r.ID)
}

func TestWhatNoAPIDoesTwoPeopleDecideAndAPersonConfirms(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b := byHand(t, s, migration.ActionConfirmedOff, "delete", migration.ActionConfirmedDeleted)
	id := b.begin(t).ID
	// Too early: it runs.
	_, failing := b.holdsAt(t, id, migration.ActionConfirmedOff)
	if len(failing) != 1 || !strings.Contains(failing[0].Measured, s.Addr()+" answers") ||
		failing[0].Next == "" {
		t.Fatalf("confirmed while it runs: %+v", failing)
	}
	s.Kill()
	var r migration.Run
	if r, failing = b.holdsAt(t, id, migration.ActionConfirmedOff); len(failing) != 0 {
		t.Fatalf("%+v", failing)
	}
	b.approve(t, r, "ada")
	r, failing = b.holdsAt(t, id, "delete")
	if len(failing) != 0 || r.Needs() != migration.ApprovalTwo {
		t.Fatalf("%+v, needs %s", failing, r.Needs())
	}
	b.approve(t, r, "grace")
	if r, failing = b.holdsAt(t, id, migration.ActionConfirmedDeleted); len(failing) != 0 {
		t.Fatalf("%+v", failing)
	}
	if all, _ := b.Store.Evidence(t.Context(), stepstest.Migration, evidence.Off, 1); len(all) > 0 {
		t.Errorf("that they are deleted is said before anybody has: %s", all[0].Facts)
	}
	b.approve(t, r, "lin")
	b.Await(t, id, migration.RunSucceeded)
	all, err := b.Store.Evidence(t.Context(), stepstest.Migration, evidence.Off, 1)
	ok(t, err)
	rule, _ := evidence.Of(evidence.Off)
	met, says, err := rule.Judge(all[0].Facts)
	if e := all[0]; !met || err != nil || e.Proof != migration.Attested ||
		!strings.Contains(e.Source, "lin confirmed") || !strings.Contains(e.Source, "refused") {
		t.Errorf("%s, %v: %s by %s", says, err, e.Proof, e.Source)
	}
	// The monitor looks again, and sees one that comes back.
	s.Restart()
	if facts, as, err := b.Env.Host.Off(t.Context()); err != nil ||
		!slices.ContainsFunc(facts.Servers, func(f evidence.ServerOff) bool { return f.Reachable }) {
		t.Errorf("%+v, %+v, %v", facts, as, err)
	}
}

// An approval is a person's word, and never enough where something answers.
func TestAWordAgainstAMachineThatAnswersFailsTheRunAndIsNotKept(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b := byHand(t, s, migration.ActionConfirmedOff)
	r, _ := b.holdsAt(t, b.begin(t).ID, migration.ActionConfirmedOff)
	b.approve(t, r, "ada")
	r = b.Await(t, r.ID, migration.RunFailed)
	if !strings.Contains(r.Error, "ada confirmed on") ||
		!strings.Contains(r.Error, "takes connections") {
		t.Error(r.Error)
	}
	s.Kill()
	facts, _, err := b.Env.Host.Off(t.Context())
	ok(t, err)
	if got := facts.Servers[0].Status; got != "silent" {
		t.Errorf("the word that was refuted counts once it fell silent: %s", got)
	}
}

// What a person was told to switch off may be off when the run is taken back.
func TestARunThatIsTakenBackWaitsUntilAPersonHasSwitchedTheMachinesOnAgain(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b := byHand(t, s, "power-off", migration.ActionConfirmedOff)
	off := b.Steps["one"].Actions(migration.Params{})[2]
	call := b.Call(t, b.Await(t, b.begin(t).ID, migration.RunAwaitingApproval), "power-off")
	s.Kill()
	bounded, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := off.Undo(bounded, call); err == nil ||
		!strings.Contains(err.Error(), "is to be switched on at its host by a person") {
		t.Errorf("%v", err)
	}
	s.Restart()
	ok(t, off.Undo(t.Context(), call))
}

// A machine runs before the programs on it do, and the watch is given back to the sentinels.
func TestARunThatIsTakenBackWaitsForTheSentinelsToo(t *testing.T) {
	t.Parallel()
	b := byHand(t, redistest.Start(t), "power-off")
	d := redistest.StartSentinel(t, 0)
	cluster := sentinel.New(d.Endpoint())
	t.Cleanup(cluster.Close)
	parts := b.parts
	parts.Servers = &environment.Servers{
		Standalone:         b.parts.Servers.Standalone,
		StandaloneEndpoint: b.parts.Servers.StandaloneEndpoint,
		Cluster:            cluster,
	}
	call := b.Call(t, b.Await(t, b.begin(t).ID, migration.RunAwaitingApproval), "power-off")
	last := d.Sentinels[2]
	last.Kill()
	bounded, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := parts.powerOn(bounded, call); err == nil || !strings.Contains(err.Error(), last.Addr()) {
		t.Errorf("%v", err)
	}
	last.Restart()
	ok(t, parts.powerOn(t.Context(), call))
}

func TestAHostWithoutSnapshotsIsSaidToHaveNone(t *testing.T) {
	t.Parallel()
	b := byHand(t, redistest.Start(t))
	for _, a := range b.parts.Step().Actions(migration.Params{}) {
		if a.ID == "snapshot" {
			t.Error("the plan has a snapshot that nobody can take")
		}
	}
	v, err := b.Env.Views.Read(t.Context(), stepstest.Migration)
	ok(t, err)
	p, err := b.parts.Step().PlanFor(t.Context(), v, migration.Params{})
	ok(t, err)
	if !strings.Contains(p.Impact, "It is the only copy: no snapshot") {
		t.Error(p.Impact)
	}
	if why := b.parts.noSnapshot(); !strings.Contains(why, "source.machines") {
		t.Error(why)
	}
}

// What the events of a source that was let go show may come to light only then: nothing is
// switched off or deleted over it, although the app's journal knows of no loss.
func TestALossThatTheEventsShowAfterTheReleaseHoldsPowerOffAndDeletion(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b := byHand(t, s, "delete", "power-off")
	run := b.Await(t, b.begin(t).ID, migration.RunAwaitingApproval)
	red := func(action string) string {
		gates := b.Engine.Ready(t.Context(), run, action)
		if len(gates) == 0 {
			t.Fatalf("%s has no gates", action)
		}
		for _, g := range migration.Failing(gates) {
			if g.ID == "streams" {
				return g.Measured
			}
		}
		return ""
	}
	ledgerOf := func() (bool, string) {
		facts, err := b.parts.Streams.Facts(t.Context(), stepstest.Migration)
		ok(t, err)
		raw, _ := json.Marshal(facts)
		rule, _ := evidence.Of(evidence.Ledger)
		met, says, err := rule.Judge(raw)
		ok(t, err)
		return met, says
	}
	met, says := ledgerOf()
	if red("power-off") != "" || red("delete") != "" || !met {
		t.Fatalf("before it shows: %q, %q, %s", red("power-off"), red("delete"), says)
	}
	rows, err := environment.LedgerState(ledger.Checkpoint{Exceptions: []ledger.Exception{
		{Queue: "orders", Job: "42", Verdict: ledger.Loss, At: b.Clock.Now().UnixMilli(),
			Detail: "let go before it ran"}}})
	ok(t, err)
	ok(t, b.Store.SaveLedger(t.Context(), stepstest.Migration, rows, 0, 1))
	met, says = ledgerOf()
	for where, text := range map[string]string{"power-off": red("power-off"),
		"delete": red("delete"), "the evidence": says} {
		if met || !strings.Contains(text, "1 unresolved loss") {
			t.Errorf("%s says %q", where, text)
		}
	}
}
