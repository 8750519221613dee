package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/rehearse"
)

// binaries is the folder of what buildBinary built, and plain builds the program as people run it, once for all tests.
var (
	binaries string
	plain    = sync.OnceValues(func() (string, error) { return build("") })
)

// TestMain works from the root of the repository, as people do: the program finds the example app there by default.
func TestMain(m *testing.M) {
	if err := os.Chdir(".."); err != nil {
		panic(err)
	}
	var err error
	if binaries, err = os.MkdirTemp("", "switchyard-test-"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(binaries)
	os.Exit(code)
}

func build(tags string) (string, error) {
	binary := filepath.Join(binaries, "switchyard"+tags)
	cmd := exec.Command("go", "build", "-tags", tags, "-o", binary, ".") //nolint:noctx // for all tests, not for one
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return binary, nil
}

// buildBinary gives switchyard as people run it, or a variant that tags choose.
func buildBinary(t *testing.T, tags string) string {
	t.Helper()
	if _, err := os.Stat("examples/ingestion/dist/main.js"); err != nil {
		t.Fatal("the ingestion app is not built: run make node first")
	}
	built := plain
	if tags != "" {
		built = func() (string, error) { return build(tags) }
	}
	binary, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// runRehearsal runs the command as a person would, and gives its report and exit code.
func runRehearsal(t *testing.T, binary string, env []string, args ...string) (rehearse.Report, int) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "report.json")
	cmd := exec.Command(binary, append([]string{"rehearse", "--auto", "--report", file, "--keep", "--dir", filepath.Join(dir, "twin")}, args...)...) //nolint:noctx // ended in Cleanup, in order
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	select {
	case <-ended:
	case <-t.Context().Done():
		t.Fatalf("the rehearsal does not end:\n%s", out.String())
	case <-time.After(12 * time.Minute):
		t.Fatalf("the rehearsal does not end:\n%s", out.String())
	}
	t.Logf("%s", out.String())
	var r rehearse.Report
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("no report: %v", err)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r, cmd.ProcessState.ExitCode()
}

func TestRehearsalWithFaultsLosesNothingAndMeetsEveryCriterion(t *testing.T) {
	t.Parallel()
	const orders = 1500
	r, code := runRehearsal(t, buildBinary(t, ""), nil, "--orders", "1500", "--rate", "150", "--faults", "kill-master,freeze-source,kill-serve,kill-serve,kill-serve")
	if code != 0 {
		t.Errorf("exit code %d: %s", code, r.Error)
	}
	if o := r.Orders; o.Sent != orders || o.Fulfilled != orders || o.Lost != 0 || o.Duplicated != 0 {
		t.Errorf("orders: %+v", o)
	}
	if len(r.Criteria) != 7 {
		t.Errorf("%d criteria, not 7", len(r.Criteria))
	}
	for _, c := range r.Criteria {
		if c.Verdict != migration.Met {
			t.Errorf("%s is %s: %s", c.ID, c.Verdict, c.Why)
		}
	}
	if r.RollbackMS == 0 {
		t.Error("no rollback was exercised")
	}
	if r.Failover.ElectionMS == 0 || r.Failover.LostAcknowledged != 0 {
		t.Errorf("failover: %+v", r.Failover)
	}
}

// Decommission while delayed orders are still on the source, which the removed gate would have refused.
func TestARemovedGateIsCaughtByTheLedger(t *testing.T) {
	t.Parallel()
	r, code := runRehearsal(t, buildBinary(t, "removedgates"), []string{"SWITCHYARD_TEST_REMOVE_GATE=residue"}, "--orders", "1500", "--rate", "150", "--deadline", "50s")
	if code == 0 {
		t.Error("the rehearsal passed")
	}
	if r.Orders.Lost == 0 {
		t.Errorf("no order was lost, so the gate was not needed here: %+v", r.Orders)
	}
	for _, c := range r.Criteria {
		if c.ID == "source-decommissioned" && c.Verdict == migration.Met {
			t.Errorf("source-decommissioned is met although %d orders are lost", r.Orders.Lost)
		}
	}
}
