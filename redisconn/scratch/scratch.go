// Package scratch runs a temporary redis-server of our own: to restore a backup
// into, or to break in ways that no real server should go through. It keeps
// nothing, listens where nobody else connects, and ends with this process, however
// that happens.
package scratch

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// patience is how long a server may stay silent before it has begun to load.
const patience = 20 * time.Second

// Options say which server to run.
type Options struct {
	// Binary is the redis-server; see Find.
	Binary string
	// Snapshot is an RDB file to load, which is not modified; if empty the server
	// holds nothing.
	Snapshot string
	// TCP makes it listen on a loopback port with a generated password. Otherwise
	// only this user's processes reach it, through a Unix socket.
	TCP bool
}

// Server is one running redis-server.
type Server struct {
	dir, addr string
	password  migration.Secret
	cmd       *exec.Cmd
	log       tail
	ended     chan struct{}
	client    *redis.Client
}

// Find returns the path of the redis-server to use: the configured one, or the one
// in PATH. Blocked if there is none, or if "off" turns it off.
func Find(configured string) (string, error) {
	if configured == "off" {
		return "", migration.Errorf(migration.Blocked,
			"the local redis-server is turned off in the configuration (redis_server: off)")
	}
	if configured == "" {
		configured = "redis-server"
	}
	path, err := exec.LookPath(configured)
	if err != nil {
		return "", migration.Errorf(migration.Blocked, "no redis-server on this machine "+
			"(%s): install it, or set its path in the configuration", configured)
	}
	return path, nil
}

// Start runs a server and returns once everything is loaded. The caller closes it.
func Start(ctx context.Context, o Options) (*Server, error) {
	// short: a socket's path is limited to about 100 bytes
	dir, err := os.MkdirTemp("", "switchyard-scratch-")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, ended: make(chan struct{})}
	if err := s.start(ctx, o); err != nil {
		s.Close()
		return nil, fmt.Errorf("scratch server: %w", err)
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, o Options) error {
	lines := []string{"dir " + s.dir, `save ""`, "appendonly no", "daemonize no", "maxmemory 0",
		"maxmemory-policy noeviction", "databases 1024", "dbfilename scratch.rdb",
		"unixsocket " + s.socket(), "unixsocketperm 700"}
	if o.TCP {
		port, err := freePort(ctx)
		if err != nil {
			return err
		}
		s.password = migration.Secret(rand.Text())
		s.addr = net.JoinHostPort("127.0.0.1", fmt.Sprint(port))
		lines = append(lines, "bind 127.0.0.1", fmt.Sprintf("port %d", port),
			"requirepass "+s.password.Reveal())
	} else {
		lines = append(lines, "port 0")
	}
	if o.Snapshot != "" {
		whole, err := filepath.Abs(o.Snapshot)
		if err != nil {
			return err
		}
		if err := os.Symlink(whole, filepath.Join(s.dir, "scratch.rdb")); err != nil {
			return err
		}
	}
	s.cmd = exec.Command(o.Binary, "-") //nolint:noctx // Close ends it
	s.cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	s.cmd.Stdout, s.cmd.Stderr, s.cmd.Dir, s.cmd.SysProcAttr = &s.log, &s.log,
		s.dir, childAttr()
	started := make(chan error, 1)
	go func() {
		// The kernel ends the child together with the thread that forked it, so
		// this goroutine keeps the thread.
		runtime.LockOSThread()
		err := s.cmd.Start()
		started <- err
		if err == nil {
			_ = s.cmd.Wait() // it is ended on purpose
		}
		close(s.ended)
	}()
	if err := <-started; err != nil {
		s.cmd = nil
		return err
	}
	s.client = s.Open(0)
	return s.loaded(ctx)
}

func (s *Server) socket() string { return filepath.Join(s.dir, "s") }

// loaded waits as long as the server reports that it is loading.
func (s *Server) loaded(ctx context.Context) error {
	silent := time.Now()
	for {
		_, err := os.Stat(s.socket()) // before that a client would only complain
		if err == nil {
			err = s.client.Ping(ctx).Err()
		}
		if err == nil {
			return nil
		}
		if redis.HasErrorPrefix(err, "LOADING") {
			silent = time.Now()
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.ended:
			return fmt.Errorf("it ended: %s", &s.log)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Since(silent) > patience {
			return fmt.Errorf("it does not answer: %w", redisconn.Explain(err))
		}
	}
}

// Client is a client of database 0, closed with the server.
func (s *Server) Client() *redis.Client { return s.client }

// Open returns a client for one of its databases; the caller closes it.
func (s *Server) Open(db int) *redis.Client {
	return redis.NewClient(&redis.Options{Network: "unix", Addr: s.socket(),
		Password: s.password.Reveal(), DB: db, MaxRetries: -1, Protocol: 2,
		DisableIdentity: true,
		ClientName:      redisconn.Self(), ContextTimeoutEnabled: true, DialerRetries: 1,
		ReadTimeout: time.Minute, WriteTimeout: time.Minute})
}

// Addr is the server's host:port, empty without TCP.
func (s *Server) Addr() string { return s.addr }

// Password authenticates to a server with TCP.
func (s *Server) Password() migration.Secret { return s.password }

// Freeze suspends the process with every connection open; Thaw resumes it.
func (s *Server) Freeze() error { return s.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw ends Freeze. Calling it on a server that runs does nothing.
func (s *Server) Thaw() error { return s.cmd.Process.Signal(syscall.SIGCONT) }

// Close ends the server and removes its files.
func (s *Server) Close() {
	if s.client != nil {
		_ = s.client.Close()
	}
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(syscall.SIGKILL)
		<-s.ended
	}
	_ = os.RemoveAll(s.dir) // the snapshot is only linked there
}

func freePort(ctx context.Context) (int, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, errors.Join(l.Close())
}

// tail keeps the end of what was written.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

// Write implements io.Writer.
func (b *tail) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf = append(b.buf, p...)
	b.buf = b.buf[max(0, len(b.buf)-2000):]
	return len(p), nil
}

// String returns the last lines.
func (b *tail) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.TrimSpace(string(b.buf))
}
