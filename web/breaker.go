package web

import (
	"fmt"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// Breaker is the page of what shows that an add fails at once when Redis does.
type Breaker struct {
	MigrationID string
	Proof       workflows.BreakerProof
	Now         time.Time
	Who         Who
}

// provenStatus is the closed vocabulary of one kind of proof.
func provenStatus(p workflows.Proven) status { return verdictStatus(p.Verdict) }

func benchStatus(c workflows.BenchCell, tried bool) status {
	switch {
	case !tried:
		return status{"idle", "circle-help", "Not tried"}
	case c.OK && c.Case.Intake:
		return status{"ok", "circle-check", "Kept"}
	case c.OK && c.Case.Status == 200:
		return status{"ok", "circle-check", "Taken once"}
	case c.OK:
		return status{"ok", "circle-check", "Refused"}
	case c.Case.Hung:
		return status{"bad", "octagon-x", "Hangs"}
	case c.Case.Left > 0:
		return status{"bad", "octagon-x", "Stuck"}
	case c.Case.Status == 200 && !c.Case.Enqueued:
		return status{"bad", "octagon-x", "Loses"}
	case c.Case.Strays > 0:
		return status{"bad", "octagon-x", "Doubles"}
	}
	return status{"bad", "octagon-x", "Wrong answer"}
}

// benchWords is what a webhook got, and for whom it came too late.
func benchWords(c workflows.BenchCell) string {
	k := c.Case
	answer := fmt.Sprintf("%d after %d ms", k.Status, k.MS)
	if k.Hung {
		answer = "no answer in " + migration.Words(time.Duration(k.MS)*time.Millisecond)
	}
	job := "no job"
	if k.Enqueued {
		job = "job is there"
	}
	if k.Intake && c.OK {
		job = fmt.Sprintf("delivered once, %d ms after the fault", k.RecoveredMS)
	}
	text := answer + ", " + job
	if !c.OK && !k.Hung {
		text += ": " + c.Why
	}
	if len(c.TooLate) > 0 {
		text += ". Too late for " + strings.Join(c.TooLate, ", ")
	}
	return text
}

func scanStatus(f evidence.ScanFinding) status {
	switch {
	case f.Verdict == "PASS":
		return status{"ok", "circle-check", "Pass"}
	case f.Verdict == "FAIL":
		return status{"bad", "octagon-x", "Fail"}
	case f.DecidedBy != "":
		return status{"past", "check", "Decided"}
	}
	return status{"warn", "hand", "Review"}
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
	return fmt.Sprintf("%d files, %d pass, %d fail, %d to be reviewed, %d decided", f.Files, pass, fail, open, decided)
}

// deadlines lists how long each provider waits.
func deadlines(l []workflows.DeadlineProof) string {
	var out []string
	for _, d := range l {
		out = append(out, fmt.Sprintf("%s %s (%s)", d.Provider, d.Source.Text, d.Source.Level))
	}
	return strings.Join(out, ", ")
}
