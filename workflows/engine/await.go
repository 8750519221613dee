package engine

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrNotYet makes Await go on looking.
var ErrNotYet = errors.New("not yet")

// Await looks every interval until ready gives nil. ready returns an error wrapping
// ErrNotYet, saying what it waits for, to be asked again; any other error ends the wait.
// When the context ends first, what was waited for is the error.
func Await(ctx context.Context, every time.Duration, ready func(context.Context) error) error {
	for {
		err := ready(ctx)
		if err == nil || !errors.Is(err, ErrNotYet) {
			return err
		}
		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
				return cause
			}
			return fmt.Errorf("gave up waiting: %w", err)
		case <-time.After(every):
		}
	}
}

// NotYet says what Await waits for.
func NotYet(format string, args ...any) error {
	return fmt.Errorf("%s (%w)", fmt.Sprintf(format, args...), ErrNotYet)
}
