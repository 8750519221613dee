package flags_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/migration"
)

func TestParseNamesThePathOfWhatIsWrong(t *testing.T) {
	t.Parallel()
	flag := func(f string) string { return `{"flags":{"k":` + f + `}}` }
	rule := func(r string) string {
		return flag(
			`{"state":"ENABLED","variants":{"a":"A"},"defaultVariant":"a","targeting":` + r +
				`}`)
	}
	for name, c := range map[string]struct{ doc, want string }{
		"not JSON":           {`{`, "the document: it is not valid JSON"},
		"not an object":      {`[]`, "the document: it is not a JSON object"},
		"null":               {`null`, "not a JSON object"},
		"something after it": {`{"flags":{}} x`, "something follows"},
		"not UTF-8":          {"{\"flags\":{\"\xff\":{}}}", "not UTF-8"},
		"no flags":           {`{}`, "flags"},
		"too large": {`{"flags":{},"x":"` + strings.Repeat("x",
			flags.MaxDocument) + `"}`, "more than the 4194304 allowed"},
		"too deep": {rule(strings.Repeat(`{"!":`,
			64) + "1" + strings.Repeat("}", 64)), "deeper than 64"},
		"the same key twice": {`{"flags":{"k":{},"k":{}}}`,
			"flags.k: the name is there twice"},
		"key with a slash": {`{"flags":{"a/b":{"state":"ENABLED","variants":{"a":1}}}}`,
			`the key "a/b"`},
		"unknown state": {flag(`{"state":"on","variants":{"a":1}}`),
			"flags.k.state: "},
		"no variants": {flag(`{"state":"ENABLED","variants":{}}`),
			"flags.k.variants: "},
		"variants of two types": {flag(`{"state":"ENABLED","variants":{"a":1,"b":"x"}}`),
			"flags.k.variants.b: it is a string"},
		"null variant": {flag(`{"state":"ENABLED","variants":{"a":null}}`),
			"flags.k.variants.a: null"},
		"array variant": {flag(`{"state":"ENABLED","variants":{"a":[]}}`),
			"flags.k.variants.a: "},
		"default that is no variant": {flag(
			`{"state":"ENABLED","variants":{"a":1},"defaultVariant":"b"}`),
			`flags.k.defaultVariant: "b" is not one of its variants: a`},
		"integer that JS rounds": {flag(
			`{"state":"ENABLED","variants":{"a":9007199254740992}}`),
			"flags.k.variants.a: the integer 9007199254740992"},
		"number beyond doubles": {flag(`{"state":"ENABLED","variants":{"a":1e999}}`),
			"flags.k.variants.a: 1e999"},
		"metadata that is an object": {flag(
			`{"state":"ENABLED","variants":{"a":1},"metadata":{"x":{}}}`),
			"flags.k.metadata.x: "},
		"reserved metadata": {flag(
			`{"state":"ENABLED","variants":{"a":1},"metadata":{"flagSetId":"x"}}`),
			"flags.k.metadata.flagSetId: "},
		"revision that is a text": {flag(
			`{"state":"ENABLED","variants":{"a":1},"metadata":{"revision":"1"}}`),
			"flags.k.metadata.revision: "},
		"unknown bucketing algorithm": {`{"flags":{},"metadata":{"fractional":"v9"}}`,
			"metadata.fractional: the algorithm v9"},
		"unknown operator": {rule(`{"if":[{"is":[1,2]},"a"]}`),
			`flags.k.targeting.if[0].is: there is no operator "is"`},
		"two operators in one": {rule(`{"if":[{"==":[1,2],"!=":[1,2]},"a"]}`),
			"flags.k.targeting.if[0]: "},
		"unknown evaluator": {rule(`{"if":[{"$ref":"x"},"a"]}`),
			`flags.k.targeting.if[0].$ref: there is no evaluator "x"`},
		"nested evaluators": {`{"flags":{},"$evaluators":{"x":{"!":{"$ref":"x"}}}}`,
			"$evaluators.x.!.$ref: "},
		"too few arguments":        {rule(`{"==":[1]}`), "flags.k.targeting.=="},
		"targeting that is a text": {rule(`"a"`), "flags.k.targeting: "},
	} {
		_, err := flags.Parse([]byte(c.doc))
		if migration.KindOf(err) != migration.Invalid ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want a refusal with %q", name, err, c.want)
		}
	}
}

func TestParseReadsAnExportedArray(t *testing.T) {
	t.Parallel()
	d, err := flags.Parse([]byte(`{"$schema":"https://flagd.dev/schema/v0/flags.json","flags":[{"key":"k","state":"ENABLED","variants":{"a":1.0},"defaultVariant":null}]}`))
	if err != nil || len(d.Flags) != 1 || d.Flags["k"].DefaultVariant != nil ||
		flags.ValueType(d.Flags["k"]) != "number" {
		t.Errorf("%+v, %v", d, err)
	}
}

// flagd's own examples of good and bad documents, from the module that holds its schema.
func TestParseAgreesWithFlagdsCorpus(t *testing.T) {
	t.Parallel()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}",
		"github.com/open-feature/flagd-schemas").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		glob string
		good bool
		wrap bool
	}{{"flags/positive/*.json", true, false}, {"flagd/positive/*.json", true, false},
		{"flags/negative/*.json", false, false},
		{"targeting/positive/*.json", true, true}, {"targeting/negative/*.json", false, true}} {
		files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "json",
			"test", c.glob))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files, %v", c.glob, err)
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if c.wrap {
				var rule map[string]json.RawMessage
				if err := json.Unmarshal(raw, &rule); err != nil {
					t.Fatal(err)
				}
				delete(rule, "$schema")
				if raw, err = json.Marshal(map[string]any{"flags": map[string]any{"k": map[string]any{"state": "ENABLED", "variants": map[string]any{"a": "A"}, "targeting": rule}},
					"$evaluators": map[string]any{"some-ref": map[string]any{"==": []any{1,
						1}}}}); err != nil {
					t.Fatal(err)
				}
			}
			_, err = flags.Parse(raw)
			// flags as an array are what an export may hold, though providers do not
			// read them
			if good := c.good ||
				filepath.Base(file) == "with-array-flags.json"; (err == nil) != good {
				t.Errorf("%s: %v", strings.Join(strings.Split(filepath.ToSlash(file),
					"/")[len(strings.Split(filepath.ToSlash(file), "/"))-3:], "/"), err)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"flags":{"k":{"state":"ENABLED","variants":{"a":"A","b":"B"},"defaultVariant":"a","targeting":{"fractional":[["a",1],["b",2]]}}}}`))
	f.Add([]byte(`{"flags":[{"key":"k","state":"DISABLED","variants":{"a":1e3}}],"$evaluators":{"x":{"==":[1,{"var":"n"}]}},"metadata":{"v":1}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := flags.Parse(raw)
		if err != nil {
			return
		}
		once := d.JSON()
		again, err := flags.Parse(once)
		if err != nil || !bytes.Equal(again.JSON(), once) {
			t.Fatalf("%q reads as %s, again as %v, %v", raw, once, again, err)
		}
		if err := flags.NewHolder(flags.Options{}).Replace(flags.Set{ID: "s", Revision: 1,
			Definition: flags.Revise("s", nil, d, 1).JSON()}); err != nil {
			t.Fatalf("%q does not compile: %v", raw, err)
		}
	})
}

func parse(t testing.TB, doc string) *flags.Document {
	t.Helper()
	d, err := flags.Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDiffSaysWhatPeopleNeed(t *testing.T) {
	t.Parallel()
	before := parse(t, `{"flags":{"gone":{"state":"ENABLED","variants":{"a":1},"defaultVariant":"a"},
		"k":{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"off","metadata":{"revision":3,"owner":"x"}},
		"same":{"state":"ENABLED","variants":{"a":1},"metadata":{"revision":3}}},
		"$evaluators":{"e":{"==":[1,1]}},"metadata":{"flagSetRevision":3}}`)
	after := parse(t, `{"flags":{"k":{"state":"DISABLED","variants":{"on":true,"no":false},"defaultVariant":"on","targeting":{"if": [true, "no"]},"metadata":{"revision":4}},
		"new":{"state":"ENABLED","variants":{"a":"x"},"targeting":{"==":[1,1]}},
		"same":{"state":"ENABLED","variants":{"a":1},"metadata":{"revision":4}}},
		"metadata":{"flagSetRevision":4,"team":"b"}}`)
	got := map[string][]string{}
	for _, d := range flags.Diff(before, after) {
		got[d.Key+" "+d.Kind] = d.Lines
	}
	want := map[string][]string{
		" changed":     {`evaluator "e" removed: {"==":[1,1]}`, `metadata "team" added: "b"`},
		"gone removed": {`removed: number, default "a"`},
		"new added":    {`added: string, default the code's default, with targeting`},
		"k changed": {`state: ENABLED → DISABLED`, `defaultVariant: "off" → "on"`,
			`variant "no" added: false`, `variant "off" removed: false`,
			`targeting: none → {"if":[true,"no"]}`, `metadata "owner" removed: "x"`},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if d := flags.Diff(nil, before); len(d) != 4 || d[0].Key != "" || d[1].Before != nil {
		t.Errorf("from nothing: %+v", d)
	}
}

func TestReviseStampsOnlyWhatChanged(t *testing.T) {
	t.Parallel()
	first := flags.Revise("s", nil, parse(t, doc), 1)
	if flags.Revise("s", first, parse(t, string(first.JSON())), 2) != nil {
		t.Error("the same again is a change")
	}
	next := parse(t, string(first.JSON()))
	f := next.Flags["kill"]
	var err error
	if f, err = flags.Kill(f, true); err != nil {
		t.Fatal(err)
	}
	next.Flags["kill"] = f
	second := flags.Revise("s", first, next, 2)
	if flags.RevisionOf(second.Flags["kill"]) != 2 ||
		flags.RevisionOf(second.Flags["ratio"]) != 1 ||
		second.Metadata["flagSetRevision"] != int64(2) {
		t.Errorf("%s", second.JSON())
	}
}

func migrationFlag(stage, more string) string {
	return `"m":{"state":"ENABLED","variants":{"off":"off","dualwrite":"dualwrite","shadow":"shadow","live":"live","rampdown":"rampdown","complete":"complete"},
		"defaultVariant":"` + stage + `","metadata":{"type":"migration"}` + more + `}`
}

func TestTypedFlagsKeepTheirRules(t *testing.T) {
	t.Parallel()
	m := func(stage, more string) string {
		return `{"flags":{` + migrationFlag(stage, more) + `}}`
	}
	kill := func(f string) string {
		return `{"flags":{"k":{"metadata":{"type":"kill-switch"},` + f + `}}}`
	}
	for name, c := range map[string]struct {
		before, after string
		kind          migration.Kind
	}{
		"added at off":          {``, m("off", ""), ""},
		"added at dualwrite":    {``, m("dualwrite", ""), ""},
		"added at shadow":       {``, m("shadow", ""), migration.Conflict},
		"one stage on":          {m("shadow", ""), m("live", ""), ""},
		"one stage back":        {m("live", ""), m("shadow", ""), ""},
		"stage skipped":         {m("off", ""), m("shadow", ""), migration.Conflict},
		"removed half-way":      {m("live", ""), `{"flags":{}}`, migration.Conflict},
		"removed when complete": {m("complete", ""), `{"flags":{}}`, ""},
		"share of the next stage": {m("shadow", ""),
			m("shadow", `,"targeting":{"fractional":[["live",10],["shadow",90]]}`), ""},
		"share of a distant stage": {m("shadow", ""), m("shadow",
			`,"targeting":{"fractional":[["complete",10],["shadow",90]]}`), migration.Invalid},
		"other targeting": {m("shadow", ""),
			m("shadow", `,"targeting":{"if":[true,"live"]}`), migration.Invalid},
		"missing stages": {``, `{"flags":{"m":{"state":"ENABLED","variants":{"off":"off"},"defaultVariant":"off","metadata":{"type":"migration"}}}}`, migration.Invalid},
		"kill switch": {``, kill(
			`"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"on"`), ""},
		"kill switch disabled": {``,
			kill(`"state":"DISABLED","variants":{"on":true,"off":false},"defaultVariant":"on"`),
			migration.Invalid},
		"kill switch the wrong way": {``,
			kill(`"state":"ENABLED","variants":{"on":false,"off":true},"defaultVariant":"on"`),
			migration.Invalid},
		"kill switch with targeting": {``, kill(`"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"on","targeting":{"if":[true,"on"]}`), migration.Invalid},
		"kill switch without a default": {``,
			kill(`"state":"ENABLED","variants":{"on":true,"off":false}`), migration.Invalid},
	} {
		var before *flags.Document
		if c.before != "" {
			before = parse(t, c.before)
		}
		err := flags.CheckChange(before, parse(t, c.after))
		if c.kind == "" && err != nil || c.kind != "" && migration.KindOf(err) != c.kind {
			t.Errorf("%s: %v, want kind %q", name, err, c.kind)
		}
	}
}

func TestKillIsAnExplicitValue(t *testing.T) {
	t.Parallel()
	d := parse(t, doc)
	f, err := flags.Kill(d.Flags["kill"], true)
	if err != nil || *f.DefaultVariant != "off" || f.State != "ENABLED" ||
		*d.Flags["kill"].DefaultVariant != "on" {
		t.Errorf("%+v, %v", f, err)
	}
	if f, err = flags.Kill(f, false); err != nil || *f.DefaultVariant != "on" {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := flags.Kill(d.Flags["ratio"],
		true); migration.KindOf(err) != migration.Invalid {
		t.Errorf("not a kill switch: %v", err)
	}
}

func TestStaleHintNamesTheDaysAndWhatToDo(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	d := parse(t, `{"flags":{`+migrationFlag("complete", "")+`,"old":{"state":"ENABLED","variants":{"a":1},"defaultVariant":"a"},
		"kept":{"state":"ENABLED","variants":{"a":1},"defaultVariant":"a","metadata":{"permanent":true}},
		"managed":{"state":"ENABLED","variants":{"a":1},"metadata":{"managedBy":"cutover"}},
		"split":{"state":"ENABLED","variants":{"a":1},"targeting":{"if":[true,"a"]}},
		"kill":{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"on","metadata":{"type":"kill-switch"}}}}`)
	for key, f := range d.Flags {
		hint := flags.StaleHint(f, now.AddDate(0, 0, -40), now)
		if want := slices.Contains([]string{"old", "m"}, key); strings.Contains(hint,
			"40 days") != want || !want && hint != "" {
			t.Errorf("%s: %q", key, hint)
		}
		if hint := flags.StaleHint(f, now.AddDate(0, 0, -30), now); hint != "" {
			t.Errorf("%s after 30 days: %q", key, hint)
		}
	}
}
