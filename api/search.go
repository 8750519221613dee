package api

import (
	"context"
	"maps"
	"slices"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
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
