// Package servertest asks a running server as programs do, and makes flag sets to serve.
package servertest

import (
	"crypto/sha256"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/flags"
)

// Canary is in every credential of the tests, so that one that leaks is found.
const Canary = "CANARY"

// Log keeps what is logged. It is safe for concurrent use.
type Log struct {
	mu sync.Mutex
	b  strings.Builder
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String gives what was logged so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Key is a key of a flag set; rate 0 has no bound.
func Key(id, set, token string, rate int) flags.Key {
	return flags.Key{
		ID: id, Name: "key " + id, Hash: sha256.Sum256([]byte(token)), Set: set,
		RatePerSecond: rate,
	}
}

// Set is a set of one kill switch, "kill", as it is stored.
func Set(id string, revision int64) flags.Set {
	off := "off"
	d := &flags.Document{Flags: map[string]flags.Flag{"kill": {
		State: "ENABLED",
		Variants: map[string]json.RawMessage{
			"on": json.RawMessage("true"), "off": json.RawMessage("false"),
		},
		DefaultVariant: &off,
		Metadata:       map[string]any{flags.MetaType: flags.TypeKillSwitch},
	}}}
	return flags.Set{
		ID: id, Revision: revision, Definition: flags.Revise(id, nil, d, revision).JSON(),
	}
}

// Reply is an answer to a program.
type Reply struct {
	Status int
	Header http.Header
	Text   string
	JSON   map[string]any // nil when it is none
}

// IsOFREPError reports whether an answer is what official clients take for an error of the
// protocol.
func (r Reply) IsOFREPError(key string) bool {
	code, _ := r.JSON["errorCode"].(string)
	details, _ := r.JSON["errorDetails"].(string)
	named, _ := r.JSON["key"].(string)
	return code != "" && details != "" && named == key &&
		strings.HasPrefix(r.Header.Get("Content-Type"), "application/json")
}

// Ask sends a request as a program does; header is names and values in turn.
func Ask(t *testing.T, method, url, body string, header ...string) Reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := (&http.Client{Timeout: 20 * time.Second, CheckRedirect: stay}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	r := Reply{Status: resp.StatusCode, Header: resp.Header, Text: string(raw)}
	_ = json.Unmarshal(raw, &r.JSON) // nil says that it is none
	return r
}

// Dial connects until the test ends.
func Dial(t testing.TB, address string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Eventually polls until ok, and fails when it takes too long.
func Eventually(t *testing.T, what string, ok func() bool) {
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
