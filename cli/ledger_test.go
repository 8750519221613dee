package cli

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/workflows"
)

// A script that goes by the exit code is told of everything that is not clean.
func TestTheLedgerFailsUnlessItIsClean(t *testing.T) {
	t.Parallel()
	settled := ledger.Exception{Verdict: "lost", SettledBy: "ada"}
	for name, c := range map[string]struct {
		order string
		says  any
		fails bool
	}{
		"clean":                       {"", workflows.LedgerOverview{Verdict: workflows.LedgerClean}, false},
		"broken":                      {"", workflows.LedgerOverview{Verdict: workflows.LedgerBroken}, true},
		"inconclusive":                {"", workflows.LedgerOverview{Verdict: workflows.LedgerInconclusive}, true},
		"of no verdict that is known": {"", workflows.LedgerOverview{Verdict: "fine"}, true},
		"an order in order":           {"o1", workflows.LedgerOrder{}, false},
		"an order with an open exception": {"o1", workflows.LedgerOrder{
			Exceptions: []ledger.Exception{settled, {}}}, true},
		"an order whose exceptions are resolved": {"o1", workflows.LedgerOrder{
			Exceptions: []ledger.Exception{settled}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args, vars := serverOf(t, func(w http.ResponseWriter, _ *http.Request) {
				_ = json.NewEncoder(w).Encode(c.says)
			})
			args = append([]string{"ledger"}, args...)
			if c.order != "" {
				args = append(args, c.order)
			}
			r := run(t.Context(), name, vars, args...)
			if failed := r.code != 0; failed != c.fails {
				t.Errorf("exit code %d: %s%s", r.code, r.out, r.errs)
			}
		})
	}
}
