// Package charts draws series: as SVG and as a table by the server, and by its script as charts
// that go on by themselves.
package charts

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows"
)

// Range is a time that ends now.
type Range struct {
	Name  string // in addresses
	Label string
	Words string
	Span  time.Duration
}

// Ranges are those that are offered.
var Ranges = []Range{
	{"15m", "15 min", "15 minutes", 15 * time.Minute},
	{"1h", "1 h", "1 hour", time.Hour},
	{"6h", "6 h", "6 hours", 6 * time.Hour},
	{"24h", "24 h", "24 hours", 24 * time.Hour},
	{"7d", "7 d", "7 days", 7 * 24 * time.Hour},
	{"30d", "30 d", "30 days", 30 * 24 * time.Hour},
}

// FindRange gives the range of a name.
func FindRange(name string) (Range, bool) {
	for _, r := range Ranges {
		if r.Name == name {
			return r, true
		}
	}
	return Range{}, false
}

// RangeNames lists them for people.
func RangeNames() string {
	var names []string
	for _, r := range Ranges {
		names = append(names, r.Name)
	}
	return strings.Join(names, ", ")
}

// Chart is some series of one unit on one axis.
type Chart struct {
	ID    string
	Title string
	Lines []string // names of series
	// Top is the end of the axis; 0: the most that was measured.
	Top float64
	// Whole: only whole numbers mean anything.
	Whole bool
	// Projected are those lines that were worked out, not measured. They look different and are
	// named so.
	Projected []string
}

func (c Chart) projected(name string) bool { return slices.Contains(c.Projected, name) }

// Group is charts over the same time, with a cursor in common.
type Group struct {
	MigrationID string
	Range       Range
	Points      int
	Charts      []Chart
	View        workflows.SeriesView
	Now         time.Time
	// Page is the address of the page, from which the range's links are made; empty: none are.
	Page string
	// Compact: more of them in a row.
	Compact bool
	// Later: the script, with its library a fifth of a page's weight, comes once somebody points
	// at a chart; until then the pictures are the server's, also in each update.
	Later bool
	// Own: the page brings along what the script draws; it is not asked for by series.
	Own bool
}

// Names of all series of the group.
func (g Group) Names() (out []string) {
	for _, c := range g.Charts {
		for _, name := range c.Lines {
			if !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// to is the page's address with another range.
func (g Group) to(r Range) string {
	u, err := url.Parse(g.Page)
	if err != nil {
		return ""
	}
	q := u.Query()
	q.Set("range", r.Name)
	u.RawQuery, u.Fragment = q.Encode(), "charts"
	return u.String()
}

// api is where the script gets the same.
func (g Group) api() string {
	return "/api/v1/migrations/" + url.PathEscape(g.MigrationID) + "/series"
}

// own is what the script draws of a group that brings it along.
func (g Group) own() string {
	type one struct {
		Name  string    `json:"name"`
		Steps []int     `json:"steps"`
		Mean  []float64 `json:"mean"`
		Min   []float64 `json:"min"`
		Max   []float64 `json:"max"`
	}
	out := struct {
		Since  time.Time `json:"since"`
		Until  time.Time `json:"until"`
		Now    time.Time `json:"now"`
		StepMS int64     `json:"step_ms"`
		Series []one     `json:"series"`
		Marks  []string  `json:"marks"`
	}{Since: g.View.Since, Until: g.View.Until, Now: g.Now.Truncate(time.Minute),
		StepMS: g.View.StepMS, Series: []one{}, Marks: []string{}}
	for _, s := range g.View.Series {
		out.Series = append(out.Series, one{s.Name, s.Steps, s.Mean, s.Min, s.Max})
	}
	text, _ := json.Marshal(out) // numbers and times do not fail
	return string(text)
}

// lines are the series of a chart, as far as they were asked for.
func (g Group) lines(c Chart) (out []workflows.Series) {
	for _, name := range c.Lines {
		for _, s := range g.View.Series {
			if s.Name == name {
				out = append(out, s)
			}
		}
	}
	return out
}

func (g Group) steps() int {
	if g.View.StepMS == 0 {
		return 1
	}
	return max(int(g.View.Until.Sub(g.View.Since).Milliseconds()/g.View.StepMS), 1)
}

func (g Group) at(step int) time.Time {
	return g.View.Since.Add(time.Duration(int64(step)*g.View.StepMS) * time.Millisecond)
}

// role is the look of a line: a side always has its own, and what is projected is never drawn like
// what was measured.
func role(c Chart, s workflows.Series, n int) string {
	switch {
	case s.Side != "" && c.projected(s.Name):
		return s.Side + "-next"
	case s.Side != "":
		return s.Side
	case n == 0:
		return "first"
	}
	return "second"
}

// label is what tells a line from the others of its chart.
func label(s workflows.Series, all []workflows.Series) string {
	same := true
	for _, o := range all {
		same = same && o.Title == all[0].Title
	}
	if s.Side != "" && same {
		return ui.Title(s.Side)
	}
	return s.Title
}

// settings are what the script has to know of a chart, as JSON.
func settings(g Group, c Chart) string {
	type line struct {
		Name      string `json:"name"`
		Role      string `json:"role"`
		Projected bool   `json:"projected,omitempty"`
	}
	var out struct {
		Unit  string  `json:"unit"`
		Top   float64 `json:"top,omitempty"`
		Whole bool    `json:"whole,omitempty"`
		Lines []line  `json:"lines"`
	}
	out.Top, out.Whole = c.Top, c.Whole
	for n, s := range g.lines(c) {
		out.Unit = s.Unit
		out.Lines = append(out.Lines, line{s.Name, role(c, s, n), c.projected(s.Name)})
	}
	text, _ := json.Marshal(out) // strings and numbers do not fail
	return string(text)
}

// Size of the picture, in its own units.
const (
	width  = 1000
	height = 200
)

// top is the end of the axis: a round number that is not less than anything that was measured.
func top(c Chart, lines []workflows.Series) float64 {
	if c.Top > 0 {
		return c.Top
	}
	most := 0.0
	for _, s := range lines {
		for _, v := range s.Max {
			most = max(most, v)
		}
	}
	if most <= 0 {
		return 1
	}
	size := math.Pow(10, math.Floor(math.Log10(most)))
	for _, n := range []float64{1, 2, 4, 5, 8, 10} {
		if n*size >= most && !(c.Whole && n*size < 2) {
			return n * size
		}
	}
	return 10 * size
}

// pathSteps is how many points a line of the picture has at most: the script draws them all.
const pathSteps = 150

// path draws the means of a line, with a hole wherever nothing was measured.
func (g Group) path(s workflows.Series, top float64) string {
	per := (g.steps() + pathSteps - 1) / pathSteps
	n := (g.steps() + per - 1) / per
	var steps []int
	sum, count := map[int]float64{}, map[int]float64{}
	for i, step := range s.Steps {
		at := step / per
		if count[at] == 0 {
			steps = append(steps, at)
		}
		sum[at], count[at] = sum[at]+s.Mean[i], count[at]+1
	}
	var b strings.Builder
	for i, step := range steps {
		x := (2*step + 1) * width / (2 * n)
		y := height - int(math.Round(min(sum[step]/count[step]/top, 1)*height))
		before := i > 0 && steps[i-1] == step-1
		after := i+1 < len(steps) && steps[i+1] == step+1
		switch {
		case before:
			fmt.Fprintf(&b, "L%d %d", x, y)
		case after:
			fmt.Fprintf(&b, "M%d %d", x, y)
		default: // alone, it would not be seen
			fmt.Fprintf(&b, "M%d %dh4", x-2, y)
		}
	}
	return b.String()
}

// band is where a run or an alert is on the axis.
func (g Group) band(m workflows.SeriesMark) (x, w string) {
	span := g.View.Until.Sub(g.View.Since)
	if span <= 0 {
		return "0", "0"
	}
	place := func(t time.Time) int {
		return int(min(max(t.Sub(g.View.Since), 0), span) * width / span)
	}
	until := g.View.Until
	if m.Until != nil {
		until = *m.Until
	}
	from := place(m.From)
	return strconv.Itoa(from), strconv.Itoa(max(place(until)-from, 2))
}

// last is the value that counts as the present one. One that is too old is none.
func (g Group) last(s workflows.Series) (float64, bool) {
	n := len(s.Steps)
	if n == 0 || g.Now.Sub(g.at(s.Steps[n-1]+1)) > time.Minute+
		time.Duration(g.View.StepMS)*time.Millisecond {
		return 0, false
	}
	return s.Mean[n-1], true
}

func (g Group) lastWords(s workflows.Series) string {
	v, ok := g.last(s)
	if !ok {
		return "no data"
	}
	return words(v, s.Unit)
}

// words writes a value; the script has the same function.
func words(v float64, unit string) string {
	switch {
	case unit == "s":
		return migration.Words(time.Duration(math.Round(v*1000)) * time.Millisecond)
	case unit == "ms" && v == 0:
		return "under 1 ms"
	case unit == "jobs" || unit == "":
		return decimal(v)
	case strings.HasPrefix(unit, "/"):
		return decimal(v) + unit
	}
	return decimal(v) + "\u00a0" + unit
}

// short is words for an axis, where there is little room.
func short(v float64, unit string) string {
	if v < 10_000 || unit == "s" {
		return words(v, unit)
	}
	return decimal(v/1000) + "k" + strings.TrimPrefix(unit, "jobs")
}

func decimal(v float64) string {
	switch {
	case v >= 100 || v == math.Trunc(v):
		return ui.Number(int64(math.Round(v)))
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// sentence says what a chart shows to who does not see it.
func sentence(g Group, c Chart) string {
	all := g.lines(c)
	var parts []string
	for _, s := range all {
		if len(s.Mean) == 0 {
			parts = append(parts, label(s, all)+": not measured")
			continue
		}
		when := "now"
		if c.projected(s.Name) {
			when = "at the end"
		}
		parts = append(parts, fmt.Sprintf("%s: %s %s, %s to %s", label(s, all), g.lastWords(s),
			when, words(slices.Min(s.Min), s.Unit), words(slices.Max(s.Max), s.Unit)))
	}
	return fmt.Sprintf("%s, last %s. %s.", c.Title, g.Range.Words, strings.Join(parts, "; "))
}

// cell is what a table says of some steps of a line.
type cell struct{ Mean, Span string }

// row is some steps of the table.
type row struct {
	From  time.Time
	Cells []cell
}

// tableRows is how many rows a table has at most.
const tableRows = 12

// table gives the values of a chart in a few rows, the newest first.
func (g Group) table(c Chart) (out []row) {
	per := (g.steps() + tableRows - 1) / tableRows
	for from := (g.steps() - 1) / per * per; from >= 0; from -= per {
		r := row{From: g.at(from)}
		some := false
		for _, s := range g.lines(c) {
			one := between(s, from, from+per)
			some = some || one.Mean != ""
			r.Cells = append(r.Cells, one)
		}
		if some {
			out = append(out, r)
		}
	}
	return out
}

func between(s workflows.Series, from, until int) cell {
	sum, n := 0.0, 0.0
	least, most := math.Inf(1), math.Inf(-1)
	for i, step := range s.Steps {
		if step >= from && step < until {
			sum, n = sum+s.Mean[i], n+1
			least, most = min(least, s.Min[i]), max(most, s.Max[i])
		}
	}
	if n == 0 {
		return cell{}
	}
	out := cell{Mean: words(sum/n, s.Unit)}
	if least != most {
		out.Span = words(least, s.Unit) + " to " + words(most, s.Unit)
	}
	return out
}

// clock is a time on the axis: with the day where the range is longer than one.
func (g Group) clock(t time.Time) string {
	if g.Range.Span > 24*time.Hour {
		return t.UTC().Format("2 Jan 15:04")
	}
	return t.UTC().Format("15:04")
}

// attested says which of a chart's lines the app tells of itself.
func attested(all []workflows.Series) bool {
	return slices.ContainsFunc(all, func(s workflows.Series) bool {
		return s.Proof == migration.Attested
	})
}

func about(all []workflows.Series) string {
	var parts []string
	for _, s := range all {
		if !slices.Contains(parts, s.About) {
			parts = append(parts, s.About)
		}
	}
	return strings.Join(parts, ". ") + "."
}

// stepWords is the time that one value of the charts is of.
func stepWords(g Group) string {
	return migration.Words(time.Duration(g.View.StepMS) * time.Millisecond)
}

func listComma(more bool) string {
	if more {
		return ","
	}
	return ""
}

func marked(g Group, kind string) bool {
	return slices.ContainsFunc(g.View.Marks, func(m workflows.SeriesMark) bool {
		return m.Kind == kind
	})
}

// markWords says what became of a run, or how bad an alert was.
func markWords(m workflows.SeriesMark) string {
	state := strings.ReplaceAll(m.State, "_", " ")
	if m.Until == nil {
		return state
	}
	return state + ", " + migration.Words(m.Until.Sub(m.From).Round(time.Second))
}

func unitOf(lines []workflows.Series) string {
	if len(lines) == 0 {
		return ""
	}
	return lines[0].Unit
}

// attestedWords names the lines that the app tells of itself.
func attestedWords(lines []workflows.Series) string {
	var names []string
	for _, s := range lines {
		if s.Proof == migration.Attested {
			names = append(names, strings.ToLower(label(s, lines)))
		}
	}
	if len(names) == len(lines) {
		return "Reported by the app."
	}
	return "Reported by the app: " + strings.Join(names, ", ") + "."
}

// untilOf is when a mark ends, unix ms; 0: it goes on.
func untilOf(m workflows.SeriesMark) string {
	if m.Until == nil {
		return "0"
	}
	return strconv.FormatInt(m.Until.UnixMilli(), 10)
}

// markTop is where on the picture a mark is: above the lines, alerts below runs.
func markTop(m workflows.SeriesMark) string {
	if m.Kind == "alert" {
		return "2"
	}
	return "-6"
}
