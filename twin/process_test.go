package twin

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// sleeper is a supervised program that does nothing.
func sleeper(t *testing.T, restart time.Duration) *process {
	t.Helper()
	dir := t.TempDir()
	p := &process{
		name:    "sleeper",
		restart: restart,
		argv:    func() []string { return []string{"sleep", "600"} },
		spawn:   newSpawner(),
		pids: &pidFile{
			path: filepath.Join(dir, "pids.json"),
			pids: map[string]recorded{},
		},
		log:     slog.New(slog.DiscardHandler),
		logFile: filepath.Join(dir, "log"),
	}
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.retire(time.Second) })
	return p
}

// written is what a pid file says.
func written(t *testing.T, path string) map[string]recorded {
	t.Helper()
	pids := map[string]recorded{}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &pids); err != nil {
		t.Fatal(err)
	}
	return pids
}

func runs(r recorded) bool { return r.Started != "" && startTime(r.PID) == r.Started }

func TestAProcessThatDiesIsStartedAgainAfterAWhile(t *testing.T) {
	t.Parallel()
	p := sleeper(t, 300*time.Millisecond)
	first := written(t, p.pids.path)["sleeper"]
	if !runs(first) {
		t.Fatalf("the recorded process %+v does not run", first)
	}
	killed := time.Now()
	if err := p.signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	soon(t, 5*time.Second, "the next one", func() error {
		if now := written(t, p.pids.path)["sleeper"]; now.PID == first.PID || !runs(now) {
			return fmt.Errorf("%+v", now)
		}
		return nil
	})
	if took := time.Since(killed); took < 300*time.Millisecond {
		t.Errorf("it was started again after %s, before its time", took)
	}
}

func TestAFrozenProcessCanBeStopped(t *testing.T) {
	t.Parallel()
	p := sleeper(t, time.Hour)
	r := written(t, p.pids.path)["sleeper"]
	if err := p.signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	p.stop(20 * time.Second)
	if runs(r) || time.Since(begin) > 10*time.Second {
		t.Errorf("after %s the process still runs (%v)", time.Since(begin), runs(r))
	}
	if left := written(t, p.pids.path); len(left) != 0 {
		t.Errorf("a stopped process is still recorded: %v", left)
	}
}

func TestRestartsThatMeetDoNotDoubleOrForgetAProcess(t *testing.T) {
	t.Parallel()
	p := sleeper(t, time.Hour)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { _ = p.again(5 * time.Second) })
	}
	all.Wait()
	now := written(t, p.pids.path)["sleeper"]
	if p.cmd.Process.Pid != now.PID || !runs(now) {
		t.Errorf("after restarts that met, pid %d runs and %+v is recorded", p.cmd.Process.Pid, now)
	}
	// A restart that is asked for while the twin closes must not outlive it.
	for range 8 {
		all.Go(func() { _ = p.again(5 * time.Second) })
	}
	p.retire(5 * time.Second)
	all.Wait()
	if err := p.start(); !errors.Is(err, errRetired) {
		t.Errorf("a start after the end: %v", err)
	}
	if left := written(t, p.pids.path); len(left) != 0 {
		t.Errorf("after the end there is still %v", left)
	}
}

func TestLeftoversEndsWhatWasRecordedAndNothingElse(t *testing.T) {
	t.Parallel()
	begin := func() *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "sleep", "600")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	ours, foreign := begin(), begin()
	gone := make(chan error, 1)
	go func() { gone <- ours.Wait() }()
	defer func() { _ = foreign.Process.Kill(); _ = foreign.Wait() }()
	path := filepath.Join(t.TempDir(), "pids.json")
	if err := writeJSON(path, map[string]recorded{
		"ours":   {ours.Process.Pid, startTime(ours.Process.Pid)},
		"reused": {foreign.Process.Pid, "1"}, // the pid is somebody else's by now
		"ended":  {1 << 30, "1"},
	}); err != nil {
		t.Fatal(err)
	}
	if err := leftovers(path, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	<-gone //nolint:errcheck // it was killed
	if startTime(foreign.Process.Pid) == "" {
		t.Error("a process that only has a recorded pid was ended")
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the record is still there: %v", err)
	}
}

func TestCertificatesAreKeptWhileTheyWorkTogether(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	read := func() string {
		t.Helper()
		ca, cert, key, err := certificates(dir)
		if err != nil {
			t.Fatal(err)
		}
		if !usable(ca, cert, key) {
			t.Fatal("the certificates are not usable")
		}
		text, err := os.ReadFile(cert)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	first := read()
	if read() != first {
		t.Error("good certificates were made anew")
	}
	other := t.TempDir()
	ca, _, _, err := certificates(other)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(ca, filepath.Join(dir, "ca.crt")); err != nil {
		t.Fatal(err)
	}
	if read() == first {
		t.Error("a certificate of another authority was kept")
	}
}
