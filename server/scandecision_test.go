package server

import (
	"net/http"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// A file can name anybody; it counts once somebody who is signed in stands by it.
func TestAnExceptionOfAScanIsConfirmedByWhoIsSignedIn(t *testing.T) {
	t.Parallel()
	st := serve(t)
	client := st.as(t, "ada", enginePass)
	if err := client.SubmitScan(t.Context(), mid, evidence.ScanFacts{Source: "shop", Files: 1,
		Findings: []evidence.ScanFinding{{ID: "f1", Verdict: "REVIEW", At: "queue.ts:3",
			Expr: "make()", DecidedBy: "bob", DecidedUntil: time.Now().Add(time.Hour)}},
	}); err != nil {
		t.Fatal(err)
	}
	const page, path = "/m/" + mid + "/breaker", "/m/" + mid + "/scans/decisions/f1"
	ada, grace := st.browser(t, "ada", enginePass), st.browser(t, "grace", viewerPass)
	if r := grace.get(page); r.there("#confirm-f1") || !r.there("[data-finding=f1]") {
		t.Error("a viewer is shown a button, or no finding")
	}
	if r := grace.send("POST", path, nil, nil); r.status != http.StatusForbidden {
		t.Errorf("a viewer: %d", r.status)
	}
	r := ada.submit(ada.get(page), "confirm-f1", nil)
	if r.status != http.StatusOK || r.path != page || r.there("#confirm-f1") {
		t.Errorf("%d at %s\n%s", r.status, r.path, r.text)
	}
	b, err := client.BreakerProof(t.Context(), mid)
	if err != nil || b.Scan == nil || b.Scan.Facts.Findings[0].ConfirmedBy != "ada" {
		t.Errorf("%+v, %v", b.Scan, err)
	}
}
