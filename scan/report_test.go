package scan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/scan/js"
)

const unclear = `import { Queue } from 'bullmq';
import { connection } from '@acme/redis';
export const q = new Queue('orders', { connection, skipWaitingForReady: true, skipVersionCheck: true });
`

func TestIDsStayWhenLinesMoveAndOptionsChange(t *testing.T) {
	t.Parallel()
	ids := func(source string) []string {
		var out []string
		for _, f := range scanned(t, map[string]string{"a.ts": source}).Findings {
			out = append(out, f.ID)
		}
		return out
	}
	before := ids(complete)
	if after := ids("\n\n// moved\n" + strings.Replace(complete, "skipVersionCheck: true",
		"skipVersionCheck: false", 1)); !slices.Equal(before, after) {
		t.Errorf("%v became %v", before, after)
	}
	if other := ids(strings.Replace(complete, "'orders'", "'mails'",
		1)); slices.Equal(before, other) {
		t.Error("another queue has the same id")
	}
	twice := ids(complete + "export const r = new Queue('orders', {});\n")
	if len(twice) != 2 || twice[0] != before[0] || twice[1] == twice[0] {
		t.Errorf("%v, then %v", before, twice)
	}
}

func TestOnlyADecisionThatHoldsSettlesAReview(t *testing.T) {
	t.Parallel()
	id := scanned(t, map[string]string{"a.ts": unclear}).Findings[0].ID
	passing := scanned(t, map[string]string{"a.ts": complete}).Findings[0].ID
	for rule, c := range map[string]struct {
		source, id, until string
		green             bool
		note              string
	}{
		"it counts until its day": {unclear, id, "2026-11-26", true, ""},
		"and within a year":       {unclear, id, "2027-11-01", true, ""},
		"expired": {unclear, id, "2026-11-25", false,
			"expired on 2026-11-25: a.ts:3 is open again"},
		"for ever": {unclear, id, "2036-01-01", false,
			"the maximum is a year"},
		"of something that is gone": {unclear, "0123456789ab", "2026-12-31", false,
			"no longer there"},
		"a FAIL stays one": {strings.Replace(unclear, "skipVersionCheck: true", "", 1),
			id, "2026-12-31", false, "is not valid: a.ts:3 fails"},
		"a PASS needs none": {complete, passing, "2026-12-31", true, "is not needed"},
	} {
		r := scanned(t, map[string]string{"a.ts": c.source, ReviewsFile: fmt.Sprintf(
			"reviews:\n- {id: %q, decision: safe, by: ann, reason: looked, until: %s}\n",
			c.id, c.until)})
		if r.Green() != c.green || !strings.Contains(strings.Join(r.Notes, "\n"), c.note) ||
			c.note == "" && len(r.Notes) > 0 {
			t.Errorf("%s: green %v, notes %q", rule, r.Green(), r.Notes)
		}
	}
}

func TestAReviewsFileThatIsWrongIsAnError(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"reviews:\n- {id: a, decision: safe, by: ann, reason: x, until: soon}":                 "must be a date",
		"reviews:\n- {id: a, decision: unsafe, by: ann, reason: x, until: 2026-12-01}":         "only safe is allowed",
		"reviews:\n- {id: a, decision: safe, reason: x, until: 2026-12-01}":                    "by and reason are required",
		"reviews:\n- {id: a, decision: safe, by: ann, reason: x, until: 2026-12-01, level: 3}": "level",
		"reviews: [{id: a, decision: safe, by: b, reason: x, until: 2026-12-01}, {id: a, " +
			"decision: safe, by: b, reason: x, until: 2026-12-01}]": "twice",
		"review: []": "review",
	} {
		_, err := run(t.Context(),
			fstest.MapFS{"a.ts": {Data: []byte(unclear)}, ReviewsFile: {Data: []byte(text)}},
			Options{MaxFiles: 9, MaxFileSize: 1 << 20, Now: now})
		if migration.KindOf(err) != migration.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestNothingFoundIsNotGreen(t *testing.T) {
	t.Parallel()
	if scanned(t, map[string]string{"a.ts": "export {}"}).Green() {
		t.Error("green")
	}
}

func TestWhatIsNotReadIsToldOrCounted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "secret.ts")
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bad := "import { Queue } from 'bullmq'; new Queue('never');"
	if err := os.WriteFile(outside, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	write("a.ts", complete)
	for _, name := range []string{"node_modules/x/a.js", "dist/a.js", "test/a.ts",
		"src/a.spec.ts", "src/__tests__/a.ts", ".next/a.js", "types.d.ts"} {
		write(name, bad)
	}
	write("large.ts", bad+"/*"+strings.Repeat("x", 4096)+"*/")
	write("deep.ts", strings.Repeat("[", 100_000))
	for from, to := range map[string]string{"link.ts": outside, "linked": filepath.Dir(outside),
		"inside.ts": "a.ts", "loop": "."} {
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Run(t.Context(), dir, Options{MaxFileSize: 4096})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"a.ts:3 PASS queue orders", "deep.ts:1 REVIEW file",
		"large.ts:1 REVIEW file", "link.ts:1 REVIEW file", "linked:1 REVIEW file"}
	if got := shown(r); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if want := map[string]int{"packages": 1, "built": 1, "tests": 3, "hidden": 1, "types": 1,
		"links": 2}; !maps.Equal(r.Excluded, want) {
		t.Errorf("not read: %v", r.Excluded)
	}
	if _, err := Run(t.Context(), dir, Options{MaxFiles: 1,
		MaxFileSize: 1 << 20}); migration.KindOf(err) != migration.Invalid {
		t.Errorf("too many files: %v", err)
	}
	if _, err := Run(t.Context(), filepath.Join(dir, "none"),
		Options{}); migration.KindOf(err) != migration.NotFound {
		t.Errorf("no folder: %v", err)
	}
}

// sarifShape is what code scanning requires of SARIF 2.1.0, taken from the schema
// of OASIS: nothing that it does not know, everything that it requires.
const sarifShape = `{
"type": "object", "required": ["version", "runs", "$schema"], "additionalProperties": false,
"properties": {"$schema": {"type": "string"}, "version": {"const": "2.1.0"}, "runs": {"type": "array", "minItems": 1, "items": {
  "type": "object", "required": ["tool", "results"], "additionalProperties": false, "properties": {
    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    "tool": {"type": "object", "required": ["driver"], "properties": {"driver": {"type": "object", "required": ["name", "rules"], "properties": {
      "name": {"type": "string"}, "version": {"type": "string"}, "rules": {"type": "array", "uniqueItems": true, "items": {
        "type": "object", "required": ["id"], "properties": {"shortDescription": {"type": "object", "required": ["text"]}}}}}}}},
    "invocations": {"type": "array", "items": {"type": "object", "required": ["executionSuccessful"]}},
    "results": {"type": "array", "items": {"type": "object", "required": ["message", "ruleId", "locations"], "additionalProperties": false, "properties": {
      "ruleId": {"type": "string"}, "kind": {"enum": ["pass", "open", "informational", "notApplicable", "review", "fail"]}, "level": {"enum": ["none", "note", "warning", "error"]},
      "message": {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}},
      "partialFingerprints": {"type": "object", "additionalProperties": {"type": "string"}},
      "suppressions": {"type": "array", "items": {"type": "object", "required": ["kind"], "properties": {"kind": {"enum": ["inSource", "external"]}, "status": {"enum": ["accepted", "underReview", "rejected"]}}}},
      "locations": {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["physicalLocation"], "properties": {"physicalLocation": {
        "type": "object", "required": ["artifactLocation", "region"], "properties": {
          "artifactLocation": {"type": "object", "required": ["uri"], "properties": {"uri": {"type": "string", "format": "uri-reference"}}},
          "region": {"type": "object", "required": ["startLine"], "properties": {"startLine": {"type": "integer", "minimum": 1}, "startColumn": {"type": "integer", "minimum": 1}}}}}}}}
    }}}
  }}}}}`

func TestSARIFHasItsShape(t *testing.T) {
	t.Parallel()
	id := scanned(t, map[string]string{"a b/ü.ts": unclear}).Findings[0].ID
	r := scanned(t, map[string]string{
		"a b/ü.ts": unclear, "pass.ts": complete,
		"fail.js": "new (require('bullmq').Queue)('q')", "broken.ts": "new Queue(",
		ReviewsFile: "reviews:\n- {id: " + id + ", decision: safe, by: ann, reason: looked, " +
			"until: 2026-12-01}\n- {id: gone, decision: safe, by: ann, reason: looked, " +
			"until: 2026-12-01}\n",
	})
	var b bytes.Buffer
	if err := WriteSARIF(&b, r, "1.2.3"); err != nil {
		t.Fatal(err)
	}
	// to validate it against the full schema by hand
	if file := os.Getenv("SWITCHYARD_SARIF_OUT"); file != "" {
		if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func(schema string) {
		t.Helper()
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(schema))
		if err != nil {
			t.Fatal(err)
		}
		c := jsonschema.NewCompiler()
		c.AssertFormat()
		if err := c.AddResource("sarif.json", doc); err != nil {
			t.Fatal(err)
		}
		s, err := c.Compile("sarif.json")
		if err != nil {
			t.Fatal(err)
		}
		got, err := jsonschema.UnmarshalJSON(bytes.NewReader(b.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(got); err != nil {
			t.Errorf("%v\n%s", err, b.String())
		}
	}
	check(sarifShape)
	if file := os.Getenv("SWITCHYARD_SARIF_SCHEMA"); file != "" {
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		check(string(whole))
	}
	var log sarifLog
	if err := json.Unmarshal(b.Bytes(), &log); err != nil {
		t.Fatal(err)
	}
	var levels []string
	for _, res := range log.Runs[0].Results {
		levels = append(levels, fmt.Sprintf("%s %s %d", res.Locations[0].Physical.Artifact.URI,
			res.Level, len(res.Suppressions)))
	}
	want := []string{"a%20b/%C3%BC.ts warning 1", "broken.ts warning 0", "fail.js error 0",
		"pass.ts none 0"}
	if !slices.Equal(levels, want) {
		t.Errorf("%q", levels)
	}
}

func TestTheTextSaysWhatToWrite(t *testing.T) {
	t.Parallel()
	r := scanned(t, map[string]string{"src/a.ts": strings.Replace(complete,
		"commandTimeout: 2000, ", "", 1)})
	var b strings.Builder
	if err := WriteText(&b, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"FAIL    src/a.ts:3  queue orders",
		"commandTimeout: not set, needs 1 to 4500 ms",
		`fix: new Queue("orders", { connection: { ...connection, commandTimeout: 2000 } })`,
		"1 files read: 0 PASS, 1 FAIL, 0 REVIEW, 0 reviewed"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

// Whatever the source is, the scan terminates and reports every file that it cannot
// read.
func FuzzScan(f *testing.F) {
	for _, files := range corpus(f) {
		for name, text := range files {
			f.Add(filepath.Ext(name), text)
		}
	}
	f.Fuzz(func(t *testing.T, ext, text string) {
		if !js.IsSource("a" + ext) {
			ext = ".ts"
		}
		r := scanned(t, map[string]string{"a" + ext: text, "redis.ts": complete})
		if len(r.Findings) == 0 {
			t.Error("the queue of the other file is gone")
		}
		for _, f := range r.Findings {
			if f.ID == "" || f.At.Line < 1 || f.Verdict == "" {
				t.Errorf("%+v", f)
			}
		}
	})
}
