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
	About:  []migration.Aspect{migration.AspectSource, migration.AspectTarget, migration.AspectApp, migration.AspectSetup},
	Told:   true,
}, coverDualWrite, judgeDualWrite)

// DualWriteFacts is the evidence of DualWrite.
type DualWriteFacts struct {
	Orders        int   `json:"orders"`     // authoritative adds in the window
	MinOrders     int   `json:"min_orders"` // fewer shows too little
	Copied        int   `json:"copied"`     // with a shadow copy on the other side
	Compared      int   `json:"compared"`   // whose copy ran and was compared
	Mismatches    int   `json:"mismatches"`
	Duplicated    int   `json:"duplicated"`
	Lost          int   `json:"lost"`
	WindowSeconds int64 `json:"window_seconds"`
}

func coverDualWrite(f DualWriteFacts) migration.Coverage {
	return migration.One("window", migration.Words(time.Duration(f.WindowSeconds)*time.Second),
		migration.Truth(f.Orders > 0), migration.Count(f.Orders, "order"))
}

func judgeDualWrite(f DualWriteFacts) (bool, string, error) {
	switch {
	case f.Mismatches > 0 || f.Lost > 0 || f.Duplicated > 0:
		return false, fmt.Sprintf("%s, %s lost, %d processed twice",
			migration.Count(f.Mismatches, "result differs", "results differ"),
			migration.Count(f.Lost, "order"), f.Duplicated), nil
	case f.Orders == 0 || f.Orders < f.MinOrders:
		return false, "", fmt.Errorf("only %s in the window, %d needed",
			migration.Count(f.Orders, "order"), f.MinOrders)
	case f.Copied < f.Orders || f.Compared < f.Orders:
		return false, fmt.Sprintf("of %s, %d copied and %d compared",
			migration.Count(f.Orders, "order"), f.Copied, f.Compared), nil
	}
	return true, fmt.Sprintf("%s in %s on both sides, %s compared, 0 differ",
		migration.Count(f.Orders, "order"),
		migration.Words(time.Duration(f.WindowSeconds)*time.Second),
		migration.Count(f.Compared, "result")), nil
}
