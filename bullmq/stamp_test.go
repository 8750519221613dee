package bullmq_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/switchyard-dev/switchyard/bullmq"
)

func TestRewriteStampChangesNothingElse(t *testing.T) {
	t.Parallel()
	set := map[string]any{"movedTo": "target", "at": 7}
	for _, tt := range []struct{ rule, in, want string }{
		{"a key is added to the stamp",
			`{"order":{"amount":1.50},"_switchyard":{"authority":"source"}}`,
			`{"order":{"amount":1.50},"_switchyard":{"authority":"source","at":7,"movedTo":"target"}}`},
		{"a key is replaced", `{"_switchyard":{"movedTo":null,"at" : [1,{"x":"}"}] }, "z":1e2}`,
			`{"_switchyard":{"movedTo":"target","at" : 7 }, "z":1e2}`},
		{"a missing stamp is added", ` { "a" : "\u00e9\"}" } `,
			` { "a" : "\u00e9\"}","_switchyard":{"at":7,"movedTo":"target"} } `},
		{"an empty document gets one", `{}`, `{"_switchyard":{"at":7,"movedTo":"target"}}`},
		{"an empty stamp is filled", `{"_switchyard":{ }}`,
			`{"_switchyard":{"at":7,"movedTo":"target" }}`},
		{"of two stamps the last counts", `{"_switchyard":{"at":1},"_switchyard":{"at":2}}`,
			`{"_switchyard":{"at":1},"_switchyard":{"at":7,"movedTo":"target"}}`},
		{"an escaped name is the same name", `{"\u005fswitchyard":{"at":1}}`,
			`{"\u005fswitchyard":{"at":7,"movedTo":"target"}}`},
		{"a stamp elsewhere is not the stamp", `{"a":{"_switchyard":{}}}`,
			`{"a":{"_switchyard":{}},"_switchyard":{"at":7,"movedTo":"target"}}`},
	} {
		if got, err := bullmq.RewriteStamp([]byte(tt.in), "_switchyard", set); err != nil ||
			string(got) != tt.want {
			t.Errorf("%s:\n got %s %v\nwant %s", tt.rule, got, err, tt.want)
		}
	}
	for _, bad := range []string{``, `[]`, `"x"`, `null`, `{`, `{}{}`, `{"_switchyard":1}`,
		`{"_switchyard":null}`, `{"_switchyard":[]}`} {
		if got, err := bullmq.RewriteStamp([]byte(bad), "_switchyard", set); err == nil {
			t.Errorf("%q gave %s", bad, got)
		}
	}
}

// checkStamp checks RewriteStamp's promise for one document.
func checkStamp(t interface{ Fatalf(string, ...any) }, data []byte) {
	set := map[string]any{"movedTo": "target", "revision": 12.0}
	before := bytes.Clone(data)
	out, err := bullmq.RewriteStamp(data, "_switchyard", set)
	if !bytes.Equal(data, before) {
		t.Fatalf("the input was changed to %q", data)
	}
	var was any
	if json.Unmarshal(data, &was) != nil {
		if err == nil {
			t.Fatalf("%q is not JSON, but gave %q", data, out)
		}
		return
	}
	doc, isObject := was.(map[string]any)
	stamp, isStamp := doc["_switchyard"].(map[string]any)
	if _, there := doc["_switchyard"]; !isObject || there && !isStamp {
		if err == nil {
			t.Fatalf("%q was accepted: %q", data, out)
		}
		return
	}
	if err != nil {
		t.Fatalf("%q: %v", data, err)
	}
	var is map[string]any
	if err := json.Unmarshal(out, &is); err != nil {
		t.Fatalf("%q became %q: %v", data, out, err)
	}
	if stamp == nil {
		stamp = map[string]any{}
	}
	for k, v := range set {
		stamp[k] = v
	}
	doc["_switchyard"] = stamp
	if !reflect.DeepEqual(doc, is) {
		t.Fatalf("%q became %q", data, out)
	}
	again, err := bullmq.RewriteStamp(out, "_switchyard", set)
	if err != nil || !bytes.Equal(again, out) {
		t.Fatalf("a second time %q became %q, %v", out, again, err)
	}
}

func TestRewriteStampProperty(t *testing.T) {
	t.Parallel()
	names := rapid.OneOf(rapid.Just("_switchyard"), rapid.Just("movedTo"), rapid.String())
	value := rapid.Deferred(func() *rapid.Generator[any] { return anyValue(names, 3) })
	rapid.Check(t, func(t *rapid.T) {
		doc := rapid.MapOf(names, value).Draw(t, "doc")
		b, err := json.MarshalIndent(doc, rapid.SampledFrom([]string{"", " "}).Draw(t,
			"prefix"), rapid.SampledFrom([]string{"", "\t"}).Draw(t, "indent"))
		if err != nil {
			t.Fatalf("%v", err)
		}
		checkStamp(t, b)
	})
}

func anyValue(names *rapid.Generator[string], depth int) *rapid.Generator[any] {
	leaf := rapid.OneOf(rapid.Just[any](nil), rapid.Just[any](true),
		rapid.Map(rapid.String(), toAny[string]),
		rapid.Map(rapid.Float64Range(-1e9, 1e9), toAny[float64]))
	if depth == 0 {
		return leaf
	}
	inner := anyValue(names, depth-1)
	return rapid.OneOf(leaf, rapid.Map(rapid.SliceOfN(inner, 0, 3), toAny[[]any]),
		rapid.Map(rapid.MapOfN(names, inner, 0, 3), toAny[map[string]any]))
}

func toAny[T any](v T) any { return v }

func FuzzRewriteStamp(f *testing.F) {
	for _, s := range []string{`{}`, `{"_switchyard":{"a":1}}`,
		` {"a":"\\\"}" , "_switchyard" :{ } }`, `{"_switchyard":{"movedTo":[{}],"movedTo":2}}`,
		`[1]`, "{\"\xff\":1}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkStamp(t, data) })
}
