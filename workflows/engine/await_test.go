package engine

import (
	"context"
	"strings"
	"testing"
	"time"
)

// Who is waited for is the error, not that the last look was cut off by the end of the wait.
func TestWhatWasWaitedForIsToldWhenTheTimeIsOver(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	looks := 0
	bounded, end := context.WithDeadlineCause(ctx, time.Now().Add(time.Hour),
		context.DeadlineExceeded)
	defer end()
	err := Await(bounded, time.Nanosecond, func(context.Context) error {
		if looks++; looks == 1 {
			return NotYet("client 7 is unknown")
		}
		cancel(context.DeadlineExceeded)
		return NotYet("the server does not list its clients: %v", context.DeadlineExceeded)
	})
	if err == nil || !strings.Contains(err.Error(), "gave up waiting: client 7 is unknown") {
		t.Error(err)
	}
	// A look that never ended is all that is known.
	err = Await(bounded, time.Nanosecond, func(context.Context) error {
		return NotYet("the server does not list its clients")
	})
	if err == nil || !strings.Contains(err.Error(), "does not list its clients") {
		t.Error(err)
	}
}
