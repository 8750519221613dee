package sentinelmove

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/sentinel"
	"github.com/switchyard-dev/switchyard/workflows/environment"
)

// paused is whom the move found at work, and what waits in those queues while they stand.
type paused struct {
	environment.MovedQueues
	Jobs migration.Figure `json:"jobs,omitzero"`
}

// swapped is what the swap cost and what the new primary holds after it.
type swapped struct {
	sentinel.SwitchReport
	Keys migration.Figure `json:"keys,omitzero"`
}

// pending counts the jobs of some queues that are not completed. It is for the record alone:
// what cannot be counted is not observed, and holds nothing up.
func (s Parts) pending(ctx context.Context, queues []bullmq.Queue) migration.Figure {
	var jobs int64
	for _, q := range queues {
		n, err := bullmq.Census(ctx, s.Servers.Standalone, q)
		if err != nil {
			return migration.Figure{}
		}
		jobs += n.Pending()
	}
	return migration.Measured(jobs)
}

func keysOn(ctx context.Context, c redis.UniversalClient) migration.Figure {
	info, err := redisconn.Inspect(ctx, c)
	if err != nil {
		return migration.Figure{}
	}
	return migration.Measured(info.Keys)
}

// freezeLimitMS is what the plan's "blocked for milliseconds" comes to: less than a second.
const freezeLimitMS = 1000

// result says what the move came to.
func result(run migration.Run) migration.RunResult {
	was, _ := migration.OutputOf[suspended](run, "suspend-sentinels")
	stood, _ := migration.OutputOf[paused](run, environment.PauseQueues)
	swap, ok := migration.OutputOf[swapped](run, "switch")
	if !ok {
		return migration.RunResult{Said: "The roles were not swapped."}
	}
	out := migration.RunResult{Said: fmt.Sprintf(
		"Every queue is on the Sentinel deployment, primary %s.", was.Master)}
	out.Within("Writes blocked", swap.FreezeMS, freezeLimitMS, migration.Millis)
	out.Compare("Workers paused", "a few seconds", standstill(run).Text(migration.Millis), "")
	out.Tell("Keys on the new primary", "%s", swap.Keys.Text(number))
	out.Tell("Jobs that waited at the swap", "%s", stood.Jobs.Text(number))
	if n := len(stood.Worked); n > 0 {
		out.Tell("Queues with workers", "%d", n)
	}
	return out
}

// standstill is the time from the pause of the queues until they were resumed.
func standstill(run migration.Run) migration.Figure {
	var from, to *time.Time
	for _, a := range run.Actions {
		switch a.ID {
		case environment.PauseQueues:
			from = a.StartedAt
		case "resume-queues":
			to = a.FinishedAt
		}
	}
	if from == nil || to == nil {
		return migration.Figure{}
	}
	return migration.Measured(to.Sub(*from).Milliseconds())
}

func number(n int64) string { return fmt.Sprint(n) }
