package evidence

import (
	"errors"
	"fmt"

	"github.com/switchyard-dev/switchyard/migration"
)

// Residue is the id of the check of what is left on the source.
const Residue = "source-residue"

var residueCheck = Check{
	ID:      Residue,
	Title:   "Source residue",
	Limit:   "no job left on the source",
	Next:    "run the step Move the remaining jobs",
	Judge:   judge(judgeResidue),
	Watched: true,
}

// ResidueFacts is the evidence of Residue.
type ResidueFacts struct {
	Queues []QueueResidue `json:"queues"`
}

// QueueResidue is what is left in one queue of the source.
type QueueResidue struct {
	Queue   string `json:"queue"`
	Pending int64  `json:"pending"`
	Moved   int    `json:"moved"`
}

func judgeResidue(f ResidueFacts) (bool, string, error) {
	if len(f.Queues) == 0 {
		return false, "", errors.New("no queue was checked")
	}
	moved := 0
	for _, q := range f.Queues {
		if q.Pending > 0 {
			return false, fmt.Sprintf("%s left in %s", migration.Count(q.Pending, "job"), q.Queue), nil
		}
		moved += q.Moved
	}
	var names []string
	for _, q := range f.Queues {
		names = append(names, q.Queue)
	}
	return true, fmt.Sprintf("no jobs left on the source in %s (jobs moved: %d)",
		list(names), moved), nil
}
