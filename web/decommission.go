package web

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// outputOf reads what an action of a run gave so far; false: nothing yet.
func outputOf[T any](r migration.Run, action string) (T, migration.RunAction, bool) {
	var v T
	for _, a := range r.Actions {
		if a.ID == action && a.Output != nil {
			return v, a, json.Unmarshal(a.Output, &v) == nil
		}
	}
	return v, migration.RunAction{}, false
}

func waitsWith(r migration.Run) string {
	a, _ := r.Waiting()
	return a.ID
}

func decideTitle(r migration.Run) string {
	if a, ok := r.Waiting(); ok {
		return "Decide: " + a.Title
	}
	return "Decide"
}

// ownApprovals lists the actions that an approval of the plan does not cover.
func ownApprovals(p migration.StepPlan) string {
	var l []string
	for _, a := range p.Actions {
		if a.Approval != "" {
			l = append(l, a.Title)
		}
	}
	return strings.Join(l, "; ")
}

// approvalWords says who has approved an action, or who may.
func approvalWords(a migration.ActionPlan, r migration.Run) string {
	for _, c := range r.Approvals {
		if c.Action != a.ID {
			continue
		}
		said := "Approved by "
		if !c.Approved {
			said = "Not approved by "
		}
		said += c.By
		if c.Comment != "" {
			said += ": " + c.Comment
		}
		return said
	}
	if a.Approval == migration.ApprovalTwo {
		return "Needs an approval of its own, by somebody other than who asked for the run, with the name typed"
	}
	return "Needs an approval of its own"
}

// fenceStatus is where a watched window stands.
func fenceStatus(f evidence.WatchFacts, a migration.RunAction, now time.Time) status {
	switch {
	case a.State == migration.ActionUndone:
		return status{"idle", "undo-2", "Undone"}
	case a.State == migration.ActionFailed:
		return status{"bad", "octagon-x", "Failed"}
	case f.Over:
		return status{"ok", "circle-check", "Nobody for the whole window"}
	case here(f) > 0:
		return status{"bad", "octagon-x", "Somebody is knocking"}
	}
	return status{"run", "clock", left(f, now) + " left"}
}

func left(f evidence.WatchFacts, now time.Time) string {
	return migration.Words(f.Ends().Sub(now).Round(time.Second))
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
		return "Nobody knocked for " + windowWords(f) + ". Since then only the servers count; if anybody tries, the power-off is refused."
	case here(f) > 0:
		return "The window does not begin while somebody is there. Stop these apps or point them at the target; the window then starts by itself. Cancelling the run lifts the fence."
	case len(f.Knocks) > 0:
		return "Somebody knocked, so the window of " + windowWords(f) + " started again. If nobody comes back it ends in " + left(f, now) + "."
	}
	return "Writes are refused and reads go on. If nobody comes, the window of " + windowWords(f) + " ends in " + left(f, now) + "."
}

func unseenWords(n evidence.WatchedNode) string {
	if n.Unseen == "" {
		return "every command is seen"
	}
	return "connections and counts alone: " + n.Unseen
}

func who(k evidence.Knock) string {
	if k.Addr == "" {
		return "left before it could be seen"
	}
	return k.Addr
}

// aboutKnock is what else is known of a client.
func aboutKnock(k evidence.Knock) string {
	var l []string
	if k.Connected {
		l = append(l, "still there")
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
		return fmt.Sprintf("It differs from the source in %s keys.", number(int64(b.Differences)))
	case b.Restored:
		return "Restored into a scratch server, and every key compared with the source in both directions: type, value and expiry."
	case b.NotRestored != "":
		return "Read back and compared with the source, but not restored into a server: " + b.NotRestored + "."
	}
	return "Read back and compared with the source."
}

func backupStatus(b evidence.BackupFacts) status {
	switch {
	case !b.Verified || b.Differences > 0:
		return status{"bad", "octagon-x", "Not equal"}
	case !b.Restored:
		return status{"warn", "triangle-alert", "Equal, not restored"}
	}
	return status{"ok", "circle-check", "Restored and equal"}
}

func backupFacts(b evidence.BackupFacts) []migration.Fact {
	var l list
	method := "DUMP of every key"
	if b.Method == "replication" {
		method = "replication stream, as an RDB file that any redis-server loads"
	}
	l.add("File", true, "%s", b.File)
	l.add("Taken by", true, "%s", method)
	l.add("Not by the stream because", b.Why != "", "%s", b.Why)
	l.add("Keys", true, "%s", number(b.Keys))
	l.add("Compared", b.Compared > 0, "%s keys, %s differences", number(b.Compared), number(int64(b.Differences)))
	l.add("Size", true, "%s bytes", number(b.Bytes))
	l.add("SHA-256", true, "%s", b.SHA256)
	l.add("Took", b.Seconds > 0, "%s", migration.Words(time.Duration(b.Seconds*float64(time.Second))))
	return l
}
