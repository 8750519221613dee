package evidence

import (
	"errors"
	"fmt"

	"github.com/switchyard-dev/switchyard/migration"
)

// Readiness is the id of the check of the Sentinel deployment.
const Readiness = "sentinel-readiness"

var readinessCheck = Check{
	ID:      Readiness,
	Title:   "Sentinel readiness",
	Limit:   "all readiness checks pass",
	Next:    "fix what the failing check names, then wait for the monitor",
	Judge:   judge(judgeReadiness),
	Watched: true,
}

// ReadinessFacts is the evidence of Readiness.
type ReadinessFacts struct {
	Master string           `json:"master"`
	Checks []migration.Gate `json:"checks"`
}

func judgeReadiness(f ReadinessFacts) (bool, string, error) {
	if len(f.Checks) == 0 {
		return false, "", errors.New("no readiness check ran")
	}
	if bad := migration.Failing(f.Checks); len(bad) > 0 {
		return false, fmt.Sprintf("%s: %s (want %s)",
			bad[0].Title, bad[0].Measured, bad[0].Limit), nil
	}
	return true, fmt.Sprintf("all %d readiness checks of Sentinel pass, master %s",
		len(f.Checks), f.Master), nil
}

// FailoverLimitMS is the initiative's limit from losing the master to the first
// acknowledged write, in milliseconds.
const FailoverLimitMS = 30_000

// Failover is the id of the check of the automatic failover.
const Failover = "failover-test"

var failoverCheck = Check{
	ID:    Failover,
	Title: "Automatic failover",
	Limit: "writes resume within 30 s, no acknowledged write lost",
	Next:  "run the step Sentinel failover test",
	Judge: judge(judgeFailover),
}

// FailoverFacts is the evidence of Failover. Times are milliseconds from the moment the
// master stopped answering.
type FailoverFacts struct {
	// Kind is automatic when Sentinel noticed by itself, planned when somebody asked for it.
	Kind         string `json:"kind"`
	OldMaster    string `json:"old_master"`
	NewMaster    string `json:"new_master"`
	DetectMS     int64  `json:"detect_ms"`
	ElectionMS   int64  `json:"election_ms"`
	FirstWriteMS int64  `json:"first_write_ms"`
	// FirstAddMS is when the ingestion app first accepted a job through BullMQ; 0 when adds were
	// never interrupted.
	FirstAddMS int64 `json:"first_add_ms"`
	// BlockedMS is the longest time without an acknowledged canary write.
	BlockedMS int64 `json:"blocked_ms,omitempty"`
	// RecoveredMS is the time until the old master was a healthy replica.
	RecoveredMS      int64 `json:"recovered_ms,omitempty"`
	Acknowledged     int   `json:"acknowledged"`
	LostAcknowledged int   `json:"lost_acknowledged"`
	// Adds counts the canary jobs that the app accepted through BullMQ meanwhile; 0 where the
	// app's journal could not tell.
	Adds     int `json:"adds,omitempty"`
	LostAdds int `json:"lost_adds,omitempty"` // never run
	// RunAgain counts the runs beyond the first: the completion was not replicated.
	RunAgain int `json:"run_again,omitempty"`
}

func judgeFailover(f FailoverFacts) (bool, string, error) {
	switch {
	case f.Kind != "automatic":
		return false, "", fmt.Errorf("a %s failover does not show that Sentinel detects a dead "+
			"primary",
			f.Kind)
	case f.NewMaster == "" || f.NewMaster == f.OldMaster:
		return false, "no new primary was elected", nil
	case f.Acknowledged == 0:
		return false, "", errors.New("the canary acknowledged no write, so there is no evidence")
	case f.LostAcknowledged > 0:
		return false, fmt.Sprintf("%d of %d acknowledged writes were lost",
			f.LostAcknowledged, f.Acknowledged), nil
	case f.LostAdds > 0:
		return false, fmt.Sprintf("%d of %d jobs that BullMQ acknowledged never ran",
			f.LostAdds, f.Adds), nil
	case f.FirstWriteMS > FailoverLimitMS || f.FirstAddMS > FailoverLimitMS:
		return false, fmt.Sprintf("writes resumed after %s, BullMQ adds after %s (limit 30 s)",
			seconds(f.FirstWriteMS), seconds(f.FirstAddMS)), nil
	}
	return true, fmt.Sprintf("new primary elected in %s, writes resumed in %s, BullMQ adds in "+
		"%s, 0 of %d acknowledged writes lost",
		seconds(f.ElectionMS), seconds(f.FirstWriteMS), seconds(f.FirstAddMS), f.Acknowledged), nil
}
