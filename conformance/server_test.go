// Package conformance runs the official OpenFeature clients against the real program,
// through its crashes and those of the network.
package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
)

const (
	token    = "worker-token-of-the-conformance-tests"
	account  = "ada"
	password = "password-of-the-conformance-tests"
	set      = "order-pipeline"
	patience = 60 * time.Second // keeps a test that fails from hanging; nothing is judged by it
)

// binary is the program, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "conformance")
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "switchyard")
	build := exec.Command("go", "build", "-o", binary, "..") //nolint:noctx // ends by itself
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// program is `switchyard serve`, which may be killed and started again with the same
// addresses and data.
type program struct {
	t              *testing.T
	addr, syncAddr string
	config         string
	cmd            *exec.Cmd
	gone           chan struct{} // closed once the process is gone
	log            *output

	session string // for Authorization; sessions outlive a restart
}

// newProgram makes the configuration; Start starts it. database may be empty: SQLite.
func newProgram(t *testing.T, database migration.Secret) *program {
	t.Helper()
	p := &program{t: t, addr: freeAddr(t), syncAddr: freeAddr(t),
		config: filepath.Join(t.TempDir(), "switchyard.yaml"), log: &output{}}
	text := fmt.Sprintf(`addr: %s
sync_addr: %s
data_dir: %q
database_url: %q
worker_token: %s
first_run_users: [{name: %s, role: engineer, password: %s}]
source: {standalone: {url: "redis://127.0.0.1:1"}}
ingestion: {url: "http://127.0.0.1:1"}
`, p.addr, p.syncAddr, t.TempDir(), database.Reveal(), token, account, password)
	if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("the server's log:\n%s", p.log)
		}
	})
	return p
}

// start starts the process, without waiting for anything.
func (p *program) start() {
	p.t.Helper()
	//nolint:noctx // killed by the test's end
	p.cmd = exec.Command(binary, "serve", "--config", p.config)
	p.cmd.Stderr = p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	gone := make(chan struct{})
	p.gone = gone
	go func(cmd *exec.Cmd) {
		defer close(gone)
		_ = cmd.Wait() // killed
	}(p.cmd)
}

// startAndWait starts it and waits until flags are served over both protocols.
func (p *program) startAndWait() {
	p.t.Helper()
	p.start()
	p.waitServing()
}

func (p *program) waitServing() {
	p.t.Helper()
	await(p.t, "the server serves flags", func() bool {
		select {
		case <-p.gone:
			p.t.Fatal("the server ended")
		default:
		}
		status, _, err := post(p.t.Context(), p.url()+"/ofrep/v1/evaluate/flags", token, "",
			map[string]any{})
		if err != nil || status != http.StatusOK {
			return false
		}
		conn, err := net.Dial("tcp", p.syncAddr) //nolint:noctx // loopback does not hang
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

// kill ends the process with SIGKILL: nothing is flushed, nobody is told.
func (p *program) kill() {
	if p.cmd == nil {
		return
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // it may be gone
	<-p.gone
}

func (p *program) url() string { return "http://" + p.addr }

// signIn opens the session that later changes use.
func (p *program) signIn() *api.Client {
	p.t.Helper()
	c := api.New(p.url(), "")
	if _, err := c.SignIn(p.t.Context(), account, password); err != nil {
		p.t.Fatal(err)
	}
	p.session = c.Token().Reveal()
	return c
}

// tryChange changes flags as they are in revision base (0: whatever it is) and gives
// the new revision. After an error without a status nobody knows whether it happened.
func (p *program) tryChange(
	ctx context.Context, base int64, flags map[string]json.RawMessage,
) (revision int64, status int, err error) {
	edit := migration.FlagEdit{Base: base, Flags: flags, Reason: "conformance"}
	status, body, err := post(ctx, p.url()+"/api/v1/migrations/"+set+"/flags/changes",
		p.session, "", edit)
	if err != nil {
		return 0, 0, err
	}
	if status/100 != 2 {
		return 0, status, fmt.Errorf("change: %d %s", status, body)
	}
	var made migration.FlagSetRevision
	err = json.Unmarshal(body, &made)
	return made.Revision, status, err
}

// change changes flags.
func (p *program) change(flags map[string]json.RawMessage) {
	p.t.Helper()
	if _, _, err := p.tryChange(p.t.Context(), 0, flags); err != nil {
		p.t.Fatal(err)
	}
}

// post sends JSON and gives the status and the body; ifNoneMatch may be empty.
func post(ctx context.Context, url, bearer, ifNoneMatch string, v any) (int, []byte, error) {
	status, _, body, err := exchange(ctx, url, bearer, ifNoneMatch, v)
	return status, body, err
}

var loopback = &http.Client{Timeout: 10 * time.Second,
	Transport: &http.Transport{MaxIdleConnsPerHost: 300}}

func exchange(
	ctx context.Context, url, bearer, ifNoneMatch string, v any,
) (int, http.Header, []byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return 0, nil, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(b))
	if err != nil {
		return 0, nil, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+bearer)
	if ifNoneMatch != "" {
		req.Header.Set("If-None-Match", ifNoneMatch)
	}
	resp, err := loopback.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, body, err
}

// await asks until it is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	every := time.NewTicker(10 * time.Millisecond)
	defer every.Stop()
	deadline := time.After(patience)
	for !so() {
		select {
		case <-every.C:
		case <-deadline:
			t.Fatalf("still not so after %s: %s", patience, what)
		}
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // loopback does not hang
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// output keeps what a process writes.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

// String gives the last lines.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(o.text.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

// cable is the network between clients and one address of the server. While it is cut
// every connection breaks and none is made.
type cable struct {
	addr, to string

	mu    sync.Mutex
	ln    net.Listener // nil: cut
	conns map[net.Conn]bool
}

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	c := &cable{addr: freeAddr(t), to: to, conns: map[net.Conn]bool{}}
	c.mend(t)
	t.Cleanup(c.cut)
	return c
}

// mend lets connections through; clients that try meanwhile are refused, as by a
// machine that is not there.
func (c *cable) mend(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("tcp", c.addr) //nolint:noctx // loopback does not hang
	if err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ln = ln
	go c.accept(ln)
}

// cut breaks every connection.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ln != nil {
		_ = c.ln.Close()
		c.ln = nil
	}
	for in := range c.conns {
		_ = in.Close()
	}
}

func (c *cable) accept(ln net.Listener) {
	for {
		in, err := ln.Accept()
		if err != nil {
			return // closed
		}
		go c.join(in)
	}
}

func (c *cable) join(in net.Conn) {
	defer func() { _ = in.Close() }()
	out, err := net.Dial("tcp", c.to) //nolint:noctx // loopback does not hang
	if err != nil {
		return
	}
	defer func() { _ = out.Close() }()
	if !c.hold(in) {
		return
	}
	defer c.release(in)
	go func() {
		_, _ = io.Copy(out, in)
		_ = out.Close()
	}()
	_, _ = io.Copy(in, out)
}

// hold reports whether the connection may be used; it is broken when the cable is cut.
func (c *cable) hold(in net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns[in] = true
	return c.ln != nil
}

func (c *cable) release(in net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.conns, in)
}
