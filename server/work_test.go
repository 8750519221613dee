package server

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/servertest"
)

func TestASearchFindsEachKindAndNamesWhatDidNotAnswer(t *testing.T) {
	t.Parallel()
	st := serve(t)
	meta := st.redis.Client().HSet(t.Context(), "bull:parcels:meta", "version", "bullmq:5.1.0")
	if err := meta.Err(); err != nil {
		t.Fatal(err)
	}
	run := st.runAudit(t)
	c := st.as(t, "grace", viewerPass)
	servertest.Eventually(t, "the queue is found", func() bool {
		r, err := c.Search(t.Context(), mid, "parcel", false)
		return err == nil && len(r.Found) == 1 && r.Found[0].Kind == "queue"
	})
	for kind, query := range map[string]string{
		"run": run.ID[:6], "step": "decommission", "flag": "ingestion-stage", "flag-set": mid,
		"person": "AD",
	} {
		r, err := c.Search(t.Context(), mid, query, false)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, f := range r.Found {
			found = found || f.Kind == kind
		}
		if !found || len(r.Failed()) > 0 {
			t.Errorf("%q finds no %s: %+v", query, kind, r)
		}
	}
	if r, err := c.Search(t.Context(), mid, " ", true); err != nil || len(r.Sources) > 0 {
		t.Errorf("an empty text is searched for: %+v %v", r, err)
	}
	_, err := c.Search(t.Context(), mid, strings.Repeat("x", 513), false)
	if migration.KindOf(err) != migration.Invalid {
		t.Errorf("a text that is too long: %v", err)
	}
	// A pattern of the database is a text like any other.
	if r, err := c.Search(t.Context(), mid, "%", false); err != nil || len(r.Found) > 0 {
		t.Errorf("%% finds %+v %v", r.Found, err)
	}
	st.redis.Kill()
	r, err := c.Search(t.Context(), mid, "nothing-has-this-name", true)
	if err != nil || len(r.Failed()) == 0 {
		t.Errorf("without the source everything was searched: %+v %v", r, err)
	}
	b := st.browser(t, "grace", viewerPass)
	page := b.get("/m/" + mid + "/search?q=nothing-has-this-name")
	if !page.there("[data-not-searched]") {
		t.Errorf("the page does not say what was not searched: %s", page.find("#main").Text())
	}
}

func TestTheListOfRunsIsFilteredAndPaged(t *testing.T) {
	t.Parallel()
	st := serve(t)
	first, second := st.runAudit(t), st.runAudit(t)
	c := st.as(t, "grace", viewerPass)
	l, err := c.FindRuns(t.Context(), mid, api.RunQuery{Limit: 1})
	if err != nil || len(l.Runs) != 1 || l.Runs[0].ID != second.ID || l.Next != second.ID {
		t.Fatalf("%+v %v", l, err)
	}
	l, err = c.FindRuns(t.Context(), mid, api.RunQuery{Before: l.Next, Limit: 50})
	if err != nil || len(l.Runs) != 1 || l.Runs[0].ID != first.ID || l.Next != "" {
		t.Errorf("older: %+v %v", l, err)
	}
	for query, want := range map[api.RunQuery]int{
		{Step: "audit"}: 2, {Step: "cutover"}: 0, {State: "succeeded"}: 2, {State: "open"}: 0,
		{Person: "ada"}: 2, {Person: "grace"}: 0,
	} {
		if l, err := c.FindRuns(t.Context(), mid, query); err != nil || len(l.Runs) != want {
			t.Errorf("%+v: %d runs (%v), want %d", query, len(l.Runs), err, want)
		}
	}
	for _, wrong := range []api.RunQuery{{State: "none"}, {Before: "none"}} {
		if _, err := c.FindRuns(t.Context(), mid, wrong); err == nil {
			t.Errorf("%+v is taken", wrong)
		}
	}
	b := st.browser(t, "grace", viewerPass)
	if r := b.get("/m/" + mid + "/runs?person=ada"); !r.there(`[data-run="` + first.ID + `"]`) {
		t.Errorf("the page has no run %s", first.ID)
	}
	none := b.get("/m/" + mid + "/runs?state=failed")
	if none.there("[data-run]") || !none.there(".empty a") {
		t.Error("a filter that fits nothing leads nowhere")
	}
}

func TestTheAuditLogIsFilteredAndExported(t *testing.T) {
	t.Parallel()
	st := serve(t)
	st.runAudit(t)
	b := st.browser(t, "grace", viewerPass)
	// A name that a spreadsheet would take for a formula.
	form := url.Values{"name": {"=HYPERLINK(1)"}, "password": {"wrong"}}
	st.browser(t, "", "").send("POST", "/sign-in", form, nil)

	l, err := st.as(t, "grace", viewerPass).Audit(t.Context(),
		api.AuditQuery{Person: "ada", Action: "start", Since: "2000-01-01", Limit: 10})
	if err != nil || len(l.Entries) != 1 || l.Next != 0 {
		t.Errorf("%+v %v", l, err)
	}

	page := b.get("/m/" + mid + "/audit?person=ada&action=start")
	if n := page.find("#audit tbody tr").Length(); n != 1 {
		t.Errorf("%d starts by ada", n)
	}
	if !page.there(`#audit a[href^="/m/` + mid + `/runs/"]`) {
		t.Error("the entry does not lead to its run")
	}
	for query, want := range map[string]int{
		"since=2000-01-01": 200, "until=2000-01-01T10:00": 200, "since=yesterday": 400,
	} {
		if r := b.get("/m/" + mid + "/audit?" + query); r.status != want {
			t.Errorf("%s: %d, want %d", query, r.status, want)
		}
	}
	if r := b.get("/m/" + mid + "/audit?until=2000-01-01"); r.there("#audit") {
		t.Error("entries from before the product")
	}

	file := b.get("/m/" + mid + "/audit/export?result=refused&format=csv")
	rows, err := csv.NewReader(strings.NewReader(file.text)).ReadAll()
	if err != nil || len(rows) != 2 || rows[1][2] != "'=HYPERLINK(1)" {
		t.Errorf("%q %v", rows, err)
	}
	if d := file.header.Get("Content-Disposition"); !strings.HasPrefix(d, `attachment; filename="audit-`) {
		t.Errorf("disposition %q", d)
	}
	lines := b.get("/m/" + mid + "/audit/export?format=jsonl").text
	for line := range bytes.Lines([]byte(lines)) {
		var e migration.AuditEntry
		if err := json.Unmarshal(line, &e); err != nil || e.Hash == "" {
			t.Errorf("%s: %v", line, err)
		}
	}
	if !strings.Contains(lines, `"actor":"=HYPERLINK(1)"`) {
		t.Error("JSON lines do not hold what is stored")
	}
	if r := b.get("/m/" + mid + "/audit/export?format=exe"); r.status != http.StatusBadRequest {
		t.Errorf("unknown format: %d", r.status)
	}
}

func TestSettingsAreRememberedAndRendered(t *testing.T) {
	t.Parallel()
	b := serve(t).browser(t, "grace", viewerPass)
	path := "/m/" + mid + "/settings"
	save := func(values map[string]string) response {
		return b.submit(b.get(path), "save-settings", values)
	}
	r := save(map[string]string{
		"theme": "dark", "density": "compact", "times": "utc", "keys": "off",
	})
	for name, want := range map[string]string{
		"data-theme": "dark", "data-density": "compact", "data-times": "utc", "data-keys": "off",
	} {
		if got := r.find("html").AttrOr(name, ""); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if !r.there("#times-utc[checked]") || !r.there("#keys-off[checked]") {
		t.Error("what was chosen is not shown as chosen")
	}
	r = save(map[string]string{
		"theme": "auto", "density": "comfortable", "times": "local", "keys": `"><script>`,
	})
	if got := r.find("html").AttrOr("data-keys", ""); got != "" || !r.there("#keys-on[checked]") {
		t.Errorf("after the usual again, data-keys is %q", got)
	}
}

func TestWhoElseLooksAtARunIsNamedByTheSessionAndGoesWithTheStream(t *testing.T) {
	t.Parallel()
	st := serve(t)
	run := st.runAudit(t)
	path := "/m/" + mid + "/runs/" + run.ID
	ada, grace := st.browser(t, "ada", enginePass), st.browser(t, "grace", viewerPass)
	address := grace.get(path).find("#stream").AttrOr("hx-sse:connect", "")
	req, err := http.NewRequestWithContext(
		t.Context(), http.MethodGet, st.url+address+"&name=root", nil)
	if err != nil {
		t.Fatal(err)
	}
	stream := *grace.http
	stream.Timeout = 0
	resp, err := stream.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	seen := ada.until(path, func(r response) bool { return r.there("#also-here") })
	if said := strings.Join(strings.Fields(seen.find("#also-here").Text()), " "); said != "Also here: grace (viewer)" {
		t.Errorf("says %q", said)
	}
	if grace.get(path).there("#also-here") {
		t.Error("grace is told of herself")
	}
	_ = resp.Body.Close()
	servertest.Eventually(t, "gone", func() bool { return !ada.get(path).there("#also-here") })
}

func TestPeopleAndAlertsAreListedWithoutSecrets(t *testing.T) {
	t.Parallel()
	st := serve(t)
	st.as(t, "ada", enginePass)
	b := st.browser(t, "grace", viewerPass)
	people := b.get("/m/" + mid + "/people")
	if people.find("[data-account]").Length() != 3 ||
		!people.there(`[data-account="ada"] time`) ||
		!strings.Contains(people.find(`[data-account="linus"]`).Text(), "never") {
		t.Errorf("%s", people.find("#people").Text())
	}
	if strings.Contains(people.text, canary) {
		t.Error("a credential is shown")
	}
	p, err := st.as(t, "grace", viewerPass).People(t.Context(), mid)
	if err != nil || len(p.Accounts) != 3 || p.Accounts[0].Name != "ada" ||
		p.Accounts[0].SignedIn == nil || p.Accounts[2].SignedIn != nil || p.Keys == nil {
		t.Errorf("%+v %v", p, err)
	}
	raw, err := json.Marshal(p)
	if err != nil || strings.Contains(string(raw), canary) || strings.Contains(string(raw), "argon2") {
		t.Errorf("a credential is told: %s %v", raw, err)
	}
	b.get("/m/"+mid+"/alerts").wants(t, http.StatusOK, "No open alerts", "No past alerts")
}
