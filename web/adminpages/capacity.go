package adminpages

import (
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/capacity"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows"
)

// Capacity is the page of cost and capacity.
type Capacity struct {
	MigrationID string
	Capacity    workflows.Capacity
	Now         time.Time
}

func dollars(usd float64) string {
	if usd >= 1000 {
		return "$" + ui.Number(int64(usd+0.5))
	}
	return fmt.Sprintf("$%.2f", usd)
}

// phaseSum is what a phase costs; of one with an unknown price at least that.
func phaseSum(p workflows.CostPhase) string {
	switch {
	case p.Complete:
		return dollars(p.USD)
	case p.USD == 0:
		return "unknown"
	}
	return "at least " + dollars(p.USD)
}

func meteredRange(m workflows.MeteredCost) string {
	if m.Low == nil {
		return dollars(m.High)
	}
	return dollars(*m.Low) + " to " + dollars(m.High)
}

func meteredLow(m workflows.MeteredCost) string {
	if m.Low == nil {
		return "not reported"
	}
	return dollars(*m.Low)
}

func meteredCalls(m workflows.MeteredCost) string {
	if m.Rates.Calls < 0 {
		return "not reported"
	}
	return fmt.Sprintf("%.1f", m.Rates.Calls)
}

func meteredStatus(m workflows.MeteredCost) ui.Status {
	switch m.Cheaper() {
	case "fixed":
		return ui.OK("Fixed is cheaper")
	case "pay-as-you-go":
		return ui.Warn("Pay-as-you-go is cheaper now")
	}
	return ui.Unknown("Undecided")
}

// meteredVerdict says in a sentence what follows.
func meteredVerdict(m workflows.MeteredCost) string {
	seen := fmt.Sprintf("Measured on the %s for %s: ", m.Side, migration.Words(m.Rates.Seen))
	switch {
	case !m.Enough:
		return migration.Words(m.Rates.Seen) + " of data. Recommendation after 1 h."
	case m.Cheaper() == "fixed":
		return seen + fmt.Sprintf(
			"pay-as-you-go would cost %s a month for this traffic; the fixed plan costs %s.",
			meteredRange(m),
			dollars(m.Fixed),
		)
	case m.Cheaper() == "pay-as-you-go":
		return seen + fmt.Sprintf(
			"pay-as-you-go would cost %s a month for this traffic, less than the %s of the "+
				"fixed plan. A fixed price stays the same in an incident; pay-as-you-go grows "+
				"with "+
				"every idle poll of every worker.",
			meteredRange(m),
			dollars(m.Fixed),
		)
	}
	return seen + fmt.Sprintf(
		"pay-as-you-go would cost %s a month for this traffic; whether that is more than %s "+
			"depends on how the service counts scripts, which it does not document.",
		meteredRange(m),
		dollars(m.Fixed),
	)
}

func useStatus(u capacity.Use) ui.Status {
	switch u.State {
	case capacity.Fits:
		return ui.OK("Fits")
	case capacity.Near:
		return ui.Warn(ui.Title(projected(u) + "near the limit"))
	case capacity.Over:
		return ui.Bad(ui.Title(projected(u) + "over the limit"))
	}
	return ui.Unknown("Unknown")
}

func projected(u capacity.Use) string {
	if u.ProjectedFrom != "" {
		return "Projected "
	}
	return ""
}

func amount(u capacity.Use, v float64) string {
	switch u.Unit {
	case "bytes", "bytes/month":
		return migration.Bytes(int64(v))
	}
	if v < 10 && v != float64(int64(v)) {
		return fmt.Sprintf("%.1f", v)
	}
	return ui.Number(int64(v + 0.5))
}

// usedLabel names a figure that is measured, or projected to a month from less.
func usedLabel(u capacity.Use) string {
	if u.ProjectedFrom != "" {
		return "Projected"
	}
	return "Used"
}

// useWords is a value against its limit. A projection says so, and from how much time.
func useWords(u capacity.Use) string {
	if u.ProjectedFrom != "" {
		return fmt.Sprintf("%s a month of %s, %.1f %% (from %s of data)", amount(u, u.Value),
			amount(u, u.Limit), u.Share()*100, u.ProjectedFrom)
	}
	return fmt.Sprintf("%s of %s, %.1f %%", amount(u, u.Value), amount(u, u.Limit), u.Share()*100)
}

// limitLabel names when a limit would be reached: of a projection no limit is reached yet.
func limitLabel(u capacity.Use) string {
	if u.ProjectedFrom != "" {
		return "Limit, projected"
	}
	return "Limit reached on"
}

// limitDate says when a limit would be reached.
func limitDate(u capacity.Use) string {
	date := func(t time.Time) string { return t.UTC().Format(time.DateOnly) }
	switch {
	case u.State == capacity.Unknown:
		return "unknown"
	case u.State == capacity.Over:
		return "over the limit"
	case u.Trend == nil:
		return "too little data"
	case u.Likely == nil && u.Early == nil:
		return "not within a year"
	case u.Likely == nil:
		return "not within a year; " + date(*u.Early) + " at the fastest growth seen"
	case u.Early == nil || u.Early.Equal(*u.Likely):
		return date(*u.Likely)
	}
	return date(*u.Likely) + "; at the fastest growth seen " + date(*u.Early)
}

// growth is the median change a day.
func growth(u capacity.Use) string {
	if u.Trend == nil {
		return ""
	}
	if u.Trend.PerDay == 0 {
		return "none"
	}
	sign := "+"
	v := u.Trend.PerDay
	if v < 0 {
		sign, v = "−", -v
	}
	return sign + amount(u, v) + "/day"
}

// measuredAny reports whether anything was measured on a side.
func measuredAny(v Capacity) bool {
	for _, s := range v.Capacity.Sides {
		if s.Since != nil {
			return true
		}
	}
	return false
}
