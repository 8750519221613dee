package workflows

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

// gated gives a step a gate that can be closed, and a summary that can change.
func gated(s engine.Step, open *atomic.Bool, summary *atomic.Value) engine.Step {
	s.Plan = func(context.Context, progress.View, migration.Params) (engine.PlanResult, error) {
		text, _ := summary.Load().(string)
		return engine.PlanResult{Summary: "do " + s.ID + text, Gates: []migration.Gate{{ID: "door", Title: "Door", OK: open.Load(), Measured: "measured", Limit: "open", Next: "open it"}}}, nil
	}
	return s
}

func blockers(err error) []string {
	var ids []string
	if e, ok := errors.AsType[*migration.Error](err); ok {
		for _, g := range e.Blockers {
			ids = append(ids, g.ID)
		}
	}
	return ids
}

func TestAnApprovalIsForTheExactPlanThatWasShown(t *testing.T) {
	t.Parallel()
	n := newNotes()
	var open atomic.Bool
	var summary atomic.Value
	open.Store(true)
	s := gated(step("one", migration.ApprovalOne, n.act("a", nil)), &open, &summary)
	b := openBench(t, settings(t.TempDir()), planOf(false, s), s)
	ctx := t.Context()

	shown, err := b.Plan(ctx, mid, "one", migration.Params{})
	ok(t, err)
	_, err = b.Start(ctx, ada, mid, "one", migration.Params{}, "0123456789abcdef")
	wantKind(t, err, migration.Conflict, "the plan has changed")
	r, err := b.Start(ctx, ada, mid, "one", migration.Params{}, shown.Hash)
	ok(t, err)
	if r.State != migration.RunAwaitingApproval || r.Plan.Hash != shown.Hash {
		t.Fatalf("run %+v", r)
	}
	_, err = b.Decide(ctx, ada, r.ID, Decision{Approve: true, PlanHash: "0123456789abcdef"})
	wantKind(t, err, migration.Conflict, "a different plan")
	_, err = b.Decide(ctx, carol, r.ID, Decision{Approve: true})
	wantKind(t, err, migration.Forbidden, "carol")
	summary.Store(" otherwise")
	_, err = b.Decide(ctx, ada, r.ID, Decision{Approve: true, PlanHash: shown.Hash})
	wantKind(t, err, migration.Conflict, "has changed since")
	summary.Store("")
	open.Store(false)
	_, err = b.Decide(ctx, ada, r.ID, Decision{Approve: true, PlanHash: shown.Hash})
	wantKind(t, err, migration.Blocked, "Door")
	if !slices.Equal(blockers(err), []string{"door"}) {
		t.Fatalf("blockers %v", blockers(err))
	}
	n.want(t)
	open.Store(true)
	_, err = b.Decide(ctx, ada, r.ID, Decision{Approve: true, PlanHash: shown.Hash})
	ok(t, err)
	r = b.awaitState(t, r.ID, migration.RunSucceeded)
	if r.DecidedBy != "ada" {
		t.Fatalf("decided by %q", r.DecidedBy)
	}
	_, err = b.Decide(ctx, bob, r.ID, Decision{Approve: true})
	wantKind(t, err, migration.Conflict, "not waiting for approval")
}

func TestAnIrreversibleStepNeedsAnotherPersonAndTheExactName(t *testing.T) {
	t.Parallel()
	n := newNotes()
	s := step("one", migration.ApprovalTwo, n.act("a", nil))
	b := openBench(t, settings(t.TempDir()), planOf(false, s), s)
	ctx := t.Context()
	r, err := b.Start(ctx, ada, mid, "one", migration.Params{}, "")
	ok(t, err)
	_, err = b.Decide(ctx, ada, r.ID, Decision{Approve: true, ConfirmName: name})
	wantKind(t, err, migration.Forbidden, "ada requested", "another engineer")
	for _, typed := range []string{"", "orders of the shop", name + " ", mid} {
		_, err = b.Decide(ctx, bob, r.ID, Decision{Approve: true, ConfirmName: typed})
		wantKind(t, err, migration.Invalid, name)
	}
	n.want(t)
	_, err = b.Decide(ctx, bob, r.ID, Decision{Approve: true, ConfirmName: name})
	ok(t, err)
	b.awaitState(t, r.ID, migration.RunSucceeded)
	_, err = b.Rollback(ctx, ada, r.ID)
	wantKind(t, err, migration.Blocked, "irreversible")
}

func TestARejectionSaysWhyAndDoesNothing(t *testing.T) {
	t.Parallel()
	n := newNotes()
	s := step("one", migration.ApprovalOne, n.act("a", nil))
	b := openBench(t, settings(t.TempDir()), planOf(false, s), s)
	r, err := b.Start(t.Context(), ada, mid, "one", migration.Params{}, "")
	ok(t, err)
	_, err = b.Decide(t.Context(), bob, r.ID, Decision{Comment: "  "})
	wantKind(t, err, migration.Invalid, "comment")
	r, err = b.Decide(t.Context(), bob, r.ID, Decision{Comment: "not on a Friday"})
	ok(t, err)
	if r.State != migration.RunRejected || r.Comment != "not on a Friday" || r.DecidedBy != "bob" {
		t.Fatalf("run %+v", r)
	}
	n.want(t)
}

func TestTheSecondOfManyStartsHearsOfTheFirst(t *testing.T) {
	t.Parallel()
	n := newNotes()
	one, two := step("one", migration.ApprovalNone, n.act("a", hangs)), step("two", migration.ApprovalNone, n.act("b", nil))
	b := openBench(t, settings(t.TempDir()), planOf(false, one, two), one, two)
	errs := make([]error, 12)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			_, errs[i] = b.Start(t.Context(), migration.Actor{Name: fmt.Sprint("user-", i), Role: migration.RoleEngineer}, mid, "one", migration.Params{}, "")
		})
	}
	all.Wait()
	v, err := b.view(t.Context(), mid)
	ok(t, err)
	won := 0
	for i, err := range errs {
		if err == nil {
			won++
			if v.Open.RequestedBy != fmt.Sprint("user-", i) {
				t.Errorf("user-%d was told that it won", i)
			}
			continue
		}
		wantKind(t, err, migration.Conflict, v.Open.RequestedBy, `"one"`, v.Open.ID)
	}
	if won != 1 {
		t.Fatalf("%d of %d starts won", won, len(errs))
	}
	_, err = b.Start(t.Context(), bob, mid, "two", migration.Params{}, "")
	wantKind(t, err, migration.Conflict, v.Open.RequestedBy, `"one"`)
	n.await(t, "do a", 1)
	n.want(t, "do a")
}

func TestABlockedStartCarriesEveryGateThatDoesNotHold(t *testing.T) {
	t.Parallel()
	n := newNotes()
	var open atomic.Bool
	one := step("one", migration.ApprovalNone, n.act("a", nil))
	two := gated(step("two", migration.ApprovalNone, n.act("b", nil)), &open, &atomic.Value{})
	b := openBench(t, settings(t.TempDir()), planOf(true, one, two), one, two)
	_, err := b.Start(t.Context(), ada, mid, "two", migration.Params{}, "")
	wantKind(t, err, migration.Blocked, "preconditions are not met", "Step one: not done", "Door: measured (required: open)")
	if got := blockers(err); !slices.Equal(got, []string{"step:one", "door"}) {
		t.Fatalf("blockers %v", got)
	}
	b.awaitState(t, b.begin(t, "one").ID, migration.RunSucceeded)
	_, err = b.Start(t.Context(), ada, mid, "two", migration.Params{}, "")
	if got := blockers(err); !slices.Equal(got, []string{"door"}) {
		t.Fatalf("blockers %v (%v)", got, err)
	}
	open.Store(true)
	b.awaitState(t, b.begin(t, "two").ID, migration.RunSucceeded)
}

func TestRequestsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	n := newNotes()
	s := step("one", migration.ApprovalNone, n.act("a", nil))
	b := openBench(t, settings(t.TempDir()), planOf(false, s), s, step("not-in-plan", migration.ApprovalNone))
	ctx := t.Context()
	_, err := b.Start(ctx, carol, mid, "one", migration.Params{}, "")
	wantKind(t, err, migration.Forbidden, "read-only access")
	_, err = b.Start(ctx, migration.Actor{}, mid, "one", migration.Params{}, "")
	wantKind(t, err, migration.Forbidden)
	_, err = b.Start(ctx, ada, mid, "two", migration.Params{}, "")
	wantKind(t, err, migration.NotFound, `"two"`, "one")
	_, err = b.Start(ctx, ada, mid, "not-in-plan", migration.Params{}, "")
	wantKind(t, err, migration.NotFound)
	_, err = b.Start(ctx, ada, "nope", "one", migration.Params{}, "")
	wantKind(t, err, migration.NotFound)
	_, err = b.Start(ctx, ada, mid, "one", migration.Params{To: migration.StageLive, Ramp: 10}, "")
	wantKind(t, err, migration.Invalid, "takes no parameters")
	_, err = b.Decide(ctx, ada, "nope", Decision{Approve: true})
	wantKind(t, err, migration.NotFound)
	_, err = b.Rollback(ctx, carol, "nope")
	wantKind(t, err, migration.Forbidden)
	_, err = b.Evidence(ctx, "nope", "", 10)
	wantKind(t, err, migration.NotFound)
	n.want(t)
	entries, err := b.Audit(ctx, AuditFilter{Limit: 100})
	ok(t, err)
	if len(entries) == 0 || slices.ContainsFunc(entries, func(e migration.AuditEntry) bool { return e.Result != "refused" || e.Detail == "" }) {
		t.Fatalf("refusals are not in the audit log: %+v", entries)
	}
}

func TestARollbackTakesASucceededRunBackInReverse(t *testing.T) {
	t.Parallel()
	n := newNotes()
	looks := n.act("look", nil)
	looks.Undo = nil
	a := n.act("a", nil)
	a.Undo = func(ctx context.Context, c *engine.Call) error {
		var output string
		if _, err := c.Output(ctx, "a", &output); err != nil || output != "output of a" {
			return errors.New("the output of the run that is taken back is not there")
		}
		n.add("undo a")
		return nil
	}
	one, two := step("one", migration.ApprovalNone, a, looks, n.act("b", nil)), step("two", migration.ApprovalNone, n.act("c", nil))
	b := openBench(t, settings(t.TempDir()), planOf(true, one, two), one, two)
	ctx := t.Context()
	old := b.awaitState(t, b.begin(t, "one").ID, migration.RunSucceeded)
	first := b.awaitState(t, b.begin(t, "one").ID, migration.RunSucceeded)
	second := b.awaitState(t, b.begin(t, "two").ID, migration.RunSucceeded)
	_, err := b.Rollback(ctx, ada, old.ID)
	wantKind(t, err, migration.Conflict, "not the latest")
	_, err = b.Rollback(ctx, ada, first.ID)
	wantKind(t, err, migration.Blocked, "two depends on one")

	shown, err := b.RollbackPlan(ctx, second.ID)
	ok(t, err)
	if len(shown.Actions) != 1 || !strings.Contains(shown.Actions[0].Title, "Undo") || shown.Actions[0].Changes != "puts it back" {
		t.Fatalf("plan %+v", shown)
	}
	back, err := b.Rollback(ctx, ada, second.ID)
	ok(t, err)
	b.awaitState(t, back.ID, migration.RunSucceeded)
	back, err = b.Rollback(ctx, ada, first.ID)
	ok(t, err)
	back = b.awaitState(t, back.ID, migration.RunSucceeded)
	n.want(t, "do a", "do look", "do b", "do a", "do look", "do b", "do c", "undo c", "undo b", "undo a")
	if states(back) != "b undone, a undone" || back.Rollback != first.ID {
		t.Fatalf("%s of %s", states(back), back.Rollback)
	}
	first, err = b.Run(ctx, first.ID)
	ok(t, err)
	if first.RolledBackBy != back.ID {
		t.Fatalf("rolled back by %q", first.RolledBackBy)
	}
	for _, id := range []string{first.ID, back.ID} {
		_, err = b.Rollback(ctx, ada, id)
		wantKind(t, err, migration.Conflict)
	}
}

func TestOnlyWhatChangedSomethingCanBeTakenBack(t *testing.T) {
	t.Parallel()
	n := newNotes()
	looks := n.act("look", nil)
	looks.Undo = nil
	one, two := step("one", migration.ApprovalNone, looks), step("two", migration.ApprovalNone, n.act("a", fails))
	b := openBench(t, settings(t.TempDir()), planOf(false, one, two), one, two)
	r := b.awaitState(t, b.begin(t, "one").ID, migration.RunSucceeded)
	_, err := b.Rollback(t.Context(), ada, r.ID)
	wantKind(t, err, migration.Blocked, "only reads")
	r = b.awaitState(t, b.begin(t, "two").ID, migration.RunFailed)
	_, err = b.Rollback(t.Context(), ada, r.ID)
	wantKind(t, err, migration.Conflict, "only a run that succeeded")
}

func TestARollbackThatIsKilledGoesOnAndCannotBeCancelled(t *testing.T) {
	t.Parallel()
	n := newNotes()
	a := n.act("a", nil)
	hang := hangsOnce()
	a.Undo = func(ctx context.Context, c *engine.Call) error { n.add("undo a"); return hang(ctx, c) }
	s := step("one", migration.ApprovalNone, a, n.act("b", nil))
	cfg, p := settings(t.TempDir()), planOf(false, s)
	first := openBench(t, cfg, p, s)
	r := first.awaitState(t, first.begin(t, "one").ID, migration.RunSucceeded)
	back, err := first.Rollback(t.Context(), ada, r.ID)
	ok(t, err)
	n.await(t, "undo a", 1)
	_, err = first.Cancel(t.Context(), ada, back.ID)
	wantKind(t, err, migration.Conflict, "cannot be interrupted")
	ok(t, first.close())
	openBench(t, cfg, p, s).awaitState(t, back.ID, migration.RunSucceeded)
	n.want(t, "do a", "do b", "undo b", "undo a", "undo a")
}

func TestInternalErrorsStayOutOfTheAuditLog(t *testing.T) {
	t.Parallel()
	s := step("one", migration.ApprovalNone)
	s.Plan = func(context.Context, progress.View, migration.Params) (engine.PlanResult, error) {
		return engine.PlanResult{}, errors.New("dial with hunter2-CANARY")
	}
	b := openBench(t, settings(t.TempDir()), planOf(false, s), s)
	_, err := b.Start(t.Context(), ada, mid, "one", migration.Params{}, "")
	wantKind(t, err, migration.Internal)
	entries, err := b.Audit(t.Context(), AuditFilter{Limit: 10})
	ok(t, err)
	if len(entries) != 1 || entries[0].Detail != "internal error" {
		t.Fatalf("audit %+v", entries)
	}
}

const password = "correct horse battery"

// signUp makes accounts the way the first start does.
func (b *bench) signUp(t *testing.T, actors ...migration.Actor) {
	t.Helper()
	for _, a := range actors {
		ok(t, b.store.CreateUser(t.Context(), a.Name, a.Role, hashPassword(password), b.now()))
	}
}

func TestSignInGivesASessionThatEnds(t *testing.T) {
	t.Parallel()
	b := openBench(t, settings(t.TempDir()), planOf(false))
	b.signUp(t, ada)
	ctx := t.Context()
	token, actor, err := b.SignIn(ctx, "ada", password, "10.0.0.1")
	ok(t, err)
	if actor != ada || len(token) != 64 {
		t.Fatalf("%+v with a token of %d characters", actor, len(token))
	}
	other, _, err := b.SignIn(ctx, "ada", password, "10.0.0.1")
	ok(t, err)
	if other == token {
		t.Fatal("two sessions share a token")
	}
	who, err := b.Authenticate(ctx, token)
	ok(t, err)
	if who != ada {
		t.Fatalf("session of %+v", who)
	}
	ok(t, b.SignOut(ctx, other))
	_, err = b.Authenticate(ctx, other)
	wantKind(t, err, migration.Unauthenticated)
	b.time.advance(sessionIdle + time.Minute)
	_, err = b.Authenticate(ctx, token)
	wantKind(t, err, migration.Unauthenticated)
}

func TestAnUnknownNameAndAWrongPasswordCannotBeToldApart(t *testing.T) {
	t.Parallel()
	b := openBench(t, settings(t.TempDir()), planOf(false))
	b.signUp(t, ada)
	texts := map[string]bool{}
	for _, attempt := range [][2]string{{"ada", "wrong"}, {"nobody", "wrong"}, {"ada", ""}, {"", ""}, {"ADA", password}, {"ada' OR '1'='1", password}, {"nobody", "nobody signs in with this"}} {
		_, actor, err := b.SignIn(t.Context(), attempt[0], attempt[1], "10.0.0."+attempt[0])
		wantKind(t, err, migration.Unauthenticated)
		if actor != (migration.Actor{}) {
			t.Errorf("%v: gives away %+v", attempt, actor)
		}
		texts[err.Error()] = true
	}
	if len(texts) != 1 {
		t.Fatalf("the answers differ: %v", texts)
	}
}

func TestTooManyFailedSignInsPauseTheAccountAndTheAddress(t *testing.T) {
	t.Parallel()
	b := openBench(t, settings(t.TempDir()), planOf(false))
	b.signUp(t, ada, bob)
	ctx := t.Context()
	for range failuresAllowed {
		_, _, err := b.SignIn(ctx, "ada", "wrong", "10.0.0.1")
		wantKind(t, err, migration.Unauthenticated)
	}
	for rule, from := range map[string][2]string{
		"the account, with the right password, from elsewhere": {"ada", "10.0.0.2"},
		"the address, for another account":                     {"bob", "10.0.0.1"},
		"the address, for an unknown account":                  {"nobody", "10.0.0.1"},
	} {
		if _, _, err := b.SignIn(ctx, from[0], password, from[1]); migration.KindOf(err) != migration.Unavailable {
			t.Errorf("%s: %v", rule, err)
		}
	}
	_, _, err := b.SignIn(ctx, "bob", password, "10.0.0.2")
	ok(t, err)
	b.time.advance(failureWindow + time.Minute)
	_, _, err = b.SignIn(ctx, "ada", password, "10.0.0.1")
	ok(t, err)
}

func TestPasswordsAreHashedWithSaltAndDamagedHashesFitNone(t *testing.T) {
	t.Parallel()
	a, b := hashPassword(password), hashPassword(password)
	if a == b || strings.Contains(a, password) || !strings.HasPrefix(a, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("hashes %s and %s", a, b)
	}
	if !checkPassword(a, password) || checkPassword(a, password+" ") {
		t.Fatal("the check is wrong")
	}
	for _, damaged := range []string{"", "x", password, "$argon2id$v=19$m=19456,t=2,p=1$$", "$argon2id$v=19$m=19456,t=2,p=1$AAAA$", "$argon2id$v=19$m=x$AAAA$AAAA", "$a$b$c$!$!"} {
		if checkPassword(damaged, password) || checkPassword(damaged, "") {
			t.Errorf("a password fits %q", damaged)
		}
	}
}

func TestAWorkerNeedsTheWholeToken(t *testing.T) {
	t.Parallel()
	cfg := settings(t.TempDir())
	r, err := NewReaders(cfg, slog.New(slog.DiscardHandler))
	ok(t, err)
	t.Cleanup(func() { _ = r.Flags.Close() })
	reader, err := r.Flags.Authenticate([]byte("worker-token"))
	ok(t, err)
	if reader.Set != MigrationID(cfg) {
		t.Errorf("the worker token reads set %q", reader.Set)
	}
	for _, token := range []string{"", "worker", "worker-token ", "Worker-token"} {
		if _, err := r.Flags.Authenticate([]byte(token)); err == nil {
			t.Errorf("%q is let in", token)
		}
	}
}
