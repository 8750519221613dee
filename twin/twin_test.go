package twin

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/upstash"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// helperDir names the variable that makes the test binary run a twin instead of tests, so
// that a test can kill it.
const helperDir = "SWITCHYARD_TEST_TWIN_DIR"

func TestMain(m *testing.M) {
	dir := os.Getenv(helperDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	if _, err := Start(context.Background(), testConfig(dir)); err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	fmt.Println("up")
	select {}
}

func testConfig(dir string) Config {
	return Config{Dir: dir, IngestionDir: filepath.Join("..", "examples",
		"ingestion"), Rate: 20, DownAfter: 2 * time.Second,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
}

func eventually(t *testing.T, within time.Duration, what string, ask func() error) {
	t.Helper()
	if err := poll(t.Context(), within, what,
		func(context.Context) error { return ask() }); err != nil {
		t.Fatal(err)
	}
}

func recordedPIDs(t *testing.T, dir string) map[string]recorded {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "pids.json"))
	if err != nil {
		t.Fatal(err)
	}
	pids := map[string]recorded{}
	if err := json.Unmarshal(text, &pids); err != nil {
		t.Fatal(err)
	}
	return pids
}

func TestAKilledTwinLeavesNothingRunningAndTheNextGoesOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), helperDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil ||
		strings.TrimSpace(line) != "up" {
		t.Fatalf("the twin says %q, %v", line, err)
	}
	before, err := loadState(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "provider", "orders.jsonl")
	eventually(t, 20*time.Second, "orders", func() error {
		if text, err := os.ReadFile(file); err != nil ||
			strings.Count(string(text), `"status":200`) < 10 {
			return fmt.Errorf("fewer than 10 orders acknowledged: %w", err)
		}
		return nil
	})
	pids := recordedPIDs(t, dir)
	if len(pids) < 8 {
		t.Fatalf("only %d processes are recorded: %v", len(pids), pids)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	eventually(t, 10*time.Second, "the killed twin's processes", func() error {
		for name, r := range pids {
			if startTime(r.PID) == r.Started {
				return fmt.Errorf("%s (pid %d) still runs", name, r.PID)
			}
		}
		return nil
	})

	again, err := Start(t.Context(), testConfig(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Close() })
	if again.URL() != "http://"+before.Addr {
		t.Errorf("the second start is at %s, not %s", again.URL(), before.Addr)
	}
	if n := again.Traffic().Stats().Sent; n < 10 {
		t.Errorf("the provider forgot its orders: %d", n)
	}
	if _, err := Start(t.Context(), testConfig(dir)); migration.KindOf(err) != migration.Conflict {
		t.Errorf("a second twin in the same folder: %v", err)
	}
	again.Traffic().SetRate(0)
	settled, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if err := again.Traffic().Settled(settled); err != nil {
		t.Fatal(err)
	}
	eventually(t, 90*time.Second, "the sink", func() error {
		applied, err := again.Sink(t.Context())
		if err != nil {
			return err
		}
		for _, o := range again.Traffic().Orders() {
			if applied[o.ID] != 1 {
				return fmt.Errorf("%s was applied %d times", o.ID, applied[o.ID])
			}
		}
		return nil
	})
	pids = recordedPIDs(t, dir)
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	for name, r := range pids {
		if startTime(r.PID) == r.Started {
			t.Errorf("%s (pid %d) runs after Close", name, r.PID)
		}
	}
}

func TestTheManagedRedisLacksWhatTheServiceLacks(t *testing.T) {
	t.Parallel()
	tw, err := Start(t.Context(), testConfig(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tw.Close() })
	api := upstash.New("http://"+tw.state.address("upstash")+"/v2", "ops@example.com",
		migration.Secret(tw.state.Secrets["upstash"]), http.DefaultClient)
	db, err := api.Create(t.Context(),
		upstash.CreateRequest{DatabaseName: "d", Platform: "aws", PrimaryRegion: "us-east-1",
			Plan: upstash.Fixed1GB, TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	c, err := redisconn.Open(redisconn.Endpoint{Name: "managed", Kind: redisconn.Managed,
		URL: db.URL(), CAFile: tw.caFile})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for _, refused := range [][]any{
		{"CONFIG", "GET", "maxmemory"}, {"CLIENT", "KILL", "ID", "1"}, {"CLIENT", "PAUSE", "1"},
		{"REPLICAOF", "NO", "ONE"}, {"ROLE"}, {"MONITOR"}, {"SLOWLOG", "GET"}, {"SHUTDOWN"},
		{"SAVE"}, {"PSYNC", "?", "-1"},
	} {
		if err := c.Do(t.Context(), refused...).Err(); err == nil ||
			!strings.Contains(err.Error(), "NOPERM") {
			t.Errorf("%v: %v, not refused", refused, err)
		}
	}
	for _, needed := range [][]any{
		{"SET", "k", "v"}, {"EVAL", "return redis.call('GET', 'k')", "0"},
		{"XADD", "s", "*", "a", "b"}, {"CLIENT", "LIST"}, {"INFO"}, {"SCAN", "0"},
	} {
		if err := c.Do(t.Context(), needed...).Err(); err != nil {
			t.Errorf("%v: %v", needed, err)
		}
	}
}
