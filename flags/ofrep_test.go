package flags_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/flags"
)

// The shapes are those of open-feature/protocol service/openapi.yaml, info.version 0.3.0.

func TestOFREP_single_evaluation(t *testing.T) {
	t.Parallel()
	h := hold(t, flags.Options{}, at(t, 17, split))
	const meta = `"metadata":{"flagSetId":"m1","flagSetRevision":17,"fractional":"v2","revision":17}}`
	for _, c := range []struct {
		rule, key, body string
		status          int
		want            string
	}{
		{"everybody gets it", "ratio", `{"context":{"targetingKey":"w1"}}`, 200,
			`{"key":"ratio","value":0.5,"reason":"STATIC","variant":"half",` + meta},
		{"rule matches", "stage", `{"context":{"tier":"gold"}}`, 200,
			`{"key":"stage","value":"live","reason":"TARGETING_MATCH","variant":"live",` +
				meta},
		{"rule gives null", "stage", `{"context":{}}`, 200,
			`{"key":"stage","value":"off","reason":"DEFAULT","variant":"off",` + meta},
		{"the last context counts", "stage", `{"context":{"tier":"gold"},"context":{}}`, 200,
			`{"key":"stage","value":"off","reason":"DEFAULT","variant":"off",` + meta},
		{"no context", "stage", `{}`, 200,
			`{"key":"stage","value":"off","reason":"DEFAULT","variant":"off",` + meta},
		{"empty body counts as {}", "stage", ``, 200,
			`{"key":"stage","value":"off","reason":"DEFAULT","variant":"off",` + meta},
		{"targetingKey that is no text", "stage", `{"context":{"targetingKey":5}}`, 200,
			`{"key":"stage","value":"off","reason":"DEFAULT","variant":"off",` + meta},
		{"the code's default", "code", `{}`, 200, `{"key":"code","reason":"DEFAULT",` + meta},
		{"disabled", "out", `{}`, 200, `{"key":"out","reason":"DISABLED",` + meta},
		{"rule gives no variant", "broken", `{}`, 400, `{"key":"broken","errorCode":"GENERAL","errorDetails":"The targeting rule of the flag gave something that is not one of its variants"}`},
		{"rule fails", "fails", `{}`, 400, `{"key":"fails","errorCode":"PARSE_ERROR","errorDetails":"The targeting rule of the flag failed for this context"}`},
		{"unknown flag", "nope", `{}`, 404, `{"key":"nope","errorCode":"FLAG_NOT_FOUND","errorDetails":"Flag 'nope' was not found"}`},
		{"key with a slash", "a/b", `{}`, 404, `{"key":"a/b","errorCode":"FLAG_NOT_FOUND","errorDetails":"Flag 'a/b' was not found"}`},
		{"not JSON", "stage", `{"context":`, 400, `{"key":"stage","errorCode":"PARSE_ERROR","errorDetails":"The request body is not valid JSON"}`},
		{"trailing garbage", "stage", `{} x`, 400, `{"key":"stage","errorCode":"PARSE_ERROR","errorDetails":"The request body is not valid JSON"}`},
		{"array", "stage", `[]`, 400, `{"key":"stage","errorCode":"PARSE_ERROR","errorDetails":"The request body is not a JSON object"}`},
		{"context is null", "stage", `{"a":1,"context":null}`, 400, `{"key":"stage","errorCode":"INVALID_CONTEXT","errorDetails":"The context is not a JSON object"}`},
		{"context spelled with an escape", "ratio", `{"\u0063ontext":1}`, 400, `{"key":"ratio","errorCode":"INVALID_CONTEXT","errorDetails":"The context is not a JSON object"}`},
		{"too large", "stage",
			`{"context":{"a":"` + strings.Repeat("x", flags.MaxBody) + `"}}`, 400,
			`{"key":"stage","errorCode":"INVALID_CONTEXT","errorDetails":"The request body is larger than 65536 bytes"}`},
		{"too deep", "stage", `{"context":{"a":` + strings.Repeat("[",
			5000) + strings.Repeat("]", 5000) + `}}`, 400,
			`{"key":"stage","errorCode":"INVALID_CONTEXT","errorDetails":"The context is nested deeper than 64"}`},
	} {
		got := h.EvaluateOne("m1", c.key, []byte(c.body))
		if got.Status != c.status || !sameJSON(t, got.Body, c.want) {
			t.Errorf("%s: %d %s, want %d %s", c.rule, got.Status, got.Body, c.status, c.want)
		}
		if got.ContentType != "application/json" || got.ETag != "" || got.RetryAfter != 0 ||
			(got.Revision == 17) != (got.Status == 200) {
			t.Errorf("%s: headers %+v", c.rule, got)
		}
	}
}

// A context could otherwise make the library call itself until the stack is full, which
// ends the process.
func TestAContextCannotRunWithoutEnd(t *testing.T) {
	t.Parallel()
	h := hold(t, flags.Options{}, at(t, 1, `{"flags":{"k":{"state":"ENABLED","variants":{"a":1},"targeting":{"if":[true,{"var":"x"}]}}}}`))
	got := h.EvaluateOne("m1", "k", []byte(`{"context":{"x":{"if":[true,{"var":"x"}]}}}`))
	if got.Status != 400 || !bytes.Contains(got.Body, []byte("INVALID_CONTEXT")) {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestOFREP_bulk_evaluation(t *testing.T) {
	t.Parallel()
	const stream = `[{"type":"sse","url":"https://h/e"}]`
	for name, c := range map[string]struct{ doc, flags string }{
		"static":   {`{"flags":{"a":{"state":"ENABLED","variants":{"v":1},"defaultVariant":"v"}}}`, `{"key":"a","value":1,"reason":"STATIC","variant":"v","metadata":META}`},
		"no flags": {`{"flags":{}}`, ``},
		"targeted": {`{"flags":{"a":{"state":"ENABLED","variants":{"v":1},"targeting":{"if":[{"var":"x"},"v","no"]}},"b":{"state":"DISABLED","variants":{"v":1}}}}`,
			`{"key":"a","value":1,"reason":"TARGETING_MATCH","variant":"v","metadata":META},{"key":"b","reason":"DISABLED","metadata":META}`},
		"errors": {`{"flags":{"a":{"state":"ENABLED","variants":{"v":1},"targeting":{"if":[false,"v","no"]}}}}`,
			`{"key":"a","errorCode":"GENERAL","errorDetails":"The targeting rule of the flag gave something that is not one of its variants"}`},
	} {
		h := hold(t, flags.Options{}, at(t, 3, c.doc))
		want := `{"flags":[` + strings.ReplaceAll(c.flags, "META", `{"flagSetId":"m1","flagSetRevision":3,"fractional":"v2","revision":3}`) + `]STREAMS,"metadata":{"flagSetId":"m1","flagSetRevision":3,"fractional":"v2","stale":false}}`
		body := []byte(`{"context":{"x":true}}`)
		plain := h.EvaluateAll("m1", flags.Request{Body: body})
		if plain.Status != 200 || plain.ETag == "" || plain.Revision != 3 ||
			!sameJSON(t, plain.Body, strings.Replace(want, "STREAMS", "", 1)) {
			t.Errorf("%s: %d %q %s", name, plain.Status, plain.ETag, plain.Body)
		}
		streamed := h.EvaluateAll("m1", flags.Request{Body: body, Streams: []byte(stream)})
		if streamed.ETag != plain.ETag || !sameJSON(t, streamed.Body,
			strings.Replace(want, "STREAMS", `,"eventStreams":`+stream, 1)) {
			t.Errorf("%s with streams: %s", name, streamed.Body)
		}
		for body, want := range map[string]string{
			`{"context":1}`: `{"errorCode":"INVALID_CONTEXT","errorDetails":"The context is not a JSON object"}`,
			`{`:             `{"errorCode":"PARSE_ERROR","errorDetails":"The request body is not valid JSON"}`,
		} {
			if bad := bulk(h, plain.ETag, body); bad.Status != 400 || bad.ETag != "" ||
				!sameJSON(t, bad.Body, want) {
				t.Errorf("%s: body %s: %d %s", name, body, bad.Status, bad.Body)
			}
		}
	}
}

func TestOFREP_not_modified(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{"static": doc, "targeted": split} {
		h := hold(t, flags.Options{}, at(t, 3, doc))
		tag := bulk(h, "", "{}").ETag
		later := bulk(hold(t, flags.Options{}, at(t, 4, doc)), "", "{}").ETag
		foreign := flags.NewHolder(flags.Options{})
		if err := foreign.Replace(flags.Set{ID: "m2", Revision: 9,
			Definition: []byte(doc)}); err != nil {
			t.Fatal(err)
		}
		for rule, c := range map[string]struct {
			header string
			status int
		}{
			"no header":           {"", 200},
			"the tag":             {tag, 304},
			"weak":                {"W/" + tag, 304},
			"any":                 {" * ", 304},
			"list":                {`"other", ` + tag, 304},
			"list without spaces": {`"other",W/"more",` + tag + `,"x"`, 304},
			"comma inside a tag":  {`"a,b" , ` + tag, 304},
			"another tag":         {`"other"`, 200},
			"tag without quotes":  {strings.Trim(tag, `"`), 200},
			"part of the tag":     {tag[:len(tag)-2] + `"`, 200},
			"unterminated":        {tag[:len(tag)-1], 200},
			"star inside a list":  {`"x", *`, 200},
			"tag of an older answer": {bulk(hold(t, flags.Options{}, at(t, 2, doc)), "",
				"{}").ETag, 200},
			"reader holds a later one": {later, 304},
			"a later one of no set":    {`"9-x"`, 200},
			"later, but another set":   {foreign.EvaluateAll("m2", flags.Request{}).ETag, 200},
		} {
			got := bulk(h, c.header, "{}")
			if got.Status != c.status || got.ETag != tag && c.header != later ||
				got.Status == 304 && (len(got.Body) != 0 || got.ContentType != "") {
				t.Errorf("%s, %s: %s gives %d %s, want %d", name, rule, c.header, got.Status,
					got.ETag, c.status)
			}
		}
		if flags.HeldRevision(tag) != 3 || flags.HeldRevision(`"x", W/`+tag) != 3 ||
			flags.HeldRevision(`"x"`) != 0 || flags.HeldRevision("") != 0 {
			t.Errorf("%s: held revisions of %s", name, tag)
		}
		if err := h.Replace(at(t, 4, doc)); err != nil {
			t.Fatal(err)
		}
		if got := bulk(h, tag, "{}"); got.Status != 200 || got.ETag != later {
			t.Errorf("%s: after a change: %d %s, another replica has %s", name, got.Status,
				got.ETag, later)
		}
		same := bulk(h, later, `{"context":{"tier":"gold"}}`).Status == 304
		if same != (name == "static") {
			t.Errorf("%s: another context is the same answer: %v", name, same)
		}
	}
}

func TestOFREP_rules_that_read_the_time_change_the_tag_by_the_second(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	h := hold(t, flags.Options{Now: func() time.Time { return time.Unix(clock.Load(), 0) }},
		at(t, 1, `{"flags":{"k":{"state":"ENABLED","variants":{"late":1,"early":0},"targeting":{"if":[{">":[{"var":"$flagd.timestamp"},100]},"late","early"]}}}}`))
	first := bulk(h, "", "")
	if again := bulk(h, first.ETag, ""); again.Status != 304 {
		t.Errorf("the same second: %d", again.Status)
	}
	clock.Store(101)
	if later := bulk(h, first.ETag, ""); later.Status != 200 ||
		!bytes.Contains(later.Body, []byte(`"late"`)) {
		t.Errorf("later: %d %s", later.Status, later.Body)
	}
}

func TestOFREP_nothing_known_is_503_never_404(t *testing.T) {
	t.Parallel()
	h := flags.NewHolder(flags.Options{})
	for _, got := range []flags.Response{h.EvaluateOne("m1", "ratio", nil), bulk(h, "*", ""),
		h.EvaluateOne("m1", "ratio", []byte("{"))} {
		if got.Status != 503 || got.RetryAfter < 1 || got.ETag != "" ||
			!bytes.Contains(got.Body, []byte(`"errorCode":"GENERAL","errorDetails":"`)) {
			t.Errorf("got %+v %s", got, got.Body)
		}
	}
}

func sameJSON(t *testing.T, got []byte, want string) bool {
	t.Helper()
	var a, b any
	if err := json.Unmarshal([]byte(want), &b); err != nil {
		t.Fatal(err)
	}
	return json.Unmarshal(got, &a) == nil && reflect.DeepEqual(a, b)
}

// FuzzEvaluate holds our scan of a request against encoding/json, and every answer
// against its shape.
func FuzzEvaluate(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"context":{}}`,
		` {"a":"\"","context" : {"x":[{}]}, "b":-1e9}`, `{"context":null}`,
		`{"\u0063ontext":[]}`, `{"context":{},"context":1}`, "[", `"x"`, "\xff",
		`{"a":"\ud800"}`} {
		f.Add([]byte(seed), `"a", W/"b"`)
	}
	h := hold(f, flags.Options{}, at(f, 3, doc))
	tag := bulk(h, "", "").ETag
	f.Add([]byte("{}"), tag)
	f.Fuzz(func(t *testing.T, body []byte, ifNoneMatch string) {
		single, all := h.EvaluateOne("m1", "ratio", body), bulk(h, ifNoneMatch, string(body))
		if ok := acceptable(body); ok != (single.Status == 200) || ok != (all.Status == 200 ||
			all.Status == 304) || !ok && (single.Status != 400 || all.Status != 400) {
			t.Errorf("body %q: acceptable %v, single %d, bulk %d", body, ok,
				single.Status, all.Status)
		}
		for _, r := range []flags.Response{single, all} {
			if (r.Status == 304) != (len(r.Body) == 0) ||
				r.Status != 304 && !json.Valid(r.Body) {
				t.Errorf("status %d with body %q", r.Status, r.Body)
			}
		}
	})
}

// acceptable is the rule in the plainest terms: empty, or an object in which every
// "context" is an object.
func acceptable(body []byte) bool {
	if len(body) > flags.MaxBody {
		return false
	}
	if len(bytes.Trim(body, " \t\r\n")) == 0 {
		return true
	}
	if !json.Valid(body) {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return false
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return false
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return false
		}
		if name == "context" && value[0] != '{' {
			return false
		}
	}
	return true
}

var (
	sink flags.Response
	who  = []byte(`{"context":{"targetingKey":"worker-1","tier":"gold"}}`)
)

// ten is ten flags; of every other one the rule decides.
func ten() string {
	var parts []string
	for i := range 10 {
		targeting := ""
		if i%2 == 0 {
			targeting = `,"targeting":{"if":[{"==":[{"var":"tier"},"gold"]},"b"]}`
		}
		parts = append(parts, fmt.Sprintf(
			`"flag-%d":{"state":"ENABLED","variants":{"a":"A","b":"B"},"defaultVariant":"a"%s}`,
			i, targeting))
	}
	return `{"flags":{` + strings.Join(parts, ",") + `}}`
}

func BenchmarkBulkNotModified(b *testing.B) {
	h := hold(b, flags.Options{}, at(b, 3, doc))
	tag := `W/"old", ` + bulk(h, "", string(who)).ETag
	b.ReportAllocs()
	for b.Loop() {
		sink = h.EvaluateAll("m1", flags.Request{IfNoneMatch: tag, Body: who})
	}
}

func BenchmarkBulkTargetedNotModified(b *testing.B) {
	h := hold(b, flags.Options{}, at(b, 3, ten()))
	tag := bulk(h, "", string(who)).ETag
	b.ReportAllocs()
	for b.Loop() {
		sink = h.EvaluateAll("m1", flags.Request{IfNoneMatch: tag, Body: who})
	}
}

func BenchmarkBulk10(b *testing.B) {
	h := hold(b, flags.Options{}, at(b, 3, ten()))
	b.ReportAllocs()
	for b.Loop() {
		sink = h.EvaluateAll("m1", flags.Request{Body: who})
	}
}

func BenchmarkSingleStatic(b *testing.B) { benchmarkOne(b, "ratio") }

func BenchmarkSingleTargeted(b *testing.B) { benchmarkOne(b, "stage") }

func benchmarkOne(b *testing.B, key string) {
	h := hold(b, flags.Options{}, at(b, 3, split))
	b.ReportAllocs()
	for b.Loop() {
		sink = h.EvaluateOne("m1", key, who)
	}
}

func TestPollsDoNotAllocate(t *testing.T) {
	static, targeted := hold(t, flags.Options{}, at(t, 3, doc)), hold(t, flags.Options{},
		at(t, 3, split))
	tag, other := bulk(static, "", string(who)).ETag, bulk(targeted, "", string(who)).ETag
	for name, poll := range map[string]func(){
		"bulk, not modified": func() {
			sink = static.EvaluateAll("m1", flags.Request{IfNoneMatch: tag, Body: who})
		},
		"bulk, targeted, not modified": func() {
			sink = targeted.EvaluateAll("m1", flags.Request{IfNoneMatch: other, Body: who})
		},
		"bulk, all static": func() {
			sink = static.EvaluateAll("m1", flags.Request{})
		},
		"single": func() {
			sink = static.EvaluateOne("m1", "ratio", who)
		},
	} {
		if n := testing.AllocsPerRun(100, poll); n >= 1 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func ExampleHolder_EvaluateOne() {
	h := flags.NewHolder(flags.Options{})
	if err := h.Replace(flags.Set{ID: "m1", Revision: 1, Definition: []byte(`{"flags":{"source-endpoint":{"state":"ENABLED","variants":{"standalone":"standalone"},"defaultVariant":"standalone"}}}`)}); err != nil {
		fmt.Println(err)
	}
	r := h.EvaluateOne("m1", "source-endpoint",
		[]byte(`{"context":{"targetingKey":"worker-1"}}`))
	fmt.Println(r.Status, string(r.Body))
	// Output: 200 {"key":"source-endpoint","value":"standalone","reason":"STATIC","variant":"standalone","metadata":{"flagSetId":"m1","flagSetRevision":1}}
}
