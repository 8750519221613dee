package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// startDeadline bounds how long a server may take to answer; a loaded machine is slow,
// a broken configuration fails at once.
const startDeadline = 20 * time.Second

// Option changes how a server or a Sentinel deployment is started.
type Option func(*settings)

type settings struct {
	password, sentinelPassword string
	config                     []string
	tls, noConfigFile          bool
	downAfter                  time.Duration
}

// Password sets requirepass (and masterauth in a Sentinel deployment).
func Password(p string) Option { return func(s *settings) { s.password = p } }

// Config adds lines to redis.conf, on every data node of a Sentinel deployment.
func Config(lines ...string) Option {
	return func(s *settings) { s.config = append(s.config, lines...) }
}

// TLS makes the server accept TLS only, with a certificate from a CA made for this
// test (Server.CAFile).
func TLS() Option { return func(s *settings) { s.tls = true } }

// NoConfigFile starts the server with arguments instead of a file, so that CONFIG
// REWRITE is impossible.
func NoConfigFile() Option { return func(s *settings) { s.noConfigFile = true } }

// SentinelPassword sets requirepass on the sentinels.
func SentinelPassword(p string) Option { return func(s *settings) { s.sentinelPassword = p } }

// DownAfter sets the sentinels' down-after-milliseconds (default 1 s).
func DownAfter(d time.Duration) Option { return func(s *settings) { s.downAfter = d } }

// Server is one running redis-server (or redis-sentinel).
type Server struct {
	Host     string // 127.0.0.1
	Port     int
	Username string
	Password string
	CAFile   string // PEM file of the CA, with TLS
	Dir      string

	Program string // default redis-server; for StartFile

	t       testing.TB
	program string
	args    []string
	proc    *process
}

// Start runs a redis-server on a free loopback port until the test ends. Without
// options: no password, no persistence, noeviction.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	return start(t, apply(opts))
}

func apply(opts []Option) settings {
	s := settings{downAfter: time.Second}
	for _, o := range opts {
		o(&s)
	}
	return s
}

func start(t testing.TB, s settings) *Server {
	t.Helper()
	srv := &Server{Host: "127.0.0.1", Password: s.password, Dir: t.TempDir(), t: t,
		program: "redis-server"}
	base := []string{"bind 127.0.0.1", `save ""`, "appendonly no", "loglevel notice",
		"dir " + srv.Dir}
	if s.tls {
		cert, key, ca := writeCerts(t, srv.Dir)
		srv.CAFile = ca
		base = append(base, "tls-cert-file "+cert, "tls-key-file "+key, "tls-ca-cert-file "+ca,
			"tls-auth-clients no")
	}
	if s.password != "" {
		base = append(base, "requirepass "+s.password, "masterauth "+s.password)
	}
	// Somebody else may take a free port before the server binds it: try again with
	// another one.
	var err error
	for range 5 {
		srv.Port = freePort(t)
		lines := append(append([]string{}, base...), s.config...)
		if s.tls {
			lines = append(lines, "port 0", "tls-port "+strconv.Itoa(srv.Port))
		} else {
			lines = append(lines, "port "+strconv.Itoa(srv.Port))
		}
		srv.args = arguments(t, srv.Dir, "redis.conf", lines, s.noConfigFile)
		if err = srv.run(); err == nil {
			return srv
		}
	}
	t.Fatalf("redistest: %v", err)
	return nil
}

// arguments returns the command line for a configuration, writing it to a file
// unless that is not wanted.
func arguments(t testing.TB, dir, name string, lines []string, noFile bool) []string {
	t.Helper()
	if !noFile {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"),
			0o600); err != nil {
			t.Fatalf("redistest: %v", err)
		}
		return []string{file}
	}
	var args []string
	for _, l := range lines {
		word, rest, _ := strings.Cut(l, " ")
		args = append(args, "--"+word, strings.Trim(rest, `"`))
	}
	return args
}

// quiet turns off go-redis's own log messages about servers that are down, which is
// what these tests are about.
var quiet = sync.OnceFunc(func() { redis.SetLogger(&logging.VoidLogger{}) })

// run starts the process and waits until it answers PING.
func (s *Server) run() error {
	quiet()
	p, err := startProcess(s.Dir, s.program, s.args...)
	if err != nil {
		return err
	}
	s.proc = p
	s.t.Cleanup(p.kill)
	c := s.open()
	defer c.Close()
	var last error
	err = poll(startDeadline, func() bool {
		if p.gone() {
			last = errors.New("it ended")
			return true
		}
		last = c.Ping(context.Background()).Err()
		// An answer other than "still loading" will not improve by waiting.
		var reply redis.Error
		return last == nil || errors.As(last, &reply) && !redis.HasErrorPrefix(last, "LOADING")
	})
	if last != nil || err != nil {
		p.kill()
		return fmt.Errorf("%s on port %d did not start: %w\n%s", s.program, s.Port,
			errors.Join(last, err), p.log)
	}
	if _, measures := s.t.(*testing.B); slices.Contains(s.args, "--sentinel") && !measures {
		return hurry(c)
	}
	return nil
}

// hurry makes a sentinel query its servers every second instead of every 10 s:
// tests need not wait until it notices that one came back. What matters in a
// failover stays the same: how a failure is detected, the election, and how long a
// returning old master is left alone. A benchmark uses sentinels with their
// defaults.
func hurry(c redis.UniversalClient) error {
	err := c.Do(context.Background(), "sentinel", "debug", "info-period", 1000).Err()
	// before Redis 7 there is no such command, and it takes the 10 s
	if reply := redis.Error(nil); err != nil && !errors.As(err, &reply) {
		return fmt.Errorf("sentinel debug: %w", err)
	}
	return nil
}

// Addr is host:port.
func (s *Server) Addr() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// URL is the redis:// or rediss:// URL with the password.
func (s *Server) URL() string {
	u := url.URL{Scheme: "redis", Host: s.Addr()}
	if s.CAFile != "" {
		u.Scheme = "rediss"
	}
	if s.Password != "" {
		u.User = url.UserPassword(s.Username, s.Password)
	}
	return u.String()
}

// Endpoint describes the server the way Switchyard's configuration does: Managed when
// it speaks TLS, Standalone otherwise.
func (s *Server) Endpoint() redisconn.Endpoint {
	e := redisconn.Endpoint{Name: "test", Kind: redisconn.Standalone,
		URL: migration.Secret(s.URL())}
	if s.CAFile != "" {
		e.Kind, e.CAFile = redisconn.Managed, s.CAFile
	}
	return e
}

// Client opens a client as Switchyard does, closed when the test ends.
func (s *Server) Client() redis.UniversalClient {
	s.t.Helper()
	c, err := redisconn.Open(s.Endpoint())
	if err != nil {
		s.t.Fatalf("redistest: %v", err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// open makes a short-lived client for the readiness check.
func (s *Server) open() redis.UniversalClient {
	c, err := redisconn.Open(s.Endpoint())
	if err != nil {
		s.t.Fatalf("redistest: %v", err)
	}
	return c
}

// Foreign opens a client that Switchyard does not recognise as its own, like an
// application's, closed when the test ends. With TLS make your own client, with
// CAFile.
func (s *Server) Foreign(name string) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.Addr(), Password: s.Password, ClientName: name,
		MaxRetries: -1, Protocol: 2,
		DialTimeout: 2 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 3 * time.Second, ContextTimeoutEnabled: true, DisableIdentity: true})
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// Kill kills the server (SIGKILL) and waits until it is gone.
func (s *Server) Kill() { s.proc.kill() }

// Restart starts the server again on its port, after Kill.
func (s *Server) Restart() {
	s.t.Helper()
	if err := s.run(); err != nil {
		s.t.Fatalf("redistest: restart: %v", err)
	}
}

// Freeze stops the server without closing its sockets (SIGSTOP): connections hang. Thaw
// undoes it.
func (s *Server) Freeze() { s.proc.signal(syscall.SIGSTOP) }

// Thaw resumes a frozen server.
func (s *Server) Thaw() { s.proc.signal(syscall.SIGCONT) }

// Pid returns the process id.
func (s *Server) Pid() int { return s.proc.cmd.Process.Pid }

// StartFile runs a redis-server with an existing configuration file until the test
// ends. as says where it will listen and how to authenticate; args go after the
// file ("--sentinel").
func StartFile(t testing.TB, as Server, file string, args ...string) *Server {
	t.Helper()
	s := as
	s.t, s.program, s.args, s.Dir = t, as.Program, append([]string{file}, args...),
		filepath.Dir(file)
	if s.program == "" {
		s.program = "redis-server"
	}
	if err := s.run(); err != nil {
		t.Fatalf("redistest: %v", err)
	}
	return &s
}

// FreePort returns a loopback port that nothing listens on right now.
func FreePort(t testing.TB) int { t.Helper(); return freePort(t) }

// freePort returns a loopback port that nothing listens on right now.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Eventually polls until ok returns nil, and fails the test with its last error
// after d.
func Eventually(t testing.TB, d time.Duration, ok func() error) {
	t.Helper()
	var last error
	if err := poll(d, func() bool { last = ok(); return last == nil }); err != nil {
		t.Fatalf("%v: %v", err, last)
	}
}

// poll calls done every 20 ms until it returns true.
func poll(d time.Duration, done func() bool) error {
	deadline := time.NewTimer(d)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			return fmt.Errorf("not within %s", d)
		}
	}
	return nil
}
