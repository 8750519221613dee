package workflows

import (
	"slices"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/series"
	"github.com/switchyard-dev/switchyard/store"
)

// seriesOf gives one series of the last hour.
func (b *bench) seriesOf(t *testing.T, name string) Series {
	t.Helper()
	v, err := b.Series(t.Context(), mid, SeriesQuery{
		Names: []string{name}, Since: b.time.now().Add(-time.Hour),
	})
	ok(t, err)
	return v.Series[0]
}

func TestWhatNobodyAnswersHasNoPointAndWhatIsKnownHas(t *testing.T) {
	t.Parallel()
	b := openBench(t, settings(t.TempDir()), planOf(false))
	s := &sampler{Control: b.Control}
	for range 3 { // nobody is behind any address
		ok(t, s.once(t.Context()))
		b.time.advance(time.Minute)
	}
	for _, d := range series.All {
		got := b.seriesOf(t, d.Name)
		switch d.Name {
		case series.RampRequested, series.CriteriaMet:
			want := 3
			if d.Name == series.CriteriaMet { // it ends with what is so now
				want++
			}
			if len(got.Steps) != want || got.Mean[0] != 0 || got.Proof != migration.Observed {
				t.Errorf("%+v", got)
			}
		default:
			if len(got.Steps)+len(got.Mean)+len(got.Min)+len(got.Max) != 0 {
				t.Errorf("%s was measured although nothing answers: %+v", d.Name, got)
			}
		}
	}
}

func TestAChartUntilNowEndsWithWhatIsSoNow(t *testing.T) {
	t.Parallel()
	b := openBench(t, settings(t.TempDir()), planOf(false))
	asked := b.time.now().Truncate(time.Minute).Add(90 * time.Second)
	b.time.advance(asked.Add(time.Millisecond).Sub(b.time.now())) // reading takes its time
	for rule, c := range map[string]struct {
		until  time.Time
		points int
	}{
		"asked a moment ago":    {asked, 1},
		"asked for no end":      {time.Time{}, 1},
		"ends before this step": {asked.Add(-time.Minute), 0},
	} {
		v, err := b.Series(t.Context(), mid, SeriesQuery{Names: []string{series.CriteriaMet},
			Since: asked.Add(-time.Hour), Until: c.until, Points: 60})
		ok(t, err)
		if got := v.Series[0]; len(got.Steps) != c.points {
			t.Errorf("%s: %+v", rule, got)
		}
	}
}

func TestTheNewestStepOfCriteriaSaysWhatTheChecklistSaysNow(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule    string
		stored  []float64 // the last is of this step
		now     float64
		want    series.Bucket
		buckets int
	}{
		{"nothing was counted yet", nil, 2, series.Bucket{Count: 1, Sum: 2, Min: 2, Max: 2}, 1},
		{"one was met since", []float64{5, 6}, 7, series.Bucket{Count: 1, Sum: 7, Min: 6, Max: 7}, 2},
		{"one lapsed since", []float64{7, 7}, 6, series.Bucket{Count: 1, Sum: 6, Min: 6, Max: 7}, 2},
	} {
		at := time.UnixMilli(60_000)
		var have []series.Bucket
		for i, v := range tc.stored {
			b := series.Of(v)
			b.Start = at.Add(time.Duration(i+1-len(tc.stored)) * time.Minute).UnixMilli()
			have = append(have, b)
		}
		got := newest(have, at, tc.now)
		tc.want.Start = at.UnixMilli()
		if len(got) != tc.buckets || got[len(got)-1] != tc.want {
			t.Errorf("%s: %+v", tc.rule, got)
		}
	}
}

func TestTheObservedShareIsThatOfStepsInWhichBothSidesWereRead(t *testing.T) {
	t.Parallel()
	b := openBench(t, settings(t.TempDir()), planOf(false))
	now := b.time.now()
	at := func(ago time.Duration) int64 { return now.Add(-ago).Truncate(10 * time.Second).UnixMilli() }
	bucket := func(name string, ago time.Duration, v float64) store.SeriesBucket {
		return store.SeriesBucket{Name: name, Step: 10 * time.Second, Start: at(ago), Count: 1,
			Sum: v, Least: v, Most: v}
	}
	ok(t, b.store.SaveSeries(t.Context(), mid, []store.SeriesBucket{
		bucket("in_source", 3*time.Minute, 90), bucket("in_target", 3*time.Minute, 30),
		bucket("in_source", 2*time.Minute, 90), // the target was not read
		bucket("in_source", time.Minute, 0), bucket("in_target", time.Minute, 0),
	}))
	if got := b.seriesOf(t, series.RampObserved); !slices.Equal(got.Mean, []float64{25}) {
		t.Errorf("%+v", got)
	}
}

func TestRunsAndAlertsAreOnTheTimeAxis(t *testing.T) {
	t.Parallel()
	done := newNotes()
	b := openBench(t, settings(t.TempDir()),
		planOf(false, step("look", migration.ApprovalNone)),
		step("look", migration.ApprovalNone, done.act("one", nil)))
	r := b.begin(t, "look")
	b.awaitState(t, r.ID, migration.RunSucceeded)
	ok(t, b.store.SaveAlerts(t.Context(), mid, store.AlertChange{Save: []store.OpenAlert{
		{Key: mid + "/ledger/late", Severity: "critical", OpenedAt: b.time.now(),
			Event: []byte(`{"title":"12 orders are overdue"}`)},
	}}))
	v, err := b.Series(t.Context(), mid, SeriesQuery{Since: b.time.now().Add(-time.Hour)})
	ok(t, err)
	if len(v.Series) != len(series.All) || len(v.Marks) != 2 || v.Marks[0].Kind != "run" ||
		v.Marks[0].ID != r.ID || v.Marks[0].Title != "Step look" || v.Marks[0].Until == nil ||
		v.Marks[0].State != "succeeded" || v.Marks[1].Kind != "alert" || v.Marks[1].Until != nil {
		t.Fatalf("%+v", v.Marks)
	}
	b.time.advance(2 * time.Hour)
	ok(t, b.store.SaveAlerts(t.Context(), mid, store.AlertChange{
		Close: []string{mid + "/ledger/late"}, At: b.time.now(),
	}))
	v, err = b.Series(t.Context(), mid, SeriesQuery{Since: b.time.now().Add(-time.Hour)})
	ok(t, err)
	if len(v.Marks) != 1 || v.Marks[0].Until == nil {
		t.Fatalf("two hours later: %+v", v.Marks)
	}
}

func TestStepsAreCutWhereBucketsAre(t *testing.T) {
	t.Parallel()
	b := openBench(t, settings(t.TempDir()), planOf(false))
	now := b.time.now()
	start := now.Add(-50 * time.Minute).Truncate(10 * time.Second)
	var rows []store.SeriesBucket
	for at := start; at.Before(now); at = at.Add(10 * time.Second) {
		rows = append(rows, store.SeriesBucket{Name: "in_source", Step: 10 * time.Second,
			Start: at.UnixMilli(), Count: 1, Sum: 1, Least: 1, Most: 1})
	}
	ok(t, b.store.SaveSeries(t.Context(), mid, rows))
	for _, points := range []int{3, 50, 51, 52, 70, 333} { // steps that divide no day among them
		v, err := b.Series(t.Context(), mid, SeriesQuery{Names: []string{"in_source"},
			Since: start, Points: points})
		ok(t, err)
		steps := v.Series[0].Steps
		if !slices.IsSorted(steps) || len(slices.Compact(slices.Clone(steps))) != len(steps) ||
			steps[0] < 0 || len(steps) > points {
			t.Errorf("%d points of %d ms: %v", points, v.StepMS, steps)
		}
	}
}
