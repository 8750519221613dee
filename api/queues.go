package api

import (
	"time"

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

// Endpoint is the server of one side, without credentials.
type Endpoint struct {
	Side     string `json:"side" enum:"source,target"`
	Endpoint string `json:"endpoint"`
	Address  string `json:"address"`
	Error    string `json:"error,omitempty"` // why it could not be read
}

// QueueBoard is the queues of both sides at one time.
type QueueBoard struct {
	At    time.Time   `json:"at"`
	Sides []QueueSide `json:"sides"`
}

// QueueSide is the queues on one server. While it has an error, it has no queues.
type QueueSide struct {
	Endpoint
	Queues []Queue `json:"queues"`
	// Looking says that queues that no flag routes are still being looked for: there may be more than
	// are listed. Absent: all are known.
	Looking string `json:"looking,omitempty"`
}

// Queue is the census of one queue.
type Queue struct {
	Queue   string `json:"queue"`
	Version string `json:"version"` // of the BullMQ that made it; empty when it does not say
	Paused  bool   `json:"paused"`
	// Pending is every job that is not completed: what would be lost with the server.
	Pending int64            `json:"pending"`
	States  map[string]int64 `json:"states"` // jobs by state
	// OldestJobAgeMS is how long the job next in line has waited, in milliseconds; 0 when none waits.
	OldestJobAgeMS int64 `json:"oldest_job_age_ms"`
}

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
