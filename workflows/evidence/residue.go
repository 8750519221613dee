package evidence

import (
	"errors"
	"fmt"

	"github.com/switchyard-dev/switchyard/migration"
)

// Residue is the id of the check of what is left on the source.
const Residue = "source-residue"

var residueCheck = New(Check{
	ID:      Residue,
	Title:   "Source residue",
	Limit:   "no job left on the source, and nothing there that nobody decided on",
	Next:    "run the step Move the remaining jobs",
	MaxAge:  day,
	About:   []migration.Aspect{migration.AspectSource},
	Undone:  true,
	Gone:    true,
	Watched: true,
}, ResidueFacts.Coverage, judgeResidue)

// ResidueFacts is the evidence of Residue.
type ResidueFacts struct {
	Queues []QueueResidue `json:"queues"`
	// Databases of the server that were looked at, by their numbers. Earlier versions looked
	// at one and did not say so.
	Databases []int `json:"databases,omitempty"`
	// Unknown is what else goes with the server: nobody has said what becomes of it.
	Unknown []UnknownResidue `json:"unknown,omitempty"`
}

// UnknownResidue is what the move of what is left does not move: a queue of another library
// or in another database, or keys of no queue.
type UnknownResidue struct {
	// Member names it for a decision: "db1/bull:mail", "db0/other keys".
	Member   string `json:"member"`
	Database int    `json:"database"`
	// Queue as bullmq.Queue prints it, and Kind, the library; empty: keys of no queue.
	Queue    string   `json:"queue,omitempty"`
	Kind     string   `json:"kind,omitempty"`
	Pending  int64    `json:"pending"` // jobs that are not done
	Keys     int64    `json:"keys"`
	Examples []string `json:"examples,omitempty"` // of the keys of no queue
}

// String says what it is and how much of it there is.
func (u UnknownResidue) String() string {
	if u.Queue == "" {
		return fmt.Sprintf("%s of no queue in database %d (such as %s)",
			migration.Count(u.Keys, "key"), u.Database, list(u.Examples[:min(3, len(u.Examples))]))
	}
	return fmt.Sprintf("the %s queue %s in database %d (%s not done, %s)", u.Kind, u.Queue,
		u.Database, migration.Count(u.Pending, "job"), migration.Count(u.Keys, "key"))
}

// QueueResidue is what is left in one queue of the source.
type QueueResidue struct {
	Queue   string `json:"queue"`
	Pending int64  `json:"pending"`
	Moved   int    `json:"moved"`
}

// Coverage is every queue of the source, and what nobody decided on.
func (f ResidueFacts) Coverage() migration.Coverage {
	c := migration.Coverage{Of: "queue", Found: "the census of the source"}
	for _, q := range f.Queues {
		c.Members = append(c.Members, migration.Member{Key: "queue:source/" + q.Queue,
			Name: q.Queue, Verdict: migration.Truth(q.Pending == 0),
			Why: migration.Count(q.Pending, "job") + " left"})
	}
	for _, u := range f.Unknown {
		c.Members = append(c.Members, migration.Member{Key: "residue:source/" + u.Member,
			Name: u.Member, Why: "nobody decided what becomes of " + u.String()})
	}
	return c
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
	if len(f.Databases) == 0 {
		return false, "", errors.New("it is of an older form, which looked at one database " +
			"only: the step has to run again")
	}
	var names []string
	for _, q := range f.Queues {
		names = append(names, q.Queue)
	}
	return true, fmt.Sprintf("no jobs left on the source in %s (jobs moved: %d)",
		list(names), moved), nil
}
