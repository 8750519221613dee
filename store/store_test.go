package store

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/store/pgtest"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

var noon = time.Date(2026, 8, 24, 12, 0, 0, 0, time.UTC)

const mid = "orders"

func TestMain(m *testing.M) {
	if url := os.Getenv(leaderURL); url != "" {
		leadUntilKilled(url)
	}
	pgtest.Main(m)
}

// dialects are the databases; each makes an empty one of the test's own and gives its
// URL.
var dialects = map[string]func(t testing.TB) string{
	"sqlite": func(t testing.TB) string {
		return filepath.Join(t.TempDir(), "a folder", "my #1?.db")
	},
	"postgres": func(t testing.TB) string { return pgtest.Database(t).Reveal() },
}

// onBoth runs a test on each database, with one migration in it.
func onBoth(t *testing.T, f func(t *testing.T, s *Store)) {
	t.Helper()
	for name, database := range dialects {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, withMigration(t, openURL(t, database(t))))
		})
	}
}

func withMigration(t testing.TB, s *Store) *Store {
	t.Helper()
	ok(t, s.CreateMigration(t.Context(), migration.Migration{ID: mid, Name: "Orders",
		EventDate: noon.AddDate(0, 0, 28), CreatedBy: "ada", CreatedAt: noon,
		Plan: migration.Plan{Name: "Plan", Steps: []migration.PlanStep{{ID: "audit"}}}}))
	return s
}

// openURL opens a database, closed when the test ends.
func openURL(t testing.TB, url string) *Store {
	t.Helper()
	s, err := Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantKind(t testing.TB, err error, k migration.Kind) {
	t.Helper()
	if err == nil || migration.KindOf(err) != k {
		t.Fatalf("got %v (%s), want kind %s", err, migration.KindOf(err), k)
	}
}

func measured(check, facts string) migration.Evidence {
	return migration.Evidence{Check: check, Proof: migration.Observed,
		Facts: json.RawMessage(facts), Source: "test", ObservedAt: noon}
}

func run(id, step, who string) migration.Run {
	return migration.Run{ID: id, MigrationID: mid, Step: step, State: migration.RunQueued,
		RequestedBy: who, CreatedAt: noon,
		Plan: migration.StepPlan{Step: step, Hash: "h", Actions: []migration.ActionPlan{
			{ID: "one", Title: "One"},
			{ID: "two", Title: "Two"},
		}}}
}

func TestHistoryIsAppendOnlyAlsoThroughSQL(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		_, err := s.AddEvidence(t.Context(), mid, measured(evidence.Policy, `{}`))
		ok(t, err)
		createSet(t, s, mid)
		revise(t, s, mid, `{"flags":{}}`)
		ok(t, s.AppendAudit(t.Context(),
			migration.AuditEntry{At: noon, Actor: "ada", Action: "start", Result: "ok"}))
		for _, statement := range []string{
			`UPDATE evidence SET facts = '{"a":1}'`, `DELETE FROM evidence`,
			`UPDATE flag_set_revisions SET definition = '{}'`, `DELETE FROM flag_set_revisions`,
			`UPDATE audit_log SET actor = 'eve'`, `DELETE FROM audit_log`,
		} {
			t.Run(statement, func(t *testing.T) {
				if _, err := s.SQL().ExecContext(t.Context(), statement); err == nil ||
					!strings.Contains(err.Error(), "append-only") {
					t.Fatalf("got %v", err)
				}
			})
		}
	})
}

func TestTheLatestEvidenceOfEachCheckCounts(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		for _, e := range []migration.Evidence{measured(evidence.Policy, `{"n":1}`),
			measured(evidence.Off, `{"n":2}`),
			measured(evidence.Policy, `{"n":3}`)} {
			_, err := s.AddEvidence(t.Context(), mid, e)
			ok(t, err)
		}
		latest, err := s.LatestEvidence(t.Context(), mid)
		ok(t, err)
		if len(latest) != 2 || string(latest[evidence.Policy].Facts) != `{"n":3}` ||
			!latest[evidence.Policy].ObservedAt.Equal(noon) {
			t.Fatalf("latest %v", latest)
		}
		all, err := s.Evidence(t.Context(), mid, evidence.Policy, 10)
		ok(t, err)
		if len(all) != 2 || all[0].ID < all[1].ID {
			t.Fatalf("not newest first: %v", all)
		}
		if all, err = s.Evidence(t.Context(), mid, "", 2); err != nil || len(all) != 2 {
			t.Fatalf("the limit is not kept: %v %v", all, err)
		}
		if latest, err = s.LatestEvidence(t.Context(), "other"); err != nil ||
			len(latest) != 0 {
			t.Fatalf("another migration's evidence: %v %v", latest, err)
		}
	})
}

func TestEvidenceThatCannotBeRightIsRefused(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		_, err := s.AddEvidence(t.Context(), mid, measured("no-such-check", `{}`))
		wantKind(t, err, migration.Invalid)
		guess := measured(evidence.Policy, `{}`)
		guess.Proof = "guessed"
		for rule, e := range map[string]migration.Evidence{"facts that are no JSON": measured(evidence.Policy, `{`), "an unknown proof": guess} {
			if _, err := s.AddEvidence(t.Context(), mid, e); err == nil {
				t.Errorf("%s was stored", rule)
			}
		}
		if _, err := s.AddEvidence(t.Context(), "no-such-migration",
			measured(evidence.Policy, `{}`)); err == nil {
			t.Error("evidence of no migration was stored")
		}
	})
}

func TestOfFiftyStartsAtOnceExactlyOneWins(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		const n = 50
		errs := make([]error, n)
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				errs[i] = s.CreateRun(t.Context(),
					run(fmt.Sprintf("run-%d", i), "audit", fmt.Sprintf("user-%d", i)))
			})
		}
		all.Wait()
		open, err := s.OpenRun(t.Context(), mid)
		ok(t, err)
		if open == nil || len(open.Actions) != 2 ||
			open.Actions[0].State != migration.ActionPending {
			t.Fatalf("open run %+v", open)
		}
		won := 0
		for i, err := range errs {
			if err == nil {
				won++
				if open.RequestedBy != fmt.Sprintf("user-%d", i) {
					t.Errorf("user-%d was told that it won, but %s did", i, open.RequestedBy)
				}
				continue
			}
			wantKind(t, err, migration.Conflict)
			for _, part := range []string{open.RequestedBy, `"audit"`, open.ID} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("does not name %s: %v", part, err)
				}
			}
		}
		if won != 1 {
			t.Fatalf("%d won", won)
		}
		if all, err := s.Runs(t.Context(), mid, "", 100); err != nil || len(all) != 1 {
			t.Fatalf("%d runs are stored, %v", len(all), err)
		}
	})
}

func TestARunMovesOnlyFromTheStatesThatAreGiven(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		waiting := run("r1", "audit", "ada")
		waiting.State = migration.RunAwaitingApproval
		ok(t, s.CreateRun(ctx, waiting))
		from := []migration.RunState{migration.RunAwaitingApproval}
		ok(t, s.MoveRun(ctx, "r1", from, migration.RunQueued,
			RunChange{DecidedBy: "bob", Comment: "go"}, noon))
		err := s.MoveRun(ctx, "r1", from, migration.RunRejected,
			RunChange{DecidedBy: "eve"}, noon)
		wantKind(t, err, migration.Conflict)
		if !strings.Contains(err.Error(), "queued now") {
			t.Errorf("does not say what it is: %v", err)
		}
		ok(t, s.MoveRun(ctx, "r1", []migration.RunState{migration.RunQueued},
			migration.RunRunning, RunChange{}, noon.Add(time.Second)))
		ok(t, s.MoveRun(ctx, "r1", []migration.RunState{migration.RunRunning},
			migration.RunRunning, RunChange{}, noon.Add(time.Minute)))
		ok(t, s.MoveRun(ctx, "r1", []migration.RunState{migration.RunRunning},
			migration.RunSucceeded, RunChange{}, noon.Add(time.Hour)))
		r, err := s.Run(ctx, "r1")
		ok(t, err)
		if r.DecidedBy != "bob" || r.Comment != "go" ||
			!r.StartedAt.Equal(noon.Add(time.Second)) ||
			!r.FinishedAt.Equal(noon.Add(time.Hour)) || r.State != migration.RunSucceeded {
			t.Fatalf("run %+v", r)
		}
		wantKind(t, s.MoveRun(ctx, "no-such-run", from, migration.RunQueued, RunChange{}, noon),
			migration.NotFound)
		wantKind(t, s.RequestCancel(ctx, "r1", "eve"), migration.Conflict)
	})
}

func TestOfManyWhoDecideOneWins(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		waiting := run("r1", "audit", "ada")
		waiting.State = migration.RunAwaitingApproval
		ok(t, s.CreateRun(t.Context(), waiting))
		errs := make([]error, 10)
		var all sync.WaitGroup
		for i := range errs {
			to := migration.RunQueued
			if i%2 == 1 {
				to = migration.RunRejected
			}
			all.Go(func() {
				errs[i] = s.MoveRun(t.Context(), "r1",
					[]migration.RunState{migration.RunAwaitingApproval}, to,
					RunChange{DecidedBy: strconv.Itoa(i)}, noon)
			})
		}
		all.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else {
				wantKind(t, err, migration.Conflict)
			}
		}
		if won != 1 {
			t.Fatalf("%d decisions were taken", won)
		}
	})
}

func TestASuccessfulRollbackMarksTheRunItTookBack(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct {
		end  migration.RunState
		want string
	}{"succeeded": {migration.RunSucceeded, "back"}, "failed": {migration.RunFailed, ""}} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(t *testing.T, s *Store) {
				ctx := t.Context()
				ok(t, s.CreateRun(ctx, run("first", "audit", "ada")))
				ok(t, s.MoveRun(ctx, "first", []migration.RunState{migration.RunQueued},
					migration.RunSucceeded, RunChange{}, noon))
				back := run("back", "audit", "ada")
				back.Rollback = "first"
				ok(t, s.CreateRun(ctx, back))
				ok(t, s.MoveRun(ctx, "back", []migration.RunState{migration.RunQueued}, c.end,
					RunChange{}, noon))
				first, err := s.Run(ctx, "first")
				ok(t, err)
				if first.RolledBackBy != c.want {
					t.Fatalf("rolled back by %q, want %q", first.RolledBackBy, c.want)
				}
			})
		})
	}
}

func TestCancellingIsNotedOnceAndOnlyWhileOpen(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		ok(t, s.CreateRun(t.Context(), run("r1", "audit", "ada")))
		ok(t, s.RequestCancel(t.Context(), "r1", "bob"))
		wantKind(t, s.RequestCancel(t.Context(), "r1", "eve"), migration.Conflict)
		if r, err := s.Run(t.Context(), "r1"); err != nil || r.CancelledBy != "bob" {
			t.Fatalf("cancelled by %q, %v", r.CancelledBy, err)
		}
	})
}

func TestARunIsPausedOnlyWhileItRunsAndNoLongerThanThat(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		first := run("r1", "move-queues", "ada")
		ok(t, s.CreateRun(ctx, first))
		move := func(to migration.RunState) {
			t.Helper()
			ok(t, s.MoveRun(ctx, "r1", []migration.RunState{first.State, migration.RunRunning,
				migration.RunUndoing}, to, RunChange{}, noon))
		}
		wantKind(t, s.SetPaused(ctx, "r1", "bob"), migration.Conflict)
		move(migration.RunRunning)
		wantKind(t, s.SetPaused(ctx, "r1", ""), migration.Conflict)
		ok(t, s.SetPaused(ctx, "r1", "bob"))
		wantKind(t, s.SetPaused(ctx, "r1", "eve"), migration.Conflict)
		ok(t, s.SetProgress(ctx, "r1", "half way",
			&migration.Measure{What: "mail", Done: 5, Total: 10}))
		move(migration.RunRunning) // as a restart does
		r, err := s.Run(ctx, "r1")
		ok(t, err)
		if by, err := s.PausedBy(ctx, "r1"); err != nil || by != "bob" || r.PausedBy != "bob" ||
			r.Measure == nil || r.Measure.Done != 5 {
			t.Fatalf("paused by %q, %q, measure %+v, %v", by, r.PausedBy, r.Measure, err)
		}
		ok(t, s.SetPaused(ctx, "r1", ""))
		ok(t, s.SetPaused(ctx, "r1", "eve"))
		ok(t, s.RequestCancel(ctx, "r1", "bob"))
		move(migration.RunUndoing)
		r, err = s.Run(ctx, "r1")
		ok(t, err)
		if r.PausedBy != "" || r.Measure != nil {
			t.Fatalf("what is taken back is paused by %q, measure %+v", r.PausedBy, r.Measure)
		}
		_, err = s.PausedBy(ctx, "r2")
		wantKind(t, err, migration.NotFound)
	})
}

func TestActionsKeepTheirOutputUntilTheyGiveANewOne(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		ok(t, s.CreateRun(ctx, run("r1", "audit", "ada")))
		ok(t, s.SaveAction(ctx, "r1", "one", migration.ActionRunning, "",
			json.RawMessage(`{"was":"lru"}`), noon))
		ok(t, s.SaveAction(ctx, "r1", "one", migration.ActionRunning, "", nil,
			noon.Add(time.Second)))
		ok(t, s.SaveAction(ctx, "r1", "one", migration.ActionDone, "", nil,
			noon.Add(time.Minute)))
		r, err := s.Run(ctx, "r1")
		ok(t, err)
		a := r.Actions[0]
		if string(a.Output) != `{"was":"lru"}` || a.State != migration.ActionDone ||
			!a.StartedAt.Equal(noon) || !a.FinishedAt.Equal(noon.Add(time.Minute)) ||
			a.Title != "One" {
			t.Fatalf("action %+v", a)
		}
		if r.Actions[1].Output != nil || r.Actions[1].State != migration.ActionPending {
			t.Fatalf("action %+v", r.Actions[1])
		}
		wantKind(t, s.SaveAction(ctx, "r1", "three", migration.ActionDone, "", nil, noon),
			migration.NotFound)
	})
}

func TestLogLinesAreReadOnFromASequenceNumber(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		ok(t, s.CreateRun(t.Context(), run("r1", "audit", "ada")))
		for i := range 5 {
			ok(t, s.AppendLog(t.Context(), "r1", "one", "info", fmt.Sprint("line ", i), noon))
		}
		first, err := s.Log(t.Context(), "r1", 0, 2)
		ok(t, err)
		rest, err := s.Log(t.Context(), "r1", first[1].Seq, 10)
		ok(t, err)
		if len(first) != 2 || len(rest) != 3 || rest[0].Message != "line 2" {
			t.Fatalf("%v then %v", first, rest)
		}
	})
}

func TestWhatIsNotThereIsNotFoundAndWhatIsThereIsAConflict(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		_, err := s.Migration(ctx, "nope")
		wantKind(t, err, migration.NotFound)
		_, err = s.Run(ctx, "nope")
		wantKind(t, err, migration.NotFound)
		_, _, err = s.User(ctx, "nope")
		wantKind(t, err, migration.NotFound)
		if r, err := s.OpenRun(ctx, mid); err != nil || r != nil {
			t.Errorf("open run %v, %v", r, err)
		}
		wantKind(t, s.CreateMigration(ctx, migration.Migration{ID: mid, Name: "Again"}),
			migration.Conflict)
		ok(t, s.CreateUser(ctx, "ada", migration.RoleViewer, "hash", noon))
		wantKind(t, s.CreateUser(ctx, "ada", migration.RoleEngineer, "other", noon),
			migration.Conflict)
	})
}
