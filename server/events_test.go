package server

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
)

// eventually polls until ok, and fails when it takes too long.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// listen opens a stream and gives the names of its events; the channel closes with the stream.
func listen(t *testing.T, c *api.Client, base, query, lastID string) <-chan string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", base+"/events?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.Token().Reveal())
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("stream: %d %v", resp.StatusCode, resp.Header)
	}
	out := make(chan string, 100)
	go func() {
		defer close(out)
		defer func() { _ = resp.Body.Close() }()
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				out <- name
			}
		}
	}()
	return out
}

func await(t *testing.T, events <-chan string, want string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case got, ok := <-events:
			if !ok {
				t.Fatalf("the stream ended before %s", want)
			}
			if got == want {
				return
			}
		case <-deadline:
			t.Fatalf("no %s within 20 s", want)
		}
	}
}

func TestAChangeReachesOpenPagesAndShutdownDoesNotWaitForThem(t *testing.T) {
	t.Parallel()
	st := serve(t)
	c := st.as(t, "grace", viewerPass)
	events := listen(t, c, st.url, "topic=overview&since="+st.hub.mark(), "")
	await(t, events, "beat")
	st.runAudit(t)
	await(t, events, "update")
	if n := st.hub.count(); n != 1 {
		t.Errorf("%d streams", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	if err := st.Shutdown(ctx); err != nil {
		t.Fatalf("with a stream open: %v", err)
	}
	for range events { //nolint:revive // until it is closed
	}
}

func TestAReaderWhoLeavesIsForgotten(t *testing.T) {
	t.Parallel()
	st := serve(t)
	c := st.as(t, "grace", viewerPass)
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", st.url+"/events?topic=queues", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.Token().Reveal())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "stream open", func() bool { return st.hub.count() == 1 })
	cancel()
	_ = resp.Body.Close()
	eventually(t, "stream forgotten", func() bool { return st.hub.count() == 0 })
}

func TestAPageThatIsBehindIsToldAtOnce(t *testing.T) {
	t.Parallel()
	h := newHub()
	told := func(since string, topics ...string) bool {
		sub, done := h.subscribe(topics, since)
		defer done()
		select {
		case <-sub.dirty:
			return true
		default:
			return false
		}
	}
	start := h.mark()
	if told(start, "overview") {
		t.Error("told although nothing happened")
	}
	h.publish("flags")
	if told(start, "overview") {
		t.Error("told of a topic it does not show")
	}
	h.publish("run:1")
	if !told(start, "overview", "run:1") || told(h.mark(), "run:1") {
		t.Error("a page that is behind must be told, one that is not must not")
	}
	for _, since := range []string{"", "nonsense", newHub().mark(), h.epoch + "-x"} {
		if !told(since, "overview") {
			t.Errorf("mark %q: nothing is known of this page, so it must fetch", since)
		}
	}
}

func TestManyChangesAreOneNotice(t *testing.T) {
	t.Parallel()
	h := newHub()
	sub, done := h.subscribe([]string{"overview"}, h.mark())
	defer done()
	for range 1000 {
		h.publish("overview") // must not block, though nobody reads
	}
	<-sub.dirty
	select {
	case <-sub.dirty:
		t.Error("told twice")
	default:
	}
}

func TestStreamsOfUnknownTopicsAreRefused(t *testing.T) {
	t.Parallel()
	st := serve(t)
	b := st.browser(t, "ada", enginePass)
	for _, query := range []string{"", "?topic=secrets", "?topic=run:../x", "?topic=flags&topic=flags&topic=flags&topic=flags&topic=flags"} {
		if r := b.get("/events" + query); r.status != 400 {
			t.Errorf("%q: %d", query, r.status)
		}
	}
}

func TestAStreamEndsWithItsSession(t *testing.T) {
	t.Parallel()
	st := serve(t)
	c := st.as(t, "grace", viewerPass)
	s := stream{server: st.Server, token: c.Token().Reveal()}
	if !s.stillSignedIn() {
		t.Fatal("signed in")
	}
	if err := c.SignOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.stillSignedIn() {
		t.Error("the stream of a session that is over goes on")
	}
	if _, err := c.Overview(t.Context(), mid); migration.KindOf(err) != migration.Unauthenticated {
		t.Errorf("err %v", err)
	}
}
