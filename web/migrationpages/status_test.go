package migrationpages

import (
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
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
