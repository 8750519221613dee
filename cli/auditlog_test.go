package cli

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestTheAuditLogIsFilteredPagedAndPrintedAsThePageExportsIt(t *testing.T) {
	t.Parallel()
	var asked []string
	args, vars := serverOf(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/audit" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		asked = append(asked, r.URL.RawQuery)
		seq, next := 7, 7
		if r.URL.Query().Get("before") == "7" {
			seq, next = 3, 0
		}
		_, _ = fmt.Fprintf(w, `{"entries":[{"seq":%d,"at":"2026-11-23T14:05:00Z","actor":"=ada",
			"action":"start","subject":"cutover","detail":"x","result":"ok","hash":"h"}],
			"next":%d}`, seq, next)
	})
	log := func(more ...string) result {
		return run(t.Context(), "audit-log", vars, append(append([]string{"audit-log"}, args...),
			more...)...)
	}
	r := log("--person=ada", "--action=start", "--subject=a b", "--result=ok",
		"--since=2026-11-23", "--until=2026-11-24")
	if r.code != 0 || !strings.Contains(r.out, "2026-11-23T14:05:00Z") ||
		strings.Count(r.out, "cutover") != 2 {
		t.Errorf("exit %d\n%s%s", r.code, r.out, r.errs)
	}
	const filter = "action=start&before=7&limit=49&person=ada&result=ok&since=2026-11-23&" +
		"subject=a+b&until=2026-11-24"
	if len(asked) != 2 || asked[1] != filter {
		t.Errorf("asked %q", asked)
	}
	if r := log("--csv", "--limit=1"); r.out != "seq,at,actor,action,subject,detail,result,hash\n"+
		"7,2026-11-23T14:05:00Z,'=ada,start,cutover,x,ok,h\n" {
		t.Errorf("exit %d\n%s%s", r.code, r.out, r.errs)
	}
	asked = nil
	if r := log("--json", "--limit=1", "--since=24h"); !strings.Contains(r.out, `"actor": "=ada"`) ||
		!strings.Contains(asked[0], "since=20") || strings.Contains(asked[0], "24h") {
		t.Errorf("exit %d, asked %q\n%s%s", r.code, asked, r.out, r.errs)
	}
	for _, wrong := range [][]string{{"--limit=0"}, {"--limit=10001"}, {"--csv", "--json"}} {
		if r := log(wrong...); r.code != exitUsage {
			t.Errorf("%v: exit %d\n%s", wrong, r.code, r.errs)
		}
	}
}

func TestPeopleAndTheDigestAreShownAndSent(t *testing.T) {
	t.Parallel()
	const plan = `{"when":"Fridays at 16:00 (Europe/Berlin)","zone":"Europe/Berlin",
		"channels":["leads"],"next":"2026-11-27T16:00:00+01:00"}`
	args, vars := serverOf(t, func(w http.ResponseWriter, r *http.Request) {
		answer := ""
		switch r.Method + " " + r.URL.Path {
		case "GET /api/v1/migrations/m/people":
			answer = `{"accounts":[{"name":"ada","role":"engineer",
				"created_at":"2026-11-06T00:00:00Z"}],"keys":[{"id":"k","name":"checkout",
				"set":"m","created_by":"ada","created_at":"2026-11-07T00:00:00Z"}]}`
		case "GET /api/v1/migrations/m/digest":
			answer = `{"digest":{},"title":"Weekly digest: 4 of 7","lead":"As of now.",
				"parts":[{"title":"Orders","lines":["unknown: x"]}],"plan":` + plan + `}`
		case "POST /api/v1/migrations/m/digest":
			answer = plan
		default:
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.Write([]byte(answer))
	})
	for command, says := range map[string][]string{
		"people": {"ada", "engineer", "signed in never", "checkout", "reads flag set m"},
		"digest": {"Weekly digest: 4 of 7\n", "ORDERS\n- unknown: x",
			"Sent Fridays at 16:00 (Europe/Berlin) to leads, next at 2026-11-27T16:00:00+01:00."},
		"digest send": {"Queued for leads."},
	} {
		r := run(t.Context(), command, vars, append(strings.Fields(command), args...)...)
		for _, part := range says {
			if r.code != 0 || !strings.Contains(r.out, part) {
				t.Errorf("%s: exit %d, no %q in\n%s%s", command, r.code, part, r.out, r.errs)
			}
		}
	}
}
