package workflows

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/environment"
)

// searchBudget is how long one call looks; whoever wants more goes on from there.
const searchBudget = 6 * time.Second

// JobSearch is what to look for in the data of jobs.
type JobSearch struct {
	// Field is names with dots between them, such as customer.email or items.0.sku; a backslash takes
	// the next character as it is.
	//
	// See bullmq.ParseFieldPath.
	Field string `json:"field"`
	// Value is a string, matched exactly, or a number, true, false or null as JSON writes them.
	Value string `json:"value"`
	// Queue is the only one to search, as bullmq.Queue prints it; empty: all.
	Queue string `json:"queue,omitempty"`
	// After continues an earlier search: it has the next of each side, by source and target. A side
	// that is left out was done.
	After map[string]string `json:"after,omitempty"`
}

// JobMatches is what was found on both sides.
type JobMatches struct {
	Sides []SideMatches `json:"sides"` // those that were looked through
}

// Next is what After takes to go on; nil when both sides are done.
func (m JobMatches) Next() map[string]string {
	var next map[string]string
	for _, s := range m.Sides {
		if s.Result.Next != "" {
			if next == nil {
				next = map[string]string{}
			}
			next[s.Side] = s.Result.Next
		}
	}
	return next
}

// SideMatches is what was found on one side.
type SideMatches struct {
	Side     string `json:"side" enum:"source,target"`
	Endpoint string `json:"endpoint"`
	// Error says why it could not be searched, or not to its end; then Result says nothing, or
	// too little.
	Error  string              `json:"error,omitempty"`
	Queues int                 `json:"queues"` // how many were looked through
	Result bullmq.SearchResult `json:"result"`
}

// SearchJobs looks for jobs by a field of their data on both sides at once, for some
// seconds. Engineers only: whoever may ask what data holds can read it, and payloads of
// orders are personal data. Who looked through which field is in the audit log; for what
// value is not.
func (c *Control) SearchJobs(
	ctx context.Context,
	a migration.Actor,
	mid string,
	in JobSearch,
) (JobMatches, error) {
	out, err := c.searchJobs(ctx, a, mid, in)
	if in.After == nil || err != nil { // one line for each search, not for each part of it
		where := "all queues"
		if in.Queue != "" {
			where = in.Queue
		}
		c.audit(ctx, a, "job-search", fmt.Sprintf("%.200q in %.200s", in.Field, where), "", err)
	}
	return out, err
}

func (c *Control) searchJobs(
	ctx context.Context,
	a migration.Actor,
	mid string,
	in JobSearch,
) (JobMatches, error) {
	out := JobMatches{Sides: []SideMatches{}}
	if err := engineer(a); err != nil {
		return out, err
	}
	path, err := bullmq.ParseFieldPath(in.Field)
	if err != nil {
		return out, err
	}
	if len(in.Value) > 1024 {
		return out, migration.Errorf(
			migration.Invalid,
			"the value has %d bytes: at most 1024 are looked for",
			len(in.Value),
		)
	}
	for side := range in.After {
		if side != "source" && side != "target" {
			return out, migration.Errorf(
				migration.Invalid,
				"unknown side %.40q: source and target are known",
				side,
			)
		}
	}
	if _, err := c.store.Migration(ctx, mid); err != nil {
		return out, err
	}
	both := c.env.Surveys.Both(ctx, c.env.Servers, mid)
	source, _, sourceErr := c.env.Servers.Source(ctx, mid)
	target, _, targetErr := c.env.Servers.Target(ctx)
	sides := make([]SideMatches, 2)
	var all sync.WaitGroup
	for i, side := range []struct {
		client redis.UniversalClient
		err    error
	}{{source, sourceErr}, {target, targetErr}} {
		s := both[i]
		after, wanted := in.After[s.Side]
		if in.After != nil && !wanted {
			continue
		}
		all.Go(func() {
			sides[i] = searchSide(
				ctx,
				s,
				side.client,
				side.err,
				in.Queue,
				bullmq.SearchOptions{
					Path:   path,
					Value:  in.Value,
					After:  after,
					Budget: searchBudget,
				},
			)
		})
	}
	all.Wait()
	for _, s := range sides {
		if s.Side != "" {
			out.Sides = append(out.Sides, s)
		}
	}
	return out, nil
}

func searchSide(
	ctx context.Context,
	side SideSurvey,
	client redis.UniversalClient,
	err error,
	queue string,
	o bullmq.SearchOptions,
) SideMatches {
	out := SideMatches{
		Side:     side.Side,
		Endpoint: side.Endpoint,
		Result:   bullmq.SearchResult{Matches: []bullmq.Match{}},
	}
	switch {
	case err != nil:
		out.Error = environment.InWords(err)
		return out
	case side.Survey.At.IsZero(): // which queues there are is known from the survey; of none, nothing can be said
		out.Error = side.Error
		return out
	}
	for _, f := range side.Survey.Others {
		o.Known = append(o.Known, f.Queue)
	}
	for _, q := range side.Survey.Queues {
		o.Known = append(o.Known, q.Queue)
		if queue == "" || q.Queue.String() == queue {
			o.Queues = append(o.Queues, q.Queue)
		}
	}
	if out.Queues = len(o.Queues); out.Queues == 0 {
		return out
	}
	if out.Result, err = bullmq.SearchJobs(ctx, client, o); err != nil {
		out.Error = environment.InWords(err)
		out.Result.Next = ""
	}
	return out
}
