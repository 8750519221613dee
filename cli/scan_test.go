package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/scan"
)

func TestScanFromAShellSaysWhatFails(t *testing.T) {
	t.Parallel()
	const corpus = "../scan/testdata/corpus/"
	sarif := filepath.Join(t.TempDir(), "scan.sarif")
	for rule, c := range map[string]struct {
		args []string
		code int
		out  string
		errs string
	}{
		"a producer that fails":    {[]string{corpus + "no-options"}, exitFailed, "FAIL    a.js:2  queue orders", "1 producers fail, 0 are to be decided"},
		"all pass":                 {[]string{corpus + "inline-complete"}, 0, "1 PASS, 0 FAIL", ""},
		"what nobody decided":      {[]string{corpus + "environment"}, exitFailed, "REVIEW  a.ts:2", "0 producers fail, 1 are to be decided"},
		"nothing found":            {[]string{corpus + "other-queues"}, exitFailed, "0 PASS", "that proves nothing"},
		"JSON":                     {[]string{corpus + "inline-complete", "--json"}, 0, `"verdict": "PASS"`, ""},
		"SARIF":                    {[]string{corpus + "no-options", "--sarif", sarif}, exitFailed, "FAIL", "1 producers fail"},
		"a folder that is missing": {[]string{corpus + "none"}, exitUsage, "", "no folder to scan"},
		"no folder":                {nil, exitUsage, "", "dir"},
		"no time":                  {[]string{corpus + "no-options", "--timeout", "0s"}, exitUsage, "", "above 0"},
		"too little time":          {[]string{corpus + "no-options", "--timeout", "1ns"}, exitFailed, "", "nothing is known"},
	} {
		var out, errs bytes.Buffer
		code := Run(t.Context(), append([]string{"scan"}, c.args...), func(string) string { return "" }, &out, &errs)
		if code != c.code || !strings.Contains(out.String(), c.out) || !strings.Contains(errs.String(), c.errs) {
			t.Errorf("%s: exit %d\n%s\n%s", rule, code, out.String(), errs.String())
		}
	}
	b, err := os.ReadFile(sarif)
	if err != nil || !json.Valid(b) {
		t.Errorf("SARIF: %v\n%s", err, b)
	}
}

// The example routes its orders through a Producer whose breaker a drill may switch off, and its second app was never made safe.
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
		"src/lane.ts producer ": scan.Pass, "src/reports.ts queue reports": scan.Pass,
		"src/reports.ts queue report-attachments": scan.Pass, "src/reports.ts flow-producer ": scan.Pass,
	}
	if len(got) != len(want) {
		t.Errorf("%v", got)
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: %s, want %s; all: %v", k, got[k], v, got)
		}
	}
}
