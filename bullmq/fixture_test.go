package bullmq_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

const fixtures = "testdata/bullmq"

// installed reports whether real BullMQ is there; the repository's npm workspace installs it.
var installed = sync.OnceValue(func() error {
	node := exec.Command("node", "--input-type=module", "-e", "await import('bullmq'); await import('bullmq5')")
	node.Dir = fixtures
	if out, err := node.CombinedOutput(); err != nil {
		return fmt.Errorf("the tests use real BullMQ, which is not installed: run make node first: %w\n%s", err, out)
	}
	return nil
})

// major selects the BullMQ of the fixtures.
type major int

func (m major) command(t *testing.T, s *redistest.Server, queue, verb string) *exec.Cmd {
	t.Helper()
	if err := installed(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "fixture.mjs", strconv.Itoa(s.Port), queue, verb)
	cmd.Dir = fixtures
	cmd.Env = append(os.Environ(), "BULLMQ="+strconv.Itoa(int(m)))
	return cmd
}

// run lets real BullMQ do one thing and gives what it printed.
func (m major) run(t *testing.T, s *redistest.Server, queue, verb, stdin string) string {
	t.Helper()
	cmd := m.command(t, s, queue, verb)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("fixture %s: %v\n%s", verb, err, &errs)
	}
	return out.String()
}

// task is a job to add.
type task struct {
	Name string         `json:"name"`
	Data map[string]any `json:"data"`
	Opts map[string]any `json:"opts,omitempty"`
}

// add adds jobs with real BullMQ and gives their ids.
func (m major) add(t *testing.T, s *redistest.Server, queue string, tasks ...task) []string {
	t.Helper()
	b, err := json.Marshal(tasks)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	if err := json.Unmarshal([]byte(m.run(t, s, queue, "add", string(b))), &ids); err != nil {
		t.Fatal(err)
	}
	return ids
}

// plain gives n jobs with ids prefix_0, prefix_1 ...
func plain(prefix string, n int) []task {
	var out []task
	for i := range n {
		out = append(out, task{Name: "order", Data: map[string]any{"n": i}, Opts: map[string]any{"jobId": fmt.Sprintf("%s_%d", prefix, i)}})
	}
	return out
}

// executed is one job that a worker ran.
type executed struct {
	ID   string          `json:"id"`
	Data json.RawMessage `json:"data"`
}

// worker is a real BullMQ worker.
type worker struct {
	jobs  chan executed
	stdin io.Closer
}

// work starts a worker and waits until it is ready. It ends with the test.
func (m major) work(t *testing.T, s *redistest.Server, queue string) *worker {
	t.Helper()
	cmd := m.command(t, s, queue, "work")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w := &worker{jobs: make(chan executed, 10_000), stdin: stdin}
	ready, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			var e executed
			if lines.Text() == "ready" {
				close(ready)
			} else if json.Unmarshal(lines.Bytes(), &e) == nil {
				w.jobs <- e
			}
		}
	}()
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Process.Kill()
		<-ended
		_ = cmd.Wait()
	})
	select {
	case <-ready:
	case <-ended:
		t.Fatalf("the worker ended:\n%s", &errs)
	case <-time.After(30 * time.Second):
		t.Fatal("the worker did not get ready")
	}
	return w
}

// expect waits for the worker to run n jobs and gives their ids in order.
func (w *worker) expect(t *testing.T, n int) []string {
	t.Helper()
	deadline := time.After(15 * time.Second)
	var ids []string
	for len(ids) < n {
		select {
		case e := <-w.jobs:
			ids = append(ids, e.ID)
		case <-deadline:
			t.Fatalf("the worker ran %d of %d jobs: %v", len(ids), n, ids)
		}
	}
	return ids
}

// expectNone fails when the worker runs a job within a moment that is long for an idle worker (it takes a job within 10 ms).
func (w *worker) expectNone(t *testing.T) {
	t.Helper()
	select {
	case e := <-w.jobs:
		t.Fatalf("the worker ran job %s", e.ID)
	case <-time.After(300 * time.Millisecond):
	}
}
