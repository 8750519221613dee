package migrationpages

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

func eventName(p migration.Plan) string {
	if p.Event == "" {
		return "Event"
	}
	if strings.Contains(strings.ToLower(p.Event), "event") {
		return p.Event
	}
	return p.Event + " event"
}

func stepTitle(p migration.Plan, id string) string {
	if s, ok := p.Step(id); ok {
		return s.Title
	}
	return id
}

func toMove(r migration.Run) string {
	s := ""
	if r.Params.To != "" {
		s = " to " + r.Params.Move().String()
	}
	if r.Rollback != "" {
		s += " (rollback)"
	}
	return s
}

// sourceWords names the servers that the source side is.
func sourceWords(s migration.SourceEndpoint) string {
	switch s {
	case migration.SourceStandalone:
		return "Single Redis"
	case migration.SourceSentinel:
		return "Sentinel"
	case migration.SourceNone:
		return "Disconnected"
	}
	return string(s)
}

func nextLabel(n migration.NextStep, who ui.Who) string {
	switch {
	case n.Verb == "watch":
		return "Open run"
	case !who.CanAct():
		return "View plan"
	case n.Verb == "approve":
		return "Review and approve"
	case n.Verb == "scan":
		return "Submit a scan"
	}
	return "Review plan"
}

func nextURL(mid string, n migration.NextStep) string {
	if n.RunID != "" {
		return ui.URL(mid, "runs", n.RunID)
	}
	if n.Verb == "scan" {
		return ui.URL(mid, "breaker") + "#scan"
	}
	return ui.StepURL(mid, n.Step, n.Params)
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

// unmetFirst puts what is still to be done on top.
func unmetFirst(c migration.Checklist) migration.Checklist {
	sorted := slices.Clone(c)
	slices.SortStableFunc(sorted, func(a, b migration.Item) int {
		return cmp.Compare(metRank(a), metRank(b))
	})
	return sorted
}

// settled reports whether there is nothing to do about a criterion now.
func settled(i migration.Item) bool { return i.Verdict == migration.Met || i.Unstarted() }

// rehearsalWords says what was rehearsed, which need not be this very move, and how long it took.
func rehearsalWords(b migration.WayBack) string {
	words := "rehearsed from " + b.RehearsedFrom + " to " + b.RehearsedTo
	if b.TookMS <= 0 {
		return words
	}
	return words + " in " + migration.Words(time.Duration(b.TookMS)*time.Millisecond)
}

// rehearsalStatus says whether the rehearsal of the way back still counts.
func rehearsalStatus(b migration.WayBack) ui.Status {
	if b.Rehearsal == migration.Met && b.RehearsedTo != b.Move.String() {
		return ui.Idle("This move not rehearsed")
	}
	switch b.Rehearsal {
	case migration.Met:
		return ui.OK("Rehearsed")
	case migration.Stale:
		return ui.Stale("Rehearse again")
	case migration.Unmet, migration.Unknown:
	}
	if b.RehearsedAt == nil {
		return ui.Idle("Not rehearsed")
	}
	return ui.VerdictStatus(b.Rehearsal)
}

// stepsApart gives the steps that are done or need not be, and the others.
func stepsApart(all []migration.StepStatus) (past, ahead []migration.StepStatus) {
	for _, s := range all {
		if s.State == migration.StepDone || s.State == migration.StepSkipped {
			past = append(past, s)
		} else {
			ahead = append(ahead, s)
		}
	}
	return past, ahead
}

// someStarted reports whether some criteria are not started and others are.
func someStarted(c migration.Checklist) bool {
	n := 0
	for _, i := range c {
		if i.Unstarted() {
			n++
		}
	}
	return n > 0 && n < len(c)
}

func blockedSteps(all []migration.StepStatus) (n int) {
	for _, s := range all {
		if s.State == migration.StepBlocked {
			n++
		}
	}
	return n
}

// metRank is 1 for a criterion that is met and 0 for any other.
func metRank(i migration.Item) int {
	if i.Verdict == migration.Met {
		return 1
	}
	return 0
}

// summary says in one sentence how much of a criterion holds, and what does not.
func summary(i migration.Item) string {
	var missing []string
	for _, f := range i.Findings {
		if f.Verdict != migration.Met {
			missing = append(missing, f.Title)
		}
	}
	all, held := len(i.Findings), len(i.Findings)-len(missing)
	switch {
	case all == 0:
		return i.Why
	case all == 1 && i.Verdict == migration.Unknown:
		return "Not known whether the requirement is met."
	case all == 1 && i.Verdict == migration.Stale:
		return "The evidence is out of date."
	case len(missing) == 0 && all == 1:
		return "The requirement is met."
	case len(missing) == 0:
		return fmt.Sprintf("All %d requirements are met.", all)
	case all == 1:
		return "The requirement is not met."
	}
	return fmt.Sprintf("%d of %d requirements met. Missing: %s.",
		held, all, strings.Join(missing, ", "))
}

// value is what was measured of a requirement, without its title.
func value(f migration.Finding) string {
	return strings.TrimPrefix(f.Measured, f.Title+": ")
}

// requirementStatus shows the verdict on one requirement; one that nobody looked at has not started.
func requirementStatus(f migration.Finding) ui.Status {
	if f.Evidence == nil && f.Verdict != migration.Met {
		return ui.Idle("No evidence yet")
	}
	return ui.VerdictStatus(f.Verdict)
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

// restsOn gives the basis of an item: the oldest and weakest of all for one that is met,
// since it needs all of them; the deciding observation's own for one that is not.
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
