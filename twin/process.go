package twin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// spawner starts every child from one operating system thread that never ends: the kernel
// ends a child when the thread that started it does (see dieWithParent), and Go otherwise
// moves between threads.
type spawner struct{ jobs chan func() }

func newSpawner() *spawner {
	s := &spawner{jobs: make(chan func())}
	go func() {
		runtime.LockOSThread() // never unlocked
		for job := range s.jobs {
			job()
		}
		select {} // keep the thread: children that are still being stopped belong to it
	}()
	return s
}

func (s *spawner) start(cmd *exec.Cmd) error {
	done := make(chan error)
	s.jobs <- func() { done <- cmd.Start() }
	return <-done
}

// process is one supervised program: started again after a while when it dies, until it
// is stopped.
type process struct {
	name    string
	dir     string // working directory
	argv    func() []string
	env     func() []string
	logFile string
	// restart is how long after its death it is started again.
	restart time.Duration
	spawn   *spawner
	pids    *pidFile
	log     *slog.Logger

	// life lets one start, stop or restart happen at a time; retired says that it was the
	// last.
	life    sync.Mutex
	retired bool

	mu      sync.Mutex
	cmd     *exec.Cmd
	cancel  context.CancelFunc // nil: stopped
	stopped chan struct{}
}

// errRetired is what a start gives once the twin closes.
var errRetired = errors.New("the twin is closing")

// start begins to supervise. It returns once the program was started the first time; one
// that cannot be started at all is an error.
func (p *process) start() error {
	p.life.Lock()
	defer p.life.Unlock()
	return p.begin()
}

// stop ends the program: SIGTERM, and SIGKILL after grace. It returns when the program is
// gone.
func (p *process) stop(grace time.Duration) {
	p.life.Lock()
	defer p.life.Unlock()
	p.end(grace)
}

// again stops the program and starts it anew.
func (p *process) again(grace time.Duration) error {
	p.life.Lock()
	defer p.life.Unlock()
	p.end(grace)
	return p.begin()
}

// retire stops the program for good: a restart that is still to come does nothing.
func (p *process) retire(grace time.Duration) {
	p.life.Lock()
	defer p.life.Unlock()
	p.retired = true
	p.end(grace)
}

//nolint:contextcheck // a process outlives the request that starts it
func (p *process) begin() error {
	if p.retired {
		return fmt.Errorf("start %s: %w", p.name, errRetired)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cancel != nil {
		return nil
	}
	if err := p.launch(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel, p.stopped = cancel, make(chan struct{})
	go p.supervise(ctx, p.cmd, p.stopped)
	return nil
}

// launch starts the program; the caller holds mu.
func (p *process) launch() error {
	out, err := os.OpenFile(p.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }() // the child has its own
	argv := p.argv()
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:noctx // stop ends it, and no context
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, out, out
	if p.env != nil {
		cmd.Env = p.env()
	}
	cmd.SysProcAttr = dieWithParent()
	if err := p.spawn.start(cmd); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.cmd = cmd
	return p.pids.note(p.name, cmd.Process.Pid)
}

func (p *process) supervise(ctx context.Context, cmd *exec.Cmd, stopped chan struct{}) {
	defer close(stopped)
	for {
		err := cmd.Wait()
		if ctx.Err() != nil {
			return
		}
		p.log.Info("process ended; starting it again", "name", p.name, "after", p.restart,
			"err", err)
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(p.restart):
			}
			p.mu.Lock()
			if ctx.Err() != nil {
				p.mu.Unlock()
				return
			}
			err := p.launch()
			cmd = p.cmd
			p.mu.Unlock()
			if err == nil {
				break
			}
			p.log.Error("process cannot be started", "name", p.name, "err", err)
		}
	}
}

func (p *process) end(grace time.Duration) {
	p.mu.Lock()
	cancel, cmd, stopped := p.cancel, p.cmd, p.stopped
	p.cancel = nil
	if cancel != nil {
		cancel()
		_ = cmd.Process.Signal(syscall.SIGCONT) // a frozen one would not hear SIGTERM
		_ = cmd.Process.Signal(syscall.SIGTERM)
	}
	p.mu.Unlock()
	if cancel == nil {
		return
	}
	select {
	case <-stopped:
	case <-time.After(grace):
		_ = cmd.Process.Kill()
		<-stopped
	}
	p.pids.forget(p.name)
}

// signal sends a signal to the running program.
func (p *process) signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cancel == nil {
		return fmt.Errorf("%s does not run", p.name)
	}
	return p.cmd.Process.Signal(sig)
}

// pidFile records who was started, so that the next start can end what a killed run left
// behind.
type pidFile struct {
	path string
	mu   sync.Mutex
	pids map[string]recorded
}

type recorded struct {
	PID     int    `json:"pid"`
	Started string `json:"started"` // by the kernel; a pid that is used again has another
}

// leftovers ends the processes that a former run recorded and that still run.
func leftovers(path string, log *slog.Logger) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	old := map[string]recorded{}
	if err := json.Unmarshal(text, &old); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for name, r := range old {
		if r.Started == "" || startTime(r.PID) != r.Started {
			continue
		}
		log.Info("ending what a former run left behind", "name", name, "pid", r.PID)
		if err := syscall.Kill(r.PID, syscall.SIGKILL); err != nil &&
			!errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("end %s (pid %d): %w", name, r.PID, err)
		}
		for deadline := time.Now().Add(5 * time.Second); startTime(r.PID) == r.Started; {
			if time.Now().After(deadline) {
				return fmt.Errorf("%s (pid %d) of a former run does not end", name, r.PID)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return os.Remove(path)
}

// startTime is field 22 of /proc/<pid>/stat; empty when there is no such process (or it
// is a zombie), or no /proc.
func startTime(pid int) string {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return ""
	}
	_, rest, ok := strings.Cut(string(text), ") ") // the name before may hold spaces
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 || fields[0] == "Z" {
		return ""
	}
	return fields[19]
}

func (f *pidFile) note(name string, pid int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pids[name] = recorded{pid, startTime(pid)}
	return f.write()
}

func (f *pidFile) forget(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.pids, name)
	_ = f.write() // at worst the next start looks for a process that is gone
}

func (f *pidFile) write() error { return writeJSON(f.path, f.pids) }

func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
