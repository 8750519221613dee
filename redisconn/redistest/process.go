package redistest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// process is one child process, ended by its own pid.
type process struct {
	cmd  *exec.Cmd
	log  *logBuffer
	done chan struct{} // closed once the process is gone and reaped
}

// starter starts every child on one operating-system thread that never ends: the
// kernel kills a child with Pdeathsig when the thread that forked it ends, and Go
// ends threads as it likes.
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

// startProcess runs a program until it is killed.
func startProcess(dir, program string, args ...string) (*process, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return nil, fmt.Errorf("%s is not installed: the tests use real Redis servers "+
			"(Debian and Ubuntu: apt-get install redis-server): %w", program, err)
	}
	//nolint:noctx // the test's Cleanup ends it
	p := &process{cmd: exec.Command(path, args...), log: &logBuffer{},
		done: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = childAttr()
	started := make(chan error, 1)
	starter() <- func() { started <- p.cmd.Start() }
	if err := <-started; err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // killed on purpose; the exit status says nothing
		close(p.done)
	}()
	return p, nil
}

// signal sends sig to this process only.
func (p *process) signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) }

// kill kills the process and waits until it is gone.
func (p *process) kill() {
	p.signal(syscall.SIGCONT) // a frozen process dies too, but is reaped later
	_ = p.cmd.Process.Signal(os.Kill)
	<-p.done
}

func (p *process) gone() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// logBuffer keeps what the process printed, for failure messages.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(b.buf.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}
