package adminpages

import (
	"fmt"
	"math"
	"time"

	"github.com/switchyard-dev/switchyard/capacity"
	"github.com/switchyard-dev/switchyard/web/charts"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows"
)

// What is drawn of a server's hours, and which of its uses says how it grows.
var loads = []struct {
	id, use, title, about, unit string
	value                       func(capacity.Hour) (float64, bool)
}{
	{"memory", "memory", "Data", "Bytes that the server uses, the most of each hour", "MiB",
		func(h capacity.Hour) (float64, bool) {
			return float64(h.Memory) / (1 << 20), h.Memory > 0
		}},
	{"commands", "commands", "Commands per second, peak", "The most commands per second " +
		"between two readings of each hour", "/s",
		func(h capacity.Hour) (float64, bool) { return h.Peak, h.Seen > 0 }},
}

// axis is the time that is drawn: what was measured, then as much of what is projected.
type axis struct {
	since, until, now time.Time
	step              time.Duration
}

func (x axis) steps() int { return int(x.until.Sub(x.since) / x.step) }

// axisOf takes days where days were measured, and goes on into the future where a trend is known.
func axisOf(v Capacity) (axis, bool) {
	var first time.Time
	known := false
	for _, s := range v.Capacity.Sides {
		if len(s.Hours) > 0 && (first.IsZero() || s.Hours[0].Start.Before(first)) {
			first = s.Hours[0].Start
		}
		for _, u := range s.Uses {
			known = known || u.Trend != nil && projectable(u)
		}
	}
	if first.IsZero() {
		return axis{}, false
	}
	x := axis{now: v.Now, step: 6 * time.Hour}
	back := 28 * 24 * time.Hour
	if v.Now.Sub(first) < 3*24*time.Hour {
		x.step, back = time.Hour, 3*24*time.Hour
	}
	end := v.Now.Truncate(x.step).Add(x.step)
	x.since, x.until = end.Add(-back), end
	if known {
		x.until = end.Add(back)
	}
	return x, true
}

func projectable(u capacity.Use) bool { return u.ID == "memory" || u.ID == "commands" }

// loadCharts draws how both sides' load was, and where it goes. False: nothing was measured.
func loadCharts(v Capacity) (charts.Group, bool) {
	x, ok := axisOf(v)
	if !ok {
		return charts.Group{}, false
	}
	days := int(x.now.Sub(x.since).Hours()+12) / 24
	words := ui.Count(days, "day")
	if x.until.After(x.now.Add(x.step)) {
		words += fmt.Sprintf(" and the next %d, projected", days)
	}
	g := charts.Group{MigrationID: v.MigrationID, Own: true, Now: v.Now,
		Range: charts.Range{Words: words, Span: x.until.Sub(x.since)},
		View: workflows.SeriesView{Since: x.since, Until: x.until,
			StepMS: x.step.Milliseconds()}}
	for _, l := range loads {
		c := charts.Chart{ID: "load-" + l.id, Title: l.title}
		for _, s := range v.Capacity.Sides {
			measured := workflows.Series{Name: l.id + "_" + s.Side, Title: ui.Title(s.Side),
				Unit: l.unit, Side: s.Side, About: l.about}
			fill(&measured, s.Hours, l.value, x)
			if len(measured.Steps) == 0 {
				continue
			}
			c.Lines = append(c.Lines, measured.Name)
			g.View.Series = append(g.View.Series, measured)
			if next, ok := project(s, l.use, measured, x); ok {
				c.Lines = append(c.Lines, next.Name)
				c.Projected = append(c.Projected, next.Name)
				g.View.Series = append(g.View.Series, next)
			}
		}
		if len(c.Lines) > 0 {
			g.Charts = append(g.Charts, c)
		}
	}
	return g, len(g.Charts) > 0
}

// fill puts hours into steps of the axis.
func fill(
	out *workflows.Series, hours []capacity.Hour, value func(capacity.Hour) (float64, bool), x axis,
) {
	n := 0.0
	for _, h := range hours {
		v, ok := value(h)
		step := int(h.Start.Sub(x.since) / x.step)
		if !ok || h.Start.Before(x.since) || step >= x.steps() {
			continue
		}
		v = rounded(v)
		last := len(out.Steps) - 1
		if last < 0 || out.Steps[last] != step {
			out.Steps, out.Mean = append(out.Steps, step), append(out.Mean, v)
			out.Min, out.Max = append(out.Min, v), append(out.Max, v)
			n = 1
			continue
		}
		out.Mean[last] = rounded((out.Mean[last]*n + v) / (n + 1))
		out.Min[last], out.Max[last] = min(out.Min[last], v), max(out.Max[last], v)
		n++
	}
}

func rounded(v float64) float64 { return math.Round(v*10) / 10 }

// project goes on from the trend of a use: a line of its own, which is named so.
func project(
	s workflows.SideLoad, use string, of workflows.Series, x axis,
) (workflows.Series, bool) {
	out := workflows.Series{Name: of.Name + "_projected", Unit: of.Unit, Side: of.Side,
		Title: of.Title + ", projected",
		About: "Projected, not measured: the trend of what was measured, drawn on as it is"}
	for _, u := range s.Uses {
		if u.ID != use || u.Trend == nil {
			continue
		}
		for step := int(x.now.Sub(x.since) / x.step); step < x.steps(); step++ {
			ahead := x.since.Add(time.Duration(step) * x.step).Sub(u.Trend.Last)
			v := u.Trend.Now + u.Trend.PerDay*ahead.Hours()/24
			if u.Unit == "bytes" {
				v /= 1 << 20
			}
			v = rounded(max(v, 0))
			out.Steps, out.Mean = append(out.Steps, step), append(out.Mean, v)
			out.Min, out.Max = append(out.Min, v), append(out.Max, v)
		}
	}
	return out, len(out.Steps) > 1
}
