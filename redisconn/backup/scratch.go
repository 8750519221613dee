package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/redisconn"
)

// scratchPatience is how long a scratch server may say nothing before it has begun to load.
const scratchPatience = 20 * time.Second

// scratch is a redis-server of our own, reached by a socket that only this user can open. It keeps nothing.
type scratch struct {
	dir    string
	cmd    *exec.Cmd
	log    *tailBuffer
	ended  chan struct{}
	client *redis.Client
}

// startScratch runs a server that loads a snapshot file; an empty name: it holds nothing. It returns once everything is loaded.
func startScratch(ctx context.Context, binary, snapshot string) (*scratch, error) {
	dir, err := os.MkdirTemp("", "switchyard-scratch-") // short: a socket's path has about 100 bytes
	if err != nil {
		return nil, err
	}
	s := &scratch{dir: dir, log: &tailBuffer{}, ended: make(chan struct{})}
	if err := s.start(ctx, binary, snapshot); err != nil {
		s.close()
		return nil, fmt.Errorf("scratch server: %w", err)
	}
	return s, nil
}

func (s *scratch) start(ctx context.Context, binary, snapshot string) error {
	lines := []string{"port 0", "unixsocket " + filepath.Join(s.dir, "s"), "unixsocketperm 700", "dir " + s.dir, `save ""`, "appendonly no", "daemonize no",
		"maxmemory 0", "databases 1024", "dbfilename scratch.rdb"}
	if snapshot != "" {
		whole, err := filepath.Abs(snapshot)
		if err != nil {
			return err
		}
		if err := os.Symlink(whole, filepath.Join(s.dir, "scratch.rdb")); err != nil {
			return err
		}
	}
	s.cmd = exec.Command(binary, "-")
	s.cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	s.cmd.Stdout, s.cmd.Stderr, s.cmd.Dir, s.cmd.SysProcAttr = s.log, s.log, s.dir, childAttr()
	started := make(chan error, 1)
	go func() {
		// The kernel ends the child together with the thread that forked it, so this one stays with it.
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
	s.client = s.open(0)
	return s.loaded(ctx)
}

// loaded waits as long as the server says that it loads.
func (s *scratch) loaded(ctx context.Context) error {
	silent := time.Now()
	for {
		err := s.client.Ping(ctx).Err()
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
			return fmt.Errorf("it ended: %s", s.log)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Since(silent) > scratchPatience {
			return fmt.Errorf("it does not answer: %w", redisconn.Explain(err))
		}
	}
}

// open gives a client of one of its databases; the caller closes it.
func (s *scratch) open(db int) *redis.Client {
	return redis.NewClient(&redis.Options{Network: "unix", Addr: filepath.Join(s.dir, "s"), DB: db, MaxRetries: -1, Protocol: 2, DisableIdentity: true,
		ClientName: redisconn.ClientName, ContextTimeoutEnabled: true, DialerRetries: 1, ReadTimeout: time.Minute, WriteTimeout: time.Minute})
}

// close ends the server and removes what it had.
func (s *scratch) close() {
	if s.client != nil {
		_ = s.client.Close()
	}
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(syscall.SIGKILL)
		<-s.ended
	}
	_ = os.RemoveAll(s.dir) // the snapshot itself is only linked there
}

// tailBuffer keeps the end of what was written.
type tailBuffer struct {
	mu  sync.Mutex
	buf []byte
}

// Write implements io.Writer.
func (b *tailBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf = append(b.buf, p...)
	b.buf = b.buf[max(0, len(b.buf)-2000):]
	return len(p), nil
}

// String gives the last lines.
func (b *tailBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(b.buf)), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], "; ")
}

// findServer gives the redis-server to use; an error says why there is none.
func findServer(binary string) (string, error) {
	if binary == "off" {
		return "", errors.New("the configuration says not to start one (backup.redis_server: off)")
	}
	if binary == "" {
		binary = "redis-server"
	}
	path, err := exec.LookPath(binary)
	if err != nil {
		return "", fmt.Errorf("%s is not installed on Switchyard's machine", filepath.Base(binary))
	}
	return path, nil
}
