package sentineltest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/ingestiontest"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

// victim, in the environment, has the test be the process that is killed: it is the
// configuration, as JSON.
const victim = "SWITCHYARD_TEST_VICTIM"

// settings is what the process that is killed and the one after it have in common.
type settings struct {
	Dir, App, Action string
	Sentinels        []string
	Master           string
	Data, Watch      string
}

func (s settings) open(t *testing.T) *stepstest.Bench {
	t.Helper()
	cfg := stepstest.Settings(s.Dir)
	cfg.Ingestion.URL = s.App
	cfg.Source.Sentinel = config.Sentinel{Addrs: s.Sentinels, Master: s.Master,
		Password: migration.Secret(s.Data), SentinelPassword: migration.Secret(s.Watch)}
	b := stepstest.Open(t, cfg, func(b *stepstest.Bench) []engine.Step {
		whole := Parts{Servers: b.Env.Servers, Debts: b.Env.Debts, App: b.Env.App,
			Journal: b.Env.Journal}.Step()
		for _, a := range whole.Actions(migration.Params{}) {
			if a.ID == s.Action {
				return []engine.Step{stepstest.Step(migration.StepSentinelTest, a)}
			}
		}
		t.Fatalf("there is no action %q", s.Action)
		return nil
	})
	b.Route(t, migration.Routing{Stage: migration.StageOff, Source: migration.SourceSentinel})
	return b
}

// app accepts canary jobs and runs each of them at once.
func app(t *testing.T) string {
	t.Helper()
	j := ingestiontest.NewJournal(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/canary") {
			j.ServeHTTP(w, r)
			return
		}
		var in struct{ ID string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		j.Set(func() {
			j.Events = append(j.Events, map[string]any{"seq": len(j.Events) + 1,
				"at": time.Now().UnixMilli(), "order": in.ID, "type": "executed",
				"mode": "authoritative", "outcome": "canary"})
		})
		_, _ = w.Write([]byte(`{"status":200,"endpoint":"sentinel"}`))
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// The process dies as soon as the old master refuses writes. The next one takes that off again,
// and fails over at most once in all.
func TestAKilledFailoverLeavesNoFenceAndIsNotRepeated(t *testing.T) {
	if raw := os.Getenv(victim); raw != "" {
		var s settings
		if err := json.Unmarshal([]byte(raw), &s); err != nil {
			t.Fatal(err)
		}
		dieAtFence(t, s)
	}
	t.Parallel()
	for _, action := range []string{"planned", "automatic"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			d := redistest.StartSentinel(t, 2, redistest.Password("data"),
				redistest.SentinelPassword("watch"), redistest.DownAfter(2*time.Second))
			e := d.Endpoint()
			s := settings{Dir: t.TempDir(), App: app(t), Action: action,
				Sentinels: e.SentinelAddrs, Master: e.MasterName, Data: "data", Watch: "watch"}
			epoch := epochOf(t, d)
			killAtFence(t, s)
			b := s.open(t)
			owed, err := b.Store.Debts(t.Context(), stepstest.Migration)
			if err != nil || len(owed) == 0 || !owed[0].Open {
				t.Fatalf("nothing was written down before it was done: %+v %v", owed, err)
			}
			redistest.Eventually(t, 2*time.Minute, func() error {
				run, err := b.Store.Run(t.Context(), owed[0].Run)
				if err == nil && run.State.Open() {
					err = fmt.Errorf("the run is %s", run.State)
				}
				return err
			})
			run, _ := b.Store.Run(t.Context(), owed[0].Run)
			t.Logf("%s: %s", run.State, run.Error)
			if left, err := b.Store.Debts(t.Context(), stepstest.Migration); err != nil ||
				len(left) > 0 {
				t.Errorf("it still owes %v %v", left, err)
			}
			for _, n := range d.Nodes {
				if on, err := redisconn.Fenced(t.Context(), n.Client()); err != nil || on {
					t.Errorf("%s refuses writes: %v %v", n.Addr(), on, err)
				}
			}
			if now := epochOf(t, d); now > epoch+1 {
				t.Errorf("it failed over %d times", now-epoch)
			}
			if run.State == migration.RunFailed && !strings.Contains(run.Error, "cut off") {
				t.Errorf("it failed by something else: %s", run.Error)
			}
		})
	}
}

// killAtFence runs the step in a process of its own, which dies when one of the nodes is fenced.
func killAtFence(t *testing.T, s settings) {
	t.Helper()
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run",
		"^TestAKilledFailoverLeavesNoFenceAndIsNotRepeated$")
	cmd.Env = append(os.Environ(), victim+"="+string(raw))
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("it was not killed: %v\n%s", err, out.String())
	}
}

// dieAtFence runs the step, and kills this process as soon as one of the nodes is fenced. The
// test's own connections are closed first: nobody but the product is to be connected.
func dieAtFence(t *testing.T, s settings) {
	t.Helper()
	b := s.open(t)
	nodes, err := b.Env.Servers.SentinelNodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if err := n.Client.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME",
			"yes").Err(); err != nil {
			t.Fatal(err)
		}
	}
	redistest.Eventually(t, 30*time.Second, func() error { // the sentinels were cut off, too
		facts, err := b.Env.Servers.Readiness(t.Context())
		if bad := migration.Failing(facts.Checks); err == nil && len(bad) > 0 {
			err = fmt.Errorf("%s: %s", bad[0].Title, bad[0].Measured)
		}
		return err
	})
	run := b.Start(t, migration.StepSentinelTest, migration.Params{})
	redistest.Eventually(t, 30*time.Second, func() error {
		for _, n := range nodes {
			if on, err := redisconn.Fenced(t.Context(), n.Client); err == nil && on {
				return syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
		}
		now, err := b.Store.Run(t.Context(), run.ID)
		return fmt.Errorf("no node is fenced; the run is %s: %s %v", now.State, now.Error, err)
	})
}

// epochOf counts the failovers so far.
func epochOf(t *testing.T, d *redistest.Sentinel) int {
	t.Helper()
	e := d.Endpoint()
	epoch := 0
	for _, addr := range e.SentinelAddrs {
		c := redisconn.SentinelNode(e, addr)
		m, err := c.Master(t.Context(), e.MasterName).Result()
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		n := 0
		_, _ = fmt.Sscan(m["config-epoch"], &n)
		epoch = max(epoch, n)
	}
	return epoch
}
