package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrNotYet makes Await go on looking.
var ErrNotYet = errors.New("not yet")

// Await looks every interval until ready gives nil. ready returns an error wrapping
// ErrNotYet, saying what it waits for, to be asked again; any other error ends the wait.
// When the context ends first, what was waited for is the error: what the last look found that
// it did not cut off.
func Await(ctx context.Context, every time.Duration, ready func(context.Context) error) error {
	var last error
	for {
		err := ready(ctx)
		if err == nil || !errors.Is(err, ErrNotYet) {
			return err
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
				return cause
			}
			return fmt.Errorf("gave up waiting: %w", last)
		case <-time.After(every):
		}
	}
}

// NotYet says what Await waits for.
func NotYet(format string, args ...any) error {
	return fmt.Errorf("%s (%w)", fmt.Sprintf(format, args...), ErrNotYet)
}

// Awaited gives what NotYet said; false where err is another.
func Awaited(err error) (string, bool) {
	if !errors.Is(err, ErrNotYet) {
		return "", false
	}
	return strings.TrimSuffix(err.Error(), " ("+ErrNotYet.Error()+")"), true
}
