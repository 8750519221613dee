package webhooks

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
)

func TestAFileIsReadAsAWholeOrItsBadLinesAreTold(t *testing.T) {
	t.Parallel()
	const a, b, none = `{"id":1,"total_price":"1.00"}`, `{"id":"2"}`,
		`{"customer":"ann@example.com"}`
	for rule, c := range map[string]struct {
		file string
		n    int
		says string
	}{
		"one a line":                           {a + "\n" + b + "\n", 2, ""},
		"lines of another system, with a mark": {"\ufeff" + a + "\r\n\r\n" + b + "\r\n", 2, ""},
		"no end of the last line":              {a + "\n" + b, 2, ""},
		"a list":                               {"[" + a + ", " + b + "]", 2, ""},
		"a list over lines":                    {" [\n" + a + ",\n" + b + "\n]\n", 2, ""},
		"one that is written over lines":       {"{\n \"id\": 1\n}\n" + b, 2, ""},
		"nothing":                              {" \n", 0, "holds no event"},
		"an empty list":                        {"[]", 0, "holds no event"},
		"a line without an order": {a + "\n" + none + "\n" + b, 0,
			"line 2 names no order: Shopify has its id in id"},
		"a line of a list without an order": {"[\n" + a + ",\n" + none + "\n]", 0,
			"line 3 names no order"},
		"all bad lines": {none + "\n" + a + "\n" + none, 0,
			"line 1 names no order: Shopify has its id in id; line 3 names"},
		"a cut-off line": {a + "\n" + `{"id":` + "\n" + b, 0,
			"line 2 is no JSON object, or a cut-off one"},
		"a cut-off end": {a + "\n" + `{"id":2`, 0,
			"line 2 is no JSON object, or a cut-off one"},
		"a cut-off list": {"[" + a + ",\n" + b + "\n", 0,
			"line 3 is the end, and the list is not"},
		"more after a list": {"[" + a + "]\n" + b, 0,
			"line 2 goes on after the list"},
		"a list in a list": {"[[" + a + "]]", 0,
			"line 1 is no JSON object"},
		"lists one after another": {a + "\n[" + b + "]", 0,
			"line 2 is no JSON object"},
		"CSV": {"id,total\n1,49.90\n", 0,
			"line 1 is no JSON object"},
	} {
		events, err := Shopify().ReadEvents([]byte(c.file))
		if len(events) != c.n || c.says == "" && err != nil ||
			c.says != "" && (migration.KindOf(err) != migration.Invalid ||
				!strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %d events, %v", rule, len(events), err)
		}
		if err != nil && strings.Contains(err.Error(), "ann@") {
			t.Errorf("%s quotes the file: %v", rule, err)
		}
	}
	many := strings.Repeat(none+"\n", 100)
	if _, err := Shopify().ReadEvents([]byte(many)); len(err.Error()) > 500 {
		t.Errorf("all of many bad lines are told: %v", err)
	}
}

// FuzzReadEvents: whatever a file holds, what is read of it are objects that name an
// order, and written one a line they are read as the same again.
func FuzzReadEvents(f *testing.F) {
	for _, text := range []string{"", "{}", `{"id":1}`, "[{\"id\":1},\n{\"id\":2}]",
		"{\"id\":1}\n{\"id\":2}", "[", "]", "[}", `{"id":1},{"id":2}`, "\ufeff[]x", `[{"id":1}`,
		`[,{"id":1}]`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		events, err := Shopify().ReadEvents(file)
		if err != nil {
			if len(events) > 0 || migration.KindOf(err) != migration.Invalid {
				t.Fatalf("%d events beside %v", len(events), err)
			}
			return
		}
		var lines []byte
		for _, e := range events {
			if ev, err := Shopify().Identify(nil, e); err != nil || ev.Object == "" {
				t.Fatalf("%s: %v", e, err)
			}
			var line bytes.Buffer
			if err := json.Compact(&line, e); err != nil {
				t.Fatal(err)
			}
			lines = append(append(lines, line.Bytes()...), '\n')
		}
		again, err := Shopify().ReadEvents(lines)
		if err != nil || len(again) != len(events) {
			t.Fatalf("%d events, and %d from %q: %v", len(events), len(again), lines, err)
		}
	})
}
