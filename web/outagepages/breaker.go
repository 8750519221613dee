package outagepages

import (
	"fmt"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// Breaker is the page of what shows that an add fails at once when Redis does.
type Breaker struct {
	MigrationID string
	Proof       workflows.BreakerProof
	// Criterion is what the proofs are for; nil: the plan has none that the drill proves.
	Criterion *migration.Item
	Now       time.Time
	Who       ui.Who
}

// provenStatus is the closed vocabulary of one kind of proof.
func provenStatus(p workflows.Proven) ui.Status { return ui.VerdictStatus(p.Verdict) }

func liveStatus(l workflows.DrillRow) ui.Status {
	if l.OK {
		return ui.OK("Rejected in time")
	}
	return ui.Bad("Failed")
}

func openFirst(all []evidence.ScanFinding) []evidence.ScanFinding {
	var open, rest []evidence.ScanFinding
	for _, f := range all {
		if f.Open() {
			open = append(open, f)
		} else {
			rest = append(rest, f)
		}
	}
	return append(open, rest...)
}

func benchStatus(c workflows.BenchCell, tried bool) ui.Status {
	switch {
	case !tried:
		return ui.Unknown("Not tested")
	case c.OK && c.Case.Intake:
		return ui.OK("Stored on disk")
	case c.OK && c.Case.Status == 200:
		return ui.OK("Accepted once")
	case c.OK:
		return ui.OK("Rejected")
	case c.Case.Hung:
		return ui.Bad("Hangs")
	case c.Case.Left > 0:
		return ui.Bad("Stuck")
	case c.Case.Status == 200 && !c.Case.Enqueued:
		return ui.Bad("Order lost")
	case c.Case.Strays > 0:
		return ui.Bad("Duplicated")
	}
	return ui.Bad("Wrong response")
}

// passedWords counts the faults that were withstood and those that were not tried.
func passedWords(faults []workflows.FaultColumn, cells map[string]workflows.BenchCell) string {
	passed, open := 0, 0
	for _, f := range faults {
		if cell, tried := cells[f.ID]; !tried {
			open++
		} else if cell.OK {
			passed++
		}
	}
	var parts []string
	if passed > 0 {
		parts = append(parts, ui.Number(passed)+" passed")
	}
	if open > 0 {
		parts = append(parts, ui.Number(open)+" not tested")
	}
	return strings.Join(parts, ", ")
}

// settledCount counts the places of which nothing is left to do.
func settledCount(all []evidence.ScanFinding) (n int) {
	for _, f := range all {
		if !f.Open() {
			n++
		}
	}
	return n
}

// benchWords is what a webhook got, and for whom it came too late.
func benchWords(c workflows.BenchCell) string {
	k := c.Case
	answer := fmt.Sprintf("%d in %d ms", k.Status, k.MS)
	if k.Hung {
		answer = fmt.Sprintf("no response in %s", migration.Words(time.Duration(k.MS)*time.Millisecond))
	}
	job := "no job"
	if k.Enqueued {
		job = "job written"
	}
	if k.Intake && c.OK {
		job = "delivered once, after the fault: " + k.Recovered().Text(migration.Millis)
	}
	text := answer + ", " + job
	if !c.OK && !k.Hung {
		text += ": " + c.Why
	}
	if len(c.TooLate) > 0 {
		text += ". Too slow for " + strings.Join(c.TooLate, ", ")
	}
	return text
}

func scanStatus(f evidence.ScanFinding) ui.Status {
	switch {
	case f.Verdict == "PASS":
		return ui.OK("Pass")
	case f.Verdict == "FAIL":
		return ui.Bad("Fail")
	case !f.Open():
		return ui.Past("Exception")
	}
	return ui.Warn("Review").As("hand")
}

// accepted says who stands by an exception, and what is only written in the file.
func accepted(f evidence.ScanFinding) string {
	text := "accepted by " + f.DecidedBy + " until " + ui.Day(f.DecidedUntil)
	switch {
	case f.ConfirmedBy == "":
		return text + ", as the file says: to be confirmed"
	case f.ConfirmedBy != f.DecidedBy:
		return text + ", confirmed by " + f.ConfirmedBy
	}
	return text
}

func scanSummary(f evidence.ScanFacts) string {
	pass, fail, open, decided := 0, 0, 0, 0
	for _, x := range f.Findings {
		switch {
		case x.Verdict == "PASS":
			pass++
		case x.Verdict == "FAIL":
			fail++
		case x.Open():
			open++
		default:
			decided++
		}
	}
	return fmt.Sprintf(
		"%s scanned: %d passed, %d failed, %d need review, %s",
		ui.Count(f.Files, "file"),
		pass,
		fail,
		open,
		ui.Count(decided, "exception"),
	)
}

// deadlines lists how long each provider waits.
func deadlines(l []workflows.DeadlineProof) string {
	var out []string
	for _, d := range l {
		out = append(out, fmt.Sprintf("%s %s (%s)", d.Provider, d.Source.Text, d.Source.Level))
	}
	return strings.Join(out, ", ")
}
