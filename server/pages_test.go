package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"golang.org/x/net/html"

	"github.com/switchyard-dev/switchyard/migration"
)

// buttons are those that change something: not what the page's own script does, nor a search.
func buttons(r response) []*html.Node {
	main := byID(r, "main")
	return all(main, func(n *html.Node) bool {
		for form := n.Parent; form != nil; form = form.Parent {
			if form.Data == "form" && attr(form, "method") == "get" { // it only looks
				return false
			}
		}
		return n.Data == "button" && attr(n, "type") != "button"
	})
}

// until reads a page until it is as wanted.
func until(b *browser, path string, ok func(response) bool) response {
	b.t.Helper()
	var r response
	eventually(b.t, "page "+path, func() bool { r = b.get(path); return ok(r) })
	return r
}

func TestOverviewShowsEveryCriterionWithItsVerdictAndTheNextStep(t *testing.T) {
	t.Parallel()
	st := serve(t)
	b := st.browser(t, "ada", enginePass)
	r := b.get("/")
	if r.path != "/m/"+mid {
		t.Errorf("home leads to %s", r.path)
	}
	o, err := st.as(t, "ada", enginePass).Overview(t.Context(), mid)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range o.Checklist {
		card := byID(r, "criterion-"+i.Criterion.ID)
		if card == nil || attr(card, "data-verdict") != string(i.Verdict) {
			t.Errorf("criterion %s: card %v", i.Criterion.ID, card)
		}
		if green := find(card, func(n *html.Node) bool { return attr(n, "data-tone") == "ok" }); (green != nil) != (i.Verdict == migration.Met) {
			t.Errorf("criterion %s is %s and looks met: %v", i.Criterion.ID, i.Verdict, green != nil)
		}
	}
	next := byID(r, "next-step")
	if attr(next, "data-verb") != o.NextSteps[0].Verb || attr(next, "href") != "/m/"+mid+"/steps/"+o.NextSteps[0].Step {
		t.Errorf("next step %v, want %+v", next.Attr, o.NextSteps[0])
	}
	if find(r.page, func(n *html.Node) bool { return attr(n, "data-copy") == "switchyard step start audit" }) == nil {
		t.Error("no command for the next step")
	}
}

func TestAPersonRunsApprovesAndRollsBackAStepWithoutJavaScript(t *testing.T) {
	t.Parallel()
	st := serve(t)
	b := st.browser(t, "ada", enginePass)

	audit := b.submit(b.get("/m/"+mid+"/steps/audit"), "start", nil)
	if audit.status != 200 || !strings.Contains(audit.path, "/runs/") {
		t.Fatalf("started audit: %d at %s", audit.status, audit.path)
	}
	done := until(b, audit.path, func(r response) bool {
		return byID(r, "rollback") != nil || strings.Contains(r.text, `data-state="done"`)
	})
	if a := byID(done, "action-inspect"); attr(a, "data-state") != "done" {
		t.Errorf("action: %v", a)
	}

	step := until(b, "/m/"+mid+"/steps/fix-policy", func(r response) bool { return !has(byID(r, "start"), "disabled") })
	waiting := b.submit(step, "start", nil)
	if byID(waiting, "approve") == nil || byID(waiting, "reject") == nil || byID(waiting, "cancel") == nil {
		t.Fatalf("no decision at %s (%d)", waiting.path, waiting.status)
	}
	// Somebody else's click meanwhile hears who is first, on the page they are on.
	other := st.browser(t, "linus", secondPass)
	blocked := other.get("/m/" + mid + "/steps/audit")
	if !has(byID(blocked, "start"), "disabled") || byID(blocked, "start-why") == nil {
		t.Error("a second run is offered while one is open")
	}
	form := find(blocked.page, func(n *html.Node) bool { return attr(n, "name") == "csrf" })
	if r := other.send("POST", "/m/"+mid+"/steps/audit/start", map[string][]string{"csrf": {attr(form, "value")}}, nil); r.status != http.StatusConflict || byID(r, "notice") == nil {
		t.Errorf("second start: %d", r.status)
	}
	// A rejection without a reason is refused in place.
	refused := b.submit(waiting, "reject", map[string]string{"comment": "  "})
	if refused.status != http.StatusBadRequest || byID(refused, "notice") == nil || byID(refused, "reject") == nil {
		t.Errorf("reject without a comment: %d", refused.status)
	}
	approved := b.submit(refused, "approve", map[string]string{"comment": "go"})
	if approved.status != 200 {
		t.Fatalf("approve: %d", approved.status)
	}
	succeeded := until(b, approved.path, func(r response) bool { return byID(r, "rollback") != nil })
	if policy := st.redis.Client().ConfigGet(t.Context(), "maxmemory-policy").Val()["maxmemory-policy"]; policy != "noeviction" {
		t.Errorf("policy is %s", policy)
	}
	back := b.submit(succeeded, "rollback", nil)
	until(b, back.path, func(r response) bool {
		return strings.Contains(r.text, `data-state="done"`) || strings.Contains(r.text, `data-state="undone"`)
	})
	eventually(t, "policy back", func() bool {
		return st.redis.Client().ConfigGet(t.Context(), "maxmemory-policy").Val()["maxmemory-policy"] == "allkeys-lru"
	})
}

func TestAViewerSeesEverythingAndNoButtons(t *testing.T) {
	t.Parallel()
	st := serve(t)
	run := st.runAudit(t)
	b := st.browser(t, "grace", viewerPass)
	if err := st.redis.Client().XAdd(t.Context(), &redis.XAddArgs{Stream: "bull:order-ingestion:events", Values: []any{"event", "added", "jobId", "evt_1"}}).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the ledger knows an order", func() bool { return b.get("/m/"+mid+"/ledger/evt_1").status == http.StatusOK })
	for _, r := range st.routes() {
		if r.method != "GET" || !strings.HasPrefix(r.path, "/m/") || strings.HasSuffix(r.path, "/export") || strings.Contains(r.path, "/exports/") { // an export is a file
			continue
		}
		page := b.get(fill(r.path, run))
		if page.status != 200 {
			t.Errorf("%s: %d", r.path, page.status)
			continue
		}
		if found := buttons(page); len(found) > 0 {
			t.Errorf("%s: a viewer sees %d buttons", r.path, len(found))
		}
	}
	if page := b.get("/m/" + mid + "/steps/audit"); !strings.Contains(page.text, "You are signed in as a viewer") {
		t.Error("no reason why there is no button")
	}
}

func TestTheScriptGetsTheMainPartOnlyAndErrorsAsAMessage(t *testing.T) {
	t.Parallel()
	st := serve(t)
	b := st.browser(t, "ada", enginePass)
	hx := map[string]string{"HX-Request": "true"}
	r := b.send("GET", "/m/"+mid, nil, hx)
	if !strings.HasPrefix(r.text, "<main") || strings.Contains(r.text, "<nav aria-label=\"Side\"") {
		t.Errorf("fragment starts with %.40q", r.text)
	}
	whole := b.get("/m/" + mid)
	for _, name := range []string{"hx-get", "hx-trigger", "hx-swap"} {
		if attr(byID(r, "main"), name) != attr(byID(whole, "main"), name) {
			t.Errorf("%s differs between page and fragment", name)
		}
	}
	for path, who := range map[string]*browser{"/m/none": b, "/m/" + mid: st.browser(t, "", "")} {
		r := who.send("GET", path, nil, hx)
		if r.status < 400 || r.header.Get("HX-Retarget") != "#toasts" {
			t.Errorf("%s: %d, retarget %q: the error would replace the page", path, r.status, r.header.Get("HX-Retarget"))
		}
	}
}

func TestTheThemeIsRememberedAndRendered(t *testing.T) {
	t.Parallel()
	st := serve(t)
	b := st.browser(t, "ada", enginePass)
	r := b.send("POST", "/theme", map[string][]string{"theme": {"dark"}, "back": {"/m/" + mid + "/plan"}, "csrf": {""}}, nil)
	theme := attr(find(r.page, func(n *html.Node) bool { return n.Data == "html" }), "data-theme")
	if r.path != "/m/"+mid+"/plan" || theme != "dark" {
		t.Errorf("at %s with theme %q", r.path, theme)
	}
}

func TestCutoverOffersOnlyPossibleMoves(t *testing.T) {
	t.Parallel()
	moves := func(r migration.Routing, next ...migration.Params) (string, string) {
		o := migration.Overview{Routing: r}
		for _, p := range next {
			o.NextSteps = append(o.NextSteps, migration.NextStep{Verb: "start", Step: "cutover", Params: p})
		}
		chosen, v := cutover(o, migration.Params{})
		var out []string
		for _, m := range v.Moves {
			if err := r.Check(m.StageMove); err != nil {
				t.Errorf("from %s: %v", r, err)
			}
			out = append(out, m.Kind+" "+m.StageMove.String())
		}
		return strings.Join(out, ", "), chosen.Move().String()
	}
	for _, c := range []struct {
		from         migration.Routing
		next         []migration.Params
		want, chosen string
	}{
		{migration.Routing{Stage: migration.StageOff}, []migration.Params{{To: migration.StageDualWrite}}, "forward dualwrite", "dualwrite"},
		{migration.Routing{Stage: migration.StageShadow}, []migration.Params{{To: migration.StageDualWrite}}, "back dualwrite, forward live at 10 %", "dualwrite"},
		{migration.Routing{Stage: migration.StageLive, Ramp: 25}, []migration.Params{{To: migration.StageLive, Ramp: 50}}, "ramp live at 50 %, ramp live at 100 %, back shadow", "live at 50 %"},
		{migration.Routing{Stage: migration.StageLive, Ramp: 100}, []migration.Params{{To: migration.StageRampDown}}, "forward rampdown, back shadow", "rampdown"},
		{migration.Routing{Stage: migration.StageComplete}, nil, "back rampdown", "rampdown"},
	} {
		if got, chosen := moves(c.from, c.next...); got != c.want || chosen != c.chosen {
			t.Errorf("from %s: %s (shown %s), want %s (%s)", c.from, got, chosen, c.want, c.chosen)
		}
	}
}

func TestMetricsSayWhatIsKnownAndNothingMore(t *testing.T) {
	t.Parallel()
	st := serve(t)
	st.runAudit(t)
	b := st.browser(t, "", "")
	text := b.get("/metrics").text
	for _, want := range []string{
		`switchyard_criterion{criterion="noeviction",migration="order-pipeline",verdict="unmet"} 1`,
		`switchyard_criterion{criterion="noeviction",migration="order-pipeline",verdict="met"} 0`,
		`switchyard_criteria_met{migration="order-pipeline"} 0`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(text, "switchyard_orders{") {
		t.Error("orders are counted while the journal cannot be read")
	}
}
