package migrationpages

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// fenceStatus is where a watched window stands.
func fenceStatus(f evidence.WatchFacts, a migration.RunAction, now time.Time) ui.Status {
	switch {
	case a.State == migration.ActionUndone:
		return ui.Idle("Undone").As("undo-2")
	case a.State == migration.ActionFailed:
		return ui.Bad("Failed")
	case f.Over:
		return ui.OK("No connections for " + windowWords(f))
	case here(f) > 0:
		return ui.Bad("Clients are connecting")
	}
	return ui.Running(left(f, now) + " left").As("clock")
}

func left(f evidence.WatchFacts, now time.Time) string {
	return migration.Words(max(0, f.Ends().Sub(now).Truncate(time.Second)))
}

// permille is how much of the window has passed.
func permille(f evidence.WatchFacts, now time.Time) string {
	return strconv.Itoa(int(min(1000, max(0, 1000*now.Sub(f.Since).Seconds()/f.WindowSeconds))))
}

// here counts the clients that were connected at the last look.
func here(f evidence.WatchFacts) (n int) {
	for _, k := range f.Knocks {
		if k.Connected {
			n++
		}
	}
	return n
}

func windowWords(f evidence.WatchFacts) string {
	return migration.Words(time.Duration(f.WindowSeconds * float64(time.Second)))
}

// fenceWords says what a person should know and do about the window.
func fenceWords(f evidence.WatchFacts, now time.Time) string {
	switch {
	case f.Over:
		return "No connection attempts for " + windowWords(f) +
			". From now on only counters are watched; an attempt before the power-off blocks it."
	case here(f) > 0:
		return "The window cannot start while clients are connected. Stop these apps or point " +
			"them at the target; the window then starts automatically. Cancelling the run lifts " +
			"the fence."
	case len(f.Knocks) > 0:
		return "A client connected, so the " + windowWords(f) + " window restarted. Without further " +
			"attempts it ends in " + left(f, now) + "."
	}
	return "Writes are rejected; reads still work. Without connection attempts, the " +
		windowWords(f) + " window ends in " + left(f, now) + "."
}

func unseenWords(n evidence.WatchedNode) string {
	if n.Unseen == "" {
		return "all commands are monitored"
	}
	return "only connections and counters are monitored: " + n.Unseen
}

func who(k evidence.Knock) string {
	if k.Addr == "" {
		return "disconnected before it could be identified"
	}
	return k.Addr
}

// aboutKnock is what else is known of a client.
func aboutKnock(k evidence.Knock) string {
	var l []string
	if k.Connected {
		l = append(l, "still connected")
	}
	if k.User != "" {
		l = append(l, "user "+k.User)
	}
	if k.Library != "" {
		l = append(l, k.Library)
	}
	return strings.Join(append(l, "on "+k.Node), " · ")
}

func dash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// backupProof says how far the backup is proven.
func backupProof(b evidence.BackupFacts) string {
	switch {
	case b.Differences > 0:
		return fmt.Sprintf(
			"It differs from the source in %s.",
			ui.Count(int64(b.Differences), "key"),
		)
	case b.Restored:
		return "Restored to a disposable Redis, and every key compared with the source in both " +
			"directions: type, value and expiry."
	case b.NotRestored != "":
		return "Read back and compared with the source, but not restored to a server: " +
			"" + b.NotRestored + "."
	}
	return "Read back and compared with the source."
}

// backupKept says where the backup is, and what of it may be asked for later.
func backupKept(b evidence.BackupFacts) string {
	said := fmt.Sprintf("%s in the data folder of this server, %s.", b.File,
		migration.Bytes(b.Bytes))
	if b.NoSnapshot != "" {
		said += " It is the only copy: " + b.NoSnapshot + "."
	}
	return said + " The folder is one disk: copy the file elsewhere before the servers are deleted."
}

// backupOpened is the command that looks into a backup, without touching any other server;
// empty: the file is of Switchyard's own format.
func backupOpened(b evidence.BackupFacts) string {
	if b.Method != "replication" {
		return ""
	}
	dir, name := path.Split(b.File)
	return fmt.Sprintf(`redis-server --bind 127.0.0.1 --port 6390 --save "" --dir %s --dbfilename %s`,
		path.Clean(dir), name)
}

// outlasts says what is left once what an action removes is gone for good; empty: it removes
// nothing, or no backup was taken.
func outlasts(run migration.Run) string {
	b, _, ok := outputOf[evidence.BackupFacts](run, "backup")
	if !ok || run.Step != migration.StepDecommission || run.Needs() != migration.ApprovalTwo {
		return ""
	}
	return "What is left afterwards: " + backupKept(b)
}

func backupStatus(b evidence.BackupFacts) ui.Status {
	switch {
	case !b.Verified || b.Differences > 0:
		return ui.Bad("Does not match")
	case !b.Restored:
		return ui.Warn("Matches, not restored")
	}
	return ui.OK("Restored and matches")
}

// proven: the backup was restored to a server and is what the source had.
func proven(b evidence.BackupFacts) bool { return backupStatus(b).Tone == "ok" }

func backupFacts(b evidence.BackupFacts) []migration.Fact {
	var l ui.Facts
	method := "DUMP of every key"
	if b.Method == "replication" {
		method = "replication stream, as an RDB file that any redis-server loads"
	}
	l.Add("Taken with", true, "%s", method)
	l.Add("Replication stream not used because", b.Why != "", "%s", b.Why)
	l.Add("Keys", true, "%s", ui.Number(b.Keys))
	l.Add(
		"Compared",
		b.Compared > 0,
		"%s, %s",
		ui.Count(b.Compared, "key"),
		ui.Count(int64(b.Differences), "difference"),
	)
	l.Add("Size", true, "%s bytes", ui.Number(b.Bytes))
	l.Add("SHA-256", true, "%s", b.SHA256)
	l.Add("Duration", b.Seconds > 0, "%.1f s", b.Seconds)
	return l
}
