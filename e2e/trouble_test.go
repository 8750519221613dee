package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/store/pgtest"
)

// TestBrowserInTrouble looks at pages in a browser while what they depend on fails: the managed
// Redis, the source, the database, the proxy in front, the session and the server itself. See
// e2e/trouble.mjs for what must hold.
func TestBrowserInTrouble(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	h := startTrouble(t)
	control := httptest.NewServer(h)
	t.Cleanup(control.Close)
	pictures := filepath.Join("test-results", "trouble-pictures") // kept, to be looked at
	node := exec.CommandContext(ctx, "node", filepath.Join("e2e", "trouble.mjs"),
		h.front.URL, control.URL, troublePassword, pictures)
	// The browser ends when its pipe to node does.
	node.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	node.Cancel = func() error { return syscall.Kill(-node.Process.Pid, syscall.SIGKILL) }
	out, err := node.CombinedOutput()
	t.Logf("trouble:\n%s", out)
	if err != nil {
		t.Errorf("in trouble: %v; pictures of it are in %s", err, pictures)
	}
}

const troublePassword = "trouble-path-password"

// trouble is a server with everything around it that can fail, and how to make it fail.
type trouble struct {
	t              *testing.T
	binary, config string
	addr           string
	source, target *redistest.Server
	database       *link
	front          *httptest.Server // what the browser talks to
	proxy          *proxy
	serve          *exec.Cmd
	log            output
}

func startTrouble(t *testing.T) *trouble {
	t.Helper()
	h := &trouble{
		t: t, binary: buildBinary(t, ""), addr: freeAddr(t),
		source: redistest.Start(t, redistest.Config("maxmemory 100mb",
			"maxmemory-policy allkeys-lru")),
		target: redistest.Start(t, redistest.TLS()),
	}
	database, err := url.Parse(pgtest.Start(t).Database(t).Reveal())
	if err != nil {
		t.Fatal(err)
	}
	h.database = startLink(t, database.Host)
	database.Host = h.database.ln.Addr().String()
	dir := t.TempDir()
	h.config = filepath.Join(dir, "switchyard.yaml")
	text := fmt.Sprintf(`addr: %s
sync_addr: "off"
data_dir: %q
database_url: %q
worker_token: worker-token
first_run_users:
  - {name: ada, role: engineer, password: %s}
source: {standalone: {url: %q}}
target:
  url: %q
  ca_file: %q
  plan:
    {service: Managed, title: Small, region: here, monthly_usd: 20, metered: false,
    eviction: false, max_bytes: 100000000, max_connections: 1000, max_commands_per_second: 0,
    max_request_bytes: 0, max_record_bytes: 0, bandwidth_bytes: 0}
ingestion: {url: "http://127.0.0.1:1", config_vars: by-hand}
`, h.addr, filepath.Join(dir, "data"), database, troublePassword, h.source.URL(),
		h.target.URL(), h.target.CAFile)
	if err := os.WriteFile(h.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	h.proxy = newProxy(h.addr)
	h.front = httptest.NewServer(h.proxy)
	t.Cleanup(func() { h.proxy.set("pass"); h.front.CloseClientConnections(); h.front.Close() })
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(h.log.String())
		}
	})
	t.Cleanup(h.stop)
	h.start()
	return h
}

// ServeHTTP makes something fail, or whole again; the path names what.
func (h *trouble) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	do, ok := map[string]func(){
		"/proxy/502":       func() { h.proxy.set("502") },
		"/proxy/hang":      func() { h.proxy.set("hang") },
		"/proxy/pass":      func() { h.proxy.set("pass") },
		"/database/hang":   func() { h.database.set(true) },
		"/database/pass":   func() { h.database.set(false) },
		"/source/freeze":   h.source.Freeze,
		"/source/thaw":     h.source.Thaw,
		"/target/freeze":   h.target.Freeze,
		"/target/thaw":     h.target.Thaw,
		"/server/kill":     h.kill,
		"/server/start":    h.start,
		"/server/is-alive": func() {},
	}[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	do()
}

// start starts the server and waits until it is ready.
func (h *trouble) start() {
	h.serve = exec.Command(h.binary, "serve", "--config", h.config) //nolint:noctx // see stop
	h.serve.Stdout, h.serve.Stderr = &h.log, &h.log
	if err := h.serve.Start(); err != nil {
		h.t.Error(err)
		return
	}
	redistest.Eventually(h.t, time.Minute, func() error {
		resp, err := http.Get("http://" + h.addr + "/sign-in") //nolint:noctx // has an end
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		return nil
	})
}

// kill ends the server as a crash would.
func (h *trouble) kill() {
	_ = h.serve.Process.Kill()
	_ = h.serve.Wait()
}

func (h *trouble) stop() {
	h.source.Thaw()
	h.target.Thaw()
	h.database.set(false)
	_ = h.serve.Process.Signal(syscall.SIGTERM)
	if err := h.serve.Wait(); err != nil {
		h.t.Errorf("serve: %v", err)
	}
}

// proxy stands before the server, as one of a cloud would, with error pages of its own.
type proxy struct {
	mu     sync.Mutex
	mode   string
	change chan struct{} // closed when the mode changes
	pass   *httputil.ReverseProxy
}

func newProxy(addr string) *proxy {
	p := &proxy{mode: "pass", change: make(chan struct{})}
	p.pass = httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: addr})
	p.pass.FlushInterval = -1
	p.pass.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { badGateway(w) }
	return p
}

func badGateway(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(http.StatusBadGateway)
	_, _ = io.WriteString(w, "<html><body><main id=main>502 Bad Gateway</main></body></html>")
}

func (p *proxy) set(mode string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if mode != p.mode {
		p.mode = mode
		close(p.change)
		p.change = make(chan struct{})
	}
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	mode, change := p.mode, p.change
	p.mu.Unlock()
	if mode == "502" {
		badGateway(w)
		return
	}
	if mode == "hang" { // until the mode changes or who asks gives up
		select {
		case <-change:
			badGateway(w)
		case <-r.Context().Done():
		}
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if strings.HasPrefix(r.URL.Path, "/events") { // a change of mode cuts streams
		go func() {
			select {
			case <-change:
				cancel()
			case <-ctx.Done():
			}
		}()
		defer func() { _ = recover() }() // the proxy panics when a stream is cut
	}
	p.pass.ServeHTTP(w, r.WithContext(ctx))
}

// link is a connection to a server that can hang.
type link struct {
	ln   net.Listener
	to   string
	mu   sync.Mutex
	open sync.Cond
	hang bool
}

func startLink(t *testing.T, to string) *link {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{ln: ln, to: to}
	l.open.L = &l.mu
	t.Cleanup(func() { l.set(false); _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go l.carry(conn)
		}
	}()
	return l
}

func (l *link) carry(near net.Conn) {
	far, err := new(net.Dialer).DialContext(context.Background(), "tcp", l.to)
	if err != nil {
		_ = near.Close()
		return
	}
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		go func() {
			_, err := io.Copy(way[1], held{l, way[0]})
			if err == nil || errors.Is(err, io.EOF) {
				_ = way[1].Close()
			}
			_ = way[0].Close()
		}()
	}
}

func (l *link) set(hang bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hang = hang
	l.open.Broadcast()
}

// held reads from a connection, and gives nothing of it while the link hangs.
type held struct {
	*link
	from net.Conn
}

func (h held) Read(b []byte) (int, error) {
	n, err := h.from.Read(b)
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.hang {
		h.open.Wait()
	}
	return n, err
}
