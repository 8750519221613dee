package api

import (
	"net/http"
	"slices"
)

// Operation is one verb of the API: everything that its document says of a route. The document is
// generated from the operations and their types by api/openapi.
//
// Params, Body, Answer and Headers are zero values: only their types count. What the document says of
// a type and of its fields are their doc comments.
type Operation struct {
	// ID names the operation for programs that generate clients.
	ID string
	// Route is the method and the path, with {name} for each of PathParameters.
	Route  string
	Access Access

	Summary     string // a line
	Description string // what there is to know besides

	// Params is a struct of the parameters that are not in PathParameters: a field for each, with the
	// tag query, header or path.
	Params any
	// Body is what the request holds; nil: nothing.
	Body         any
	BodyOptional bool

	// Status is that of success; 0: 200, or without Answer 204.
	Status int
	// Result says what a success means or holds; "" is OK.
	Result string
	// Answer is what a success holds; nil: nothing.
	Answer any
	// MediaType is the answer's; "" is application/json.
	MediaType string
	// Headers is a struct of the headers that come with a success: a field for each, with the tag
	// header.
	Headers any
	// NotModified says when the answer is 304; "": never.
	NotModified string
	// Error is the form of an error where it is not Problem.
	Error any
}

// Access says who may call an operation. The server's route table has the same words.
type Access string

const (
	// AccessOpen: everybody.
	AccessOpen Access = "open"
	// AccessSession: every account that is signed in.
	AccessSession Access = "session"
	// AccessEngineer: signed-in accounts that may act.
	AccessEngineer Access = "engineer"
	// AccessWorker: who holds a key of a flag set, such as the worker token.
	AccessWorker Access = "worker"
	// AccessReader: who holds a key, and every account that is signed in.
	AccessReader Access = "reader"
	// AccessTicket: who has the address, which holds a secret.
	AccessTicket Access = "ticket"
)

// PathParameters describes the parameters in paths. Each means the same in every path.
var PathParameters = map[string]string{
	"debt":     "Number of something that a run has put on a server.",
	"mid":      "ID of the migration.",
	"step":     "ID of the step.",
	"run":      "ID of the run.",
	"queue":    "Name of the queue; the prefix and a colon come first unless the prefix is bull.",
	"schedule": "ID of the scheduled change.",
	"apikey":   "ID of the key.",
	"finding":  "ID of a finding of the last submitted scan.",
	"key":      "Key of the flag.",
	"waiver":   "Number of the waiver.",
	"link":     "Number of a link to the report.",
}

// Operations lists every operation under /api/v1 and /ofrep/v1.
func Operations() []Operation {
	return slices.Concat(
		sessionOperations(), migrationOperations(), runOperations(), reportOperations(),
		queueOperations(), ledgerOperations(), flagOperations(), notificationOperations(),
		workerOperations(), ofrepOperations(), waiverOperations(), debtOperations(),
		setupOperations(), searchOperations(), statusReportOperations(), peopleOperations(),
		[]Operation{{
			ID: "getDocument", Route: "GET /api/v1/openapi.json", Access: AccessOpen,
			Summary: "This document", Answer: map[string]any{},
		}},
	)
}

// Begin of the paths of a migration and of a run.
const (
	ofMigration = "/api/v1/migrations/{mid}"
	ofRun       = "/api/v1/runs/{run}"
)

// Parameters and headers that several operations share.
type (
	page struct {
		// At most this many.
		Limit int `query:"limit" minimum:"1" maximum:"1000"`
	}
	ofSet struct {
		// ID of the flag set; without it, the migration's own.
		Set string `query:"set"`
	}
	created struct {
		// Address of the run.
		Location string `header:"Location"`
	}
	conditional struct {
		IfNoneMatch string `header:"If-None-Match"`
	}
	tagged struct {
		ETag string `header:"ETag"`
	}
)

// SuccessStatus is the status of a success.
func (o Operation) SuccessStatus() int {
	switch {
	case o.Status != 0:
		return o.Status
	case o.Answer == nil:
		return http.StatusNoContent
	}
	return http.StatusOK
}
