package runbooks

import (
	"slices"
	"strings"
	"testing"
)

func TestEveryRunbookSaysWhatToLookAtWhatToDoAndHowToUndoIt(t *testing.T) {
	t.Parallel()
	for _, p := range All() {
		intro, rest, _ := strings.Cut(p.HTML, "<h2>What to look at</h2>")
		look, rest, _ := strings.Cut(rest, "<h2>What to do</h2>")
		do, undo, _ := strings.Cut(rest, "<h2>How to undo</h2>")
		for part, text := range map[string]string{"what it means": intro, "what to look at": look,
			"what to do": do, "how to undo": undo} {
			if len(text) < 60 {
				t.Errorf("%s does not say %s: %q", p.ID, part, text)
			}
		}
		if strings.Contains(p.HTML, "<a ") || strings.Contains(p.HTML, "](") {
			t.Errorf("%s links to what the program does not serve", p.ID)
		}
	}
	if len(Steps()) != 12 || len(Steps())+len(Alerts()) != len(All()) {
		t.Errorf("%d steps, %d alerts, %d pages", len(Steps()), len(Alerts()), len(All()))
	}
}

// The keys are those of docs/notifications.md.
func TestEachAlertHasItsRunbook(t *testing.T) {
	t.Parallel()
	var found []string
	for key, want := range map[string]string{
		"orders/outage/stripe":                        "alert-outage",
		"orders/outage":                               "alert-outage",
		"orders/intake/held/web.1":                    "alert-intake-held",
		"orders/intake/damaged/web.1":                 "alert-intake-damaged",
		"orders/guardrails":                           "alert-guardrails",
		"orders/ledger/lost":                          "alert-ledger-lost",
		"orders/ledger/duplicated":                    "alert-ledger-duplicated",
		"orders/ledger/different":                     "alert-ledger-different",
		"orders/ledger/contradicted":                  "alert-ledger-contradicted",
		"orders/ledger/late":                          "alert-ledger-late",
		"orders/ledger/jobs":                          "alert-ledger-jobs",
		"orders/ledger/unknown":                       "alert-ledger-unknown",
		"orders/audit/10.0.0.4:6379/maxmemory-policy": "alert-audit",
		"orders/criterion/noeviction":                 "alert-criterion",
		"orders/capacity/source/memory":               "alert-capacity",
		"orders/left/10.0.0.4:6379/fence":             "alert-left",
		"orders/stranded/10.0.0.4:6379/10.0.0.9":      "alert-stranded",
		"orders/still/newsletter":                     "alert-still",
	} {
		if got := OfAlert(key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
		found = append(found, want)
	}
	for _, p := range Alerts() {
		if !slices.Contains(found, p.ID) {
			t.Errorf("%s is of no alert", p.ID)
		}
	}
	for _, key := range []string{"", "orders", "orders/test/slack", "orders/ledger", "a/b/c/d"} {
		if got := OfAlert(key); got != "" {
			t.Errorf("%q: %s", key, got)
		}
	}
}
