package api

import (
	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/workflows"
)

func ledgerOperations() []Operation {
	const path = ofMigration + "/ledger"
	return []Operation{{
		ID: "getLedger", Route: "GET " + path, Access: AccessSession,
		Summary: "The order ledger",
		Result: "What the application recorded and what both servers' events say; the verdict is " +
			"clean, broken or inconclusive, with the reasons.",
		Answer: LedgerOverview{},
	}, {
		ID: "getLedgerExceptions", Route: "GET " + path + "/exceptions", Access: AccessSession,
		Summary: "What was wrong with any order",
		Params:  exceptionParams{},
		Result:  "Exceptions, unsettled ones first.", Answer: LedgerExceptionList{},
	}, {
		ID: "getLedgerOrder", Route: "GET " + path + "/orders", Access: AccessSession,
		Summary: "The life of one order",
		Params:  orderParams{},
		Result: "What the application recorded of it, what both servers' events said, and what was " +
			"wrong.",
		Answer: LedgerOrder{},
	}}
}

type exceptionParams struct {
	// Only this verdict.
	Verdict ledger.Verdict `query:"verdict"`
	// open: only what nothing settles; settled: only what something does.
	State string `query:"state" enum:"open,settled"`
	// How many to skip.
	Offset int `query:"offset" minimum:"0" default:"0"`
	// At most this many.
	Limit int `query:"limit" minimum:"1" maximum:"10000" default:"100"`
}

type orderParams struct {
	// ID of the order, or of its job.
	ID string `query:"id" required:"true" maxLength:"512"`
}

// LedgerOverview is the order ledger at one moment: see workflows.LedgerOverview.
type LedgerOverview = workflows.LedgerOverview

// LedgerOrder is everything that is known of one order: see workflows.LedgerOrder.
type LedgerOrder = workflows.LedgerOrder

// LedgerExceptionList is what was wrong with any order, unsettled first.
type LedgerExceptionList struct {
	Exceptions []ledger.Exception `json:"exceptions"`
	Total      int64              `json:"total"` // how many there are with this filter
}
