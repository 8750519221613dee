package bullmq

import (
	"testing"
	"time"
)

// The share is kept up to the longest pause after a few short commands; after what may take the
// server long, such as a search of a long list, it is kept whatever it took.
func TestPausesKeepTheShareAndAreBriefAfterShortCommands(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		share              float64
		took, pause, brief time.Duration
	}{
		{0.5, time.Millisecond, time.Millisecond, time.Millisecond},
		{0.1, time.Millisecond, 9 * time.Millisecond, 9 * time.Millisecond},
		{0.1, 20 * time.Millisecond, 180 * time.Millisecond, 180 * time.Millisecond},
		{0.1, 100 * time.Millisecond, 900 * time.Millisecond, mostRest},
		{0.1, 10 * time.Second, 90 * time.Second, mostRest},
		{1, 10 * time.Second, 0, 0},
	} {
		s := &surveyor{o: SurveyOptions{Share: tc.share}}
		if got := s.pause(tc.took).Round(time.Microsecond); got != tc.pause {
			t.Errorf("share %g, %s: a pause of %s", tc.share, tc.took, got)
		}
		if got := s.brief(tc.took).Round(time.Microsecond); got != tc.brief {
			t.Errorf("share %g, %s: a brief pause of %s", tc.share, tc.took, got)
		}
	}
}
