// Package pgtest starts a real PostgreSQL server for tests: on loopback, on a free
// port, with a data folder of its own, and gone when the test ends, even when the test
// binary is killed (on Linux).
package pgtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/switchyard-dev/switchyard/migration"
)

const ready = "database system is ready to accept connections"

// Server is a PostgreSQL server of one test, or of all tests of a package: see Main.
type Server struct {
	dir, password string
	port          int
	// who runs it, since PostgreSQL refuses root; nil: who runs the test
	account   *syscall.Credential
	databases atomic.Int64

	cmd  *exec.Cmd
	log  *log
	gone chan struct{} // closed once the process is gone and reaped
}

// Start starts a server of the test's own, for tests that kill it. It is gone when the
// test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	s, err := start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.end)
	return s
}

var shared struct {
	ok  bool // Main is there to end it
	get func() (*Server, error)
}

// Main runs a package's tests and ends the server that Database has started for them:
// func TestMain(m *testing.M) { pgtest.Main(m) }.
func Main(m *testing.M) {
	var started *Server
	shared.ok, shared.get = true, sync.OnceValues(func() (*Server, error) {
		var err error
		started, err = start()
		return started, err
	})
	code := m.Run()
	if started != nil {
		started.end()
	}
	os.Exit(code)
}

// Database makes a database of the test's own on the server that all tests of the
// package share, and gives its URL. Its package needs Main.
func Database(t testing.TB) migration.Secret {
	t.Helper()
	if !shared.ok {
		t.Fatal("pgtest: the package needs func TestMain(m *testing.M) { pgtest.Main(m) }")
	}
	s, err := shared.get()
	if err != nil {
		t.Fatal(err)
	}
	return s.Database(t)
}

// Database makes an empty database on the server and gives its URL.
func (s *Server) Database(t testing.TB) migration.Secret {
	t.Helper()
	name := fmt.Sprint("test", s.databases.Add(1))
	conn, err := pgx.Connect(t.Context(), s.url("postgres").Reveal())
	if err != nil {
		t.Fatal(err)
	}
	// nothing is under way on it
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return s.url(name)
}

func (s *Server) url(database string) migration.Secret {
	u := url.URL{Scheme: "postgres", User: url.UserPassword("tester", s.password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)), Path: database,
		RawQuery: "sslmode=disable"}
	return migration.Secret(u.String())
}

// Kill kills the server with SIGKILL: nothing is flushed, and its connections break.
// Its other processes end when they notice.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatalf("pgtest: kill: %v", err)
	}
	<-s.gone
}

// Restart starts a killed server again on the same data and port.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
}

func start() (*Server, error) {
	dir, err := os.MkdirTemp("", "pgtest")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, password: rand.Text()}
	if err := s.create(); err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	// The free port may be somebody else's by the time that the server wants it.
	for range 3 {
		if s.port, err = freePort(); err != nil {
			break
		}
		if err = s.run(); err == nil {
			return s, nil
		}
	}
	s.end()
	return nil, err
}

// create makes the data folder.
func (s *Server) create() error {
	initdb, err := program("initdb")
	if err != nil {
		return err
	}
	passwords := filepath.Join(s.dir, "password")
	if err := os.WriteFile(passwords, []byte(s.password), 0o600); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		if err := s.giveAway(s.dir, passwords); err != nil {
			return err
		}
	}
	cmd := s.command(initdb, "-D", filepath.Join(s.dir, "data"), "-E", "UTF8", "--locale=C",
		"-U", "tester", "--auth=scram-sha-256", "--pwfile="+passwords, "--no-sync")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

// giveAway makes the paths those of the account that the package of PostgreSQL has made.
func (s *Server) giveAway(paths ...string) error {
	u, err := user.Lookup("postgres")
	if err != nil {
		return fmt.Errorf(
			"PostgreSQL does not run as root, and there is no account for it: %w", err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := os.Chown(path, uid, gid); err != nil {
			return err
		}
	}
	s.account = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return nil
}

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), name, args...) // ended by us
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = endWithUs()
	cmd.SysProcAttr.Credential = s.account
	cmd.SysProcAttr.Setpgid = true // Ctrl-C reaches the test only
	return cmd
}

// run starts the server and waits until it takes connections. After a kill it waits for
// the processes of the former one: until they are gone PostgreSQL refuses to start.
func (s *Server) run() error {
	postgres, err := program("postgres")
	if err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		if err = s.runOnce(postgres); err == nil {
			return nil
		}
		if !strings.Contains(err.Error(), "pre-existing shared memory block") ||
			time.Now().After(deadline) {
			return fmt.Errorf("pgtest: %w", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (s *Server) runOnce(postgres string) error {
	cmd := s.command(postgres, "-D", filepath.Join(s.dir, "data"), "-p", strconv.Itoa(s.port),
		"-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=", "-c", "shared_buffers=16MB", "-c",
		"logging_collector=off", "-c", "log_destination=stderr")
	s.log = &log{ready: make(chan struct{})}
	cmd.Stderr = s.log
	// the processes of a killed server may hold the pipe for a moment
	cmd.WaitDelay = time.Second
	started := make(chan error)
	starter() <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return err
	}
	gone := make(chan struct{})
	s.cmd, s.gone = cmd, gone
	go func() {
		defer close(gone)
		_ = cmd.Wait() // the log says why
	}()
	select {
	case <-s.log.ready:
		return nil
	case <-gone:
		return fmt.Errorf("postgres did not start:\n%s", s.log)
	case <-time.After(time.Minute):
		s.stop()
		return fmt.Errorf("postgres is not ready after a minute:\n%s", s.log)
	}
}

// starter starts servers on one operating-system thread that never ends: the kernel
// signals them when the thread that forked them ends, and Go ends threads at will.
var starter = sync.OnceValue(func() chan<- func() {
	jobs := make(chan func())
	go func() {
		runtime.LockOSThread()
		for job := range jobs {
			job()
		}
	}()
	return jobs
})

// stop ends the server at once, and the processes it has started.
func (s *Server) stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGQUIT) // it may be gone
	select {
	case <-s.gone:
	case <-time.After(30 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.gone
	}
}

func (s *Server) end() {
	s.stop()
	_ = os.RemoveAll(s.dir) // in the system's temporary folder
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // loopback does not hang
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// program finds one of PostgreSQL's programs; Debian keeps them out of PATH.
func program(name string) (string, error) {
	if file, err := exec.LookPath(name); err == nil {
		return file, nil
	}
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin/", "/usr/local/bin/",
		"/usr/local/opt/postgresql*/bin/", "/opt/homebrew/opt/postgresql*/bin/"} {
		if found, _ := filepath.Glob(pattern + name); len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	return "", fmt.Errorf(
		"PostgreSQL's %s is missing: install the server with make setup-test", name)
}

// log keeps what a server says, and tells when it says that it is ready.
type log struct {
	mu    sync.Mutex
	said  []byte
	ready chan struct{}
}

// Write implements io.Writer.
func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := bytes.Contains(l.said, []byte(ready))
	l.said = append(l.said, b...)
	if !was && bytes.Contains(l.said, []byte(ready)) {
		close(l.ready)
	}
	if was && len(l.said) > 1<<20 { // keep the start, which says that it was ready, and the end
		l.said = append(l.said[:1<<18], l.said[len(l.said)-1<<18:]...)
	}
	return len(b), nil
}

// String implements fmt.Stringer.
func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.said)
}
