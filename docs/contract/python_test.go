package contract_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/murmur3"

	"github.com/switchyard-dev/switchyard/conform"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// control is what the skeleton asks of Switchyard.
type control struct {
	*httptest.Server

	mu       sync.Mutex
	flags    []map[string]any
	attested []fleet.Attestation
	broken   []error
}

func newControl(t *testing.T) *control {
	t.Helper()
	c := &control{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer workers" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.URL.Path == "/ofrep/v1/evaluate/flags" {
			_ = json.NewEncoder(w).Encode(map[string]any{"flags": c.flags})
			return
		}
		d := json.NewDecoder(r.Body)
		d.DisallowUnknownFields()
		var a fleet.Attestation
		if err := d.Decode(&a); err != nil {
			c.broken = append(c.broken, err)
		}
		c.attested = append(c.attested, a)
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(c.Close)
	return c
}

// set has the next answers give these flags; a stage "" is left out.
func (c *control) set(stage string, ramp, revision int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flags = nil
	for key, value := range map[string]any{"orders-stage": stage, "orders-ramp": ramp,
		"source-endpoint": "standalone", "other": true} {
		if value != "" {
			c.flags = append(c.flags, map[string]any{"key": key, "value": value, "metadata": map[string]any{
				"revision": revision, "flagSetRevision": revision, "flagSetId": "orders"}})
		}
	}
}

// last waits for an attestation that satisfies, and gives it.
func (c *control) last(t *testing.T, what string, ok func(fleet.Attestation) bool) fleet.Attestation {
	t.Helper()
	var out fleet.Attestation
	redistest.Eventually(t, 20*time.Second, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.attested) == 0 || !ok(c.attested[len(c.attested)-1]) {
			return fmt.Errorf("no attestation of %s: %+v", what, c.attested)
		}
		out = c.attested[len(c.attested)-1]
		return nil
	})
	return out
}

// skeleton is python/app.py as a process: with bullmq on real servers where that is installed,
// else with the stub of testdata.
type skeleton struct {
	*testing.T
	control *control
	servers []*redistest.Server
	env     []string
	cmd     *exec.Cmd
	url     string
	down    string
}

func start(t *testing.T) *skeleton {
	t.Helper()
	s := &skeleton{T: t, control: newControl(t), down: filepath.Join(t.TempDir(), "down")}
	urls := []string{"redis://source", "redis://target"}
	library := filepath.Join("testdata", "stub")
	if exec.CommandContext(t.Context(), "python3", "-c", "import bullmq").Run() == nil {
		library = os.Getenv("PYTHONPATH")
		for i := range urls {
			s.servers = append(s.servers, redistest.Start(t,
				redistest.Config("appendonly yes", "appendfsync always")))
			urls[i] = "redis://" + s.servers[i].Addr()
		}
	}
	t.Logf("bullmq of %q", library)
	s.env = append(os.Environ(), "PYTHONPATH="+library, "PYTHONDONTWRITEBYTECODE=1",
		"PORT=0", "DATA_DIR="+t.TempDir(), "DOWN="+s.down, "INSTANCE_ID=web.1",
		"SOURCE_REDIS_URL="+urls[0], "TARGET_REDIS_URL="+urls[1], "INGESTION_TOKEN=right",
		"SWITCHYARD_URL="+s.control.URL, "SWITCHYARD_TOKEN=workers")
	return s
}

// run starts the process and waits until it listens.
func (s *skeleton) run() {
	s.Helper()
	s.cmd = exec.Command("python3", "python/app.py") //nolint:noctx // ended in Cleanup
	s.cmd.Env, s.cmd.Stderr = s.env, os.Stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		s.Fatal(err)
	}
	cmd := s.cmd
	s.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if err := cmd.Start(); err != nil {
		s.Fatalf("%v: is Python there (scripts/setup python3)?", err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var line struct {
			Event string
			Port  int
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Event == "listening" {
			s.url = "http://127.0.0.1:" + strconv.Itoa(line.Port)
			go func() {
				for lines.Scan() { // or it waits for a reader
				}
			}()
			return
		}
	}
	s.Fatal("it ended before it listened")
}

// deliver sends an order as its provider does, once.
func (s *skeleton) deliver(id string) int {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), http.MethodPost, s.url+"/webhooks/shop",
		bytes.NewReader(fmt.Appendf(nil, `{"id":%q,"name":"Ünï","cents":[1,2.50]}`, id)))
	if err != nil {
		s.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") == "" {
		s.Error("503 without Retry-After")
	}
	return resp.StatusCode
}

func (s *skeleton) journal() ingestion.Journal {
	s.Helper()
	page, err := ingestion.New(s.url, "right", nil).Journal(s.Context(), 0, 1000)
	if err != nil {
		s.Fatal(err)
	}
	return page
}

// told counts what the journal says of an order.
func (s *skeleton) told(order string) map[string]int {
	s.Helper()
	out := map[string]int{}
	for _, raw := range s.journal().Events {
		var e struct{ Type, Order, Side, Outcome string }
		if err := json.Unmarshal(raw, &e); err != nil {
			s.Fatal(err)
		}
		if e.Order == order {
			out[strings.TrimRight(fmt.Sprintf("%s %s %s", e.Type, e.Side, e.Outcome), " ")]++
		}
	}
	return out
}

func (s *skeleton) applied(order string) {
	s.Helper()
	redistest.Eventually(s, 30*time.Second, func() error {
		told := s.told(order)
		if n := told["executed source applied"] + told["executed target applied"]; n != 1 {
			return fmt.Errorf("%s took effect %d times: %v", order, n, told)
		}
		return nil
	})
}

func (s *skeleton) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// Drills are what it leaves out: there the rule is open.
func TestTheSkeletonInPythonKeepsTheContract(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.run()
	for _, r := range conform.Run(t.Context(), conform.Options{URL: s.url, Token: "right",
		Queue: "orders"}) {
		if r.Verdict != conform.Kept && (r.Rule != "drill" || r.Verdict != conform.Open) {
			t.Errorf("%s %s: %s; must: %s", r.Verdict, r.Rule, r.Said, r.Must)
		}
	}
}

func TestTheSkeletonInPythonFollowsTheFlagsAndOutlivesOutages(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.control.set("live", 50, 7)
	s.run()
	attested := s.control.last(t, "revision 7", func(a fleet.Attestation) bool {
		return a.Revision == 7 && len(a.Connections) == 8
	})
	if attested.Contract != 2 || attested.Journal != s.journal().Epoch || attested.LastKnownGood {
		t.Errorf("%+v", attested)
	}
	for _, c := range attested.Connections {
		if c.Role == "producer" && (string(c.Options["enableOfflineQueue"]) != "false" ||
			string(c.Options["commandTimeout"]) != "2000" || c.Status != "ready") {
			t.Errorf("%+v", c)
		}
	}
	for i := range 12 {
		order := fmt.Sprintf("order-%d", i)
		if got := s.deliver(order); got != http.StatusOK {
			t.Errorf("%s: status %d", order, got)
		}
		s.applied(order)
		side, other := "source", "target"
		if murmur3.Sum32([]byte("orders-stage"+order))/42949673 < 50 { // 2^32 / 100
			side, other = other, side
		}
		redistest.Eventually(t, 20*time.Second, func() error {
			want := map[string]int{"delivery": 1, "enqueued " + side: 1, "enqueued " + other: 1,
				"executed " + side + " applied": 1, "executed " + other + " compared": 1}
			if told := s.told(order); !maps.Equal(told, want) {
				return fmt.Errorf("%s: %v, want %v", order, told, want)
			}
			return nil
		})
	}

	s.control.set("off", 0, 6) // older
	s.control.last(t, "last known good", func(a fleet.Attestation) bool { return a.LastKnownGood })
	s.control.set("", 0, 8) // half an answer
	before := s.journal()
	s.kill() // and the next process knows the flags from the disk
	s.run()
	if a := s.control.last(t, "another process", func(a fleet.Attestation) bool {
		return a.Process != attested.Process
	}); a.Revision != 7 || !a.LastKnownGood {
		t.Errorf("%+v", a)
	}
	if after := s.journal(); after.Epoch != before.Epoch ||
		!slices.EqualFunc(after.Events[:len(before.Events)], before.Events, slices.Equal) {
		t.Error("the journal is another one")
	}
	s.control.set("complete", 0, 9)
	s.control.last(t, "revision 9", func(a fleet.Attestation) bool { return a.Revision == 9 })

	if err := os.WriteFile(s.down, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, one := range s.servers {
		one.Kill()
	}
	if got := s.deliver("late"); got != http.StatusServiceUnavailable {
		t.Errorf("during an outage: status %d", got)
	}
	if err := os.Remove(s.down); err != nil {
		t.Fatal(err)
	}
	for _, one := range s.servers {
		one.Restart()
	}
	redistest.Eventually(t, 20*time.Second, func() error {
		if got := s.deliver("late"); got != http.StatusOK {
			return fmt.Errorf("after the outage: status %d", got)
		}
		return nil
	})
	s.applied("late")

	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	s.control.last(t, "its end", func(a fleet.Attestation) bool { return a.Leaving })
	if err := s.cmd.Wait(); err != nil {
		t.Error(err)
	}
	s.run()
	events := s.journal().Events
	if last := events[len(events)-1]; !bytes.Contains(last, []byte(`"type": "closed"`)) {
		t.Errorf("it ended with %s", last)
	}
	if len(s.control.broken) > 0 {
		t.Error(s.control.broken)
	}
}
