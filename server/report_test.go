package server

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows"
)

func TestTheReportSaysWhereTheMigrationStands(t *testing.T) {
	t.Parallel()
	st := serve(t)
	st.runAudit(t)
	r, err := st.as(t, "grace", viewerPass).Report(t.Context(), mid)
	if err != nil || r.Kind != "status" || r.Met >= r.Total || r.Orders.Unknown == "" ||
		len(r.Criteria) != r.Total || len(r.Digest) != 64 || r.Digest == r.PlanHash {
		t.Fatalf("%+v %v", r, err)
	}
	if r.Forecast.State != workflows.OffTrack && r.Forecast.Finish != nil {
		t.Errorf("a date without a pace: %+v", r.Forecast)
	}
	page := st.browser(t, "grace", viewerPass).get("/m/" + mid + "/report")
	page.wants(t, 200, "Status report", "it is not a signature", "Not measured")
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw)+page.text, canary) {
		t.Error("a credential is in the report")
	}
}

// anonymous asks without an account.
func (st *running) anonymous(t *testing.T, path string) (status int, h http.Header, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, st.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := stay.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(raw)
}

func TestALinkShowsTheReportAndNothingElseUntilItEnds(t *testing.T) {
	t.Parallel()
	st := serve(t)
	st.runAudit(t)
	ada := st.as(t, "ada", enginePass)
	path := func(l api.CreatedReportLink) string {
		u, err := url.Parse(l.Address)
		if err != nil || !strings.HasPrefix(u.Path, sharePath) || len(u.Path) != len(sharePath)+64 {
			t.Fatalf("%q: %v", l.Address, err)
		}
		return u.Path
	}
	made, err := ada.ShareReport(t.Context(), mid, api.NewReportLink{Note: "board", Hours: 1})
	if err != nil {
		t.Fatal(err)
	}
	status, h, body := st.anonymous(t, path(made))
	if status != 200 || !strings.Contains(body, "Status report") {
		t.Fatalf("%d: %s", status, body)
	}
	for header, want := range map[string]string{"Cache-Control": "no-store",
		"Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex, nofollow"} {
		if h.Get(header) != want {
			t.Errorf("%s: %q", header, h.Get(header))
		}
	}
	for _, no := range []string{"<form", "<button", "/m/" + mid, "/api/", canary,
		strings.TrimPrefix(st.redis.URL()[strings.LastIndex(st.redis.URL(), "@")+1:], "redis://")} {
		if strings.Contains(body, strings.TrimSuffix(no, "/")) {
			t.Errorf("the page that needs no account holds %q", no)
		}
	}
	if status, _, _ := st.anonymous(t, "/m/"+mid+"/report"); status != http.StatusSeeOther {
		t.Errorf("the report without a link: %d", status)
	}
	for _, token := range []string{"x", strings.Repeat("0", 64)} {
		if status, _, _ := st.anonymous(t, sharePath+token); status != http.StatusNotFound {
			t.Errorf("%s: %d", token, status)
		}
	}
	if err := ada.RevokeReportLink(t.Context(), mid, made.Link.ID); err != nil {
		t.Fatal(err)
	}
	status, _, body = st.anonymous(t, path(made))
	if status != http.StatusGone || !strings.Contains(body, "revoked") ||
		strings.Contains(body, "Criterion") {
		t.Errorf("a link that was revoked: %d", status)
	}
	links, err := ada.ReportLinks(t.Context(), mid)
	if err != nil || len(links) != 1 || links[0].RevokedBy != "ada" || links[0].Note != "board" {
		t.Errorf("%+v %v", links, err)
	}
}

func TestLinksAreBoundedAndForEngineers(t *testing.T) {
	t.Parallel()
	st := serve(t)
	ada, grace := st.as(t, "ada", enginePass), st.as(t, "grace", viewerPass)
	share := func(ctx context.Context, c *api.Client, hours int) error {
		_, err := c.ShareReport(ctx, mid, api.NewReportLink{Hours: hours})
		return err
	}
	for rule, c := range map[string]struct {
		who   *api.Client
		hours int
		want  migration.Kind
	}{
		"a viewer":      {grace, 1, migration.Forbidden},
		"no time":       {ada, 0, migration.Invalid},
		"negative time": {ada, -1, migration.Invalid},
		"too long":      {ada, 721, migration.Invalid},
	} {
		if err := share(t.Context(), c.who, c.hours); migration.KindOf(err) != c.want {
			t.Errorf("%s: %v", rule, err)
		}
	}
	for range workflows.MostLinks {
		if err := share(t.Context(), ada, 720); err != nil {
			t.Fatal(err)
		}
	}
	if err := share(t.Context(), ada, 1); migration.KindOf(err) != migration.Conflict {
		t.Errorf("one more than there may be: %v", err)
	}
	b := st.browser(t, "ada", enginePass)
	const page = "/m/" + mid + "/report/links"
	form := url.Values{"csrf": {b.get(page).csrf()}, "within": {"1h"}, "note": {"board"}}
	b.send("POST", page, form, nil).wants(t, 409, "revoke one first", "board")
	if r := b.send("POST", page+"/1/revoke", form, nil); r.status != 200 {
		t.Errorf("revoke: %d", r.status)
	}
	r := b.send("POST", page, form, nil)
	r.wants(t, 200, "It is not stored", sharePath)
	if b.get(page).there("#link") {
		t.Error("the address of a link is shown a second time")
	}
	list, err := grace.ReportLinks(t.Context(), mid)
	if err != nil || !list[0].Until.Before(time.Now().Add(time.Hour+time.Minute)) {
		t.Errorf("%+v %v", list, err)
	}
}
