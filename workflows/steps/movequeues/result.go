package movequeues

import (
	"fmt"

	"github.com/switchyard-dev/switchyard/migration"
)

// result says what each group of queues cost, as predicted and as measured.
func result(run migration.Run) migration.RunResult {
	moves, ok := migration.OutputOf[[]queueMove](run, "sweep")
	if !ok {
		moves, ok = migration.OutputOf[[]queueMove](run, "move-queues")
	}
	if !ok {
		return migration.RunResult{Said: "No queue was moved."}
	}
	var queues, done, swept int
	var keys, jobs int64
	l := migration.ResultList{Title: "Queues", Columns: []string{"Queues", "Stood still",
		"Predicted", "Keys", "Jobs", "Carried over late"}}
	for _, m := range moves {
		queues++
		row := migration.ResultRow{Verdict: migration.Unmet,
			Cells: []string{m.names(), "not moved", "–", "–", "–", "–"}}
		if m.Done {
			done, swept, keys = done+1, swept+m.Swept, keys+m.Report.Keys
			moved := int64(0)
			for _, n := range m.Report.Jobs {
				moved += n
			}
			jobs += moved
			row = migration.ResultRow{Verdict: migration.Met, Cells: []string{m.names(),
				stood(m.Report.FreezeMS, m.Report.Resumed).Text(migration.Millis),
				stood(m.Report.PredictedMS, m.Report.Resumed).Text(migration.Millis),
				fmt.Sprint(m.Report.Keys), fmt.Sprint(moved), fmt.Sprint(m.Swept)}}
		}
		l.Rows = append(l.Rows, row)
	}
	out := migration.RunResult{Said: "There was no queue to move."}
	if queues == 0 {
		return out
	}
	out.Said = fmt.Sprintf("%d of %s moved to the target.", done,
		migration.Count(queues, "group of queues", "groups of queues"))
	if done < queues {
		out.Short = fmt.Sprintf("%d of %d moved", done, queues)
	}
	out.Compare("Groups moved", fmt.Sprintf("all %d", queues), fmt.Sprint(done),
		migration.Truth(done == queues))
	out.Tell("Keys copied and compared", "%d", keys)
	out.Tell("Jobs moved", "%d", jobs)
	out.Tell("Late jobs carried over", "%d", swept)
	out.Lists = []migration.ResultList{l}
	return out
}

// stood is a stand of a move; one that was taken up again by another process was not seen whole.
func stood(ms int64, resumed bool) migration.Figure {
	if resumed && ms == 0 {
		return migration.Figure{}
	}
	return migration.Measured(ms)
}
