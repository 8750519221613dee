package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows"
)

// Every credential of the tests holds this word, so that one that leaks is found.
const canary = "CANARY"

const (
	enginePass  = canary + "-engineer-pass"
	secondPass  = canary + "-second-pass"
	viewerPass  = canary + "-viewer-pass"
	redisPass   = canary + "-redis-pass"
	workerToken = canary + "-worker-token"
)

// site is a running server on a real Control, a real database and a real Redis with an evicting policy.
type site struct {
	*Server
	url   string
	redis *redistest.Server
	logs  *logs
}

type logs struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func serve(t *testing.T, change ...func(*Options)) *site {
	t.Helper()
	return serveOn(t, func(*config.Config) {}, change...)
}

// serveOn is serve with another configuration; prepare may also put something into the data folder.
func serveOn(t *testing.T, prepare func(*config.Config), change ...func(*Options)) *site {
	t.Helper()
	st := &site{redis: redistest.Start(t, redistest.Password(redisPass), redistest.Config("maxmemory 100mb", "maxmemory-policy allkeys-lru")), logs: &logs{}}
	cfg := config.Default()
	cfg.DataDir = t.TempDir()
	cfg.WorkerToken = workerToken
	cfg.Source.Standalone.URL = migration.Secret(st.redis.URL())
	cfg.Ingestion.URL, cfg.Ingestion.Token = "http://127.0.0.1:1", canary+"-ingestion-token"
	cfg.Target.Upstash.API, cfg.Target.Upstash.APIKey = "http://127.0.0.1:1", canary+"-upstash-key"
	cfg.Linode.API, cfg.Linode.Token = "http://127.0.0.1:1", canary+"-linode-token"
	cfg.Heroku.API, cfg.Heroku.Token = "http://127.0.0.1:1", canary+"-heroku-token"
	cfg.Notifications = []config.Notification{{Name: "pager", Type: "pagerduty", URL: "http://127.0.0.1:1", RoutingKey: canary + "-routing-key"}, {Name: "chat", Type: "slack", URL: "http://127.0.0.1:1/services/" + canary}}
	cfg.Migration.EventDate = "2026-12-24"
	cfg.FirstRunUsers = []config.User{{Name: "ada", Role: migration.RoleEngineer, Password: enginePass}, {Name: "linus", Role: migration.RoleEngineer, Password: secondPass},
		{Name: "grace", Role: migration.RoleViewer, Password: viewerPass}}
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
	opt := Options{Control: control, Readers: readers, Addr: "127.0.0.1:0", Log: log, Version: "test"}
	for _, f := range change {
		f(&opt)
	}
	st.Server = New(opt)
	ln, err := st.Bind(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	st.url = "http://" + ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- st.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := st.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := control.Close(); err != nil && !errors.Is(err, os.ErrClosed) { // a test may have closed it
			t.Error(err)
		}
	})
	return st
}

const mid = "order-pipeline"

// as returns an API client that is signed in.
func (st *site) as(t *testing.T, name, password string) *api.Client {
	t.Helper()
	c := api.New(st.url, "")
	if _, err := c.SignIn(t.Context(), name, migration.Secret(password)); err != nil {
		t.Fatal(err)
	}
	return c
}

// browser is a person at the pages: cookies, no JavaScript.
type browser struct {
	t    *testing.T
	st   *site
	http *http.Client
}

func (st *site) browser(t *testing.T, name, password string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t, st, &http.Client{Jar: jar, Timeout: 20 * time.Second}}
	if name != "" {
		resp := b.send("POST", "/sign-in", url.Values{"name": {name}, "password": {password}}, nil)
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
	page   *html.Node
}

func (b *browser) send(method, path string, form url.Values, header map[string]string) response {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.st.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	r := response{resp.StatusCode, resp.Header, resp.Request.URL.RequestURI(), string(body), nil}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		if r.page, err = html.Parse(strings.NewReader(r.text)); err != nil {
			b.t.Fatal(err)
		}
	}
	return r
}

func (b *browser) get(path string) response { b.t.Helper(); return b.send("GET", path, nil, nil) }

// submit sends the form that the element with this id belongs to, with its hidden fields and the values given.
func (b *browser) submit(r response, id string, values map[string]string) response {
	b.t.Helper()
	e := find(r.page, func(n *html.Node) bool { return attr(n, "id") == id })
	if e == nil {
		b.t.Fatalf("no #%s on %s (%d)\n%s", id, r.path, r.status, r.text)
	}
	form := e
	for form != nil && form.Data != "form" {
		form = form.Parent
	}
	if form == nil {
		b.t.Fatalf("#%s is in no form", id)
	}
	if has(e, "disabled") {
		b.t.Fatalf("#%s is disabled", id)
	}
	v := url.Values{}
	for _, in := range all(form, func(n *html.Node) bool { return n.Data == "input" || n.Data == "textarea" }) {
		v.Set(attr(in, "name"), attr(in, "value"))
	}
	for k, x := range values {
		v.Set(k, x)
	}
	action := attr(form, "action")
	if fa := attr(e, "formaction"); fa != "" {
		action = fa
	}
	return b.send("POST", action, v, nil)
}

func all(n *html.Node, match func(*html.Node) bool) []*html.Node {
	var out []*html.Node
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && match(d) {
			out = append(out, d)
		}
	}
	return out
}

func find(n *html.Node, match func(*html.Node) bool) *html.Node {
	if found := all(n, match); len(found) > 0 {
		return found[0]
	}
	return nil
}

func byID(r response, id string) *html.Node {
	return find(r.page, func(n *html.Node) bool { return attr(n, "id") == id })
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	for _, a := range n.Attr {
		if a.Key == name {
			return true
		}
	}
	return false
}

// runAudit runs the step audit to its end and gives the run.
func (st *site) runAudit(t *testing.T) migration.Run {
	t.Helper()
	c := st.as(t, "ada", enginePass)
	r, err := c.Start(t.Context(), mid, "audit", migration.Params{}, "")
	if err != nil {
		t.Fatal(err)
	}
	if r, err = c.Wait(t.Context(), r.ID, nil); err != nil || r.State != migration.RunSucceeded {
		t.Fatalf("audit: %s %s %v", r.State, r.Error, err)
	}
	return r
}

func problemOf(t *testing.T, body string) api.Problem {
	t.Helper()
	var p api.Problem
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return p
}

func asError(err error) (*migration.Error, bool) { return errors.AsType[*migration.Error](err) }
