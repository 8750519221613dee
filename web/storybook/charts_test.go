package storybook

import (
	"math"
	"slices"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/series"
	"github.com/switchyard-dev/switchyard/web/charts"
	"github.com/switchyard-dev/switchyard/workflows"
)

// storyFlow is what the first page's charts show.
func storyFlow() charts.Group {
	g := storyCharts("/m/"+mid, 120, charts.Overview(7)...)
	g.Later = true
	return g
}

// storyCharts is an hour in which the target takes over, with a while in which the source did
// not answer.
func storyCharts(page string, points int, all ...charts.Chart) charts.Group {
	g := charts.Group{MigrationID: mid, Range: charts.Ranges[1], Points: points, Charts: all,
		Now: storyTime, Page: page}
	step := time.Hour / time.Duration(points)
	g.View = workflows.SeriesView{Since: storyTime.Add(-time.Hour), Until: storyTime,
		StepMS: step.Milliseconds()}
	for _, name := range g.Names() {
		d, _ := series.Find(name)
		g.View.Series = append(g.View.Series, storySeries(d, points))
	}
	ended := storyTime.Add(-21 * time.Minute)
	g.View.Marks = []workflows.SeriesMark{
		{Kind: "run", ID: "c1c4837b60", Title: "Cutover by flag to live at 50 %",
			From: storyTime.Add(-26 * time.Minute), Until: &ended, State: "succeeded"},
		{Kind: "alert", ID: "orders/late", Title: "12 orders are overdue",
			From: storyTime.Add(-5 * time.Minute), State: "critical"},
	}
	return g
}

func storySeries(d series.Definition, points int) workflows.Series {
	s := workflows.Series{Name: d.Name, Title: d.Title, Unit: d.Unit, Side: d.Side,
		Proof: migration.Observed, About: d.About}
	if d.Attested {
		s.Proof = migration.Attested
	}
	for n := range points {
		if d.Side == "source" && n > points*2/5 && n < points/2 { // it did not answer
			continue
		}
		moved := 1 / (1 + math.Exp(-float64(n-points*3/5)/8))
		v := 40 + 12*math.Sin(float64(n)/9) + 5*math.Sin(float64(n))
		switch {
		case d.Name == series.CriteriaMet:
			v = 3 + math.Floor(3*moved)
		case d.Name == series.RampRequested:
			v = 50 * math.Round(moved)
		case d.Name == series.RampObserved:
			v = 50*moved + 2*math.Sin(float64(n))
		case slices.Contains([]string{"jobs", "/min"}, d.Unit) && d.Side == "target":
			v *= moved
		case d.Side == "source":
			v *= 1.1 - moved/2
		}
		v = math.Round(max(v, 0)*100) / 100
		s.Steps, s.Mean = append(s.Steps, n), append(s.Mean, v)
		s.Min, s.Max = append(s.Min, v*.8), append(s.Max, v*1.3)
	}
	return s
}
