package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/rehearse"
)

// rehearsal runs the command as a person would, and gives its report and exit code.
func rehearsal(
	t *testing.T, binary string, env []string, args ...string,
) (rehearse.Report, int) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "report.json")
	args = append([]string{
		"rehearse", "--auto", "--report", file, "--keep", "--dir", filepath.Join(dir, "twin"),
	}, args...)
	cmd := exec.Command(binary, args...) //nolint:noctx // ended in Cleanup, in order
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
	case <-ended: //nolint:errcheck // its report is judged below
	case <-t.Context().Done():
		t.Fatalf("the rehearsal does not end:\n%s", out.String())
	case <-time.After(16 * time.Minute):
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

// told are the criteria that rest on the app's own words, whoever read them: its options, and
// what its journal says of orders. The services' own APIs were asked about the others.
var told = []string{
	"circuit-breaker", "parallel-validated", "webhook-retry", "source-decommissioned",
}

func TestRehearsalWithFaultsLosesNothingAndMeetsEveryCriterion(t *testing.T) {
	t.Parallel()
	const orders = 1500
	r, code := rehearsal(t, buildBinary(t, ""), nil, "--orders", "1500", "--rate", "150",
		"--faults", "kill-master,freeze-source,kill-serve,kill-serve,kill-serve")
	if code != 0 {
		t.Errorf("exit code %d: %s", code, r.Error)
	}
	o := r.Orders
	if o.Sent != orders || o.Fulfilled != orders || o.Lost != 0 || o.Duplicated != 0 {
		t.Errorf("orders: %+v", o)
	}
	if len(r.Criteria) != 7 {
		t.Errorf("%d criteria, not 7", len(r.Criteria))
	}
	for _, c := range r.Criteria {
		if c.Verdict != migration.Met {
			t.Errorf("%s is %s: %s", c.ID, c.Verdict, c.Why)
		}
		if byApp := slices.Contains(told, c.ID); byApp != (c.Proof == migration.Attested) {
			t.Errorf("%s is %s", c.ID, c.Proof)
		}
	}
	if r.RollbackMS == 0 {
		t.Error("no rollback was exercised")
	}
	if r.Failover.ElectionMS == 0 || r.Failover.LostAcknowledged != 0 {
		t.Errorf("failover: %+v", r.Failover)
	}
}

// Without an account anywhere: a database at a URL, machines and variables that a person looks
// after. Every criterion is met, and none by more than the evidence it deserves.
func TestAMigrationIsFinishedWithoutAnAccountAnywhere(t *testing.T) {
	t.Parallel()
	const orders = 500
	r, code := rehearsal(t, buildBinary(t, ""), nil, "--managed", "url", "--orders", "500",
		"--rate", "100", "--late-order", "3m") // it moves with what is left, and is due afterwards
	if code != 0 {
		t.Errorf("exit code %d: %s", code, r.Error)
	}
	if o := r.Orders; o.Fulfilled != orders || o.Lost != 0 || o.Duplicated != 0 {
		t.Errorf("orders: %+v", o)
	}
	proofs := map[string]migration.Proof{
		"noeviction":            migration.Observed,
		"sentinel-failover":     migration.Observed,
		"target-provisioned":    migration.Attested, // its plan: the configuration says it
		"circuit-breaker":       migration.Attested, // its options: the app says them
		"parallel-validated":    migration.Attested, // its journal says it
		"source-decommissioned": migration.Attested, // off and deleted: a person says it
		"webhook-retry":         migration.Attested,
	}
	if len(r.Criteria) != len(proofs) {
		t.Errorf("%d criteria, not %d", len(r.Criteria), len(proofs))
	}
	for _, c := range r.Criteria {
		if c.Verdict != migration.Met || c.Proof != proofs[c.ID] {
			t.Errorf("%s is %s and %s, want it %s: %s", c.ID, c.Verdict, c.Proof, proofs[c.ID],
				c.Why)
		}
	}
}

// An app that says nothing of itself uses the old server, and a second database of it is in use,
// beside two instances of the app and a second app with a routed queue of its own. Nothing is
// moved, stopped or called done before somebody has dealt with each of them.
func TestWhoeverIsNotKnownIsNamedUntilSomebodyDealsWithThem(t *testing.T) {
	t.Parallel()
	r, code := rehearsal(t, buildBinary(t, ""), nil, "--neighbour", "--fleet", "--orders",
		"500", "--rate", "100")
	if code != 0 {
		t.Errorf("exit code %d: %s", code, r.Error)
	}
	for _, id := range []string{"ingestion-1", "ingestion-2", "shop-1"} {
		if r.Instances[id] == 0 {
			t.Errorf("at %s no order took effect: %v", id, r.Instances)
		}
	}
	for _, want := range []rehearse.Named{
		{Step: migration.StepSentinelMove, By: "connected", Member: "client:"},
		{Step: migration.StepMoveResidue, By: "source-decommissioned",
			Member: "residue:source/db1/bull:invoices"},
		{Step: migration.StepMoveResidue, By: "source-decommissioned",
			Member: "residue:source/db1/other keys"},
	} {
		if !slices.ContainsFunc(r.Named, func(n rehearse.Named) bool {
			return n.Step == want.Step && n.By == want.By &&
				strings.HasPrefix(n.Member, want.Member)
		}) {
			t.Errorf("nobody named %+v: %+v", want, r.Named)
		}
	}
	for _, c := range r.Criteria {
		if c.Verdict != migration.Met {
			t.Errorf("%s is %s: %s", c.ID, c.Verdict, c.Why)
		}
	}
	if len(r.Other.Lost)+len(r.Other.Twice) > 0 {
		t.Errorf("the other apps' jobs: %+v", r.Other)
	}
}

// Without the gate of what is left on the source, an order that is to be fulfilled much later is
// still there when the source is to be decommissioned, which that gate would have refused. The
// order ledger knows it: it holds the decommission.
func TestARemovedGateIsCaughtByTheLedger(t *testing.T) {
	t.Parallel()
	without := []string{"SWITCHYARD_TEST_REMOVE_GATE=residue"}
	r, code := rehearsal(t, buildBinary(t, "removedgates"), without,
		"--orders", "500", "--rate", "100", "--late-order", "30m")
	if code == 0 {
		t.Error("the rehearsal passed")
	}
	if !slices.ContainsFunc(r.Held, func(h rehearse.Held) bool {
		return h.Step == migration.StepDecommission && h.Gate == "ledger-closed" &&
			!strings.Contains(h.Measured, "(0 on the source)")
	}) {
		t.Errorf("the ledger did not hold the decommission: %+v, %+v", r.Orders, r.Held)
	}
	for _, c := range r.Criteria {
		if c.ID == "source-decommissioned" && c.Verdict == migration.Met {
			t.Errorf("source-decommissioned is met although %d orders are lost", r.Orders.Lost)
		}
	}
}
