package charts

import (
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/workflows"
)

func group(steps int, of ...workflows.Series) Group {
	now := time.UnixMilli(1_764_000_000_000)
	return Group{Range: Ranges[1], Now: now, View: workflows.SeriesView{
		Since: now.Add(-time.Duration(steps) * time.Minute), Until: now, StepMS: 60_000, Series: of,
	}}
}

func TestALineHasAHoleWhereNothingWasMeasured(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		steps []int
		mean  []float64
		want  string
	}{
		"nothing was measured": {nil, nil, ""},
		"all was measured":     {[]int{0, 1}, []float64{0, 10}, "M125 200L375 0"},
		"a hole":               {[]int{0, 1, 3}, []float64{0, 10, 5}, "M125 200L375 0M873 100h4"},
		"more than the axis":   {[]int{0}, []float64{20}, "M123 0h4"},
	} {
		s := workflows.Series{Steps: c.steps, Mean: c.mean}
		if got := group(4, s).path(s, 10); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestAnOldValueIsNotThePresentOne(t *testing.T) {
	t.Parallel()
	for last, want := range map[int]string{59: "7", 58: "7", 50: "no data"} {
		s := workflows.Series{Unit: "jobs", Steps: []int{1, last}, Mean: []float64{3, 7}}
		if got := group(60, s).lastWords(s); got != want {
			t.Errorf("step %d of 60: %s, want %s", last, got, want)
		}
	}
	if got := group(60).lastWords(workflows.Series{}); got != "no data" {
		t.Errorf("nothing was measured: %s", got)
	}
}

func TestTheAxisEndsAtARoundNumberThatHoldsEverything(t *testing.T) {
	t.Parallel()
	for most, want := range map[float64]float64{0: 1, 0.3: 0.4, 1: 1, 7: 8, 12: 20, 99: 100, 401: 500} {
		if got := top(Chart{}, []workflows.Series{{Max: []float64{most}}}); got != want {
			t.Errorf("%v: %v, want %v", most, got, want)
		}
	}
	if got := top(Chart{Top: 100}, []workflows.Series{{Max: []float64{3}}}); got != 100 {
		t.Errorf("a fixed axis ends at %v", got)
	}
}

func TestATableHasARowOnlyWhereSomethingWasMeasured(t *testing.T) {
	t.Parallel()
	s := workflows.Series{Name: "x", Unit: "ms", Steps: []int{0, 1, 59},
		Mean: []float64{2, 4, 9}, Min: []float64{1, 2, 9}, Max: []float64{5, 6, 9}}
	rows := group(60, s).table(Chart{Lines: []string{"x"}})
	if len(rows) != 2 || rows[0].Cells[0] != (cell{Mean: "9\u00a0ms"}) ||
		rows[1].Cells[0] != (cell{Mean: "3\u00a0ms", Span: "1\u00a0ms to 6\u00a0ms"}) {
		t.Errorf("%+v", rows)
	}
}

func TestValuesAreWrittenForPeople(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		v          float64
		unit, want string
	}{
		{4035, "jobs", "4\u202f035"}, {2, "", "2"}, {2.5, "ms", "2.50\u00a0ms"}, {0, "ms", "under 1 ms"},
		{12.34, "%", "12.3\u00a0%"}, {1200, "/min", "1\u202f200/min"}, {125, "s", "2 min 5 s"},
	} {
		if got := words(c.v, c.unit); got != c.want {
			t.Errorf("%v %s: %q, want %q", c.v, c.unit, got, c.want)
		}
	}
	if got := short(20_000, "/min"); got != "20k/min" {
		t.Error(got)
	}
}
