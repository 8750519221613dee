package api

import (
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
)

func workerOperations() []Operation {
	return []Operation{{
		ID: "listWorkers", Route: "GET " + ofMigration + "/workers", Access: AccessSession,
		Summary: "Workers heard of in the last hour", Answer: WorkerList{},
	}, {
		ID: "attest", Route: "POST /api/v1/workers/attest", Access: AccessWorker,
		Summary:     "Say what this worker is and holds",
		Description: "About once a second. Fields that the server does not know are ignored.",
		Body:        fleet.Attestation{}, Result: "Accepted.",
	}, {
		ID: "flagDefinition", Route: "GET /api/v1/flags/definition", Access: AccessWorker,
		Summary: "The key's whole flag set in flagd's format, for workers that evaluate by themselves",
		Params:  conditional{}, Answer: map[string]any{}, Headers: tagged{},
		NotModified: "Not changed since If-None-Match, or If-None-Match names a later revision than " +
			"is held here.",
	}}
}

// WorkerList is the workers heard of in the last hour.
type WorkerList struct {
	Workers []migration.Worker `json:"workers"`
}
