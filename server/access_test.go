package server

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
)

// fill puts real ids into a route's path.
func fill(path string, run migration.Run) string {
	return strings.NewReplacer(":mid", mid, ":step", "audit", ":run", run.ID, ":criterion", "noeviction", ":key", "order-ingestion-stage", ":queue", "order-ingestion", ":order", "evt_1", ":schedule", "none", ":apikey", "none", "*", "app.css").Replace(path)
}

// bodies are requests that are well formed, where an empty one is not.
var bodies = map[string]string{
	"POST /api/v1/sessions":       `{"name":"ada","password":"` + enginePass + `"}`,
	"POST /api/v1/workers/attest": `{"service":"ingestion","instance":"web.1"}`,
}

func TestEveryRouteLetsInExactlyWhoItIsFor(t *testing.T) {
	t.Parallel()
	st := serve(t)
	run := st.runAudit(t)
	noRedirect := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, r := range st.routes() {
		for _, role := range []string{"anonymous", "viewer", "engineer", "worker"} {
			token := "" // signing out ends a session, so each request has its own
			switch role {
			case "viewer":
				token = st.as(t, "grace", viewerPass).Token().Reveal()
			case "engineer":
				token = st.as(t, "ada", enginePass).Token().Reveal()
			case "worker":
				token = workerToken
			}
			path := fill(r.path, run)
			body := bodies[r.method+" "+r.path]
			if r.path == "/sign-in" && r.method == "POST" {
				body = url.Values{"name": {"ada"}, "password": {enginePass}}.Encode()
			}
			if r.path == "/events" {
				path += "?topic=nonsense" // a stream would not end; being told that the topic is wrong shows that one was let in
			}
			req, err := http.NewRequestWithContext(t.Context(), r.method, st.url+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(body, "name=") {
				req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			if token != "" {
				req.Header.Set("Authorization", "Bearer "+token)
			}
			resp, err := noRedirect.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			got := "in"
			switch {
			case resp.StatusCode == http.StatusUnauthorized, strings.HasPrefix(resp.Header.Get("Location"), "/sign-in?next="):
				got = "unknown"
			case resp.StatusCode == http.StatusForbidden:
				got = "forbidden"
			case resp.StatusCode >= 500:
				got = resp.Status
			}
			want := map[access]map[string]string{
				open:     {"anonymous": "in", "viewer": "in", "engineer": "in", "worker": "in"},
				session:  {"anonymous": "unknown", "viewer": "in", "engineer": "in", "worker": "unknown"},
				engineer: {"anonymous": "unknown", "viewer": "forbidden", "engineer": "in", "worker": "unknown"},
				worker:   {"anonymous": "unknown", "viewer": "unknown", "engineer": "unknown", "worker": "in"},
				reader:   {"anonymous": "unknown", "viewer": "in", "engineer": "in", "worker": "in"},
				ticketed: {"anonymous": "unknown", "viewer": "unknown", "engineer": "unknown", "worker": "unknown"}, // only by the address itself
			}[r.who][role]
			if got != want {
				t.Errorf("%s %s as %s: %s (%d), want %s", r.method, path, role, got, resp.StatusCode, want)
			}
		}
	}
}

func TestRefusesWhatAnotherSiteMadeABrowserSend(t *testing.T) {
	t.Parallel()
	st := serve(t)
	b := st.browser(t, "ada", enginePass)
	other := st.browser(t, "linus", secondPass)
	token := func(b *browser) string {
		return attr(find(b.get("/").page, func(n *html.Node) bool { return attr(n, "name") == "csrf" }), "value")
	}
	mine, theirs := token(b), token(other)
	if mine == "" || mine == theirs {
		t.Fatalf("tokens %q and %q", mine, theirs)
	}
	const start = "/m/" + mid + "/steps/audit/start"
	for name, c := range map[string]struct {
		path   string
		csrf   string
		header map[string]string
		want   int
	}{
		"no token":                 {start, "", nil, 403},
		"another session's token":  {start, theirs, nil, 403},
		"cross-site":               {start, mine, map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		"same-site, other host":    {start, mine, map[string]string{"Sec-Fetch-Site": "same-site"}, 403},
		"foreign origin":           {start, mine, map[string]string{"Origin": "https://evil.example"}, 403},
		"opaque origin":            {start, mine, map[string]string{"Origin": "null"}, 403},
		"sign-in from another one": {"/sign-in", "", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		"API by cookie, no token":  {"/api/v1/migrations/" + mid + "/steps/audit/runs", "", nil, 403},
	} {
		if r := b.send("POST", c.path, url.Values{"csrf": {c.csrf}}, c.header); r.status != c.want {
			t.Errorf("%s: %d, want %d", name, r.status, c.want)
		}
	}
	runs, err := st.as(t, "ada", enginePass).Runs(t.Context(), mid, "", 10)
	if err != nil || len(runs) != 0 {
		t.Fatalf("refused requests started %d runs (%v)", len(runs), err)
	}
	if r := b.send("POST", start, url.Values{"csrf": {mine}}, map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": st.url}); r.status != 200 || !strings.Contains(r.path, "/runs/") {
		t.Errorf("own form: %d at %s", r.status, r.path)
	}
}

func TestSessionCookieIsOutOfReachOfScripts(t *testing.T) {
	t.Parallel()
	for name, secure := range map[string]bool{"switchyard_session": false, "__Host-switchyard": true} {
		st := serve(t, func(o *Options) { o.SecureCookies = secure })
		form := url.Values{"name": {"ada"}, "password": {enginePass}, "next": {"//evil.example/"}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, st.url+"/sign-in", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/" {
			t.Errorf("sign-in leads to %q with %d", resp.Header.Get("Location"), resp.StatusCode)
		}
		if len(resp.Cookies()) != 1 {
			t.Fatalf("cookies: %v", resp.Cookies())
		}
		c := resp.Cookies()[0]
		if c.Name != name || !c.HttpOnly || c.Secure != secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
			t.Errorf("cookie %+v", c)
		}
		if hsts := resp.Header.Get("Strict-Transport-Security"); (hsts != "") != secure {
			t.Errorf("HSTS %q with secure %v", hsts, secure)
		}
	}
}

func TestLeadsOnlyToPathsOfThisServer(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"/m/x?to=live": "/m/x?to=live", "": "/", "//evil": "/", `/\evil`: "/", "https://evil": "/", "evil": "/", "/a\nb": "/", "javascript:alert(1)": "/",
	} {
		if got := local(in); got != want {
			t.Errorf("local(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSigningOutEndsTheSession(t *testing.T) {
	t.Parallel()
	st := serve(t)
	b := st.browser(t, "grace", viewerPass)
	home := b.get("/")
	csrf := attr(find(home.page, func(n *html.Node) bool { return attr(n, "name") == "csrf" }), "value")
	if r := b.send("POST", "/sign-out", url.Values{"csrf": {csrf}}, nil); r.path != "/sign-in" {
		t.Errorf("after signing out at %s", r.path)
	}
	if r := b.get("/m/" + mid); !strings.HasPrefix(r.path, "/sign-in?next=") {
		t.Errorf("still in: %d at %s", r.status, r.path)
	}
}

func TestEveryAnswerForbidsInlineScriptAndCaching(t *testing.T) {
	t.Parallel()
	st := serve(t)
	run := st.runAudit(t)
	b := st.browser(t, "ada", enginePass)
	check := func(what string, r response) {
		for k, want := range map[string]string{"Content-Security-Policy": contentPolicy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "no-store"} {
			if got := r.header.Get(k); got != want {
				t.Errorf("%s: %s is %q", what, k, got)
			}
		}
		if r.header.Get("X-Request-Id") == "" && r.status < 500 {
			t.Errorf("%s: no request id", what)
		}
	}
	for _, r := range st.routes() {
		if r.method == "GET" && r.path != "/events" && !strings.HasPrefix(r.path, "/static/") {
			check(r.path, b.get(fill(r.path, run)))
		}
	}
	for path, status := range map[string]int{"/nothing": 404, "/m/other": 404, "/m/" + mid + "/steps/none": 404, "/m/" + mid + "/runs/none": 404, "/api/v1/nothing": 404, "/static/none.css": 404} {
		r := b.get(path)
		if r.status != status {
			t.Errorf("%s: %d, want %d", path, r.status, status)
		}
		check(path, r)
	}
	if r := b.send("POST", "/m/"+mid, url.Values{}, nil); r.status != http.StatusMethodNotAllowed {
		t.Errorf("POST to a page: %d", r.status)
	}
	// Far more than socket buffers hold, so that the client is still sending when it is refused.
	big := b.send("POST", "/sign-in", url.Values{"name": {strings.Repeat("x", 8*bodyLimit)}}, nil)
	if big.status != http.StatusRequestEntityTooLarge {
		t.Errorf("too large: %d", big.status)
	}
	check("too large", response{status: 500, header: big.header})
}

func TestAssetsAreCompressedAndNeverExpire(t *testing.T) {
	t.Parallel()
	st := serve(t)
	b := st.browser(t, "", "")
	page := b.get("/sign-in")
	href := attr(find(page.page, func(n *html.Node) bool { return attr(n, "rel") == "stylesheet" }), "href")
	r := b.send("GET", href, nil, map[string]string{"Accept-Encoding": "gzip, br"})
	if r.status != 200 || r.header.Get("Content-Encoding") != "br" || !strings.Contains(r.header.Get("Cache-Control"), "immutable") || r.header.Get("Vary") == "" {
		t.Errorf("%s: %d %v", href, r.status, r.header)
	}
}

func TestRefusalsNeverShowSecretsOrInsides(t *testing.T) {
	t.Parallel()
	st := serve(t)
	run := st.runAudit(t)
	b := st.browser(t, "ada", enginePass)
	anybody := st.browser(t, "", "")
	look := func(what string, r response) {
		header, err := json.Marshal(r.header)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{canary, "goroutine ", ".go:", "SELECT "} {
			if strings.Contains(r.text+string(header), bad) {
				t.Errorf("%s holds %q", what, bad)
			}
		}
	}
	crawl := func(when string) {
		for _, r := range st.routes() {
			if r.method != "GET" || r.path == "/events" || strings.HasPrefix(r.path, "/static/") {
				continue
			}
			look(when+" "+r.path, b.get(fill(r.path, run)))
			look(when+" anonymous "+r.path, anybody.get(fill(r.path, run)))
		}
		look(when+" wrong password", anybody.send("POST", "/sign-in", url.Values{"name": {"nobody"}, "password": {"wrong"}}, nil))
	}
	crawl("redis up")
	st.redis.Kill()
	crawl("redis down")
	if r := b.get("/m/" + mid + "/queues"); r.status != 200 || find(r.page, func(n *html.Node) bool { return has(n, "data-error") }) == nil {
		t.Errorf("queues without Redis: %d, no error shown", r.status)
	}
	if strings.Contains(st.logs.String(), canary) {
		t.Error("a secret is in the log")
	}
}

func TestKindsOfErrorsBecomeStatuses(t *testing.T) {
	t.Parallel()
	for kind, status := range map[migration.Kind]int{
		migration.Invalid: 400, migration.Unauthenticated: 401, migration.Forbidden: 403, migration.NotFound: 404, migration.Conflict: 409, migration.Blocked: 412,
		migration.Internal: 500, migration.Unavailable: 503,
	} {
		f := explain(migration.Errorf(kind, "the text"))
		if f.status != status || f.kind != kind {
			t.Errorf("%s: %d %s, want %d", kind, f.status, f.kind, status)
		}
		if shown := f.text == "the text"; shown == (kind == migration.Internal) {
			t.Errorf("%s: text %q", kind, f.text)
		}
	}
	if f := explain(http.ErrBodyNotAllowed); f.status != 500 || strings.Contains(f.text, "body") {
		t.Errorf("an unknown error is shown: %+v", f)
	}
}

func TestAPIRefusalsAreProblems(t *testing.T) {
	t.Parallel()
	st := serve(t)
	c := st.as(t, "ada", enginePass)
	b := st.browser(t, "", "")
	r := b.get("/api/v1/migrations")
	if p := problemOf(t, r.text); r.status != 401 || p.Kind != migration.Unauthenticated || r.header.Get("Content-Type") != "application/problem+json" || r.header.Get("WWW-Authenticate") == "" {
		t.Errorf("%d %+v %v", r.status, p, r.header)
	}
	_, err := c.Start(t.Context(), mid, "sentinel-move", migration.Params{}, "")
	if migration.KindOf(err) != migration.Blocked {
		t.Fatalf("err %v", err)
	}
	_, err = c.Start(t.Context(), mid, "cutover", migration.Params{To: "nonsense"}, "")
	if migration.KindOf(err) != migration.Invalid {
		t.Errorf("err %v", err)
	}
	for _, body := range []string{`{`, `{"pasword":"x"}`, `{} {}`, `[]`} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", st.url+"/api/v1/sessions", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 400 {
			t.Errorf("%s: %d", body, resp.StatusCode)
		}
	}
	for _, path := range []string{"/runs?limit=0", "/runs?limit=-1", "/evidence?limit=99999", "/evidence?check=none", "/steps/cutover/plan?to=live&ramp=x"} {
		var p api.Problem
		req, err := http.NewRequestWithContext(t.Context(), "GET", st.url+"/api/v1/migrations/"+mid+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+c.Token().Reveal())
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		err = json.NewDecoder(resp.Body).Decode(&p)
		_ = resp.Body.Close()
		if err != nil || p.Kind != migration.Invalid || p.Status != 400 {
			t.Errorf("%s: %+v %v", path, p, err)
		}
	}
}
