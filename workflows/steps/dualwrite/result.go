package dualwrite

import (
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// result says what was compared.
func result(run migration.Run) migration.RunResult {
	f, ok := migration.OutputOf[evidence.DualWriteFacts](run, "compare")
	if !ok || f.Orders == 0 {
		return migration.RunResult{Said: "No order was compared."}
	}
	window := migration.Words(time.Duration(f.WindowSeconds) * time.Second)
	out := migration.RunResult{Said: fmt.Sprintf("%s compared on both sides in %s, %s.",
		migration.Count(f.Compared, "order"), window,
		migration.Count(f.Mismatches, "mismatch", "mismatches"))}
	out.Compare("Orders compared", fmt.Sprintf("at least %d", f.MinOrders),
		fmt.Sprintf("%d of %d", f.Compared, f.Orders),
		migration.Truth(f.Compared >= f.MinOrders && f.Compared == f.Orders))
	out.Compare("Copied to the other side", "all", fmt.Sprintf("%d of %d", f.Copied, f.Orders),
		migration.Truth(f.Copied == f.Orders))
	out.None("Mismatches", f.Mismatches)
	out.None("Lost", f.Lost)
	out.None("Processed twice", f.Duplicated)
	if f.Contradicted > 0 {
		out.None("Contradictory", f.Contradicted)
	}
	out.Tell("Watched for", "%s", window)
	if f.OfData > 0 {
		out.Tell("Of these, data alone compared", "%d: the app tells no result of its own", f.OfData)
	}
	return out
}
