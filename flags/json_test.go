package flags

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// FuzzJSON: what is valid, and what an object decodes to, is as encoding/json says.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{"", "{}",
		` {"a" : [1, -0.5e+3, "x\n\u00e9é", true, false, null, {}], "a":{"b":""}} `, `{"a":1,}`,
		`{"a" 1}`, `{"a":01}`, `{"a":1.}`, `{"a":-}`, `{"a":1e}`, `{"a":1e999}`,
		`{"a":[1e999]}`, `{"a":"\x"}`, `{"a":"\u12g4"}`, `{"a":"\ud800"}`, "{\"a\":\"\xff\"}",
		"{\"\xff\":1}", "{\"a\":\"\x01\"}", `{"a":"`, `{"a":tru}`, `[1,]`, `[`,
		`{"\u0061":1,"a":2}`, `{"a":1}x`, "\x00",
		strings.Repeat(`[`, maxNesting) + strings.Repeat(`]`, maxNesting),
		strings.Repeat(`[`, maxNesting+1) + strings.Repeat(`]`, maxNesting+1),
		strings.Repeat(`{"a":`, maxNesting) + `1` + strings.Repeat(`}`, maxNesting),
		strings.Repeat(`{"a":`, maxNesting-1) + `{}` + strings.Repeat(`}`, maxNesting-1)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		start := skipSpace(b, 0)
		end := skipValue(b, start, 0)
		valid := end >= 0 && skipSpace(b, end) == len(b)
		if valid != json.Valid(b) {
			t.Fatalf("%q: valid %v", b, valid)
		}
		if !valid || b[start] != '{' {
			return
		}
		var want map[string]any
		wrong := json.Unmarshal(b, &want)
		got, _, err := objectAt(b, start)
		if (err != nil) != (wrong != nil) || err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %v, %v, want %v, %v", b, got, err, want, wrong)
		}
	})
}
