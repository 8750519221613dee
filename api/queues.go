package api

import (
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows"
)

func queueOperations() []Operation {
	return []Operation{{
		ID: "countQueues", Route: "GET " + ofMigration + "/queues", Access: AccessSession,
		Summary: "Jobs on both sides, now", Answer: QueueBoard{},
	}, {
		ID: "getQueue", Route: "GET " + ofMigration + "/queues/{queue}", Access: AccessSession,
		Summary: "One queue on both sides, in depth",
		Result: "For each side, as the last survey saw it: states, delayed jobs over time, " +
			"schedulers, flows, deduplication, limits, workers, jobs in no list, memory and payload " +
			"sizes.",
		Answer: QueueDetail{},
	}, {
		ID: "findJobs", Route: "GET " + ofMigration + "/jobs", Access: AccessSession,
		Summary: "Look up a job ID on both sides",
		Params:  findParams{},
		Result: "Every job with this ID, in any queue of either side. Viewers do not get data, " +
			"result and log.",
		Answer: FoundJobs{},
	}, {
		ID: "changeJob", Route: "POST " + ofMigration + "/jobs", Access: AccessEngineer,
		Summary: "Retry, promote or remove one job",
		Body:    JobChange{}, Result: "Done.",
	}, {
		ID: "searchJobs", Route: "POST " + ofMigration + "/jobs/search", Access: AccessEngineer,
		Summary: "Search for jobs by a field of their data on both sides",
		Description: "A search runs for a few seconds. While a side has a next, it is not finished: " +
			"send that as after to continue. It changes nothing; it is a POST because what is " +
			"searched for is personal data.",
		Body: JobSearch{}, Answer: JobMatches{},
	}, {
		ID: "listEndpoints", Route: "GET " + ofMigration + "/endpoints", Access: AccessSession,
		Summary: "The servers of both sides, without credentials", Answer: EndpointList{},
	}}
}

type findParams struct {
	// ID of the job. Where IDs are made from the provider's event, that is one order.
	ID string `query:"id" required:"true" maxLength:"512"`
}

// EndpointList is the servers of both sides.
type EndpointList struct {
	Endpoints []Endpoint `json:"endpoints"`
}

// The queues of both sides at one time.
type (
	// Endpoint is the server of one side: see migration.Endpoint.
	Endpoint = migration.Endpoint
	// QueueBoard is the queues of both sides: see migration.QueueBoard.
	QueueBoard = migration.QueueBoard
	// QueueSide is the queues on one server: see migration.QueueSide.
	QueueSide = migration.QueueSide
	// Queue is the census of one queue: see migration.Queue.
	Queue = migration.Queue
)

// QueueDetail is one queue on both sides, in depth: see workflows.QueueDetail.
type QueueDetail = workflows.QueueDetail

// FoundJobs is a job id looked up on both sides: see workflows.FoundJobs.
type FoundJobs = workflows.FoundJobs

// JobSearch looks for jobs by a field of their data: see workflows.JobSearch.
type JobSearch = workflows.JobSearch

// JobMatches is what a search found: see workflows.JobMatches.
type JobMatches = workflows.JobMatches

// JobChange is one thing to do to one job by hand: see workflows.JobChange.
type JobChange = workflows.JobChange
