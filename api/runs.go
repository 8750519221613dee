package api

import (
	"net/http"

	"github.com/switchyard-dev/switchyard/migration"
)

func runOperations() []Operation {
	return []Operation{{
		ID: "getRun", Route: "GET " + ofRun, Access: AccessSession,
		Summary: "One run with its actions, and once it is over with its result", Answer: migration.Run{},
	}, {
		ID: "getLog", Route: "GET " + ofRun + "/log", Access: AccessSession,
		Summary: "A run's log",
		Params:  logParams{}, Answer: LogPage{},
	}, {
		ID: "planRollback", Route: "GET " + ofRun + "/rollback-plan", Access: AccessSession,
		Summary:     "What rolling back a run would do",
		Description: "Changes nothing.",
		Answer:      migration.StepPlan{},
	}, {
		ID: "approveRun", Route: "POST " + ofRun + "/approve", Access: AccessEngineer,
		Summary: "Approve a waiting run",
		Body:    Decision{}, BodyOptional: true, Answer: migration.Run{},
	}, {
		ID: "rejectRun", Route: "POST " + ofRun + "/reject", Access: AccessEngineer,
		Summary: "Reject a waiting run",
		Body:    Decision{}, Answer: migration.Run{},
	}, {
		ID: "pauseRun", Route: "POST " + ofRun + "/pause", Access: AccessEngineer,
		Summary: "Pause a running run",
		Description: "It pauses at its next batch, if its action is pausable; otherwise 409. What it " +
			"has done stays as it is, and the queues keep working.",
		Answer: migration.Run{},
	}, {
		ID: "resumeRun", Route: "POST " + ofRun + "/resume", Access: AccessEngineer,
		Summary: "Resume a paused run", Answer: migration.Run{},
	}, {
		ID: "cancelRun", Route: "POST " + ofRun + "/cancel", Access: AccessEngineer,
		Summary:     "Cancel an open run",
		Description: "What it has done is undone where possible.",
		Answer:      migration.Run{},
	}, {
		ID: "rollbackRun", Route: "POST " + ofRun + "/rollback", Access: AccessEngineer,
		Summary: "Roll back a run that succeeded",
		Status:  http.StatusCreated, Result: "The run that rolls it back",
		Answer: migration.Run{}, Headers: created{},
	}}
}

type logParams struct {
	// Sequence number to continue after.
	After int64 `query:"after" minimum:"0"`
	page
}

// Decision comes with approve and reject.
type Decision struct {
	// Comment is needed to reject; it is kept in the audit log.
	Comment string `json:"comment,omitempty"`
	// ConfirmName is the migration's name, to approve what cannot be undone.
	ConfirmName string `json:"confirm_name,omitempty"`
	PlanHash    string `json:"plan_hash,omitempty"` // of the plan that was shown; empty: the run's
	// Action is the ID of the action that the run waits before; empty: it waits for its start.
	// Another one is 409.
	Action string `json:"action,omitempty"`
}

// LogPage is lines of a run's log, oldest first.
type LogPage struct {
	Lines []migration.LogLine `json:"lines"`
	Next  int64               `json:"next"` // what to give as after to continue
}
