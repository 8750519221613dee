package workflows

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/notify"
	"github.com/switchyard-dev/switchyard/series"
	"github.com/switchyard-dev/switchyard/store"
)

// SeriesView is some series over a time, cut into steps of the same length.
type SeriesView struct {
	Since  time.Time `json:"since"` // begin of the first step
	Until  time.Time `json:"until"` // end of the last one
	StepMS int64     `json:"step_ms"`
	Series []Series  `json:"series"`
	// Marks are the runs and alerts of that time, by their beginning.
	Marks []SeriesMark `json:"marks"`
}

// Series is one series. Entry n of each list belongs to the step whose number entry n of steps
// is, counted from 0. A step that is not listed was not measured.
type Series struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Unit  string `json:"unit"` // jobs, s, ms, %, /min; empty: a plain count
	// Side of which it is; empty: of neither.
	Side string `json:"side,omitempty" enum:"source,target"`
	// Proof says who measured it: Switchyard, or the app of itself.
	Proof migration.Proof `json:"proof"`
	About string          `json:"about"` // what was measured, and how
	Steps []int           `json:"steps"`
	Mean  []float64       `json:"mean"`
	Min   []float64       `json:"min"`
	Max   []float64       `json:"max"`
}

// SeriesMark is a run or an alert on the time axis.
type SeriesMark struct {
	Kind  string     `json:"kind" enum:"run,alert"`
	ID    string     `json:"id"` // of the run; key of the alert
	Title string     `json:"title"`
	From  time.Time  `json:"from"`
	Until *time.Time `json:"until"` // nil: it goes on
	// State of the run, or the alert's worst severity.
	State string `json:"state"`
}

// SeriesQuery says which series to give.
type SeriesQuery struct {
	Names  []string // empty: all
	Since  time.Time
	Until  time.Time // zero: now
	Points int       // at most so many steps; 0: SeriesPoints
}

// Bounds of a query.
const (
	SeriesPoints = 600
	SeriesKept   = 30 * 24 * time.Hour
	seriesMarks  = 200
)

// sampleEvery is how often a value is taken.
const sampleEvery = 10 * time.Second

// Series gives what was measured over a time. Invalid says what of the query cannot be.
func (c *Control) Series(ctx context.Context, mid string, q SeriesQuery) (SeriesView, error) {
	if err := c.known(ctx, mid); err != nil {
		return SeriesView{}, err
	}
	now := c.now()
	if q.Until.IsZero() {
		q.Until = now
	}
	q.Points = cmp.Or(q.Points, SeriesPoints)
	if err := q.check(now); err != nil {
		return SeriesView{}, err
	}
	if len(q.Names) == 0 {
		for _, d := range series.All {
			q.Names = append(q.Names, d.Name)
		}
	}
	level, step := series.Pick(q.Since, q.Until, now, q.Points)
	since := stepOf(q.Since, step)
	until := stepOf(q.Until.Add(step-1), step)
	if until.Sub(since) > time.Duration(q.Points)*step { // it begins and ends within a step
		since = since.Add(step)
	}
	v := SeriesView{Since: since.UTC(), Until: until.UTC(), StepMS: step.Milliseconds(),
		Series: []Series{}}
	stored, err := c.store.Series(ctx, mid, withParts(q.Names), level.Step, since, until)
	if err != nil {
		return v, err
	}
	by := map[string][]series.Bucket{}
	for _, b := range stored {
		by[b.Name] = append(by[b.Name],
			series.Bucket{Start: b.Start, Count: b.Count, Sum: b.Sum, Min: b.Least, Max: b.Most})
	}
	for name := range by {
		by[name] = series.Downsample(by[name], step)
	}
	for _, name := range q.Names {
		d, _ := series.Find(name)
		if name == series.RampObserved {
			by[name] = shares(by[series.On(series.In, "source")],
				by[series.On(series.In, "target")])
		}
		// Whoever asks until now asked a moment ago: the step that now is in tells.
		if name == series.CriteriaMet && until.After(now) {
			met, err := c.criteriaMet(ctx, mid)
			if err != nil {
				return v, err
			}
			by[name] = newest(by[name], stepOf(now, step), met)
		}
		v.Series = append(v.Series, line(d, by[name], since, step))
	}
	v.Marks, err = c.seriesMarks(ctx, mid, since, until)
	return v, err
}

// stepOf is when the step that a time is in began. Steps are counted as buckets are, from 1970:
// time.Truncate counts from the year 1, which is another grid where a step divides no day.
func stepOf(t time.Time, step time.Duration) time.Time {
	return time.UnixMilli(series.Floor(t.UnixMilli(), step))
}

func (q SeriesQuery) check(now time.Time) error {
	for _, name := range q.Names {
		if _, ok := series.Find(name); !ok {
			var all []string
			for _, d := range series.All {
				all = append(all, d.Name)
			}
			return migration.Errorf(migration.Invalid,
				"there is no series %.40q: the series are %s", name, strings.Join(all, ", "))
		}
	}
	switch {
	case q.Points < 2 || q.Points > SeriesPoints:
		return migration.Errorf(migration.Invalid,
			"points is %d: it must be from 2 to %d", q.Points, SeriesPoints)
	case q.Until.After(now.Add(time.Minute)):
		return migration.Errorf(migration.Invalid, "until is %s, in the future: leave it out for now",
			q.Until.UTC().Format(time.RFC3339))
	case !q.Since.Before(q.Until):
		return migration.Errorf(migration.Invalid,
			"since is %s, which is not before until, %s",
			q.Since.UTC().Format(time.RFC3339), q.Until.UTC().Format(time.RFC3339))
	case now.Sub(q.Since) > SeriesKept+time.Hour:
		return migration.Errorf(migration.Invalid,
			"since is %s: measurements are kept for 30 days", q.Since.UTC().Format(time.RFC3339))
	}
	return nil
}

// withParts adds the series that others are worked out from.
func withParts(names []string) []string {
	if !slices.Contains(names, series.RampObserved) {
		return names
	}
	return append(slices.Clone(names),
		series.On(series.In, "source"), series.On(series.In, "target"))
}

// shares is how much of both is the target's, in percent. A step without any has none, and so
// has one in which a side was not read.
func shares(source, target []series.Bucket) (out []series.Bucket) {
	for _, t := range target {
		i, ok := slices.BinarySearchFunc(source, t.Start,
			func(b series.Bucket, at int64) int { return cmp.Compare(b.Start, at) })
		if !ok || source[i].Sum+t.Sum == 0 {
			continue
		}
		b := series.Of(100 * t.Sum / (source[i].Sum + t.Sum))
		b.Start = t.Start
		out = append(out, b)
	}
	return out
}

// criteriaMet counts the criteria that are met now.
func (c *Control) criteriaMet(ctx context.Context, mid string) (float64, error) {
	v, err := c.view(ctx, mid)
	return float64(v.Checklist.MetCount()), err
}

// newest puts what is so now in place of the step's mean, so that a chart ends with what stands
// beside it on the page.
func newest(buckets []series.Bucket, at time.Time, now float64) []series.Bucket {
	b := series.Of(now)
	b.Start = at.UnixMilli()
	if n := len(buckets); n > 0 && buckets[n-1].Start == b.Start {
		b.Min, b.Max = min(b.Min, buckets[n-1].Min), max(b.Max, buckets[n-1].Max)
		buckets = buckets[:n-1]
	}
	return append(slices.Clone(buckets), b)
}

func line(
	d series.Definition, buckets []series.Bucket, since time.Time, step time.Duration,
) Series {
	s := Series{Name: d.Name, Title: d.Title, Unit: d.Unit, Side: d.Side,
		Proof: migration.Observed, About: d.About,
		Steps: []int{}, Mean: []float64{}, Min: []float64{}, Max: []float64{}}
	if d.Attested {
		s.Proof = migration.Attested
	}
	for _, b := range buckets {
		s.Steps = append(s.Steps, int((b.Start-since.UnixMilli())/step.Milliseconds()))
		s.Mean = append(s.Mean, rounded(b.Mean()))
		s.Min, s.Max = append(s.Min, rounded(b.Min)), append(s.Max, rounded(b.Max))
	}
	return s
}

// rounded to hundredths: more is not measured.
func rounded(v float64) float64 { return math.Round(v*100) / 100 }

func (c *Control) seriesMarks(
	ctx context.Context, mid string, since, until time.Time,
) ([]SeriesMark, error) {
	out := []SeriesMark{}
	m, err := c.store.Migration(ctx, mid)
	if err != nil {
		return out, err
	}
	runs, err := c.store.RunsBetween(ctx, mid, since, until, seriesMarks)
	if err != nil {
		return out, err
	}
	for _, r := range runs {
		title := r.Step
		if s, ok := m.Plan.Step(r.Step); ok {
			title = s.Title
		}
		if r.Step == migration.StepCutover {
			title += " to " + r.Params.Move().String()
		}
		if r.Rollback != "" {
			title = "Rollback: " + title
		}
		out = append(out, SeriesMark{"run", r.ID, title, *r.StartedAt, r.FinishedAt,
			string(r.State)})
	}
	alerts, err := c.store.AlertsBetween(ctx, mid, since, until, seriesMarks)
	if err != nil {
		return out, err
	}
	for _, a := range alerts {
		var e notify.Event
		if err := json.Unmarshal(a.Event, &e); err != nil {
			return out, err
		}
		mark := SeriesMark{Kind: "alert", ID: a.Key, Title: cmp.Or(e.Title, a.Key),
			From: a.OpenedAt, State: a.Severity}
		if !a.ClosedAt.IsZero() {
			mark.Until = &a.ClosedAt
		}
		out = append(out, mark)
	}
	slices.SortStableFunc(out, func(a, b SeriesMark) int { return a.From.Compare(b.From) })
	return out, nil
}

// sampler keeps what is read anyway as series.
type sampler struct {
	*Control
	recorder series.Recorder
	pruned   time.Time
	failing  bool
}

// sampleSeries saves series of the first migration, of which the servers and the app are, until
// ctx ends.
func (c *Control) sampleSeries(ctx context.Context) {
	s := &sampler{Control: c}
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := s.once(ctx)
		if (err != nil) != s.failing && ctx.Err() == nil { // once for each change
			if s.failing = err != nil; s.failing {
				c.log.Warn("measurements over time are not saved", "err", err)
			}
		}
	}
}

func (s *sampler) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sampleEvery)
	defer cancel()
	all, err := s.store.Migrations(ctx)
	if err != nil || len(all) == 0 {
		return err
	}
	mid, now := all[0].ID, s.now()
	for name, b := range s.env.Samples(ctx, mid) {
		s.recorder.Add(name, now.UnixMilli(), b)
	}
	if met, err := s.criteriaMet(ctx, mid); err == nil {
		s.recorder.Add(series.CriteriaMet, now.UnixMilli(), series.Of(met))
	}
	if err := s.save(ctx, mid, now.UnixMilli()); err != nil {
		return err
	}
	if now.Sub(s.pruned) < 10*time.Minute {
		return nil
	}
	for _, l := range series.Levels {
		if err := s.store.PruneSeries(ctx, mid, l.Step, now.Add(-l.Keep)); err != nil {
			return err
		}
	}
	s.pruned = now
	return nil
}

// save writes what is pending, in one transaction.
func (s *sampler) save(ctx context.Context, mid string, now int64) error {
	rows := s.recorder.Take()
	buckets := make([]store.SeriesBucket, len(rows))
	for i, r := range rows {
		buckets[i] = store.SeriesBucket{Name: r.Name, Step: r.Step, Start: r.Start,
			Count: r.Count, Sum: r.Sum, Least: r.Min, Most: r.Max}
	}
	err := s.store.SaveSeries(ctx, mid, buckets)
	if err != nil {
		s.recorder.Return(rows, now)
	}
	return err
}
