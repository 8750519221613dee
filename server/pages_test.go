package server

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/servertest"
)

// buttons are those that change something: not what the page's own script does, nor a search, nor
// how this browser shows pages.
func (r response) buttons() *goquery.Selection {
	return r.find(`#main button:not([type="button"])`).FilterFunction(
		func(_ int, b *goquery.Selection) bool {
			return !b.Closest("form").Is(`[method="get"], [action="/m/` + mid + `/settings"]`)
		})
}

// ended reports whether a run's page shows its end.
func (r response) ended() bool {
	return r.there(`[data-state="done"]`) || r.there(`[data-state="undone"]`)
}

func TestOverviewShowsEveryCriterionWithItsVerdictAndTheNextStep(t *testing.T) {
	t.Parallel()
	st := serve(t)
	r := st.browser(t, "ada", enginePass).get("/")
	if r.path != "/m/"+mid {
		t.Errorf("home leads to %s", r.path)
	}
	o, err := st.as(t, "ada", enginePass).Overview(t.Context(), mid)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range o.Checklist {
		card := r.find("#criterion-" + i.Criterion.ID)
		if card.AttrOr("data-verdict", "") != string(i.Verdict) {
			t.Errorf("criterion %s: %d cards", i.Criterion.ID, card.Length())
		}
		green := card.Find(`[data-tone="ok"]`).Length() > 0
		if green != (i.Verdict == migration.Met) {
			t.Errorf("criterion %s is %s and looks met: %v", i.Criterion.ID, i.Verdict, green)
		}
	}
	next, want := r.find("#next-step"), o.NextSteps[0]
	if next.AttrOr("data-verb", "") != want.Verb ||
		next.AttrOr("href", "") != "/m/"+mid+"/steps/"+want.Step {
		t.Errorf("next step %q, want %+v", next.Text(), want)
	}
	if !r.there(`[data-copy="switchyard step start audit"]`) {
		t.Error("no command for the next step")
	}
}

func TestAPersonRunsApprovesAndRollsBackAStepWithoutJavaScript(t *testing.T) {
	t.Parallel()
	st := serve(t)
	b := st.browser(t, "ada", enginePass)
	policy := func() string {
		return st.redis.Client().ConfigGet(
			t.Context(), "maxmemory-policy").Val()["maxmemory-policy"]
	}

	audit := b.submit(b.get("/m/"+mid+"/steps/audit"), "start", nil)
	if audit.status != 200 || !strings.Contains(audit.path, "/runs/") {
		t.Fatalf("started audit: %d at %s", audit.status, audit.path)
	}
	done := b.until(audit.path, func(r response) bool {
		return r.there("#rollback") || r.ended()
	})
	if !done.there(`#action-inspect[data-state="done"]`) {
		t.Errorf("action: %s", done.find("#action-inspect").Text())
	}

	step := b.until("/m/"+mid+"/steps/fix-policy",
		func(r response) bool { return r.there("#start:not([disabled])") })
	waiting := b.submit(step, "start", nil)
	if waiting.find("#approve, #reject, #cancel").Length() != 3 {
		t.Fatalf("no decision at %s (%d)", waiting.path, waiting.status)
	}
	// Somebody else's click meanwhile hears who is first, on the page they are on.
	other := st.browser(t, "linus", secondPass)
	blocked := other.get("/m/" + mid + "/steps/audit")
	if !blocked.there("#start[disabled]") || !blocked.there("#start-why") {
		t.Error("a second run is offered while one is open")
	}
	second := other.send("POST", "/m/"+mid+"/steps/audit/start",
		url.Values{"csrf": {blocked.csrf()}}, nil)
	if second.status != http.StatusConflict || !second.there("#notice") {
		t.Errorf("second start: %d", second.status)
	}
	// A rejection without a reason is refused in place.
	refused := b.submit(waiting, "reject", map[string]string{"comment": "  "})
	if refused.status != http.StatusBadRequest || !refused.there("#notice") ||
		!refused.there("#reject") {
		t.Errorf("reject without a comment: %d", refused.status)
	}
	approved := b.submit(refused, "approve", map[string]string{"comment": "go"})
	if approved.status != 200 {
		t.Fatalf("approve: %d", approved.status)
	}
	succeeded := b.until(approved.path, func(r response) bool { return r.there("#rollback") })
	if got := policy(); got != "noeviction" {
		t.Errorf("policy is %s", got)
	}
	back := b.submit(succeeded, "rollback", nil)
	b.until(back.path, response.ended)
	servertest.Eventually(t, "policy back", func() bool { return policy() == "allkeys-lru" })
}

func TestAViewerSeesEverythingAndNoButtons(t *testing.T) {
	t.Parallel()
	st := serve(t)
	run := st.runAudit(t)
	b := st.browser(t, "grace", viewerPass)
	added := &redis.XAddArgs{
		Stream: "bull:order-ingestion:events",
		Values: []any{"event", "added", "jobId", "evt_1"},
	}
	if err := st.redis.Client().XAdd(t.Context(), added).Err(); err != nil {
		t.Fatal(err)
	}
	servertest.Eventually(t, "the ledger knows an order", func() bool {
		return b.get("/m/"+mid+"/ledger/evt_1").status == http.StatusOK
	})
	for _, r := range st.routes() {
		isFile := strings.HasSuffix(r.Path, "/export") || strings.Contains(r.Path, "/exports/")
		if r.Method != "GET" || !strings.HasPrefix(r.Path, "/m/") || isFile {
			continue
		}
		page := b.get(fill(r.Path, run))
		if page.status != 200 {
			t.Errorf("%s: %d", r.Path, page.status)
			continue
		}
		if n := page.buttons().Length(); n > 0 {
			t.Errorf("%s: a viewer sees %d buttons", r.Path, n)
		}
	}
	b.get("/m/"+mid+"/steps/audit").wants(t, 200, "You are signed in as a viewer")
}

func TestTheScriptGetsTheMainPartOnlyAndErrorsAsAMessage(t *testing.T) {
	t.Parallel()
	st := serve(t)
	b := st.browser(t, "ada", enginePass)
	hx := map[string]string{"HX-Request": "true"}
	r := b.send("GET", "/m/"+mid, nil, hx)
	if !strings.HasPrefix(r.text, "<main") || r.there(`nav[aria-label="Side"]`) {
		t.Errorf("fragment starts with %.40q", r.text)
	}
	whole := b.get("/m/" + mid)
	for _, name := range []string{"hx-get", "hx-trigger", "hx-swap"} {
		if r.find("#main").AttrOr(name, "") != whole.find("#main").AttrOr(name, "") {
			t.Errorf("%s differs between page and fragment", name)
		}
	}
	for path, who := range map[string]*browser{
		"/m/none": b, "/m/" + mid: st.browser(t, "", ""),
	} {
		r := who.send("GET", path, nil, hx)
		if to := r.header.Get("HX-Retarget"); r.status < 400 || to != "#toasts" {
			t.Errorf("%s: %d, retarget %q: the error would replace the page", path, r.status, to)
		}
	}
}

func TestTheThemeIsRememberedAndRendered(t *testing.T) {
	t.Parallel()
	b := serve(t).browser(t, "ada", enginePass)
	back := "/m/" + mid + "/plan"
	r := b.send("POST", "/theme",
		url.Values{"theme": {"dark"}, "back": {back}, "csrf": {""}}, nil)
	if theme := r.find("html").AttrOr("data-theme", ""); r.path != back || theme != "dark" {
		t.Errorf("at %s with theme %q", r.path, theme)
	}
}

func TestMetricsSayWhatIsKnownAndNothingMore(t *testing.T) {
	t.Parallel()
	st := serve(t)
	st.runAudit(t)
	text := st.browser(t, "", "").get("/metrics").text
	const of = `switchyard_criterion{criterion="noeviction",migration="order-pipeline",verdict=`
	for _, want := range []string{
		of + `"unmet"} 1`, of + `"met"} 0`,
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
