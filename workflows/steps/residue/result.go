package residue

import (
	"fmt"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// result says what was moved and what is left.
func result(run migration.Run) migration.RunResult {
	f, ok := migration.OutputOf[evidence.ResidueFacts](run, "verify")
	moved, _ := migration.OutputOf[map[string]int](run, "move")
	var jobs int
	for _, n := range moved {
		jobs += n
	}
	if !ok {
		return migration.RunResult{Said: fmt.Sprintf("%s moved; what is left was not counted.",
			migration.Count(jobs, "job was", "jobs were"))}
	}
	var left int64
	l := migration.ResultList{Title: "Queues of the source",
		Columns: []string{"Queue", "Moved", "Left"}}
	for _, q := range f.Queues {
		left += q.Pending
		l.Rows = append(l.Rows, migration.ResultRow{Verdict: migration.Truth(q.Pending == 0),
			Cells: []string{q.Queue, fmt.Sprint(q.Moved), fmt.Sprint(q.Pending)}})
	}
	out := migration.RunResult{Said: fmt.Sprintf("%s moved to the target, %d left on the source.",
		migration.Count(jobs, "job was", "jobs were"), left), Lists: []migration.ResultList{l}}
	out.None("Jobs left", int(left))
	out.Tell("Jobs moved", "%d", jobs)
	if n := len(f.Unknown); n > 0 {
		out.Short = fmt.Sprintf("%d undecided", n)
		out.None("Left without a decision", n)
	}
	return out
}
