package cli

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/switchyard-dev/switchyard/scan"
)

func TestScanFromAShellSaysWhatFails(t *testing.T) {
	t.Parallel()
	const (
		good    = "../scan/testdata/corpus/inline-complete"
		bad     = "../scan/testdata/corpus/no-options"
		unsure  = "../scan/testdata/corpus/environment"
		nothing = "../scan/testdata/corpus/other-queues"
	)
	sarif := filepath.Join(t.TempDir(), "scan.sarif")
	for _, c := range []struct {
		rule string
		args []string
		code int
		out  string
		errs string
	}{
		{
			"a producer that fails", []string{bad}, exitFailed,
			"FAIL    a.js:2  queue orders", "producers that fail: 1, that need review: 0",
		},
		{"all pass", []string{good}, 0, "1 PASS, 0 FAIL", ""},
		{
			"what nobody decided", []string{unsure}, exitFailed,
			"REVIEW  a.ts:2", "producers that fail: 0, that need review: 1",
		},
		{"nothing found", []string{nothing}, exitFailed, "0 PASS", "that proves nothing"},
		{"JSON", []string{good, "--json"}, 0, `"verdict": "PASS"`, ""},
		{"SARIF", []string{bad, "--sarif", sarif}, exitFailed, "FAIL", "producers that fail: 1"},
		{"a folder that is missing", []string{bad + "-2"}, exitUsage, "", "no folder to scan"},
		{"no folder", nil, exitUsage, "", "dir"},
		{"no time", []string{bad, "--timeout", "0s"}, exitUsage, "", "above 0"},
		{"too little time", []string{bad, "--timeout", "1ns"}, exitFailed, "", "nothing is known"},
	} {
		run(t.Context(), c.rule, nil, append([]string{"scan"}, c.args...)...).
			want(t, c.code, c.out, c.errs)
	}
	b, err := os.ReadFile(sarif)
	if err != nil || !json.Valid(b) {
		t.Errorf("SARIF: %v\n%s", err, b)
	}
}

// The example sends its orders through a Pipeline, which makes safe producers.
func TestScanTellsTheTruthAboutTheExample(t *testing.T) {
	t.Parallel()
	r, err := scan.Run(t.Context(), filepath.Join("..", "examples", "ingestion"), scan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]scan.Verdict{}
	for _, f := range r.Findings {
		got[f.At.File+" "+string(f.Role)+" "+f.Queue] = f.Verdict
	}
	want := map[string]scan.Verdict{
		"src/app.ts pipeline ":                    scan.Pass,
		"src/reports.ts queue reports":            scan.Pass,
		"src/reports.ts queue report-attachments": scan.Pass,
		"src/reports.ts flow-producer ":           scan.Pass,
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
