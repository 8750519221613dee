package scan

import (
	"time"

	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// Facts returns the report as evidence, which contains nothing of the source but
// the constructions themselves. source says what was scanned.
func (r Report) Facts(source, commit string) evidence.ScanFacts {
	f := evidence.ScanFacts{
		Source:   source,
		Commit:   commit,
		Files:    r.Files,
		Findings: []evidence.ScanFinding{},
	}
	for _, x := range r.Findings {
		out := evidence.ScanFinding{
			ID:      x.ID,
			Role:    string(x.Role),
			Verdict: string(x.Verdict),
			Queue:   x.Queue,
			At:      x.At.String(),
			Expr:    short(x.Expr, 200),
			Fix:     short(x.Fix, 500),
		}
		for _, why := range x.Why() {
			out.Reasons = append(out.Reasons, short(why, 200))
		}
		if x.Decision != nil {
			out.DecidedBy = x.Decision.By
			if last, err := time.Parse(time.DateOnly, x.Decision.Until); err == nil {
				out.DecidedUntil = last.AddDate(0, 0, 1)
			}
		}
		f.Findings = append(f.Findings, out)
	}
	return f
}

func short(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
