package migrationpages

import (
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

// verdictStatus shows the verdict on a criterion; one that nothing was measured for is not
// started, which is not yet a failure.
func verdictStatus(i migration.Item) ui.Status {
	if i.Verdict == migration.Unmet && !slices.ContainsFunc(i.Findings,
		func(f migration.Finding) bool { return f.Evidence != nil }) {
		return ui.Idle("Not started")
	}
	return ui.VerdictStatus(i.Verdict)
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
