package migrationpages

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows"
)

func reportStatus(r workflows.Report) ui.Status {
	harm := r.Orders.Lost + r.Orders.Twice
	switch {
	case harm > 0:
		return ui.Bad(ui.Count(harm, "order") + " lost or processed twice")
	case r.Kind == "closing" && r.Orders.Unknown == "":
		return ui.OK("Complete")
	}
	return ui.ForecastStatus(string(r.Forecast.State))
}

// milliseconds writes a time as it was measured.
func milliseconds(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d ms", n)
	}
	return fmt.Sprintf("%.1f s", float64(n)/1000)
}

func phaseCost(p workflows.CostPhase) string {
	usd := fmt.Sprintf("$%.2f", p.USD)
	switch {
	case p.Complete:
		return usd
	case p.USD == 0:
		return "not known"
	}
	return "at least " + usd
}

// costBasis says how well the prices of a phase are known.
func costBasis(p workflows.CostPhase) string {
	var words []string
	for _, l := range p.Lines {
		word := l.What + ": " + string(l.Proof)
		if l.USD == nil || l.Proof == "" {
			word = l.What + ": not known"
		}
		if !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	return strings.Join(words, "; ")
}

// rehearsal is a way back that was taken: what of, when, and by whom.
func rehearsal(r workflows.ReportRollback) string {
	said := r.What + ", " + ui.Day(r.At)
	if r.By != "" {
		said += ", " + r.By
	}
	return said
}

func incidentEnd(i workflows.ReportIncident) string {
	said := "Open since " + ui.Stamp(i.Began) + "."
	if i.Ended != nil {
		lasted := "within 1 s"
		if took := i.Ended.Sub(i.Began); took >= time.Second {
			lasted = "after " + migration.Words(took.Round(time.Second))
		}
		said = "Began " + ui.Stamp(i.Began) + ", resolved " + lasted + "."
	}
	if i.Acknowledged != "" {
		said += " Acknowledged by " + i.Acknowledged + "."
	}
	return said
}

func waiverEnd(w workflows.ReportWaiver, now time.Time) string {
	switch {
	case w.RevokedAt != nil:
		return "revoked " + ui.Day(*w.RevokedAt)
	case !w.Counts(now):
		return "ended " + ui.Day(w.Until)
	}
	return "counts until " + ui.Day(w.Until)
}
