package breaker

import (
	"fmt"
	"slices"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// result says on which queues which faults passed.
func result(run migration.Run) migration.RunResult {
	f, ok := migration.OutputOf[evidence.DrillFacts](run, "drill")
	if !ok {
		// the faults on the source did not end well; those on the disposable server did
		if _, ok = migration.OutputOf[[]evidence.BenchCase](run, Bench); !ok {
			return migration.RunResult{Said: "No fault was injected."}
		}
		f.Bench, _ = migration.OutputOf[[]evidence.BenchCase](run, Bench)
	}
	rows, all, slowest := tally(f)
	out := migration.RunResult{Said: fmt.Sprintf("%d of %s passed on %s.",
		all.passed+all.onSource, migration.Count(all.tried+all.triedThere, "fault"),
		migration.Count(len(rows), "queue"))}
	passed := func(label string, n, of int) {
		out.Compare(label, fmt.Sprintf("all %d", of), fmt.Sprint(n), migration.Truth(n == of && of > 0))
	}
	passed("Faults on a disposable Redis", all.passed, all.tried)
	passed("Faults on the source", all.onSource, all.triedThere)
	out.Tell("Slowest response", "%s", migration.Millis(slowest))
	again := map[bool]string{true: "yes", false: "no"}[f.Recovered]
	out.Compare("Accepting again afterwards", "yes", again, migration.Truth(f.Recovered))
	l := migration.ResultList{Title: "Queues and faults",
		Columns: []string{"Queue", "Disposable Redis", "Source"}}
	for _, queue := range sortedKeys(rows) {
		r := rows[queue]
		onSource := fmt.Sprintf("%d of %d", r.onSource, r.triedThere)
		if r.triedThere == 0 {
			onSource = "not routed, not tried"
		}
		l.Rows = append(l.Rows, migration.ResultRow{
			Verdict: migration.Truth(r.passed == r.tried && r.onSource == r.triedThere),
			Cells:   []string{queue, fmt.Sprintf("%d of %d", r.passed, r.tried), onSource},
		})
	}
	out.Lists = []migration.ResultList{l}
	return out
}

// row counts the faults that were tried on a queue, and those that passed.
type row struct{ passed, tried, onSource, triedThere int }

// tally counts by queue and in all, and gives the slowest response that came.
func tally(f evidence.DrillFacts) (rows map[string]*row, all row, slowestMS int64) {
	rows = map[string]*row{}
	of := func(queue string) *row {
		if rows[queue] == nil {
			rows[queue] = &row{}
		}
		return rows[queue]
	}
	for _, c := range f.Bench {
		good, _ := c.OK()
		r := of(c.Queue)
		r.tried, all.tried = r.tried+1, all.tried+1
		if good {
			r.passed, all.passed = r.passed+1, all.passed+1
		}
		if !c.Hung {
			slowestMS = max(slowestMS, c.MS)
		}
	}
	for _, c := range f.Cases {
		r := of(c.Queue)
		r.triedThere, all.triedThere = r.triedThere+1, all.triedThere+1
		if c.Status == 503 && c.MS <= c.LimitMS {
			r.onSource, all.onSource = r.onSource+1, all.onSource+1
		}
		slowestMS = max(slowestMS, c.MS)
	}
	return rows, all, slowestMS
}

func sortedKeys[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
