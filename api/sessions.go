package api

import (
	"net/http"

	"github.com/switchyard-dev/switchyard/migration"
)

func sessionOperations() []Operation {
	return []Operation{{
		ID: "signIn", Route: "POST /api/v1/sessions", Access: AccessOpen,
		Summary:     "Sign in",
		Description: "After too many failures it answers 503 for some minutes.",
		Body:        Credentials{}, Status: http.StatusCreated, Result: "Signed in", Answer: Session{},
	}, {
		ID: "whoAmI", Route: "GET /api/v1/sessions/current", Access: AccessSession,
		Summary: "Whose session this is", Answer: Session{},
	}, {
		ID: "signOut", Route: "DELETE /api/v1/sessions/current", Access: AccessSession,
		Summary: "Sign out", Result: "The session has ended.",
	}}
}

// Credentials are what a person signs in with.
type Credentials struct {
	Name string `json:"name"`
	// At least 12 characters.
	Password string `json:"password"`
}

// Session is the answer to signing in; without a token, it says whose session a request belongs to.
type Session struct {
	// Token is sent as Authorization: Bearer. It is given only once.
	Token string          `json:"token,omitempty"`
	Actor migration.Actor `json:"actor"`
}

// Problem is an error (RFC 9457, application/problem+json).
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	// What is missing, the measured value, the limit, the next action.
	Detail   string           `json:"detail"`
	Kind     migration.Kind   `json:"kind"`
	Blockers []migration.Gate `json:"blockers,omitempty"`
	RunID    string           `json:"run_id,omitempty"` // the open run that is in the way
	// For the operator, to find the request in the log.
	RequestID string `json:"request_id"`
}
