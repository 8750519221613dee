package evidence

import (
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// DualWrite is the id of the check of the dual write.
const DualWrite = "dual-write"

var dualWriteCheck = New(Check{
	ID:     DualWrite,
	Title:  "Dual-write validation",
	Limit:  "every order on both sides, every result equal",
	Next:   "run the step Dual-write validation",
	Before: migration.StageLive,
	Always: true,
	MaxAge: 7 * day,
	About: []migration.Aspect{
		migration.AspectSource, migration.AspectTarget, migration.AspectApp, migration.AspectSetup,
	},
	Told:  true,
	Spent: true,
}, coverDualWrite, judgeDualWrite)

// DualWriteFacts is the evidence of DualWrite.
type DualWriteFacts struct {
	Orders    int `json:"orders"`     // all that were taken in in the window
	MinOrders int `json:"min_orders"` // fewer shows too little
	Copied    int `json:"copied"`     // with a shadow copy on the other side
	Compared  int `json:"compared"`   // whose copy ran and was compared
	// OfData are those of the compared of which the app tells no result of its own: the digests
	// of their data were compared.
	OfData        int   `json:"of_data,omitempty"`
	Mismatches    int   `json:"mismatches"`
	Duplicated    int   `json:"duplicated"`
	Contradicted  int   `json:"contradicted,omitempty"`
	Lost          int   `json:"lost"`
	WindowSeconds int64 `json:"window_seconds"`
	// Alone are those of the orders that were taken in by an instance at a stage that makes
	// no copies, and Cut those of which nobody knows whether that was in the window.
	Alone    int      `json:"alone,omitempty"`
	AloneIDs []string `json:"alone_ids,omitempty"`
	Cut      int      `json:"cut,omitempty"`
}

func coverDualWrite(f DualWriteFacts) migration.Coverage {
	return migration.One("window", migration.Words(time.Duration(f.WindowSeconds)*time.Second),
		migration.Truth(f.Orders > 0), migration.Count(f.Orders, "order"))
}

func judgeDualWrite(f DualWriteFacts) (bool, string, error) {
	switch {
	case f.Contradicted > 0:
		return false, fmt.Sprintf("%s contradictory",
			migration.Count(f.Contradicted, "order is", "orders are")), nil
	case f.Mismatches > 0 || f.Lost > 0 || f.Duplicated > 0:
		return false, fmt.Sprintf("%s, %s lost, %d processed twice",
			migration.Count(f.Mismatches, "result differs", "results differ"),
			migration.Count(f.Lost, "order"), f.Duplicated), nil
	case f.Alone > 0:
		return false, fmt.Sprintf("%d of %s came in at a stage that makes no copies: %s", f.Alone,
			migration.Count(f.Orders, "order"), list(f.AloneIDs)), nil
	case f.Cut > 0:
		return false, "", fmt.Errorf("%s without a copy came in within a minute of the window's "+
			"begin or end: run it again", migration.Count(f.Cut, "order"))
	case f.Orders == 0 || f.Orders < f.MinOrders:
		return false, "", fmt.Errorf("only %s in the window, %d needed",
			migration.Count(f.Orders, "order"), f.MinOrders)
	case f.Copied < f.Orders || f.Compared < f.Orders:
		return false, fmt.Sprintf("of %s, %d copied and %d compared",
			migration.Count(f.Orders, "order"), f.Copied, f.Compared), nil
	}
	said := fmt.Sprintf("%s in %s on both sides, %s compared, 0 differ",
		migration.Count(f.Orders, "order"),
		migration.Words(time.Duration(f.WindowSeconds)*time.Second),
		migration.Count(f.Compared, "result"))
	if f.OfData > 0 {
		said += fmt.Sprintf("; for %d of them that is the data alone: the app tells no result "+
			"of what it made of it", f.OfData)
	}
	return true, said, nil
}
