package evidence

import (
	"errors"
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Readiness is the id of the check of the Sentinel deployment.
const Readiness = "sentinel-readiness"

var readinessCheck = New(Check{
	ID:      Readiness,
	Title:   "Sentinel readiness",
	Limit:   "all readiness checks pass",
	Next:    "fix what the failing check names, then wait for the monitor",
	Before:  migration.StageDualWrite,
	MaxAge:  15 * time.Minute,
	About:   []migration.Aspect{migration.AspectNodes},
	Watched: true,
}, coverReadiness, judgeReadiness)

// ReadinessFacts is the evidence of Readiness.
type ReadinessFacts struct {
	Master string           `json:"master"`
	Checks []migration.Gate `json:"checks"`
}

func coverReadiness(f ReadinessFacts) migration.Coverage {
	return gates("readiness check", "the Sentinel deployment", f.Checks)
}

func judgeReadiness(f ReadinessFacts) (bool, string, error) {
	if len(f.Checks) == 0 {
		return false, "", errors.New("no readiness check ran")
	}
	if bad := migration.Failing(f.Checks); len(bad) > 0 {
		return false, fmt.Sprintf("%s: %s (required: %s)",
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

var failoverCheck = New(Check{
	ID:     Failover,
	Title:  "Automatic failover",
	Limit:  "writes resume within 30 s, no acknowledged write lost",
	Next:   "run the step Sentinel failover test",
	Before: migration.StageDualWrite,
	MaxAge: 30 * day,
	About:  []migration.Aspect{migration.AspectNodes},
	Spent:  true,
}, coverFailover, judgeFailover)

// FailoverFacts is the evidence of Failover. Times are milliseconds from the moment the
// master stopped answering.
type FailoverFacts struct {
	// Kind is automatic when Sentinel noticed by itself, planned when somebody asked for it.
	Kind       string `json:"kind"`
	OldMaster  string `json:"old_master"`
	NewMaster  string `json:"new_master"`
	DetectMS   int64  `json:"detect_ms"`
	ElectionMS int64  `json:"election_ms"`
	// FirstWriteMS is when a canary write was first acknowledged by the new master.
	FirstWriteMS migration.Figure `json:"first_write_ms,omitzero"`
	// FirstAddMS is when the ingestion app first accepted a job through BullMQ on the source; 0
	// when adds were never interrupted.
	FirstAddMS migration.Figure `json:"first_add_ms,omitzero"`
	// BlockedMS is the longest time without an acknowledged canary write.
	BlockedMS migration.Figure `json:"blocked_ms,omitzero"`
	// RecoveredMS is the time until the old master was a healthy replica.
	RecoveredMS      migration.Figure `json:"recovered_ms,omitzero"`
	Acknowledged     int              `json:"acknowledged"`
	LostAcknowledged int              `json:"lost_acknowledged"`
	// Adds counts the canary jobs that the app accepted through BullMQ meanwhile; 0 where the
	// app's journal could not tell.
	Adds     int `json:"adds,omitempty"`
	LostAdds int `json:"lost_adds,omitempty"` // never run
	// RunAgain counts the runs beyond the first: the completion was not replicated.
	RunAgain int `json:"run_again,omitempty"`
}

const (
	// minWrites and minAdds are fewer canary writes and jobs than even a short failover meets:
	// with less, nobody was looking.
	minWrites, minAdds = 10, 5
	// recoverLimitMS is how long the old master may take to be a healthy replica.
	recoverLimitMS = 180_000
)

func coverFailover(f FailoverFacts) migration.Coverage {
	c := migration.Coverage{Of: "server", Found: "the primary by Sentinel"}
	if f.OldMaster != "" {
		c.Members = append(c.Members, server(f.OldMaster, migration.Met, "it was the primary"))
	}
	return c
}

func judgeFailover(f FailoverFacts) (bool, string, error) {
	switch {
	case f.Kind != "automatic":
		return false, "", fmt.Errorf("a %s failover does not show that Sentinel detects a dead "+
			"primary",
			f.Kind)
	case f.NewMaster == "" || f.NewMaster == f.OldMaster:
		return false, "no new primary was elected", nil
	case f.LostAcknowledged > 0:
		return false, fmt.Sprintf("%d of %d acknowledged writes were lost",
			f.LostAcknowledged, f.Acknowledged), nil
	case f.LostAdds > 0:
		return false, fmt.Sprintf("%d of %d jobs that BullMQ acknowledged never ran",
			f.LostAdds, f.Adds), nil
	}
	if late, err := f.Late(); late != "" || err != nil {
		return false, late, err
	}
	switch {
	case f.Acknowledged < minWrites:
		return false, "", fmt.Errorf("the canary acknowledged %s, %d needed: run the test again",
			migration.Count(f.Acknowledged, "write"), minWrites)
	case f.Adds < minAdds:
		return false, "", fmt.Errorf("what became of the jobs that BullMQ accepted is known of "+
			"%d, %d needed: run the test again", f.Adds, minAdds)
	}
	return true, fmt.Sprintf("new primary elected in %s, writes resumed in %s, BullMQ adds in "+
		"%s, 0 of %d acknowledged writes and 0 of %s lost",
		seconds(f.ElectionMS), f.FirstWriteMS.Text(seconds), f.FirstAddMS.Text(seconds),
		f.Acknowledged, migration.Count(f.Adds, "job")), nil
}

// Late says which of a failover's times is over its limit; an error, which of them nobody saw.
func (f FailoverFacts) Late() (string, error) {
	var unseen string
	for _, t := range []struct {
		what  string
		took  migration.Figure
		limit int64
	}{
		{"writes resumed after", f.FirstWriteMS, FailoverLimitMS},
		{"BullMQ adds resumed after", f.FirstAddMS, FailoverLimitMS},
		{"writes were blocked for", f.BlockedMS, FailoverLimitMS},
		{"the old primary was a replica again after", f.RecoveredMS, recoverLimitMS},
	} {
		switch {
		case t.took.Beyond(t.limit):
			return fmt.Sprintf("%s %s (limit %d s)", t.what, t.took.Text(seconds),
				t.limit/1000), nil
		case !t.took.Within(t.limit) && unseen == "":
			unseen = t.what + ": " + t.took.Text(seconds)
		}
	}
	if unseen != "" {
		return "", errors.New(unseen + ": run the test again")
	}
	return "", nil
}
