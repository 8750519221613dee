package server

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/static"
)

// fill puts real ids into a route's path.
func fill(path string, run migration.Run) string {
	return strings.NewReplacer(
		":mid", mid, ":step", migration.StepAudit, ":run", run.ID, ":criterion", "noeviction",
		":key", "order-ingestion-stage", ":queue", "order-ingestion", ":order", "evt_1",
		":page", "step-audit", ":schedule", "none", ":apikey", "none", "*", "app.css",
	).Replace(path)
}

// bodies are requests that are well formed, where an empty one is not.
var bodies = map[string]string{
	"POST /api/v1/sessions":       `{"name":"ada","password":"` + enginePass + `"}`,
	"POST /api/v1/workers/attest": `{"service":"ingestion","instance":"web.1"}`,
}

// stay is a client that does not follow redirects.
var stay = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error {
	return http.ErrUseLastResponse
}}

// outcomes says what becomes of each role's request to a route with this access level.
var outcomes = map[site.Access]map[string]string{
	site.Open:    {"anonymous": "in", "viewer": "in", "engineer": "in", "worker": "in"},
	site.Session: {"anonymous": "unknown", "viewer": "in", "engineer": "in", "worker": "unknown"},
	site.Engineer: {
		"anonymous": "unknown", "viewer": "forbidden", "engineer": "in",
		"worker": "unknown",
	},
	site.Worker: {
		"anonymous": "unknown", "viewer": "unknown", "engineer": "unknown", "worker": "in",
	},
	site.Reader: {"anonymous": "unknown", "viewer": "in", "engineer": "in", "worker": "in"},
	// Only by the address itself.
	site.Ticket: {
		"anonymous": "unknown", "viewer": "unknown", "engineer": "unknown",
		"worker": "unknown",
	},
}

func TestEveryRouteLetsInExactlyWhoItIsFor(t *testing.T) {
	t.Parallel()
	st := serve(t)
	run := st.runAudit(t)
	for _, r := range st.routes() {
		if outcomes[r.Who] == nil {
			t.Errorf("%s %s has the access level %q, which does not exist", r.Method, r.Path, r.Who)
		}
		for role, want := range outcomes[r.Who] {
			token := "" // signing out ends a session, so each request has its own
			switch role {
			case "viewer":
				token = st.as(t, "grace", viewerPass).Token().Reveal()
			case "engineer":
				token = st.as(t, "ada", enginePass).Token().Reveal()
			case "worker":
				token = workerToken
			}
			if got, status := st.try(t, r, run, token); got != want {
				t.Errorf("%s %s as %s: %s (%d), want %s", r.Method, r.Path, role, got, status, want)
			}
		}
	}
}

// try asks for a route, and gives what became of it: in, unknown, forbidden, or a status
// that is our fault.
func (st *running) try(
	t *testing.T, r site.Route, run migration.Run, token string,
) (outcome string, status int) {
	t.Helper()
	path, body := fill(r.Path, run), bodies[r.Method+" "+r.Path]
	isForm := r.Path == "/sign-in" && r.Method == "POST"
	if isForm {
		body = url.Values{"name": {"ada"}, "password": {enginePass}}.Encode()
	}
	if r.Path == "/events" {
		// A stream would not end; being told that the topic is wrong shows that one was let in.
		path += "?topic=nonsense"
	}
	req, err := http.NewRequestWithContext(
		t.Context(), r.Method, st.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if isForm {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := stay.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusUnauthorized,
		strings.HasPrefix(resp.Header.Get("Location"), "/sign-in?next="):
		return "unknown", resp.StatusCode
	case r.Who == site.Ticket && resp.StatusCode == http.StatusNotFound:
		return "unknown", resp.StatusCode // nothing says that there could be anything
	case resp.StatusCode == http.StatusForbidden:
		return "forbidden", resp.StatusCode
	case resp.StatusCode >= 500:
		return resp.Status, resp.StatusCode
	}
	return "in", resp.StatusCode
}

func TestNoRouteIsThereTwice(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range (&Server{}).routes() {
		name := r.Method + " " + r.Path
		if seen[name] || r.Handle == nil {
			t.Errorf("%s is there twice, or has no handler", name)
		}
		seen[name] = true
	}
}

func TestRefusesWhatAnotherSiteMadeABrowserSend(t *testing.T) {
	t.Parallel()
	st := serve(t)
	b := st.browser(t, "ada", enginePass)
	mine := b.get("/").csrf()
	theirs := st.browser(t, "linus", secondPass).get("/").csrf()
	if mine == "" || mine == theirs {
		t.Fatalf("tokens %q and %q", mine, theirs)
	}
	const start = "/m/" + mid + "/steps/audit/start"
	from := func(header, value string) map[string]string {
		return map[string]string{header: value}
	}
	for name, c := range map[string]struct {
		path   string
		csrf   string
		header map[string]string
	}{
		"no token": {start, "", nil}, "another's token": {start, theirs, nil},
		"cross-site":            {start, mine, from("Sec-Fetch-Site", "cross-site")},
		"same-site, other host": {start, mine, from("Sec-Fetch-Site", "same-site")},
		"foreign origin":        {start, mine, from("Origin", "https://evil.example")},
		"opaque origin":         {start, mine, from("Origin", "null")},
		"foreign sign-in":       {"/sign-in", "", from("Sec-Fetch-Site", "cross-site")},
		"API by cookie, no token": {
			"/api/v1/migrations/" + mid + "/steps/audit/runs", "", nil,
		},
	} {
		if r := b.send("POST", c.path, url.Values{"csrf": {c.csrf}}, c.header); r.status != 403 {
			t.Errorf("%s: %d", name, r.status)
		}
	}
	runs, err := st.as(t, "ada", enginePass).Runs(t.Context(), mid, "", 10)
	if err != nil || len(runs) != 0 {
		t.Fatalf("refused requests started %d runs (%v)", len(runs), err)
	}
	own := map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": st.url}
	r := b.send("POST", start, url.Values{"csrf": {mine}}, own)
	if r.status != 200 || !strings.Contains(r.path, "/runs/") {
		t.Errorf("own form: %d at %s", r.status, r.path)
	}
}

func TestSessionCookieIsOutOfReachOfScripts(t *testing.T) {
	t.Parallel()
	for name, secure := range map[string]bool{
		"switchyard_session": false, "__Host-switchyard": true,
	} {
		st := serve(t, func(o *Options) { o.SecureCookies = secure })
		form := url.Values{
			"name": {"ada"}, "password": {enginePass}, "next": {"//evil.example/"},
		}
		req, err := http.NewRequestWithContext(
			t.Context(), http.MethodPost, st.url+"/sign-in", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := stay.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		to := resp.Header.Get("Location")
		if resp.StatusCode != http.StatusSeeOther || to != "/" {
			t.Errorf("sign-in leads to %q with %d", to, resp.StatusCode)
		}
		if len(resp.Cookies()) != 1 {
			t.Fatalf("cookies: %v", resp.Cookies())
		}
		c := resp.Cookies()[0]
		if c.Name != name || !c.HttpOnly || c.Secure != secure ||
			c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
			t.Errorf("cookie %+v", c)
		}
		if hsts := resp.Header.Get("Strict-Transport-Security"); (hsts != "") != secure {
			t.Errorf("HSTS %q with secure %v", hsts, secure)
		}
	}
}

func TestSigningOutEndsTheSession(t *testing.T) {
	t.Parallel()
	b := serve(t).browser(t, "grace", viewerPass)
	csrf := b.get("/").csrf()
	if r := b.send("POST", "/sign-out", url.Values{"csrf": {csrf}}, nil); r.path != "/sign-in" {
		t.Errorf("after signing out at %s", r.path)
	}
	if r := b.get("/m/" + mid); !strings.HasPrefix(r.path, "/sign-in?next=") {
		t.Errorf("still in: %d at %s", r.status, r.path)
	}
}

// protected reports whether an answer carries the headers that every one does.
func (r response) protected(t *testing.T, what string) {
	t.Helper()
	for k, want := range map[string]string{
		"Content-Security-Policy": site.ContentPolicy, "X-Content-Type-Options": "nosniff",
		"Referrer-Policy": "same-origin", "Cache-Control": "no-store",
	} {
		if got := r.header.Get(k); got != want {
			t.Errorf("%s: %s is %q", what, k, got)
		}
	}
}

func TestEveryAnswerForbidsInlineScriptAndCaching(t *testing.T) {
	t.Parallel()
	st := serve(t)
	run := st.runAudit(t)
	b := st.browser(t, "ada", enginePass)
	check := func(what string, r response) {
		r.protected(t, what)
		if r.header.Get("X-Request-Id") == "" {
			t.Errorf("%s: no request id", what)
		}
	}
	for _, r := range st.routes() {
		if r.Method == "GET" && r.Path != "/events" && !strings.HasPrefix(r.Path, static.Prefix) {
			check(r.Path, b.get(fill(r.Path, run)))
		}
	}
	for _, path := range []string{
		"/nothing", "/m/other", "/m/" + mid + "/steps/none", "/m/" + mid + "/runs/none",
		"/api/v1/nothing", static.Prefix + "none.css",
	} {
		r := b.get(path)
		if r.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, r.status)
		}
		check(path, r)
	}
	if r := b.send("POST", "/m/"+mid, url.Values{}, nil); r.status != http.StatusMethodNotAllowed {
		t.Errorf("POST to a page: %d", r.status)
	}
	// Far more than socket buffers hold, so that the client is still sending when it is
	// refused.
	big := b.send("POST", "/sign-in",
		url.Values{"name": {strings.Repeat("x", 8*site.BodyLimit)}}, nil)
	if big.status != http.StatusRequestEntityTooLarge {
		t.Errorf("too large: %d", big.status)
	}
	big.protected(t, "too large")
}

func TestAssetsAreCompressedAndNeverExpire(t *testing.T) {
	t.Parallel()
	b := serve(t).browser(t, "", "")
	href := b.get("/sign-in").find(`[rel="stylesheet"]`).AttrOr("href", "")
	r := b.send("GET", href, nil, map[string]string{"Accept-Encoding": "gzip, br"})
	if r.status != 200 || r.header.Get("Content-Encoding") != "br" ||
		!strings.Contains(r.header.Get("Cache-Control"), "immutable") ||
		r.header.Get("Vary") == "" {
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
			if r.Method != "GET" || r.Path == "/events" ||
				strings.HasPrefix(r.Path, static.Prefix) {
				continue
			}
			look(when+" "+r.Path, b.get(fill(r.Path, run)))
			look(when+" anonymous "+r.Path, anybody.get(fill(r.Path, run)))
		}
		wrong := url.Values{"name": {"nobody"}, "password": {"wrong"}}
		look(when+" wrong password", anybody.send("POST", "/sign-in", wrong, nil))
	}
	crawl("redis up")
	st.redis.Kill()
	crawl("redis down")
	if r := b.get("/m/" + mid + "/queues"); r.status != 200 || !r.there("[data-error]") {
		t.Errorf("queues without Redis: %d, no error shown", r.status)
	}
	if strings.Contains(st.logs.String(), canary) {
		t.Error("a secret is in the log")
	}
}

func TestAPIRefusalsAreProblems(t *testing.T) {
	t.Parallel()
	st := serve(t)
	c := st.as(t, "ada", enginePass)
	r := st.browser(t, "", "").get("/api/v1/migrations")
	if p := problemOf(t, r.text); r.status != 401 || p.Kind != migration.Unauthenticated ||
		r.header.Get("Content-Type") != "application/problem+json" ||
		r.header.Get("WWW-Authenticate") == "" {
		t.Errorf("%d %+v %v", r.status, p, r.header)
	}
	_, err := c.Start(t.Context(), mid, migration.StepSentinelMove, migration.Params{}, "")
	if migration.KindOf(err) != migration.Blocked {
		t.Fatalf("err %v", err)
	}
	nonsense := migration.Params{To: "nonsense"}
	_, err = c.Start(t.Context(), mid, migration.StepCutover, nonsense, "")
	if migration.KindOf(err) != migration.Invalid {
		t.Errorf("err %v", err)
	}
	for _, body := range []string{`{`, `{"pasword":"x"}`, `{} {}`, `[]`} {
		if status, _ := st.ask(t, "", "POST", "/api/v1/sessions", body); status != 400 {
			t.Errorf("%s: %d", body, status)
		}
	}
	for _, path := range []string{
		"/runs?limit=0", "/runs?limit=-1", "/evidence?limit=99999", "/evidence?check=none",
		"/steps/cutover/plan?to=live&ramp=x",
		"/steps/cutover/plan?to=dualwrite&max_refused=x",
		"/steps/cutover/plan?to=dualwrite&max_latency_ms=999999",
	} {
		_, text := st.ask(
			t, c.Token().Reveal(), "GET", "/api/v1/migrations/"+mid+path, "")
		if p := problemOf(t, text); p.Kind != migration.Invalid || p.Status != 400 {
			t.Errorf("%s: %+v", path, p)
		}
	}
}

func problemOf(t *testing.T, body string) api.Problem {
	t.Helper()
	var p api.Problem
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return p
}
