package flags_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/flags"
)

// The shapes are those of open-feature/protocol service/openapi.yaml, info.version 0.3.0.

func TestOFREP_single_evaluation(t *testing.T) {
	t.Parallel()
	h := hold(t, routing(17))
	for _, c := range []struct {
		rule, key, body string
		status          int
		want            string
	}{
		{"string flag", "order-ingestion-stage", `{"context":{"targetingKey":"w1"}}`, 200,
			`{"key":"order-ingestion-stage","value":"live","reason":"STATIC","variant":"live","metadata":{"flagSetRevision":17,"revision":17}}`},
		{"integer flag", "order-ingestion-ramp", `{"context":{}}`, 200,
			`{"key":"order-ingestion-ramp","value":25,"reason":"STATIC","variant":"25","metadata":{"flagSetRevision":17,"revision":1}}`},
		{"false is a value", "kill", `{"context":{"a":[1,{"b":"}"}]},"x":null}`, 200,
			`{"key":"kill","value":false,"reason":"STATIC","variant":"off","metadata":{"flagSetRevision":17,"revision":1}}`},
		{"float flag", "ratio", `{}`, 200, `{"key":"ratio","value":1,"reason":"STATIC","variant":"1","metadata":{"flagSetRevision":17,"revision":1}}`},
		{"empty body counts as {}", "ratio", "", 200, `{"key":"ratio","value":1,"reason":"STATIC","variant":"1","metadata":{"flagSetRevision":17,"revision":1}}`},
		{"unknown flag", "nope", `{}`, 404, `{"key":"nope","errorCode":"FLAG_NOT_FOUND","errorDetails":"Flag 'nope' was not found"}`},
		{"case matters", "Ratio", `{}`, 404, `{"key":"Ratio","errorCode":"FLAG_NOT_FOUND","errorDetails":"Flag 'Ratio' was not found"}`},
		{"key with quotes", `a"<`, `{}`, 404, `{"key":"a\"<","errorCode":"FLAG_NOT_FOUND","errorDetails":"Flag 'a\"<' was not found"}`},
		{"not JSON", "ratio", `{"context":`, 400, `{"key":"ratio","errorCode":"PARSE_ERROR","errorDetails":"The request body is not valid JSON"}`},
		{"trailing garbage", "ratio", `{} x`, 400, `{"key":"ratio","errorCode":"PARSE_ERROR","errorDetails":"The request body is not valid JSON"}`},
		{"array", "ratio", `[]`, 400, `{"key":"ratio","errorCode":"PARSE_ERROR","errorDetails":"The request body is not a JSON object"}`},
		{"null body", "ratio", `null`, 400, `{"key":"ratio","errorCode":"PARSE_ERROR","errorDetails":"The request body is not a JSON object"}`},
		{"context is text", "ratio", `{"context":"x"}`, 400, `{"key":"ratio","errorCode":"INVALID_CONTEXT","errorDetails":"The context is not a JSON object"}`},
		{"context is null", "ratio", `{"a":1,"context":null}`, 400, `{"key":"ratio","errorCode":"INVALID_CONTEXT","errorDetails":"The context is not a JSON object"}`},
		{"context is a list", "ratio", `{"a":{"context":{}},"context" : [ {} ]}`, 400, `{"key":"ratio","errorCode":"INVALID_CONTEXT","errorDetails":"The context is not a JSON object"}`},
		{"context spelled with an escape", "ratio", `{"\u0063ontext":1}`, 400, `{"key":"ratio","errorCode":"INVALID_CONTEXT","errorDetails":"The context is not a JSON object"}`},
		{"too large", "ratio", `{"context":{"a":"` + strings.Repeat("x", flags.MaxBody) + `"}}`, 400,
			`{"key":"ratio","errorCode":"INVALID_CONTEXT","errorDetails":"The request body is larger than 65536 bytes"}`},
	} {
		got := h.EvaluateOne(c.key, []byte(c.body))
		if got.Status != c.status || !sameJSON(t, got.Body, c.want) {
			t.Errorf("%s: %d %s, want %d %s", c.rule, got.Status, got.Body, c.status, c.want)
		}
		if got.ContentType != "application/json" || got.ETag != "" || got.RetryAfter != 0 {
			t.Errorf("%s: headers %+v", c.rule, got)
		}
	}
}

func TestOFREP_bulk_evaluation(t *testing.T) {
	t.Parallel()
	h := hold(t, flags.Set{Revision: 3, Flags: routing(3).Flags[:2]})
	got := h.EvaluateAll("", []byte(`{"context":{"targetingKey":"w1"}}`))
	want := `{"flags":[
		{"key":"order-ingestion-stage","value":"live","reason":"STATIC","variant":"live","metadata":{"flagSetRevision":3,"revision":3}},
		{"key":"order-ingestion-ramp","value":25,"reason":"STATIC","variant":"25","metadata":{"flagSetRevision":3,"revision":1}}],
		"metadata":{"flagSetRevision":3,"stale":false}}`
	if got.Status != 200 || got.ETag == "" || got.ContentType != "application/json" || !sameJSON(t, got.Body, want) {
		t.Errorf("got %d %q %s", got.Status, got.ETag, got.Body)
	}
	empty := hold(t, flags.Set{Revision: 1})
	if got := empty.EvaluateAll("", nil); !sameJSON(t, got.Body, `{"flags":[],"metadata":{"flagSetRevision":1,"stale":false}}`) {
		t.Errorf("no flags: %s", got.Body)
	}
	for body, want := range map[string]string{
		`{"context":1}`: `{"errorCode":"INVALID_CONTEXT","errorDetails":"The context is not a JSON object"}`,
		`{`:             `{"errorCode":"PARSE_ERROR","errorDetails":"The request body is not valid JSON"}`,
	} {
		bad := h.EvaluateAll(got.ETag, []byte(body)) // a bad request is one also when nothing has changed
		if bad.Status != 400 || bad.ETag != "" || !sameJSON(t, bad.Body, want) {
			t.Errorf("body %s: %d %s", body, bad.Status, bad.Body)
		}
	}
}

func TestOFREP_not_modified(t *testing.T) {
	t.Parallel()
	h := hold(t, routing(3))
	tag := h.EvaluateAll("", nil).ETag
	for rule, c := range map[string]struct {
		header string
		status int
	}{
		"no header":              {"", 200},
		"the tag":                {tag, 304},
		"weak":                   {"W/" + tag, 304},
		"any":                    {"*", 304},
		"any, with spaces":       {" * ", 304},
		"list":                   {`"other", ` + tag, 304},
		"list without spaces":    {`"other",W/"more",` + tag + `,"x"`, 304},
		"comma inside a tag":     {`"a,b" , ` + tag, 304},
		"empty list members":     {`,, ` + tag, 304},
		"another tag":            {`"other"`, 200},
		"tag without quotes":     {strings.Trim(tag, `"`), 200},
		"lower-case w":           {"w/" + tag, 200},
		"part of the tag":        {tag[:len(tag)-2] + `"`, 200},
		"unterminated":           {tag[:len(tag)-1], 200},
		"star inside a list":     {`"x", *`, 200},
		"tag of an older answer": {hold(t, routing(2)).EvaluateAll("", nil).ETag, 200},
	} {
		got := h.EvaluateAll(c.header, []byte(`{}`))
		if got.Status != c.status || got.ETag != tag {
			t.Errorf("%s: %s gives %d, want %d", rule, c.header, got.Status, c.status)
		}
		if got.Status == 304 && (len(got.Body) != 0 || got.ContentType != "") {
			t.Errorf("%s: a 304 with body or type", rule)
		}
	}
	if again := hold(t, routing(3)).EvaluateAll("", nil).ETag; again != tag {
		t.Errorf("two replicas with the same set give %s and %s", tag, again)
	}
	if err := h.Replace(routing(4)); err != nil {
		t.Fatal(err)
	}
	if got := h.EvaluateAll(tag, nil); got.Status != 200 {
		t.Errorf("after a change: %d", got.Status)
	}
}

func TestOFREP_nothing_known_is_503_never_404(t *testing.T) {
	t.Parallel()
	h := flags.NewHolder("")
	for _, got := range []flags.Response{h.EvaluateOne("ratio", nil), h.EvaluateAll("*", nil), h.EvaluateOne("ratio", []byte("{"))} {
		if got.Status != 503 || got.RetryAfter < 1 || got.ETag != "" || !bytes.Contains(got.Body, []byte(`"errorCode":"GENERAL","errorDetails":"`)) {
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

// FuzzEvaluate holds our scan of a request against encoding/json, and every answer against its shape.
func FuzzEvaluate(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"context":{}}`, ` {"a":"\"","context" : {"x":[{}]}, "b":-1e9}`, `{"context":null}`, `{"\u0063ontext":[]}`, `{"context":{},"context":1}`, "[", `"x"`, "\xff", `{"a":"\ud800"}`} {
		f.Add([]byte(seed), `"a", W/"b"`)
	}
	h := hold(f, routing(3))
	tag := h.EvaluateAll("", nil).ETag
	f.Add([]byte("{}"), tag)
	f.Fuzz(func(t *testing.T, body []byte, ifNoneMatch string) {
		single, bulk := h.EvaluateOne("ratio", body), h.EvaluateAll(ifNoneMatch, body)
		if ok := acceptable(body); ok != (single.Status == 200) || ok != (bulk.Status == 200 || bulk.Status == 304) || !ok && (single.Status != 400 || bulk.Status != 400) {
			t.Errorf("body %q: acceptable %v, single %d, bulk %d", body, ok, single.Status, bulk.Status)
		}
		for _, r := range []flags.Response{single, bulk} {
			if (r.Status == 304) != (len(r.Body) == 0) || r.Status != 304 && !json.Valid(r.Body) {
				t.Errorf("status %d with body %q", r.Status, r.Body)
			}
		}
		if bulk.Status == 304 && !strings.Contains(ifNoneMatch, tag) && strings.Trim(ifNoneMatch, " \t") != "*" {
			t.Errorf("If-None-Match %q matched %s", ifNoneMatch, tag)
		}
	})
}

// acceptable is the rule in the plainest terms: empty, or an object in which every "context" is an object.
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

var sink flags.Response

func BenchmarkBulkNotModified(b *testing.B) {
	h := hold(b, routing(3))
	header, body := `W/"old", `+h.EvaluateAll("", nil).ETag, []byte(`{"context":{"targetingKey":"worker-1","queue":"order-ingestion"}}`)
	b.ReportAllocs()
	for b.Loop() {
		sink = h.EvaluateAll(header, body)
	}
}

func BenchmarkSingle(b *testing.B) {
	h := hold(b, routing(3))
	body := []byte(`{"context":{"targetingKey":"worker-1","queue":"order-ingestion"}}`)
	b.ReportAllocs()
	for b.Loop() {
		sink = h.EvaluateOne("order-ingestion-stage", body)
	}
}

func TestPollsDoNotAllocate(t *testing.T) {
	h := hold(t, routing(3))
	tag, body := h.EvaluateAll("", nil).ETag, []byte(`{"context":{"targetingKey":"w1"},"a":[1,"}"]}`)
	for name, poll := range map[string]func(){
		"bulk, not modified": func() { sink = h.EvaluateAll(tag, body) },
		"bulk, empty body":   func() { sink = h.EvaluateAll("", nil) },
		"single":             func() { sink = h.EvaluateOne("order-ingestion-stage", []byte(`{"context":{}}`)) },
	} {
		if n := testing.AllocsPerRun(100, poll); n > 1 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func ExampleHolder_EvaluateOne() {
	h := flags.NewHolder("")
	if err := h.Replace(flags.Set{Revision: 1, Flags: []flags.Flag{{Key: "source-endpoint", Value: "standalone", Revision: 1}}}); err != nil {
		fmt.Println(err)
	}
	r := h.EvaluateOne("source-endpoint", []byte(`{"context":{"targetingKey":"worker-1"}}`))
	fmt.Println(r.Status, string(r.Body))
	// Output: 200 {"key":"source-endpoint","value":"standalone","reason":"STATIC","variant":"standalone","metadata":{"flagSetRevision":1,"revision":1}}
}
