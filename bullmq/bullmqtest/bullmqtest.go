// Package bullmqtest lets real BullMQ, versions 3 to 6 from npm, add, run and change
// jobs for tests. The repository's npm workspace installs it; the programs are in
// bullmq/testdata/bullmq.
package bullmqtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// fixtures is where fixture.mjs is, whichever package's tests run.
var fixtures = func() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "testdata", "bullmq")
}()

// installed checks that real BullMQ is there; the repository's npm workspace
// installs it.
var installed = sync.OnceValue(func() error {
	node := exec.Command("node", "--input-type=module", "-e",
		"for (const v of ['', 3, 4, 5]) await import('bullmq' + v)")
	node.Dir = fixtures
	if out, err := node.CombinedOutput(); err != nil {
		return fmt.Errorf(
			"the tests use real BullMQ, which is not installed: run make node first: %w\n%s",
			err, out)
	}
	return nil
})

// Major selects one of the fixtures' BullMQ versions.
type Major int

// Command returns a command that runs a fixture's program; see
// testdata/bullmq/fixture.mjs for its verbs. env adds to the environment
// ("PREFIX=shop").
func (m Major) Command(
	t testing.TB, s *redistest.Server, queue, verb string, env ...string,
) *exec.Cmd {
	t.Helper()
	if err := installed(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "fixture.mjs", strconv.Itoa(s.Port),
		queue, verb)
	cmd.Dir = fixtures
	cmd.Env = append(append(os.Environ(), "BULLMQ="+strconv.Itoa(int(m))), env...)
	return cmd
}

// Run lets real BullMQ do one thing and returns what it printed.
func (m Major) Run(t testing.TB, s *redistest.Server, queue, verb, stdin string) string {
	t.Helper()
	cmd := m.Command(t, s, queue, verb)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("fixture %s: %v\n%s", verb, err, &errs)
	}
	return out.String()
}

// Task is a job to add.
type Task struct {
	Name string         `json:"name"`
	Data map[string]any `json:"data"`
	Opts map[string]any `json:"opts,omitempty"`
}

// Add adds jobs with real BullMQ and returns their ids.
func (m Major) Add(t testing.TB, s *redistest.Server, queue string, tasks ...Task) []string {
	t.Helper()
	b, err := json.Marshal(tasks)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	if err := json.Unmarshal([]byte(m.Run(t, s, queue, "add", string(b))), &ids); err != nil {
		t.Fatal(err)
	}
	return ids
}

// Plain returns n jobs with ids prefix_0, prefix_1 ...
func Plain(prefix string, n int) []Task {
	var out []Task
	for i := range n {
		out = append(out, Task{Name: "order", Data: map[string]any{"n": i},
			Opts: map[string]any{"jobId": fmt.Sprintf("%s_%d", prefix, i)}})
	}
	return out
}

// Populated is what a populated queue holds.
type Populated struct {
	Jobs []string `json:"jobs"` // data.k of every job still to run, each once
	// ms between the runs of scheduler "tick"; 0: the version has none
	Scheduler int `json:"scheduler"`
}

// Populate fills a queue and <queue>-children with every feature the version has.
func (m Major) Populate(t testing.TB, s *redistest.Server, queue string) Populated {
	t.Helper()
	var p Populated
	if err := json.Unmarshal([]byte(m.Run(t, s, queue, "populate", "")), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// Executed is one job that a worker ran.
type Executed struct {
	ID      string          `json:"id"`
	Data    json.RawMessage `json:"data"`
	Attempt int             `json:"attempt"` // attempts made before
}

// Key is the job's data.k.
func (e Executed) Key() string {
	var d struct {
		K string `json:"k"`
	}
	_ = json.Unmarshal(e.Data, &d) // a job without k has no key
	return d.K
}

// Node runs one of our programs with node until the test ends; line receives each
// line that it prints after "ready". Stop, or the end of its standard input, ends
// it.
func Node(
	t testing.TB, line func([]byte), env []string, file string, args ...string,
) (stop func()) {
	t.Helper()
	if err := installed(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", append([]string{file}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	return start(t, cmd, line).Stop
}

// Worker is a real BullMQ worker.
type Worker struct {
	Jobs chan Executed
	*program
}

// Work starts a worker for a queue, or for several separated by commas, and waits
// until it is ready. It ends with the test.
func (m Major) Work(t testing.TB, s *redistest.Server, queue string, env ...string) *Worker {
	t.Helper()
	w := &Worker{Jobs: make(chan Executed, 100_000)}
	w.program = start(t, m.Command(t, s, queue, "work", env...), func(line []byte) {
		var e Executed
		if json.Unmarshal(line, &e) == nil {
			w.Jobs <- e
		}
	})
	return w
}

// Producer is a program that adds jobs until it is stopped. Added receives each
// acknowledged id and is closed when the program has ended.
type Producer struct {
	Added chan string
	*program
}

// Produce starts a producer and waits until it is ready. It ends with the test.
func (m Major) Produce(
	t testing.TB, s *redistest.Server, queue string, env ...string,
) *Producer {
	t.Helper()
	p := &Producer{Added: make(chan string, 1_000_000)}
	p.program = start(t, m.Command(t, s, queue, "produce", env...), func(line []byte) {
		p.Added <- string(line)
	})
	go func() {
		<-p.ended
		close(p.Added)
	}()
	return p
}

// Mixed is one thing that a Mixer did and BullMQ acknowledged.
type Mixed struct {
	Queue  string `json:"q"`
	Add    string `json:"add"` // key of a job that is to run once
	Update string `json:"update"`
	V      int    `json:"v"`      // version that data.v of job Update is now
	Remove string `json:"remove"` // key of a job that must not run any more
	Done   string `json:"done"`   // command that was executed
	Error  string `json:"error"`
}

// Mixer is a program that does everything BullMQ can do with queues, at random.
type Mixer struct {
	Lines chan Mixed
	*program
}

// Mix starts a mixer on several queues, separated by commas, and waits until it is
// ready. It ends with the test.
func (m Major) Mix(t testing.TB, s *redistest.Server, queues string, seed uint64) *Mixer {
	t.Helper()
	x := &Mixer{Lines: make(chan Mixed, 1_000_000)}
	x.program = start(t, m.Command(t, s, queues, "mix", fmt.Sprint("SEED=", seed)),
		func(line []byte) {
			var one Mixed
			if json.Unmarshal(line, &one) == nil {
				x.Lines <- one
			}
		})
	return x
}

// Tell sends the mixer a command: see testdata/bullmq/fixture.mjs. It is done once
// Lines says so.
func (x *Mixer) Tell(format string, args ...any) error {
	_, err := fmt.Fprintf(x.stdin, format+"\n", args...)
	return err
}

// program is a running fixture.
type program struct {
	stdin io.WriteCloser
	ended chan struct{} // all its output was read
}

// Stop lets the program finish what it is doing and waits for it to end.
func (p *program) Stop() {
	_ = p.stdin.Close()
	<-p.ended
}

func start(t testing.TB, cmd *exec.Cmd, line func([]byte)) *program {
	t.Helper()
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
	p := &program{stdin: stdin, ended: make(chan struct{})}
	ready := make(chan struct{})
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if lines.Text() == "ready" {
				close(ready)
			} else {
				line(lines.Bytes())
			}
		}
	}()
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Process.Kill()
		<-p.ended
		_ = cmd.Wait()
	})
	select {
	case <-ready:
	case <-p.ended:
		t.Fatalf("the program ended:\n%s", &errs)
	case <-time.After(30 * time.Second):
		t.Fatal("the program did not get ready")
	}
	return p
}

// Expect waits for the worker to run n jobs and returns their ids in order.
func (w *Worker) Expect(t testing.TB, n int) []string {
	t.Helper()
	deadline := time.After(15 * time.Second)
	var ids []string
	for len(ids) < n {
		select {
		case e := <-w.Jobs:
			ids = append(ids, e.ID)
		case <-deadline:
			t.Fatalf("the worker ran %d of %d jobs: %v", len(ids), n, ids)
		}
	}
	return ids
}

// ExpectNone fails if the worker runs a job within a moment that is long for an
// idle worker (which takes a job within 10 ms).
func (w *Worker) ExpectNone(t testing.TB) {
	t.Helper()
	select {
	case e := <-w.Jobs:
		t.Fatalf("the worker ran job %s", e.ID)
	case <-time.After(300 * time.Millisecond):
	}
}
