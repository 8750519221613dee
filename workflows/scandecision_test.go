package workflows

import (
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// A file can name anybody: a decision counts when the account that submits it is the one named,
// or once an engineer who is signed in has confirmed it.
func TestADecisionInAnotherAccountsNameDoesNotCountUntilItIsConfirmed(t *testing.T) {
	t.Parallel()
	b := openFlags(t)
	until := b.now().Add(24 * time.Hour).UTC().Truncate(time.Second) // the same in each scan
	scan := func(by string) evidence.ScanFacts {
		return evidence.ScanFacts{Source: "shop", Files: 1, SubmittedBy: "eve",
			Findings: []evidence.ScanFinding{{ID: "f1", Verdict: "REVIEW", At: "q.ts:3",
				Expr: "new Queue()", DecidedBy: by, ConfirmedBy: by,
				DecidedUntil: until}}}
	}
	open := func(want bool, confirmed string) {
		t.Helper()
		f, ok, err := b.lastScan(t.Context(), mid)
		if err != nil || !ok || f.SubmittedBy != bob.Name || f.Findings[0].Open() != want ||
			f.Findings[0].ConfirmedBy != confirmed {
			t.Errorf("open %t by %q, want %t by %q: %+v %v", f.Findings[0].Open(),
				f.Findings[0].ConfirmedBy, want, confirmed, f, err)
		}
	}
	ok(t, b.SubmitScan(t.Context(), bob, mid, scan(ada.Name)))
	open(true, "")
	ok(t, b.SubmitScan(t.Context(), bob, mid, scan(bob.Name)))
	open(false, bob.Name)
	ok(t, b.SubmitScan(t.Context(), bob, mid, scan(ada.Name))) // another decision than bob's
	open(true, "")
	viewer := migration.Actor{Name: "vera", Role: migration.RoleViewer}
	wantKind(t, b.ConfirmScanDecision(t.Context(), viewer, mid, "f1"), migration.Forbidden)
	wantKind(t, b.ConfirmScanDecision(t.Context(), ada, mid, "f2"), migration.NotFound)
	ok(t, b.ConfirmScanDecision(t.Context(), ada, mid, "f1"))
	open(false, ada.Name)
	ok(t, b.SubmitScan(t.Context(), bob, mid, scan(ada.Name))) // the next commit tells the same
	open(false, ada.Name)
}
