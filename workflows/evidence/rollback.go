package evidence

import (
	"errors"
	"fmt"

	"github.com/switchyard-dev/switchyard/migration"
)

// Rollback is the id of the check of a rehearsed rollback.
const Rollback = "rollback-rehearsed"

var rollbackCheck = New(Check{
	ID:     Rollback,
	Title:  "Rollback rehearsal",
	Limit:  "a stage was rolled back and every live worker switched back within 1 min",
	Next:   "roll a stage back once, before live",
	Before: migration.StageLive,
	Always: true,
	MaxAge: 30 * day,
	About:  []migration.Aspect{migration.AspectTarget, migration.AspectApp, migration.AspectSetup},
	Spent:  true,
}, coverRollback, judgeRollback)

// RollbackFacts is the evidence of Rollback.
type RollbackFacts struct {
	From string `json:"from"`
	To   string `json:"to"`
	// RollbackMS is the time from the flag change to the acknowledgement of every live worker.
	RollbackMS int64 `json:"rollback_ms"`
	Workers    int   `json:"workers"`
}

// rollbackLimitMS is how long a way back may take: workers get 45 s, the rest is for writing
// the flags.
const rollbackLimitMS = 60_000

func coverRollback(f RollbackFacts) migration.Coverage {
	return migration.One("move", f.From+" to "+f.To, migration.Truth(f.Workers > 0),
		migration.Count(f.Workers, "worker"))
}

func judgeRollback(f RollbackFacts) (bool, string, error) {
	switch {
	case f.Workers <= 0:
		return false, "", errors.New("no live worker took part")
	case f.From == "" || f.To == "" || f.RollbackMS <= 0:
		return false, "", errors.New("nothing was rolled back: run it again")
	case f.RollbackMS > rollbackLimitMS:
		return false, fmt.Sprintf("%s rolled back to %s in %s (limit %d s)",
			f.From, f.To, seconds(f.RollbackMS), rollbackLimitMS/1000), nil
	}
	return true, fmt.Sprintf("%s rolled back to %s in %s, acknowledged by %s",
		f.From, f.To, seconds(f.RollbackMS), migration.Count(f.Workers, "worker")), nil
}
