package server

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
)

// flaky stands between client and server: it forwards requests, and loses the answers of
// the first POSTs to paths with this ending.
type flaky struct {
	to     string
	losing string
	left   atomic.Int32
	posts  atomic.Int32
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	req, err := http.NewRequestWithContext(
		r.Context(), r.Method, f.to+r.URL.RequestURI(), strings.NewReader(string(body)),
	)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	req.Header = r.Header.Clone()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer func() { _ = resp.Body.Close() }()
	if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, f.losing) {
		f.posts.Add(1)
		if f.left.Add(-1) >= 0 {
			panic(http.ErrAbortHandler) // after the server acted, before the client hears
		}
	}
	w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}

func through(t *testing.T, st *running, losing string) (*api.Client, *flaky) {
	t.Helper()
	f := &flaky{to: st.url, losing: losing}
	f.left.Store(1)
	proxy := httptest.NewServer(f)
	proxy.Config.ErrorLog = nil
	t.Cleanup(proxy.Close)
	c := api.New(proxy.URL, "")
	if _, err := c.SignIn(t.Context(), "ada", enginePass); err != nil {
		t.Fatal(err)
	}
	return c, f
}

func TestALostAnswerDoesNotActTwice(t *testing.T) {
	t.Parallel()
	st := serve(t)
	run := st.runAudit(t)

	c, f := through(t, st, "/runs")
	r, err := c.Start(t.Context(), mid, "fix-policy", migration.Params{}, "")
	if err != nil || r.State != migration.RunAwaitingApproval {
		t.Fatalf("%+v %v", r, err)
	}
	if f.posts.Load() != 1 {
		t.Errorf("start was sent %d times", f.posts.Load())
	}
	// Asked for once more, it is the run that is open already.
	again, err := c.Start(t.Context(), mid, "fix-policy", migration.Params{}, "")
	if err != nil || again.ID != r.ID {
		t.Errorf("second start: %s %v, want %s", again.ID, err, r.ID)
	}
	// Somebody else's start is refused.
	if _, err := st.as(t, "linus", secondPass).Start(t.Context(), mid, "fix-policy", migration.Params{}, ""); migration.KindOf(
		err,
	) != migration.Conflict {
		t.Errorf("another's start: %v", err)
	}

	c, f = through(t, st, "/approve")
	approved, err := c.Approve(t.Context(), r.ID, api.Decision{Comment: "go"})
	if err != nil || approved.DecidedBy != "ada" || f.posts.Load() != 1 {
		t.Errorf("approve: %+v %v, sent %d times", approved.State, err, f.posts.Load())
	}
	done, err := c.Wait(t.Context(), r.ID, nil)
	if err != nil || done.State != migration.RunSucceeded {
		t.Fatalf("%s %s %v", done.State, done.Error, err)
	}

	c, f = through(t, st, "/rollback")
	back, err := c.Rollback(t.Context(), r.ID)
	if err != nil || back.Rollback != r.ID || f.posts.Load() != 1 {
		t.Errorf("rollback: %+v %v, sent %d times", back, err, f.posts.Load())
	}
	if _, err := c.Wait(t.Context(), back.ID, nil); err != nil {
		t.Fatal(err)
	}
	runs, err := c.Runs(t.Context(), mid, "", 100)
	if err != nil || len(runs) != 3 || runs[2].ID != run.ID {
		t.Errorf("%d runs, want audit, fix-policy and its rollback (%v)", len(runs), err)
	}
}

func TestReadingSurvivesAnOutageAndRefusalsAreNotRepeated(t *testing.T) {
	t.Parallel()
	st := serve(t)
	token := st.as(t, "grace", viewerPass).Token()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close() // nobody listens there now
	if _, err := api.New("http://"+addr, token).WithPatience(0).Migrations(t.Context()); migration.KindOf(
		err,
	) != migration.Unavailable {
		t.Errorf("nobody there: %v", err)
	}
	tried := make(chan struct{})
	go func() {
		defer close(tried)
		all, err := api.New("http://"+addr, token).Migrations(t.Context())
		if err != nil || len(all) != 1 || all[0].ID != mid {
			t.Errorf("through the outage: %v %v", all, err)
		}
	}()
	back, err := lc.Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatalf("the port was taken by somebody else meanwhile: %v", err)
	}
	proxy := &http.Server{
		Handler: &flaky{to: st.url, losing: "none"}, ReadHeaderTimeout: time.Second,
	}
	go func() { _ = proxy.Serve(back) }()
	defer func() { _ = proxy.Close() }()
	<-tried

	var asked atomic.Int32
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusPreconditionFailed)
		_, _ = io.WriteString(
			w,
			`{"kind":"blocked","detail":"not yet","blockers":[{"id":"a","title":"A","measured":"1","limit":"0"}]}`,
		)
	}))
	defer refusing.Close()
	_, err = api.New(refusing.URL, token).Cancel(t.Context(), "x")
	blocked, ok := errors.AsType[*migration.Error](err)
	if !ok || blocked.Kind != migration.Blocked || blocked.Text != "not yet" ||
		len(blocked.Blockers) != 1 ||
		asked.Load() != 1 {
		t.Errorf("%v, asked %d times", err, asked.Load())
	}
}
