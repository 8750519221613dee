// Package scratch runs a redis-server of our own for a while: to restore a backup into,
// or to let fail in ways that no real server should be put through. It keeps nothing,
// listens where nobody else comes to, and ends with this process, however that ends.
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

// patience is how long a server may say nothing before it has begun to load.
const patience = 20 * time.Second

// Options say which server to run.
type Options struct {
	// Binary is the redis-server; see Find.
	Binary string
	// Snapshot is an RDB file to load, which stays as it is; empty: the server holds
	// nothing.
	Snapshot string
	// TCP has it listen on a loopback port with a password of its own. Without it only
	// this user's processes reach it, by a socket in the file system.
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

// Find gives the path of the redis-server to use: the configured one, or that of the
// PATH. Blocked when there is none, or when it is switched off by "off".
func Find(configured string) (string, error) {
	if configured == "off" {
		return "", migration.Errorf(migration.Blocked, "a redis-server of our own is "+
			"switched off in the configuration (redis_server: off)")
	}
	if configured == "" {
		configured = "redis-server"
	}
	path, err := exec.LookPath(configured)
	if err != nil {
		return "", migration.Errorf(migration.Blocked, "no redis-server on this machine "+
			"(%s): install it, or name its path in the configuration", configured)
	}
	return path, nil
}

// Start runs a server and returns once everything is loaded. The caller closes it.
func Start(ctx context.Context, o Options) (*Server, error) {
	// short: a socket's path has about 100 bytes
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
		port, err := freePort()
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
	s.cmd = exec.Command(o.Binary, "-")
	s.cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	s.cmd.Stdout, s.cmd.Stderr, s.cmd.Dir, s.cmd.SysProcAttr = &s.log, &s.log,
		s.dir, childAttr()
	started := make(chan error, 1)
	go func() {
		// The kernel ends the child together with the thread that forked it, so this
		// one stays with it.
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

// loaded waits as long as the server says that it loads.
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

// Open gives a client of one of its databases; the caller closes it.
func (s *Server) Open(db int) *redis.Client {
	return redis.NewClient(&redis.Options{Network: "unix", Addr: s.socket(),
		Password: s.password.Reveal(), DB: db, MaxRetries: -1, Protocol: 2,
		DisableIdentity: true,
		ClientName:      redisconn.ClientName, ContextTimeoutEnabled: true, DialerRetries: 1,
		ReadTimeout: time.Minute, WriteTimeout: time.Minute})
}

// Addr is its host:port, empty without TCP; Password is what signs in there.
func (s *Server) Addr() string { return s.addr }

// Password signs in to a server with TCP.
func (s *Server) Password() migration.Secret { return s.password }

// Freeze stops the process as it is, with every connection open; Thaw lets it go on.
func (s *Server) Freeze() error { return s.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw ends Freeze. Calling it on a server that runs does nothing.
func (s *Server) Thaw() error { return s.cmd.Process.Signal(syscall.SIGCONT) }

// Close ends the server and removes what it had.
func (s *Server) Close() {
	if s.client != nil {
		_ = s.client.Close()
	}
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(syscall.SIGKILL)
		<-s.ended
	}
	_ = os.RemoveAll(s.dir) // a snapshot is only linked there
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
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

// String gives the last lines.
func (b *tail) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.TrimSpace(string(b.buf))
}
