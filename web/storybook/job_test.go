package storybook

import (
	"testing"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/web/queuepages"
	"github.com/switchyard-dev/switchyard/workflows"
)

func jobStories(t *testing.T) map[string]story {
	t.Helper()
	out := map[string]story{}
	found := bullmq.Job{
		Queue: bullmq.Queue{Name: "order-ingestion"}, ID: "evt_1Q2w3E", Name: "order",
		State: "delayed", Data: []byte(`{"order":{"id":"ord_1","total":"12.50"}}`),
		Opts: []byte(`{"attempts":5}`), Timestamp: &first, DueAt: &inAnHour,
		AttemptsMade: 2, FailedReason: "timeout",
		Stacktrace: []string{"Error: timeout\n    at run"}, Logs: []string{"looked at"},
		LogCount: 1, Bytes: 41,
	}
	out["jobs"] = queueStory(queuepages.JobsPage(
		queuepages.Jobs{
			MigrationID: mid, ID: "evt_1Q2w3E", Who: engineer,
			Found: workflows.FoundJobs{ID: "evt_1Q2w3E", Sides: []workflows.SideJobs{
				{
					Side: "source", Endpoint: "sentinel", Queues: 3,
					Jobs: []bullmq.Job{found},
				}, {Side: "target", Endpoint: "managed", Queues: 2}}},
		},
	))
	matches := workflows.JobMatches{Sides: []workflows.SideMatches{
		{
			Side: "source", Endpoint: "sentinel", Queues: 3,
			Result: bullmq.SearchResult{
				Keys: 61_440, Total: 310_204, Searched: 60_911, TooLarge: 2,
				Next: "f00:4711",
				Matches: []bullmq.Match{
					{
						Queue: bullmq.Queue{Name: "order-ingestion"}, ID: "evt_1Q2w3E",
						Name: "order",
					}, {Queue: bullmq.Queue{Name: "mail"}, ID: "<b>9</b>", Name: "receipt"}},
			},
		},
		{
			Side: "target", Endpoint: "managed", Queues: 2,
			Result: bullmq.SearchResult{Keys: 812, Total: 812, Searched: 640},
		}}}
	out["jobs-search"] = queueStory(queuepages.JobsPage(
		queuepages.Jobs{
			MigrationID: mid, Who: engineer,
			Search:  workflows.JobSearch{Field: "customer.email", Value: "ann@example.com"},
			Matches: &matches,
		},
	))
	out["jobs-viewer"] = queueStory(
		queuepages.JobsPage(queuepages.Jobs{MigrationID: mid, Who: viewer}),
	)
	return out
}
