package server

import (
	"context"
	"errors"
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/server/servertest"
	"github.com/switchyard-dev/switchyard/workflows"
)

// Every credential of the tests holds this word, so that one that leaks is found.
const canary = servertest.Canary

const (
	enginePass  = canary + "-engineer-pass"
	secondPass  = canary + "-second-pass"
	viewerPass  = canary + "-viewer-pass"
	redisPass   = canary + "-redis-pass"
	workerToken = canary + "-worker-token"
	tokenB      = canary + "-token-b"
	tokenSlow   = canary + "-token-slow"
)

const (
	mid        = "order-pipeline"
	setA, setB = "set-a", "set-b"

	bulkPath   = "/ofrep/v1/evaluate/flags"
	streamPath = "/ofrep/v1/sse"
)

// running is a server on a real Control, a real database and a real Redis with an evicting
// policy.
type running struct {
	*Server
	url   string
	redis *redistest.Server
	logs  *servertest.Log
}

func serve(t testing.TB, change ...func(*Options)) *running {
	t.Helper()
	return serveOn(t, func(*config.Config) {}, change...)
}

// serveOn is serve with another configuration; prepare may also put something into the data
// folder.
func serveOn(
	t testing.TB, prepare func(*config.Config), change ...func(*Options),
) *running {
	t.Helper()
	st := &running{
		redis: redistest.Start(t, redistest.Password(redisPass),
			redistest.Config("maxmemory 100mb", "maxmemory-policy allkeys-lru")),
		logs: &servertest.Log{},
	}
	cfg := testConfig(t, migration.Secret(st.redis.URL()))
	prepare(&cfg)
	log := slog.New(slog.NewJSONHandler(st.logs, nil))
	readers, err := workflows.NewReaders(cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	control, err := workflows.Open(t.Context(), cfg, readers, log)
	if err != nil {
		t.Fatal(err)
	}
	opt := Options{
		Control: control, Readers: readers, Log: log, Version: "test",
	}
	for _, f := range change {
		f(&opt)
	}
	st.Server = New(opt)
	t.Cleanup(func() {
		// A test may have closed it.
		if err := control.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	})
	st.url = listenOn(t, st.Server)
	return st
}

// testConfig has every credential, and nobody behind the addresses but the source.
func testConfig(t testing.TB, source migration.Secret) config.Config {
	t.Helper()
	const nobody = "http://127.0.0.1:1"
	cfg := config.Default()
	cfg.DataDir = t.TempDir()
	cfg.WorkerToken = workerToken
	cfg.Source.Standalone.URL = source
	cfg.Ingestion.URL, cfg.Ingestion.Token = nobody, canary+"-ingestion-token"
	cfg.Target.Upstash.API, cfg.Target.Upstash.APIKey = nobody, canary+"-upstash-key"
	cfg.Linode.API, cfg.Linode.Token = nobody, canary+"-linode-token"
	cfg.Heroku.API, cfg.Heroku.Token = nobody, canary+"-heroku-token"
	cfg.Notifications = []config.Notification{
		{Name: "pager", Type: "pagerduty", URL: nobody, RoutingKey: canary + "-routing-key"},
		{Name: "chat", Type: "slack", URL: nobody + "/services/" + canary},
	}
	cfg.Migration.EventDate = "2026-12-24"
	cfg.FirstRunUsers = []config.User{
		{Name: "ada", Role: migration.RoleEngineer, Password: enginePass},
		{Name: "linus", Role: migration.RoleEngineer, Password: secondPass},
		{Name: "grace", Role: migration.RoleViewer, Password: viewerPass},
	}
	return cfg
}

func listenOn(t testing.TB, s *Server) (url string) {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return "http://" + ln.Addr().String()
}

// flagsOnly is a running server that has flags and no Control.
type flagsOnly struct {
	*Server
	url    string
	holder *flags.Holder
	fleet  *fleet.Fleet
	logs   *servertest.Log
}

// serveFlags serves sets A and B at revision 1 with the worker token for A and two more keys.
func serveFlags(t *testing.T, change ...func(*Options)) *flagsOnly {
	t.Helper()
	st := serveNoFlags(t, change...)
	st.hold(t, setA, 1)
	st.hold(t, setB, 1)
	if err := st.holder.ReplaceKeys([]flags.Key{
		servertest.Key("b", setB, tokenB, 0), servertest.Key("slow", setA, tokenSlow, 1),
	}); err != nil {
		t.Fatal(err)
	}
	return st
}

func serveNoFlags(t *testing.T, change ...func(*Options)) *flagsOnly {
	t.Helper()
	st := &flagsOnly{logs: &servertest.Log{}, fleet: fleet.New(time.Now)}
	log := slog.New(slog.NewJSONHandler(st.logs, nil))
	st.holder = flags.NewHolder(flags.Options{
		Keys: []flags.Key{servertest.Key("worker-token", setA, workerToken, 0)}, Log: log,
	})
	opt := Options{
		Readers: workflows.Readers{Flags: st.holder, Fleet: st.fleet},
		Log:     log, Version: "test", StreamSecret: "secret",
	}
	for _, f := range change {
		f(&opt)
	}
	st.Server = New(opt)
	st.url = listenOn(t, st.Server)
	return st
}

func (st *flagsOnly) hold(t *testing.T, set string, revision int64) {
	t.Helper()
	if err := st.holder.Replace(servertest.Set(set, revision)); err != nil {
		t.Fatal(err)
	}
}

// as returns an API client that is signed in.
func (st *running) as(t testing.TB, name, password string) *api.Client {
	t.Helper()
	c := api.New(st.url, "")
	if _, err := c.SignIn(t.Context(), name, migration.Secret(password)); err != nil {
		t.Fatal(err)
	}
	return c
}

// runAudit runs the step audit to its end and gives the run.
func (st *running) runAudit(t testing.TB) migration.Run {
	t.Helper()
	c := st.as(t, "ada", enginePass)
	r, err := c.Start(t.Context(), mid, migration.StepAudit, migration.Params{}, "")
	if err != nil {
		t.Fatal(err)
	}
	r, err = c.Wait(t.Context(), r.ID, nil)
	if err != nil || r.State != migration.RunSucceeded {
		t.Fatalf("audit: %s %s %v", r.State, r.Error, err)
	}
	return r
}

// browser is a person at the pages: cookies, no JavaScript.
type browser struct {
	t    *testing.T
	st   *running
	http *http.Client
}

func (st *running) browser(t *testing.T, name, password string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t, st, &http.Client{Jar: jar, Timeout: 20 * time.Second}}
	if name != "" {
		form := url.Values{"name": {name}, "password": {password}}
		resp := b.send("POST", "/sign-in", form, nil)
		if resp.status != http.StatusOK {
			t.Fatalf("sign-in of %s: %d\n%s", name, resp.status, resp.text)
		}
	}
	return b
}

type response struct {
	status int
	header http.Header
	path   string // after redirects
	text   string
	page   *goquery.Document // empty when it is no page
}

func (b *browser) send(
	method, path string, form url.Values, header map[string]string,
) response {
	b.t.Helper()
	body := strings.NewReader(form.Encode())
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.st.url+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	return b.do(req)
}

func (b *browser) do(req *http.Request) response {
	b.t.Helper()
	resp, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	source := ""
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		source = string(body)
	}
	page, err := goquery.NewDocumentFromReader(strings.NewReader(source))
	if err != nil {
		b.t.Fatal(err)
	}
	return response{
		resp.StatusCode, resp.Header, resp.Request.URL.RequestURI(), string(body), page,
	}
}

func (b *browser) get(path string) response { b.t.Helper(); return b.send("GET", path, nil, nil) }

// until reads a page until it is as wanted.
func (b *browser) until(path string, ok func(response) bool) response {
	b.t.Helper()
	var r response
	servertest.Eventually(b.t, "page "+path, func() bool { r = b.get(path); return ok(r) })
	return r
}

// submit sends the form that the element with this id belongs to, with its hidden fields
// and the values given.
func (b *browser) submit(r response, id string, values map[string]string) response {
	b.t.Helper()
	e := r.find("#" + id)
	form := e.Closest("form")
	switch {
	case e.Length() == 0:
		b.t.Fatalf("no #%s on %s (%d)\n%s", id, r.path, r.status, r.text)
	case form.Length() == 0:
		b.t.Fatalf("#%s is in no form", id)
	case e.Is("[disabled]"):
		b.t.Fatalf("#%s is disabled", id)
	}
	v := url.Values{}
	form.Find("input, textarea").Each(func(_ int, in *goquery.Selection) {
		v.Set(in.AttrOr("name", ""), in.AttrOr("value", ""))
	})
	for k, x := range values {
		v.Set(k, x)
	}
	action := e.AttrOr("formaction", form.AttrOr("action", ""))
	return b.send("POST", action, v, nil)
}

func (r response) find(selector string) *goquery.Selection { return r.page.Find(selector) }

// there reports whether the page has such an element.
func (r response) there(selector string) bool { return r.find(selector).Length() > 0 }

// csrf is the token that the page's forms carry.
func (r response) csrf() string { return r.field("csrf") }

// field is the value of the first input with this name.
func (r response) field(name string) string {
	return r.find(`input[name="`+name+`"]`).First().AttrOr("value", "")
}

// wants checks the status and what the page says.
func (r response) wants(t *testing.T, status int, texts ...string) {
	t.Helper()
	if r.status != status {
		t.Errorf("%s: %d, want %d", r.path, r.status, status)
	}
	for _, text := range texts {
		if !strings.Contains(html.UnescapeString(r.text), text) {
			t.Errorf("%s (%d) does not say %q\n%s", r.path, r.status, text, r.text)
		}
	}
}

// says reports whether a text holds all of these.
func says(text string, all ...string) bool {
	for _, s := range all {
		if !strings.Contains(text, s) {
			return false
		}
	}
	return true
}
