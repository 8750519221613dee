// Package ingestiontest runs the example app as a process of its own, for tests of what
// speaks to it.
package ingestiontest

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/switchyard-dev/switchyard/providers/ingestion"
)

const token = "ingestion-test-token"

// Start runs a program of examples/ingestion, such as dist/main.js, until the test ends,
// and gives its address and a client of it. It has a data folder of its own and no control
// plane; env names its Redis and everything else, and at least one provider's secret.
func Start(t testing.TB, program string, env ...string) (string, *ingestion.Client) {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	cmd := exec.Command( //nolint:noctx // ended in Cleanup
		"node",
		filepath.Join(filepath.Dir(here), "..", "..", "examples", "ingestion", program),
	)
	cmd.Env = append(
		os.Environ(),
		"PORT=0",
		"SWITCHYARD_URL=http://127.0.0.1:1",
		"SWITCHYARD_TOKEN=none",
		"INGESTION_TOKEN="+token,
		"DATA_DIR="+t.TempDir(),
	)
	cmd.Env = append(cmd.Env, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	port := make(chan int, 1)
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var l struct {
				Event string
				Port  int
			}
			if json.Unmarshal(lines.Bytes(), &l) == nil && l.Event == "listening" {
				port <- l.Port
			}
		}
		close(port)
	}()
	p, ok := <-port
	if !ok {
		t.Fatal("the app ended before it listened: is it built (make node)?")
	}
	url := "http://127.0.0.1:" + strconv.Itoa(p)
	return url, ingestion.New(url, token, nil)
}
