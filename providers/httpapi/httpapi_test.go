package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const key = "key-9f3a71"

func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return &Client{API: "test", Base: srv.URL, Key: key}
}

func TestErrorsSayWhatTheProviderSays(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"code":"x","message":"no such database"}`: "no such database",
		`{"error":"no such\n database"}`:            "no such database",
		`"plain JSON text"`:                         "plain JSON text",
		"plain text":                                "plain text",
		"<html>gateway</html>":                      "",
		`{"other":1}`:                               "",
		"":                                          "",
		"your key " + key + " is bad":               "your key redacted is bad",
		strings.Repeat("x", 500):                    strings.Repeat("x", 300) + "…",
	} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400); _, _ = io.WriteString(w, body) })
		err := c.Do(t.Context(), "GET", "/x", nil, nil)
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Status != 400 || e.Message != want || e.Call != "GET /x" {
			t.Errorf("%.40s: %v", body, err)
		}
	}
}

func TestEchoedBasicCredentialsAreRedacted(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(403)
		_, _ = io.WriteString(w, "you sent "+r.Header.Get("Authorization"))
	})
	c.Email = "ops@example.com"
	if err := c.Do(t.Context(), "GET", "/", nil, nil); !strings.Contains(err.Error(), "you sent Basic redacted") {
		t.Errorf("got %v", err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var elsewhere bool
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		elsewhere = elsewhere || r.URL.Path == "/elsewhere"
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	if err := c.Do(t.Context(), "POST", "/x", map[string]int{"a": 1}, nil); Status(err) != 307 || elsewhere {
		t.Errorf("got %v, followed %v", err, elsewhere)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, MaxResponse+1)) })
	if err := c.Do(t.Context(), "GET", "/", nil, nil); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("got %v", err)
	}
}

func TestAnswerThatIsNotTheDocumentedOneIsNotQuoted(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"password":"hunter2`) })
	var out map[string]any
	if err := c.Do(t.Context(), "GET", "/", nil, &out); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestEveryRequestHasADeadline(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	c := serve(t, func(http.ResponseWriter, *http.Request) { <-done })
	t.Cleanup(func() { close(done) }) // runs before the server's Close, which waits for the handler
	c.Timeout = 20 * time.Millisecond
	if err := c.Do(context.Background(), "GET", "/", nil, nil); !errors.Is(err, context.DeadlineExceeded) || Status(err) != 0 {
		t.Errorf("got %v", err)
	}
}

func TestCredentialsAreNotSentInTheClear(t *testing.T) {
	t.Parallel()
	c := Client{API: "test", Base: "http://user:hunter2@192.0.2.1", Key: key}
	err := c.Do(t.Context(), "GET", "/", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "not https") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestAddressesStayOutOfErrors(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"http://user:hunter2@127.0.0.1:1", "http://user:hunter2@127.0.0.1:1\x00"} {
		c := Client{API: "test", Base: base, Key: key}
		if err := c.Do(t.Context(), "GET", "/", nil, nil); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v", err)
		}
	}
}

func TestAWaitForTheRateLimitCanBeCancelled(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1)
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "20")
		w.WriteHeader(429)
		asked <- struct{}{}
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("run cancelled")
	go func() { <-asked; cancel(why) }()
	if err := c.Do(ctx, "GET", "/", nil, nil); !errors.Is(err, why) && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{"7": 7 * time.Second, "0": 0, "Mon, 23 Nov 2026 12:00:05 GMT": 5 * time.Second, "Mon, 23 Nov 2026 11:00:00 GMT": 0} {
		if got, named := retryAfter(value, now); !named || got != want {
			t.Errorf("%s: %v, %v", value, got, named)
		}
	}
	for _, value := range []string{"", "-1", "soon"} {
		if _, named := retryAfter(value, now); named {
			t.Errorf("%q was read as a wait", value)
		}
	}
}

func TestOnlyReadsAreRepeatedAndWithinBounds(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct {
		method string
		answer http.HandlerFunc
		want   int
	}{
		"a read that got a 502 is repeated": {"GET", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, maxAttempts},
		"a read that was cut is repeated":   {"GET", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, maxAttempts},
		"a read that got a 404 is not":      {"GET", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, 1},
		"a change that got a 502 is not":    {"POST", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, 1},
		"a change that was cut is not":      {"POST", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 1},
		"a deletion that was cut is not":    {"DELETE", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 1},
		"a change that got a 429 is":        {"POST", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "0"); w.WriteHeader(429) }, maxAttempts},
		"a 503 that asks for an hour is not": {"GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(503)
		}, 1},
		"a read that took too long is not": {"GET", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 1},
		"a read of which half came is repeated": {"GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			_, _ = io.WriteString(w, "{")
			panic(http.ErrAbortHandler)
		}, maxAttempts},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			var got atomic.Int32
			client := serve(t, func(w http.ResponseWriter, r *http.Request) { got.Add(1); c.answer(w, r) })
			client.HTTP = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // the transport repeats reads on a reused connection by itself
			if rule == "a read that took too long is not" {
				client.Timeout = 50 * time.Millisecond
			}
			if err := client.Do(t.Context(), c.method, "/", nil, nil); err == nil || int(got.Load()) != c.want {
				t.Errorf("%d requests, want %d (%v)", got.Load(), c.want, err)
			}
		})
	}
}
