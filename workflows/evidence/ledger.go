package evidence

import (
	"errors"
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Ledger is the id of the check of the order ledger. Its facts are migration.LedgerFacts.
const Ledger = "order-ledger"

var ledgerCheck = New(Check{
	ID:      Ledger,
	Title:   "Order ledger",
	Limit:   "every acknowledged order processed exactly once",
	Next:    "check the orders listed in the ledger",
	MaxAge:  15 * time.Minute,
	Watched: true,
	Told:    true,
}, coverLedger, judgeLedger)

func coverLedger(f migration.LedgerFacts) migration.Coverage {
	return migration.One("journal", "the ingestion app", migration.Truth(f.Acknowledged > 0),
		migration.Count(f.Acknowledged, "acknowledged order"))
}

func judgeLedger(f migration.LedgerFacts) (bool, string, error) {
	switch {
	case f.Lost > 0 || f.Duplicated > 0:
		return false, fmt.Sprintf("%s lost, %d processed twice: %s",
			migration.Count(f.Lost, "order"), f.Duplicated, list(f.Examples)), nil
	case len(f.Events) > 0:
		return false, list(f.Events), nil
	case f.Mismatches > 0 || f.Contradicted > 0:
		return false, fmt.Sprintf("%s, %s contradictory: %s",
			migration.Count(f.Mismatches, "mismatch"),
			migration.Count(f.Contradicted, "order is", "orders are"), list(f.Examples)), nil
	case f.Future > 0:
		return false, "", fmt.Errorf("%s dated in the future: the app's clock tells nothing",
			migration.Count(f.Future, "acknowledged order is", "acknowledged orders are"))
	case f.Acknowledged == 0:
		return false, "", errors.New("no order was acknowledged, so there is no evidence")
	case f.PendingSource > 0:
		return false, "", fmt.Errorf("%s still in flight on the source",
			migration.Count(f.PendingSource, "acknowledged order is", "acknowledged orders are"))
	case f.HeldLate > 0:
		return false, "", fmt.Errorf("%d acknowledged orders have been in the app's durable "+
			"intake for longer than the deadline: find out why it cannot enqueue them",
			f.HeldLate)
	}
	held := ""
	if f.Held > 0 {
		held = fmt.Sprintf(" (%d of them in the app's durable intake)", f.Held)
	}
	return true, fmt.Sprintf("%s acknowledged, %d processed, %d in flight on the target%s, 0 "+
		"lost, 0 processed twice",
		migration.Count(f.Acknowledged, "order"), f.Fulfilled, f.Pending, held), nil
}
