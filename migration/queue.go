package migration

import "time"

// QueueStates are the states that a census counts, in the order of a job's life.
var QueueStates = []string{
	"waiting", "prioritized", "delayed", "waiting-children", "active", "failed", "completed",
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
	// Looking says that queues that no flag routes are still being looked for: there may be more
	// than are listed. Absent: all are known.
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
	// OldestJobAgeMS is how long the job next in line has waited, in milliseconds; 0 when none
	// waits.
	OldestJobAgeMS int64 `json:"oldest_job_age_ms"`
}
