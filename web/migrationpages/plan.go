package migrationpages

import (
	"slices"
	"time"

	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows"
)

// datePoint is one entry of the time line.
type datePoint struct {
	At     time.Time
	Title  string
	Status ui.Status
	Now    bool
}

// timeline is the milestones with the event, the freeze, the forecast and today, by date.
func timeline(v Plan) []datePoint {
	var out []datePoint
	for _, m := range v.Plan.Milestones {
		s := milestoneStatus(m, v.EventDate, v.Roadmap.Steps, v.Now)
		at := reached(m, v.EventDate, v.Roadmap.Steps, v.Now)
		if planned := v.EventDate.Add(m.At); ui.Day(planned) != ui.Day(at) {
			s.Word += ", planned for " + ui.Day(planned)
		}
		out = append(out, datePoint{At: at, Title: m.Title, Status: s})
	}
	out = append(out, datePoint{At: v.EventDate, Title: eventName(v.Plan),
		Status: ui.Idle("Event").As("calendar-days")})
	if f := v.Plan.Freeze; f != nil {
		why := f.Why
		if why == "" {
			why = "no changes"
		}
		out = append(out,
			datePoint{At: v.EventDate.Add(f.From), Title: "Freeze begins",
				Status: ui.Warn(ui.Title(why)).As("lock")},
			datePoint{At: v.EventDate.Add(f.Until), Title: "Freeze ends",
				Status: ui.Idle("").As("lock")})
	}
	if t := v.Roadmap.Forecast.Finish; t != nil {
		out = append(out, datePoint{At: *t, Title: "Last criterion met",
			Status: ui.Idle("Forecast").As("clock")})
	}
	out = append(out, datePoint{At: v.Now, Title: "Today", Status: ui.Idle("").As("circle-dot"),
		Now: true})
	slices.SortStableFunc(out, func(a, b datePoint) int { return a.At.Compare(b.At) })
	return out
}

// nextExpiry is the waiver that ends first of those that count.
func nextExpiry(v Plan) (next workflows.ReportWaiver, ok bool) {
	for _, w := range v.Roadmap.Waivers {
		if w.Counts(v.Now) && (!ok || w.Until.Before(next.Until)) {
			next, ok = w, true
		}
	}
	return next, ok
}
