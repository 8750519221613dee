package redistest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Empty deletes every key of a server, however many there are, and waits until their memory is free
// again. FLUSHALL by itself answers when it is done, which for a million keys on a slow machine is
// later than a client waits; what it frees in the background would count into whatever is measured next.
func Empty(t testing.TB, c redis.UniversalClient) {
	t.Helper()
	if err := c.FlushAllAsync(t.Context()).Err(); err != nil {
		t.Fatalf("redistest: empty: %v", err)
	}
	Eventually(t, time.Minute, func() error {
		info, err := c.Info(t.Context(), "memory").Result()
		if err == nil && !strings.Contains(info, "lazyfree_pending_objects:0\r\n") {
			err = errors.New("keys are still being freed")
		}
		return err
	})
}
