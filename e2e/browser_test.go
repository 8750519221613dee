package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// pathTimeout bounds the browser's path, and the test with it: it takes about five minutes on
// two cores.
const pathTimeout = 18 * time.Minute

// TestBrowserClicksTheWholePath works through a whole migration in a browser, on a twin of its
// own. See e2e/path.mjs for what it looks at.
func TestBrowserClicksTheWholePath(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), pathTimeout)
	defer cancel()
	binary := buildBinary(t, "")
	pictures := filepath.Join("test-results", "pictures") // kept, to be looked at
	if err := os.RemoveAll(pictures); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	twin := startTwinProcess(ctx, t, binary, dir)
	atStart := twin.children()
	for _, name := range []string{"serve", "ingestion", "linode", "node-1", "sentinel-3"} {
		if atStart[name] == 0 {
			t.Fatalf("the twin has recorded no %s, only %v", name, atStart)
		}
	}

	scan := filepath.Join(t.TempDir(), "scan.json")
	source := filepath.Join("examples", "ingestion")
	scanned, err := exec.CommandContext(ctx, binary, "scan", source, "--evidence", scan).
		CombinedOutput()
	if err != nil {
		t.Fatalf("switchyard scan: %v\n%s", err, scanned)
	}
	node := exec.CommandContext(ctx, "node", filepath.Join("e2e", "path.mjs"), twin.url,
		twin.passwords["ada"], twin.passwords["grace"], twin.passwords["lee"], pictures, scan)
	// The browser ends when its pipe to node does.
	node.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	node.Cancel = func() error { return syscall.Kill(-node.Process.Pid, syscall.SIGKILL) }
	out, err := node.CombinedOutput()
	t.Logf("path:\n%s", out)
	if err != nil {
		t.Errorf("the path: %v; pictures of it are in %s", err, pictures)
	}

	atEnd := twin.children()
	if err := twin.interrupt(30 * time.Second); err != nil {
		t.Errorf("the twin, interrupted: %v\n%s", err, twin.errors())
	}
	for _, children := range []map[string]int{atStart, atEnd} {
		for name, pid := range children {
			if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("%s (pid %d) outlived the twin: %v", name, pid, err)
			}
		}
	}
	if left := twin.children(); len(left) != 0 {
		t.Errorf("the twin still records %v", left)
	}
}

// twinProcess is `switchyard twin` as a person starts it.
type twinProcess struct {
	dir       string
	url       string
	passwords map[string]string
	cmd       *exec.Cmd
	out, err  output
	ended     chan error
}

// output is what a process has written so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // one token: something was written since
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.more <- struct{}{}:
	default:
	}
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

var (
	urlLine     = regexp.MustCompile(`(?m)^Switchyard is at (\S+)$`)
	accountLine = regexp.MustCompile(`(?m)^  (\w+) +(\S+)  \((engineer|viewer)\)$`)
)

// startTwinProcess starts a twin and waits until it has said where it is and who can sign in.
// Whatever happens, nothing of it stays.
func startTwinProcess(ctx context.Context, t *testing.T, binary, dir string) *twinProcess {
	t.Helper()
	p := &twinProcess{dir: dir, passwords: map[string]string{}, ended: make(chan error, 1)}
	p.out.more, p.err.more = make(chan struct{}, 1), make(chan struct{}, 1)
	p.cmd = exec.CommandContext(ctx, binary, "twin", "--dir", dir, "--rate", "20")
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.err
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Cancel = func() error { return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	t.Cleanup(p.kill)
	for {
		if strings.Contains(p.out.String(), "Ctrl-C") {
			break
		}
		select {
		case <-p.out.more:
		case err := <-p.ended:
			p.ended <- err
			t.Fatalf("the twin ended: %v\n%s", err, p.errors())
		case <-ctx.Done():
			t.Fatalf("the twin did not say where it is: %v\n%s", context.Cause(ctx), p.errors())
		}
	}
	if m := urlLine.FindStringSubmatch(p.out.String()); m != nil {
		p.url = m[1]
	}
	for _, m := range accountLine.FindAllStringSubmatch(p.out.String(), -1) {
		p.passwords[m[1]] = m[2]
	}
	if p.url == "" || len(p.passwords) != 3 {
		t.Fatalf("cannot read what the twin printed:\n%s", p.out.String())
	}
	return p
}

// errors gives the last lines of what the twin wrote to standard error.
func (p *twinProcess) errors() string {
	lines := strings.Split(strings.TrimSpace(p.err.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

// children gives the pids that the twin has recorded, by name; empty while it has recorded none.
func (p *twinProcess) children() map[string]int {
	var recorded map[string]struct {
		PID int `json:"pid"`
	}
	text, err := os.ReadFile(filepath.Join(p.dir, "pids.json"))
	if err != nil || json.Unmarshal(text, &recorded) != nil {
		return nil
	}
	pids := map[string]int{}
	for name, r := range recorded {
		pids[name] = r.PID
	}
	return pids
}

// interrupt presses Ctrl-C and waits for the end; nil: it exited 0.
func (p *twinProcess) interrupt(patience time.Duration) error {
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	select {
	case err := <-p.ended:
		p.ended <- err
		return err
	case <-time.After(patience):
		return fmt.Errorf("still there after %s", patience)
	}
}

// kill ends the twin if it still runs, and its children, which are in process groups of their own.
func (p *twinProcess) kill() {
	select {
	case err := <-p.ended:
		p.ended <- err
		return
	default:
	}
	children := p.children()
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.ended //nolint:errcheck // it was killed
	for _, pid := range children {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
}
