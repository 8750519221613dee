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
	"github.com/switchyard-dev/switchyard/server/servertest"
)

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
	t.Cleanup(func() { _ = resp.Body.Close() })
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
	events := listen(t, c, st.url, "topic=overview&since="+st.Live.Mark(st.Live.Moment()), "")
	await(t, events, "beat")
	st.runAudit(t)
	await(t, events, "update")
	if n := st.Live.Count(); n != 1 {
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
	servertest.Eventually(t, "stream open", func() bool { return st.Live.Count() == 1 })
	cancel()
	_ = resp.Body.Close()
	servertest.Eventually(t, "stream forgotten", func() bool { return st.Live.Count() == 0 })
}

func TestStreamsOfUnknownTopicsAreRefused(t *testing.T) {
	t.Parallel()
	b := serve(t).browser(t, "ada", enginePass)
	for _, query := range []string{
		"", "?topic=secrets", "?topic=run:../x",
		"?topic=flags&topic=flags&topic=flags&topic=flags&topic=flags",
	} {
		if r := b.get("/events" + query); r.status != 400 {
			t.Errorf("%q: %d", query, r.status)
		}
	}
}

func TestAStreamEndsWithItsSession(t *testing.T) {
	t.Parallel()
	st := serve(t)
	c := st.as(t, "grace", viewerPass)
	token := c.Token().Reveal()
	if !st.stillSignedIn(token) {
		t.Fatal("signed in")
	}
	if err := c.SignOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st.stillSignedIn(token) {
		t.Error("the stream of a session that is over goes on")
	}
	_, err := c.Overview(t.Context(), mid)
	if migration.KindOf(err) != migration.Unauthenticated {
		t.Errorf("err %v", err)
	}
}
