package evidence

import (
	"errors"
	"fmt"

	"github.com/switchyard-dev/switchyard/migration"
)

// Ledger is the id of the check of the order ledger. Its facts are migration.LedgerFacts.
const Ledger = "order-ledger"

var ledgerCheck = Check{
	ID:    Ledger,
	Title: "Order ledger",
	Limit: "every acknowledged order applied exactly once",
	Next:  "look at the orders that the ledger names",
	Judge: judge(judgeLedger),
}

func judgeLedger(f migration.LedgerFacts) (bool, string, error) {
	switch {
	case f.Lost > 0 || f.Duplicated > 0:
		return false, fmt.Sprintf("%d orders lost, %d applied twice: %s",
			f.Lost, f.Duplicated, list(f.Examples)), nil
	case f.Acknowledged == 0:
		return false, "", errors.New("no order was acknowledged, so nothing is shown")
	case f.PendingSource > 0:
		return false, "", fmt.Errorf("%d acknowledged orders that were put on the source are "+
			"still under way",
			f.PendingSource)
	case f.HeldLate > 0:
		return false, "", fmt.Errorf("%d acknowledged orders wait in the app's durable intake "+
			"for longer than an order may take: see why it cannot enqueue them",
			f.HeldLate)
	}
	held := ""
	if f.Held > 0 {
		held = fmt.Sprintf(" (%d of them in the app's durable intake)", f.Held)
	}
	return true, fmt.Sprintf("%d orders acknowledged, %d applied, %d under way on the "+
		"target%s, 0 lost, 0 twice",
		f.Acknowledged, f.Fulfilled, f.Pending, held), nil
}
