package ui

import (
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

func TestOnlyMetLooksMet(t *testing.T) {
	t.Parallel()
	for _, v := range []migration.Verdict{
		migration.Met, migration.Unmet, migration.Stale, migration.Unknown, "", "surprise",
	} {
		s, met := VerdictStatus(v), v == migration.Met
		if (s.Tone == "ok") != met || (s.Icon == "circle-check") != met || s.Word == "" {
			t.Errorf("%q looks like %+v", v, s)
		}
	}
}

func TestNumbersAndTimesReadTheSameEverywhere(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0", 999: "999", 4035: "4\u202f035", -1234567: "-1\u202f234\u202f567",
	} {
		if got := Number(n); got != want {
			t.Errorf("Number(%d) = %q, want %q", n, got, want)
		}
	}
	now := time.Date(2026, 11, 23, 14, 5, 0, 0, time.UTC)
	for ago, want := range map[time.Duration]string{
		0: "just now", 9 * time.Second: "just now", 59 * time.Second: "59 s ago",
		119 * time.Second: "1 min ago", 25 * time.Hour: "1 d ago", -time.Hour: "in the future",
	} {
		if got := Age(now, now.Add(-ago)); got != want {
			t.Errorf("age of %s = %q, want %q", ago, got, want)
		}
	}

}
