package capacity_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/capacity"
)

var start = time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)

func TestAnHourCountsOnlyWhatLiesBetweenTwoReadingsOfTheSameServer(t *testing.T) {
	t.Parallel()
	read := func(after time.Duration, run string, commands, calls int64) capacity.Reading {
		return capacity.Reading{At: start.Add(after), RunID: run, Commands: commands,
			Calls: calls, NetBytes: commands * 10, Memory: 100 + commands, Connections: 3}
	}
	tests := map[string]struct {
		readings []capacity.Reading
		seen     time.Duration
		commands int64
		calls    int64
		peak     float64
	}{
		"the first reading says nothing of a rate": {[]capacity.Reading{read(0, "a", 5000, 50)},
			0, 0, 0, 0},
		"two readings give their difference": {[]capacity.Reading{read(0, "a", 5000, 50),
			read(10*time.Second, "a", 5100, 60)}, 10 * time.Second, 100, 10, 10},
		"the peak is the fastest stretch": {[]capacity.Reading{read(0, "a", 0, 0),
			read(10*time.Second, "a", 1000, 1), read(20*time.Second, "a", 1010, 2)},
			20 * time.Second, 1010, 2, 100},
		"a restart begins anew": {[]capacity.Reading{read(0, "a", 5000, 50),
			read(10*time.Second, "b", 6000, 60), read(20*time.Second, "b", 6010, 61)},
			10 * time.Second, 10, 1, 1},
		"a counter that fell begins anew": {[]capacity.Reading{read(0, "", 5000, 50),
			read(10*time.Second, "", 7, 1), read(20*time.Second, "", 17, 2)},
			10 * time.Second, 10, 1, 1},
		"a gap is not seen": {[]capacity.Reading{read(0, "a", 0, 0),
			read(30*time.Minute, "a", 9999, 99)}, 0, 0, 0, 0},
		"calls that are not told stay so": {[]capacity.Reading{read(0, "a", 0, -1),
			read(10*time.Second, "a", 10, -1), read(20*time.Second, "a", 20, 5)},
			20 * time.Second, 20, -1, 1},
		"time that stands still is no gap": {[]capacity.Reading{read(0, "a", 0, 0),
			read(0, "a", 10, 1)}, 0, 0, 0, 0},
	}
	for rule, tt := range tests {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			var r capacity.Recorder
			var h capacity.Hour
			for _, reading := range tt.readings {
				h = r.Add(reading)
			}
			if h.Seen != tt.seen || h.Commands != tt.commands || h.Calls != tt.calls ||
				h.Peak != tt.peak {
				t.Errorf("got %+v", h)
			}
		})
	}
}

func TestANewHourBeginsAtTheFullHourAndAResumedOneGoesOn(t *testing.T) {
	t.Parallel()
	var r capacity.Recorder
	r.Add(capacity.Reading{At: start.Add(59 * time.Minute), RunID: "a", Memory: 10})
	h := r.Add(capacity.Reading{At: start.Add(61 * time.Minute), RunID: "a",
		Commands: 120, Memory: 5})
	if !h.Start.Equal(start.Add(time.Hour)) || h.Memory != 5 || h.Commands != 120 {
		t.Errorf("a new hour: %+v", h)
	}
	var again capacity.Recorder
	again.Resume(h)
	if h = again.Add(capacity.Reading{At: start.Add(62 * time.Minute), RunID: "a",
		Commands: 500}); h.Commands != 120 || h.Memory != 5 {
		t.Errorf("a resumed hour: %+v", h)
	}
}

// TestTheTrendFindsTheGrowthUnderNoiseRhythmAndBursts draws days with a daily rhythm as
// large as the value itself, noise and bursts.
func TestTheTrendFindsTheGrowthUnderNoiseRhythmAndBursts(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		base, growth := 100+rnd.Float64()*1000, -5+rnd.Float64()*30
		hours := 24*4 + rnd.IntN(24*20)
		var points []capacity.Point
		for i := range hours {
			if rnd.IntN(10) == 0 {
				continue // an hour that nobody saw
			}
			day := float64(i) / 24
			v := base + growth*day + base*0.5*math.Sin(2*math.Pi*day) +
				rnd.NormFloat64()*base*0.01
			if rnd.IntN(30) == 0 {
				v *= 3
			}
			points = append(points,
				capacity.Point{At: start.Add(time.Duration(i) * time.Hour), Value: v})
		}
		got, ok := capacity.TrendOf(points)
		if !ok || math.Abs(got.PerDay-growth) > 0.01*base {
			t.Fatalf("seed %d: %d hours, growth %.2f a day of %.0f, found %+v", seed, hours,
				growth, base, got)
		}
		if got.High < got.PerDay {
			t.Fatalf("seed %d: the pessimist's slope %f is below the median %f", seed,
				got.High, got.PerDay)
		}
	}
}

func TestTooLittleSeenGivesNoTrend(t *testing.T) {
	t.Parallel()
	line := func(n int, step time.Duration) []capacity.Point {
		var out []capacity.Point
		for i := range n {
			out = append(out,
				capacity.Point{At: start.Add(time.Duration(i) * step), Value: float64(i)})
		}
		return out
	}
	for rule, points := range map[string][]capacity.Point{"nothing": nil,
		"eleven points": line(11, 5*time.Hour), "less than a day": line(23, time.Hour)} {
		if got, ok := capacity.TrendOf(points); ok {
			t.Errorf("%s: %+v", rule, got)
		}
	}
	if got, ok := capacity.TrendOf(line(25, time.Hour)); !ok ||
		math.Abs(got.PerDay-24) > 1e-9 || math.Abs(got.Now-24) > 1e-9 {
		t.Errorf("a day: %+v", got)
	}
}

func TestTheDateOfALimit(t *testing.T) {
	t.Parallel()
	tr := capacity.Trend{PerDay: 10, High: 20, Now: 100, Last: start}
	tests := map[string]struct {
		t             capacity.Trend
		limit         float64
		likely, early time.Time
	}{
		"lies where the line meets it": {tr, 300, start.Add(20 * 24 * time.Hour),
			start.Add(10 * 24 * time.Hour)},
		"is now when it is reached": {tr, 100, start, start},
		"is none without growth": {capacity.Trend{PerDay: -1, High: 0, Now: 1,
			Last: start}, 2, time.Time{}, time.Time{}},
		"is none beyond a year": {tr, 100 + 10*366, time.Time{},
			start.Add(183 * 24 * time.Hour)},
		"may exist for the pessimist alone": {capacity.Trend{PerDay: 0, High: 1, Now: 1,
			Last: start}, 3, time.Time{}, start.Add(48 * time.Hour)},
	}
	for rule, tt := range tests {
		if likely, early := tt.t.Reaches(tt.limit); !likely.Equal(tt.likely) ||
			!early.Equal(tt.early) {
			t.Errorf("%s: %v %v", rule, likely, early)
		}
	}
}

func TestAUseIsHeldAgainstItsLimit(t *testing.T) {
	t.Parallel()
	days := func(n int, memory func(hour int) int64) []capacity.Hour {
		var out []capacity.Hour
		for i := range n * 24 {
			out = append(out, capacity.Hour{Start: start.Add(time.Duration(i) * time.Hour),
				Seen: time.Hour, Commands: 3600, Calls: 360, NetBytes: 3_600_000, Peak: 5,
				Memory: memory(i), Connections: 12})
		}
		return out
	}
	flat := func(int) int64 { return 100 }
	of := func(uses []capacity.Use, id string) capacity.Use {
		for _, u := range uses {
			if u.ID == id {
				return u
			}
		}
		t.Fatalf("no use %s", id)
		return capacity.Use{}
	}
	tests := map[string]struct {
		hours []capacity.Hour
		limit int64
		want  capacity.State
		dated bool
	}{
		"nothing measured is unknown":   {nil, 1000, capacity.Unknown, false},
		"no known limit is unknown":     {days(7, flat), 0, capacity.Unknown, false},
		"far below, not growing":        {days(7, flat), 1000, capacity.Fits, false},
		"less than a day gives no date": {days(7, flat)[:20], 1000, capacity.Fits, false},
		"seven tenths are near":         {days(7, flat), 140, capacity.Near, false},
		"at the limit is over":          {days(7, flat), 100, capacity.Over, true},
		"small but reached within a month": {days(7, func(h int) int64 {
			return 100 + int64(h)
		}), 700, capacity.Near, true},
		"small and reached in half a year": {days(7, func(h int) int64 {
			return 100 + int64(h)
		}), 4000, capacity.Fits, true},
		"one burst is looked at as it is": {append(days(7, flat),
			capacity.Hour{Start: start.Add(200 * time.Hour), Memory: 900}), 1000,
			capacity.Near, false},
		"a burst long ago does not bend it": {append(
			[]capacity.Hour{{Start: start.Add(-time.Hour), Memory: 600}}, days(7, flat)...),
			1000, capacity.Fits, false},
		"shrinking is reached by no one ever": {days(7, func(h int) int64 {
			return 500 - int64(h)
		}), 1000, capacity.Fits, false},
	}
	for rule, tt := range tests {
		u := of(capacity.Uses(tt.hours, capacity.Limits{Memory: tt.limit}), "memory")
		if u.State != tt.want || (u.Likely != nil) != tt.dated || u.Why == "" {
			t.Errorf("%s: %+v", rule, u)
		}
	}
	u := of(capacity.Uses(days(7, flat), capacity.Limits{BytesPerMonth: 100 << 30}),
		"bandwidth")
	if want := 1000 * capacity.Month.Seconds(); math.Abs(u.Value-want) > 1 ||
		u.State != capacity.Fits {
		t.Errorf("traffic: %+v, want %f", u, want)
	}
	if u.ProjectedFrom != "7 d" {
		t.Errorf("projected from %q", u.ProjectedFrom)
	}
	// a burst of minutes is no month
	busy := days(1, flat)[:1]
	busy[0].Seen, busy[0].NetBytes = 31*time.Minute, 1<<40
	u = of(capacity.Uses(busy, capacity.Limits{BytesPerMonth: 1 << 30}), "bandwidth")
	if u.State != capacity.Unknown || !strings.Contains(u.Why, "31 min of traffic") {
		t.Errorf("after 31 minutes: %+v", u)
	}
	if r := capacity.RatesOf(days(2, flat)); r.Commands != 1 || r.Calls != 0.1 ||
		r.NetBytes != 1000 || r.Seen != 48*time.Hour || r.Peak != 5 {
		t.Errorf("rates: %+v", r)
	}
}
