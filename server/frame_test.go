package server

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/server/servertest"
	"github.com/switchyard-dev/switchyard/server/site"
)

// framed checks that an answer stands in the frame of somebody who is signed in.
func (r response) framed(t *testing.T, what, who string) {
	t.Helper()
	name := r.find(".wide .who strong").Text()
	if !r.there(`nav[aria-label="Side"] a[href="/m/`+mid+`/ledger"]`) || name != who ||
		r.find(".bar-name").Text() == "" {
		t.Errorf("%s: signed in %q, in no frame\n%s", what, name, r.text)
	}
	if !r.there(".failure[data-status] [data-changed]") || !r.there(".failure .buttons a") ||
		r.find(".failure code").Text() == "" {
		t.Errorf("%s: no word on what was changed, what to do, or the request", what)
	}
}

func TestErrorsStandInTheFrameAlsoWithoutADatabase(t *testing.T) {
	t.Parallel()
	st := serve(t)
	b := st.browser(t, "ada", enginePass)
	csrf := b.get("/m/" + mid).csrf()
	const nowhere = "/m/" + mid + "/nowhere"
	b.get(nowhere).framed(t, "no such page", "ada")
	anybody := st.browser(t, "", "").get(nowhere)
	if anybody.status != 404 || anybody.there("nav") {
		t.Errorf("who is not signed in sees a frame: %d", anybody.status)
	}

	if err := st.Control.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/m/" + mid, "/m/" + mid + "/steps/audit"} {
		r := b.get(path)
		r.framed(t, path, "ada")
		r.wants(t, r.status, "Nothing was changed", "Try again")
		if heal := r.find(".failure").AttrOr("data-heal", ""); r.status < 500 || heal != path {
			t.Errorf("%s: %d, opens by itself: %q", path, r.status, heal)
		}
	}
	form := url.Values{"csrf": {csrf}}
	r := b.send("POST", "/m/"+mid+"/steps/audit/start", form, nil)
	r.framed(t, "a form", "ada")
	r.wants(t, r.status, "Nothing was changed")
	if to := r.find(".failure .buttons a").First().AttrOr("href", ""); to !=
		"/m/"+mid+"/steps/audit" {
		t.Errorf("a form that was refused leads to %q", to)
	}
}

func TestEveryAddressOfAFormLeadsToItsPage(t *testing.T) {
	t.Parallel()
	st := serve(t)
	run := st.runAudit(t)
	b := st.browser(t, "ada", enginePass)
	forms := 0
	for _, r := range st.routes() {
		isForm := r.Method == "POST" && !strings.HasPrefix(r.Path, "/api/") &&
			r.Who != site.Reader && r.Who != site.Worker
		if !isForm {
			continue
		}
		forms++
		path := strings.NewReplacer(":finding", "none", ":waiver", "none").
			Replace(fill(r.Path, run))
		got := b.get(path)
		if got.status != http.StatusOK || got.there(".failure") {
			t.Errorf("GET %s: %d at %s", path, got.status, got.path)
		}
	}
	if forms < 20 {
		t.Errorf("only %d forms", forms)
	}
	for form, page := range map[string]string{
		"/m/x/runs/r1/approve": "/m/x/runs/r1", "/m/x/steps/audit/start": "/m/x/steps/audit",
		"/m/x/flags/save": "/m/x/flags", "/m/x/replays": "/m/x", "/theme": "/",
	} {
		if got := st.PageAbove(form); got != page {
			t.Errorf("%s is on %s, not on %s", form, got, page)
		}
	}
}

func TestAFormWithoutASessionLeadsToSignInAndBack(t *testing.T) {
	t.Parallel()
	st := serve(t)
	b := st.browser(t, "ada", enginePass)
	const step = "/m/" + mid + "/steps/audit"
	csrf := b.get(step).csrf()
	from := map[string]string{"Referer": st.url + step + "?to=x"}
	b.send("POST", "/sign-out", url.Values{"csrf": {csrf}}, nil)
	r := b.send("POST", step+"/start", url.Values{"csrf": {csrf}}, from)
	r.wants(t, 200, "You are not signed in. Nothing was submitted.")
	if next := r.field("next"); next != step+"?to=x" {
		t.Errorf("after signing in: %q", next)
	}
	gone := map[string]string{"Cookie": "switchyard_session=" + strings.Repeat("0", 40)}
	r = b.send("POST", step+"/start", url.Values{}, gone)
	r.wants(t, 200, "Your session ended. Nothing was submitted.")
	if next := r.field("next"); next != step {
		t.Errorf("after signing in: %q", next)
	}
	away := map[string]string{"Referer": "https://evil.example" + step}
	r = b.send("POST", step+"/start", url.Values{}, away)
	if next := r.field("next"); next != step {
		t.Errorf("another site's page leads on to %q", next)
	}
}

func TestAFormOfAnotherSessionSaysSoAndLeadsBack(t *testing.T) {
	t.Parallel()
	st := serve(t)
	const step = "/m/" + mid + "/steps/audit"
	b := st.browser(t, "ada", enginePass)
	r := b.send("POST", step+"/start", url.Values{"csrf": {"another"}}, nil)
	r.framed(t, "another session's form", "ada")
	r.wants(t, 403, "This form is from another session of yours", "Nothing was changed",
		"Back to the form")
}

func TestWithoutControlThereIsAFrameAndNobodyInIt(t *testing.T) {
	t.Parallel()
	st := serveFlags(t)
	cookie := []string{"Cookie", "switchyard_session=unknown"}
	r := servertest.Ask(t, "GET", st.url+"/m/"+mid, "", cookie...)
	if r.Status != 503 || !says(r.Text, "/m/"+mid+"/ledger", "database has not answered",
		"Nothing was changed", "Try again") {
		t.Errorf("%d %s", r.Status, r.Text)
	}
	r = servertest.Ask(t, "GET", st.url+"/m/"+mid, "")
	if r.Status != 503 || strings.Contains(r.Text, "/ledger") {
		t.Errorf("who has no session sees a frame: %d %s", r.Status, r.Text)
	}
}

func TestOnlyWhatIsMeantForAPageIsMarked(t *testing.T) {
	t.Parallel()
	st := serve(t)
	b := st.browser(t, "ada", enginePass)
	hx := map[string]string{"HX-Request": "true"}
	for path, want := range map[string]string{"/m/" + mid: "main", "/m/none": "toast"} {
		if got := b.send("GET", path, nil, hx).header.Get(site.FragmentHeader); got != want {
			t.Errorf("%s is marked %q, want %q", path, got, want)
		}
		if got := b.get(path).header.Get(site.FragmentHeader); got != "" {
			t.Errorf("the whole page %s is marked %q", path, got)
		}
	}
}
