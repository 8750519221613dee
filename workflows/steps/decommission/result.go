package decommission

import (
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// result says how the old servers ended, and what is kept of them.
func result(run migration.Run) migration.RunResult {
	out := migration.RunResult{Said: "The old servers were not taken away."}
	watched := func(label, action string) {
		f, ok := migration.OutputOf[evidence.WatchFacts](run, action)
		if !ok {
			return
		}
		wanted := time.Duration(f.WindowSeconds * float64(time.Second))
		seen, kept := "not over", migration.Unmet
		if f.Over {
			seen, kept = migration.Words(wanted), migration.Met
		}
		out.Compare(label, migration.Words(wanted), seen, kept)
	}
	watched("Nobody used them for", "quiet")
	watched("Nobody knocked for", FenceWindow)
	if b, ok := migration.OutputOf[evidence.BackupFacts](run, "backup"); ok {
		how := "restored and compared"
		if !b.Restored {
			how = "read back, not restored"
		}
		out.Compare("Backup", "equal to the source",
			fmt.Sprintf("%s, %s, %s", migration.Count(b.Keys, "key"), how,
				migration.Count(b.Differences, "difference")),
			migration.Truth(b.Verified && b.Differences == 0))
		out.Tell("Backup file", "%s", b.File)
	}
	snapshots(&out, run)
	for _, action := range []string{migration.ActionConfirmedDeleted, "delete"} {
		if f, ok := migration.OutputOf[evidence.OffFacts](run, action); ok && len(f.Servers) > 0 {
			gone(&out, f)
			break
		}
	}
	return out
}

// snapshots counts what was taken: an action that took fewer than it should is done, and its
// result is not.
func snapshots(out *migration.RunResult, run migration.Run) {
	k, ok := migration.OutputOf[kept](run, "snapshot")
	if !ok {
		return
	}
	all := k.all()
	out.Compare("Snapshots", fmt.Sprintf("%d", all), fmt.Sprintf("%d of %d taken", len(k.Taken), all),
		migration.Truth(len(k.Without) == 0))
	if len(k.Without) == 0 {
		return
	}
	out.Short = k.short()
	l := migration.ResultList{Title: "Without a snapshot", Columns: []string{"Server and why"}}
	for _, w := range k.Without {
		l.Rows = append(l.Rows,
			migration.ResultRow{Verdict: migration.Unmet, Cells: []string{w}})
	}
	out.Lists = append(out.Lists, l)
}

func gone(out *migration.RunResult, f evidence.OffFacts) {
	away := 0
	l := migration.ResultList{Title: "Old servers",
		Columns: []string{"Server", "Address", "State", "Answers"}}
	for _, s := range f.Servers {
		answers := "no"
		if s.Reachable {
			answers = "yes"
		} else {
			away++
		}
		l.Rows = append(l.Rows, migration.ResultRow{Verdict: migration.Truth(!s.Reachable),
			Cells: []string{s.Label, s.Address, s.Status, answers}})
	}
	out.Said = fmt.Sprintf("Nothing answers at %d of %s.", away,
		migration.Count(len(f.Servers), "old server or address", "old servers and addresses"))
	out.Compare("Silent servers and addresses", fmt.Sprintf("all %d", len(f.Servers)),
		fmt.Sprint(away), migration.Truth(away == len(f.Servers)))
	out.Lists = append(out.Lists, l)
}
