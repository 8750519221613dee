package redisconn

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/redis/go-redis/v9"
)

// Tally is what a server has counted since its start: what it refused, and the
// commands that use data, executed or rejected.
type Tally struct {
	RunID    string           `json:"run_id"`
	Refused  int64            `json:"refused"`
	Commands map[string]int64 `json:"commands"`
}

// Count reads a server's tally. Two of them tell whether anybody, including this
// process, used the server in between.
func Count(ctx context.Context, c redis.UniversalClient) (Tally, error) {
	s, err := takeSample(ctx, c)
	if err != nil {
		return Tally{}, fmt.Errorf("count: %w", err)
	}
	t := Tally{RunID: s.runID, Refused: s.refused, Commands: map[string]int64{}}
	for name, n := range s.commands {
		// this is how an expired key reaches a replica
		if !housekeeping[name] && (!s.replica || name != "del" && name != "unlink") {
			t.Commands[name] = n + s.rejected[name]
		}
	}
	return t, nil
}

// Since describes in words what happened after an earlier tally; nothing if nothing
// did.
func (t Tally) Since(before Tally) []string {
	if t.RunID != before.RunID {
		return []string{"the server restarted"}
	}
	var out []string
	if n := t.Refused - before.Refused; n > 0 {
		out = append(out, fmt.Sprintf("%d refused attempts", n))
	}
	for _, name := range slices.Sorted(maps.Keys(t.Commands)) {
		if n := t.Commands[name] - before.Commands[name]; n > 0 {
			out = append(out, fmt.Sprintf("%d times %s", n, name))
		}
	}
	return out
}
