package cli

import (
	"bytes"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/switchyard-dev/switchyard/migration"
)

// What a page shows of a result the command line shows too, and what nobody saw is named.
func TestARunsResultIsPrintedWhole(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	r := migration.RunResult{Said: "It is done.", Short: "3 of 4 taken",
		Now:  []migration.Fact{{Label: "Source", Value: "Sentinel"}},
		Next: &migration.NextStep{Verb: migration.VerbStart, Step: "audit", Title: "Audit"},
		Undo: migration.ResultUndo{How: "Not now.", Until: "until then", Command: "switchyard x"},
		Lists: []migration.ResultList{{Title: "Orders", Columns: []string{"Order"},
			Rows: []migration.ResultRow{{Cells: []string{"o1"}, Verdict: migration.Unmet}}}}}
	r.Within("First add", migration.Figure{}, 30_000, migration.Millis)
	writeResult(table{w}, r)
	_ = w.Flush()
	for _, want := range []string{"Result: It is done.", "NOT COMPLETE: 3 of 4 taken", "unknown",
		"not observed", "promised: within 30 s", "NOT KEPT  o1", "Sentinel", "Next: Audit",
		"Undo: Not now. until then", "switchyard x"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, out.String())
		}
	}
}
