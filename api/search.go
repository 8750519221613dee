package api

import (
	"context"
	"maps"
	"slices"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows"
)

// FoundJob is a job that a search found, and the side that holds it.
type FoundJob struct {
	Side string `json:"side"`
	bullmq.Match
}

// SkippedJobs is how many jobs of a side a search could not look into.
type SkippedJobs struct {
	Side  string
	Count int64 // their data is too large, or no JSON
}

// SearchAllJobs searches both sides to their end and gives each job once. It fails when a side
// cannot be searched.
func (c *Client) SearchAllJobs(
	ctx context.Context, mid string, in JobSearch,
) (found []FoundJob, skipped []SkippedJobs, err error) {
	found = []FoundJob{}
	seen, unread := map[FoundJob]bool{}, map[string]int64{}
	for {
		m, err := c.SearchJobs(ctx, mid, in)
		if err != nil {
			return nil, nil, err
		}
		for _, side := range m.Sides {
			if side.Error != "" {
				return nil, nil, migration.Errorf(migration.Unavailable,
					"the %s is not known: %s", side.Side, side.Error)
			}
			unread[side.Side] += side.Result.TooLarge + side.Result.Unreadable
			for _, j := range side.Result.Matches {
				if at := (FoundJob{side.Side, j}); !seen[at] {
					seen[at], found = true, append(found, at)
				}
			}
		}
		if in.After = m.Next(); in.After == nil {
			break
		}
	}
	for _, side := range slices.Sorted(maps.Keys(unread)) {
		if n := unread[side]; n > 0 {
			skipped = append(skipped, SkippedJobs{side, n})
		}
	}
	return found, skipped, nil
}

// SearchAnswer is what a search found, and where it looked: see workflows.SearchAnswer.
type SearchAnswer = workflows.SearchAnswer

func searchOperations() []Operation {
	return []Operation{{
		ID: "search", Route: "GET " + ofMigration + "/search", Access: AccessSession,
		Summary: "Look for a text in runs, orders, steps, queues, flags, alerts, keys and people",
		Description: "Runs are found by the begin of their ID or by their step, orders and jobs by " +
			"their whole ID, everything else by each word of the text. At most 8 of each source.",
		Params: searchParams{}, Answer: SearchAnswer{},
	}}
}

type searchParams struct {
	// What to look for; at most 512 bytes.
	Text string `query:"q"`
	// 1: also look for a job with this ID, in every queue of both sides.
	Jobs int `query:"jobs" minimum:"0" maximum:"1"`
}

// Search looks for a text in everything that a migration has; jobs: also on both Redis servers.
func (c *Client) Search(
	ctx context.Context, mid, text string, jobs bool,
) (SearchAnswer, error) {
	var r SearchAnswer
	q := query("q", text)
	if jobs {
		q = query("q", text, "jobs", "1")
	}
	err := c.get(ctx, at(mid, "search")+q, &r)
	return r, err
}
