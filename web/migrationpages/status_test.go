package migrationpages

import (
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/doctor"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows"
)

func TestOnlyASucceededRunLooksDone(t *testing.T) {
	t.Parallel()
	for _, s := range []migration.RunState{
		migration.RunFailed, migration.RunRejected, migration.RunCancelled, migration.RunUndoing,
		"surprise",
	} {
		if runStatus(migration.Run{State: s}).Tone == "ok" {
			t.Errorf("a run that is %s looks done", s)
		}
	}
	back := migration.Run{State: migration.RunSucceeded, RolledBackBy: "x"}
	if runStatus(back).Tone == "ok" {
		t.Error("a run that was rolled back looks done")
	}
}

func TestDatesAreCountedInWholeDays(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 14, 5, 0, 0, time.UTC)
	for days, want := range map[int]string{
		0: "today", 1: "tomorrow", -1: "yesterday", 5: "in 5 days", -5: "5 days ago",
	} {
		if got := countdown(now, now.AddDate(0, 0, days)); got != want {
			t.Errorf("countdown of %d days = %q, want %q", days, got, want)
		}
	}
}

func TestASetUpMissesNothingThatIsOptional(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		state workflows.SetupState
		needs []string
		want  string
	}{
		{workflows.SetupAbsent, nil, "Nothing missing"},
		{workflows.SetupAbsent, []string{"sentinel"}, "1 absent"},
		{workflows.SetupFails, nil, "1 failure"},
		{workflows.SetupUnknown, nil, "1 unknown"},
	} {
		f := workflows.SetupFinding{Finding: doctor.Finding{State: tc.state}, Criteria: tc.needs}
		v := Setup{Setup: workflows.Setup{Parts: []workflows.SetupPart{
			{AskedAt: time.Unix(1, 0), Findings: []workflows.SetupFinding{f}},
		}}}
		if got := v.status().Word; got != tc.want {
			t.Errorf("%s, for %v: %q, want %q", tc.state, tc.needs, got, tc.want)
		}
	}
}
