package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// status is one entry of the closed vocabulary of states: a tone, an icon whose shape differs without colour, and a word.
type status struct{ tone, icon, word string }

func verdictStatus(v migration.Verdict) status {
	switch v {
	case migration.Met:
		return status{"ok", "circle-check", "Met"}
	case migration.Unmet:
		return status{"bad", "octagon-x", "Not met"}
	case migration.Stale:
		return status{"stale", "wifi-off", "Stale"}
	}
	return status{"idle", "circle-help", "Unknown"}
}

func runStatus(r migration.Run) status {
	if r.RolledBackBy != "" {
		return status{"idle", "undo-2", "Rolled back"}
	}
	switch r.State {
	case migration.RunAwaitingApproval:
		return status{"wait", "hand", "Waiting for approval"}
	case migration.RunQueued:
		return status{"run", "clock", "Queued"}
	case migration.RunRunning:
		if r.PausedBy != "" {
			return status{"wait", "circle-pause", "Paused"}
		}
		return status{"run", "loader", "In progress"}
	case migration.RunUndoing:
		return status{"warn", "undo-2", "Undoing"}
	case migration.RunSucceeded:
		return status{"ok", "circle-check", "Done"}
	case migration.RunFailed:
		return status{"bad", "octagon-x", "Failed"}
	case migration.RunCancelled:
		return status{"idle", "ban", "Cancelled"}
	case migration.RunRejected:
		return status{"idle", "circle-x", "Rejected"}
	}
	return status{"idle", "circle-help", "Unknown: " + string(r.State)}
}

// measurePhase says what a copy is doing.
func measurePhase(m migration.Measure, pausedBy string) string {
	if pausedBy != "" {
		return "Paused by " + pausedBy + "."
	}
	switch m.Phase {
	case "jobs":
		return "Moving what is left, one job after the other: each leaves the source once the target has it."
	case "copy":
		return "Copying while the queues go on working. Each copied key is compared on both sides."
	case "pause":
		return "Workers of the source take no further job; those at work finish."
	case "fence", "settle", "activate":
		return "The queues stand still for the last difference."
	case "sweep":
		return "Carrying over what was added on the source meanwhile."
	}
	return title(m.Phase)
}

func measureFacts(m migration.Measure, pausedBy string) []migration.Fact {
	var l list
	did := "Copied and compared"
	if m.Phase == "jobs" {
		did = "Moved"
	}
	switch {
	case m.Total == 0:
		l.add(did, true, "%s %s", number(m.Done), m.Unit)
	case m.Done >= m.Total:
		l.add(did, true, "%s %s, every one once", number(m.Done), m.Unit)
	default:
		l.add(did, true, "%s of about %s %s", number(m.Done), number(m.Total), m.Unit)
	}
	moving := pausedBy == ""
	l.add("Pace", moving && m.PerSecond > 0, "%s %s per second", number(int64(m.PerSecond)), m.Unit)
	left := migration.Words(time.Duration(max(m.ETASeconds, 1)) * time.Second)
	l.add("Time left", moving && m.ETASeconds > 0, "about %s at this pace", left)
	l.add("Changed since copied", m.Phase != "jobs", "%s keys", number(int64(m.Changed)))
	l.add("Would stand still for", m.FreezeMS > 0, "about %s ms if it did now", number(m.FreezeMS))
	l.add("Source answers in", m.LatencyMS > 0, "%.1f ms (99 of 100)", m.LatencyMS)
	l.add("Held back", m.BackingOffMS > 0, "%.0f ms before each batch, because the source answers slowly", m.BackingOffMS)
	return l
}

func stepStatus(s migration.StepStatus) status {
	switch s.State {
	case migration.StepTodo:
		return status{"ready", "circle-dot", "Ready"}
	case migration.StepBlocked:
		return status{"idle", "ban", "Blocked"}
	case migration.StepActive:
		if s.LastRun != nil && s.LastRun.State == migration.RunAwaitingApproval {
			return status{"wait", "hand", "Waiting for approval"}
		}
		return status{"run", "loader", "In progress"}
	case migration.StepDone:
		return status{"ok", "circle-check", "Done"}
	case migration.StepFailed:
		return status{"bad", "octagon-x", "Failed"}
	case migration.StepSkipped:
		return status{"idle", "circle-dashed", "Skipped"}
	}
	return status{"idle", "circle-help", "Unknown: " + string(s.State)}
}

func actionStatus(a migration.RunAction) status {
	switch a.State {
	case migration.ActionPending:
		return status{"idle", "circle-dashed", "Not started"}
	case migration.ActionRunning:
		return status{"run", "loader", "In progress"}
	case migration.ActionDone:
		return status{"ok", "circle-check", "Done"}
	case migration.ActionFailed:
		return status{"bad", "octagon-x", "Failed"}
	case migration.ActionUndone:
		return status{"idle", "undo-2", "Undone"}
	}
	return status{"idle", "circle-help", "Unknown: " + string(a.State)}
}

func gateStatus(g migration.Gate) status {
	if g.OK {
		return status{"ok", "circle-check", "Pass"}
	}
	return status{"bad", "ban", "Blocks"}
}

// number writes an integer with narrow spaces between thousands, such as 4 035.
func number[T int | int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return sign + s
}

// age says how long ago t was. The script of the page keeps it true; both use the same words.
func age(now, t time.Time) string {
	switch d := now.Sub(t); {
	case d < 0:
		return "in the future"
	case d < 10*time.Second:
		return "just now"
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%d d ago", int(d.Hours()/24))
	}
}

// countdown says how far away a date is, in days.
func countdown(now, t time.Time) string {
	days := int(t.Truncate(24*time.Hour).Sub(now.Truncate(24*time.Hour)).Hours() / 24)
	switch {
	case days == 0:
		return "today"
	case days == 1:
		return "tomorrow"
	case days == -1:
		return "yesterday"
	case days > 0:
		return fmt.Sprintf("in %d days", days)
	}
	return fmt.Sprintf("%d days ago", -days)
}

func stamp(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04:05 UTC") }
func day(t time.Time) string   { return t.UTC().Format("Mon 2 Jan 2006") }
func clock(t time.Time) string { return t.UTC().Format("15:04:05.000") }
func iso(t time.Time) string   { return t.UTC().Format(time.RFC3339) }

func title(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// pretty indents raw JSON for reading; what is not JSON is shown as it is.
func pretty(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		return string(raw)
	}
	return b.String()
}

// short cuts a hash for reading; the whole is in the title.
func short(hash string) string {
	if len(hash) > 12 {
		return hash[:12]
	}
	return hash
}

// Addresses of the pages.

func migrationURL(mid string, parts ...string) string {
	u := "/m/" + url.PathEscape(mid)
	for _, p := range parts {
		u += "/" + url.PathEscape(p)
	}
	return u
}

// StepURL is the address of a step's page, with the parameters that its plan is for.
func StepURL(mid, step string, p migration.Params) string {
	u := migrationURL(mid, "steps", step)
	q := url.Values{}
	if p.To != "" {
		q.Set("to", string(p.To))
	}
	if p.Ramp != 0 {
		q.Set("ramp", strconv.Itoa(p.Ramp))
	}
	if len(q) > 0 {
		u += "?" + q.Encode()
	}
	return u
}

func nextURL(mid string, n migration.NextStep) string {
	if n.RunID != "" {
		return migrationURL(mid, "runs", n.RunID)
	}
	if n.Verb == migration.VerbScan {
		return migrationURL(mid, "breaker") + "#scan"
	}
	return StepURL(mid, n.Step, n.Params)
}

// deciding is the finding that gave an item its verdict.
func deciding(i migration.Item) migration.Finding {
	for _, f := range i.Findings {
		if f.Verdict == i.Verdict {
			return f
		}
	}
	return migration.Finding{}
}

// basis is how fresh and how well known the evidence behind a verdict is.
type basis struct {
	observed time.Time
	proof    migration.Proof
}

// restsOn gives the basis of an item: the oldest and weakest of all for one that is met, since it needs all of them; the deciding
// observation's own for one that is not.
func restsOn(i migration.Item) basis {
	if i.Verdict == migration.Met {
		return basis{i.ObservedAt(), i.Proof()}
	}
	if e := deciding(i).Evidence; e != nil {
		return basis{e.ObservedAt, e.Proof}
	}
	return basis{}
}

func live(workers []migration.Worker) int {
	n := 0
	for _, w := range workers {
		if w.Live {
			n++
		}
	}
	return n
}

// ledgerSeen is when the order ledger was last read; zero when no criterion shows it.
func ledgerSeen(c migration.Checklist) time.Time {
	for _, i := range c {
		for _, f := range i.Findings {
			if f.Check == evidence.Ledger && f.Evidence != nil {
				return f.Evidence.ObservedAt
			}
		}
	}
	return time.Time{}
}

// waited is how long a run waited for a person, and worked how long it then took; both up to now while they last.
func waited(r migration.Run, now time.Time) time.Duration {
	if r.StartedAt != nil {
		return r.StartedAt.Sub(r.CreatedAt)
	}
	if r.FinishedAt != nil {
		return r.FinishedAt.Sub(r.CreatedAt)
	}
	return now.Sub(r.CreatedAt)
}

func worked(r migration.Run, now time.Time) time.Duration {
	switch {
	case r.StartedAt == nil:
		return 0
	case r.FinishedAt != nil:
		return r.FinishedAt.Sub(*r.StartedAt)
	}
	return now.Sub(*r.StartedAt)
}

func took(a migration.RunAction, now time.Time) string {
	switch {
	case a.StartedAt == nil:
		return ""
	case a.FinishedAt != nil:
		return migration.Words(a.FinishedAt.Sub(*a.StartedAt))
	}
	return migration.Words(now.Sub(*a.StartedAt))
}

// milestoneStatus says whether a milestone was kept, is near, or was missed. A milestone without a step has only a date.
func milestoneStatus(m migration.Milestone, event time.Time, steps []migration.StepStatus, now time.Time) status {
	at := event.Add(m.At)
	for _, s := range steps {
		if s.PlanStep.ID != m.Step {
			continue
		}
		if s.State == migration.StepDone || s.State == migration.StepSkipped {
			return status{"ok", "circle-check", "Done"}
		}
		if now.After(at.Add(24 * time.Hour)) {
			return status{"warn", "triangle-alert", "Overdue"}
		}
		return stepStatus(s)
	}
	if now.After(at) {
		return status{"idle", "circle-check", "Past"}
	}
	return status{"idle", "circle-dashed", "Later"}
}

// FlagsURL is the address of a page about a flag set; tab "" is the list.
func FlagsURL(mid, tab, set string) string {
	parts := []string{"flags"}
	if tab != "" {
		parts = append(parts, tab)
	}
	u := migrationURL(mid, parts...)
	if set != "" {
		u += "?" + url.Values{"set": {set}}.Encode()
	}
	return u
}

// flagsAction is where a form about flags is sent.
func flagsAction(v FlagSetting, parts ...string) string {
	return migrationURL(v.MigrationID, append([]string{"flags"}, parts...)...)
}

func flagURL(v FlagSetting, key string) string {
	return FlagsURL(v.MigrationID, "edit", v.View.ID) + "&" + url.Values{"key": {key}}.Encode()
}

// serves says in words what a flag gives now.
func serves(f migration.FlagInfo) string {
	switch {
	case f.State == "DISABLED":
		return "disabled: the code's default"
	case f.Variant == "":
		return "the code's default"
	}
	raw, err := json.Marshal(f.Value)
	if err != nil {
		return f.Variant
	}
	return f.Variant + " = " + cut(string(raw), 60)
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}

func flagType(f migration.FlagInfo) string {
	switch f.Type {
	case "kill-switch":
		return "kill switch"
	case "":
		return f.ValueType
	}
	return f.Type
}

func killed(f migration.FlagInfo) bool { return f.Variant == "off" }

// found lists the flags whose key holds the words that were searched for.
func found(v Flags) []migration.FlagInfo {
	var out []migration.FlagInfo
	for _, f := range v.View.Flags {
		if strings.Contains(strings.ToLower(f.Key+" "+flagType(f)), strings.ToLower(v.Search)) {
			out = append(out, f)
		}
	}
	return out
}

// lagging reports whether a worker holds up a move: it is live and what it holds is older than the set.
func lagging(w Worker, set migration.FlagSet) bool {
	return w.Live && w.Set == set.ID && w.Revision < set.Revision && (w.Revision > 0 || slices.Contains(w.Via, "attestation"))
}

func laggards(workers []Worker, set migration.FlagSet) []string {
	var out []string
	for _, w := range workers {
		if lagging(w, set) {
			out = append(out, workerName(w))
		}
	}
	return out
}

func workerName(w Worker) string {
	if w.Identified || w.Instance != "" {
		return w.Instance
	}
	name := "unnamed, key " + w.Key
	if w.Address != "" {
		name += " from " + w.Address
	}
	return name
}

// fleetSays puts in words whether every live worker of a set has its latest revision.
func fleetSays(workers []Worker, set migration.FlagSet) string {
	late, n := laggards(workers, set), 0
	for _, w := range workers {
		if w.Live && w.Set == set.ID {
			n++
		}
	}
	switch {
	case n == 0:
		return "No live worker reads this set."
	case len(late) == 0:
		return "All live workers hold revision " + number(set.Revision) + ", or ask each time. Nothing here would block a stage move."
	}
	return "A stage move would wait for " + strings.Join(late, ", ") + ": behind revision " + number(set.Revision) + "."
}

// lateFirst puts who lags on top.
func lateFirst(workers []Worker, set migration.FlagSet) []Worker {
	sorted := slices.Clone(workers)
	slices.SortStableFunc(sorted, func(a, b Worker) int {
		switch x, y := lagging(a, set), lagging(b, set); {
		case x == y:
			return strings.Compare(workerName(a), workerName(b))
		case x:
			return -1
		}
		return 1
	})
	return sorted
}

func scheduleStatus(s migration.FlagSchedule) status {
	switch s.State {
	case migration.SchedulePending:
		return status{"wait", "clock", "Pending"}
	case migration.ScheduleDone:
		return status{"ok", "circle-check", "Done"}
	case migration.ScheduleFailed:
		return status{"bad", "octagon-x", "Failed"}
	case migration.ScheduleCancelled:
		return status{"idle", "ban", "Cancelled"}
	}
	return status{"idle", "circle-help", "Unknown: " + s.State}
}

// scheduled says in words what a schedule will do.
func scheduled(s migration.FlagSchedule) string {
	switch {
	case s.Move != nil:
		return "Cutover to " + s.Move.String()
	case s.Edit == nil:
		return ""
	case len(s.Edit.Document) > 0:
		return "Replace the whole set: " + s.Edit.Reason
	}
	return "Change " + strings.Join(slices.Sorted(maps.Keys(s.Edit.Flags)), ", ") + ": " + s.Edit.Reason
}
