package api

import "github.com/switchyard-dev/switchyard/workflows"

func debtOperations() []Operation {
	const path = ofMigration + "/debts"
	return []Operation{{
		ID: "getDebts", Route: "GET " + path, Access: AccessSession,
		Summary: "What runs have put on servers and still have to take off", Answer: Debts{},
	}, {
		ID: "changeDebt", Route: "POST " + path + "/{debt}", Access: AccessEngineer,
		Summary: "Lift a debt of a run that is over, or drop it",
		Body:    DebtChange{},
		Result:  "What is owed now. 409 says why it could not be lifted.", Answer: Debts{},
	}}
}

// Debts is what is owed, and what was found on the servers: see workflows.Debts.
type Debts = workflows.Debts

// DebtChange says what becomes of a debt: see workflows.DebtChange.
type DebtChange = workflows.DebtChange
