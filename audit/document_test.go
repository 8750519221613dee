package audit

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the catalogue into docs/audit.md")

// table is the catalogue as the documentation presents it.
func table() string {
	var b strings.Builder
	b.WriteString("| Check | Up to | Limit | Why it matters to jobs | Read by | Where CONFIG " +
		"is denied | What to do | Switchyard can |\n|---|---|---|---|---|---|---|---|\n")
	for _, c := range catalogue {
		can := "no"
		if c.Risk != "" {
			can = "yes: " + c.Risk
		}
		fmt.Fprintf(&b, "| `%s`<br>%s | %s | %s | %s | %s | %s | %s | %s |\n", c.ID,
			cell(c.Title), c.Severity, cell(c.Limit), cell(c.Why),
			cell(strings.Join(c.Commands, ", ")), cell(c.Denied), cell(c.Remedy), cell(can))
	}
	return b.String()
}

// Run with -update after changing the catalogue.
func TestTheDocumentListsTheCatalogue(t *testing.T) {
	t.Parallel()
	const file, begin, end = "../docs/audit.md", "<!-- catalogue -->\n",
		"<!-- end of catalogue -->"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	have, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("docs/audit.md has no place for the catalogue")
	}
	if *update {
		if err := os.WriteFile(file, []byte(before+begin+table()+end+after),
			0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if have != table() {
		t.Error("docs/audit.md does not list the catalogue as it is: go test ./audit -run " +
			"Document -update")
	}
}

func TestTheDocumentSaysWhichChecksCanBeFixed(t *testing.T) {
	t.Parallel()
	for _, c := range catalogue {
		f := &facts{info: map[string]string{"maxmemory_policy": "allkeys-lru"},
			config: map[string]string{"maxmemory-policy": "allkeys-lru", "timeout": "60",
				"tcp-keepalive": "0", "slowlog-log-slower-than": "-1",
				"latency-monitor-threshold": "0", "client-output-buffer-limit": "normal 1 1 1"},
			scan: &scan{}}
		if o := c.judge(f); (len(o.settings) > 0) != (c.Risk != "") {
			t.Errorf("%s: settings %v, risk %q", c.ID, o.settings, c.Risk)
		}
	}
}
