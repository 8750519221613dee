package series

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

type sample struct {
	at    int64
	value float64
}

// some are samples of half a day with holes in it, in any order.
func some(r *rand.Rand) []sample {
	base := int64(1_764_000_000_000)
	var out []sample
	for range 200 + r.IntN(400) {
		at := r.Int64N(12 * 3600_000)
		if at > 3*3600_000 && at < 5*3600_000 { // nobody looked
			continue
		}
		out = append(out, sample{base + at, math.Round(r.Float64()*1000) / 8}) // sums are exact
	}
	return out
}

// saved adds rows up as the database does.
type saved map[key]Bucket

func (s saved) save(rows []Row) {
	for _, row := range rows {
		k := key{row.Name, row.Step, row.Start}
		s[k] = Bucket{Start: row.Start}.With(s[k]).With(row.Bucket)
	}
}

func (s saved) level(step time.Duration) (out []Bucket) {
	for k, b := range s {
		if k.step == step {
			out = append(out, b)
		}
	}
	return Downsample(out, step)
}

func total(buckets []Bucket) (t Bucket) {
	for _, b := range buckets {
		t = t.With(b)
	}
	return t
}

func TestEveryLevelKeepsTheLeastTheMostTheSumAndTheCount(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		samples := some(r)
		var want Bucket
		var rec Recorder
		db := saved{}
		for _, s := range samples {
			want = want.With(Of(s.value))
			rec.Add("x", s.at, Of(s.value))
			if r.IntN(20) == 0 {
				db.save(rec.Take())
			}
		}
		db.save(rec.Take())
		for _, l := range Levels {
			got := db.level(l.Step)
			for _, wider := range []time.Duration{l.Step, 3 * l.Step, 90 * time.Minute} {
				if sum := total(Downsample(got, wider)); sum != want {
					t.Fatalf("seed %d: %s as %s: %+v, want %+v", seed, l.Step, wider, sum, want)
				}
			}
		}
	}
}

func TestTheOrderInWhichRowsAreSavedDoesNotMatter(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 2))
		var rec Recorder
		var flushes [][]Row
		for _, s := range some(r) {
			rec.Add("x", s.at, Of(s.value))
			if r.IntN(10) == 0 {
				flushes = append(flushes, rec.Take())
			}
		}
		flushes = append(flushes, rec.Take())
		inOrder, shuffled := saved{}, saved{}
		for _, f := range flushes {
			inOrder.save(f)
		}
		r.Shuffle(len(flushes), func(i, j int) { flushes[i], flushes[j] = flushes[j], flushes[i] })
		for _, f := range flushes {
			shuffled.save(f)
		}
		if len(inOrder) != len(shuffled) {
			t.Fatalf("seed %d: %d buckets, %d when shuffled", seed, len(inOrder), len(shuffled))
		}
		for k, b := range inOrder {
			if shuffled[k] != b {
				t.Fatalf("seed %d: %+v: %+v, shuffled %+v", seed, k, b, shuffled[k])
			}
		}
	}
}

func TestARestartLosesWhatWasNotTakenAndNothingElse(t *testing.T) {
	t.Parallel()
	step := Levels[0].Step.Milliseconds()
	base := int64(1_764_000_000_000)
	db := saved{}
	var rec Recorder
	for i := range int64(30) {
		rec.Add("x", base+i*step, Of(float64(i)))
		if i < 29 {
			db.save(rec.Take())
		}
		if i%7 == 3 { // the next process begins with nothing
			rec = Recorder{}
		}
	}
	rec = Recorder{} // killed with one sample that was not saved
	for _, l := range Levels {
		if got := total(db.level(l.Step)); got.Count != 29 || got.Max != 28 || got.Min != 0 {
			t.Errorf("%s: %+v", l.Step, got)
		}
	}
}

func TestATimeInWhichNobodyLookedHasNoBucket(t *testing.T) {
	t.Parallel()
	var rec Recorder
	base := int64(1_764_000_000_000)
	rec.Add("x", base, Of(5))
	rec.Add("x", base+3600_000, Of(7))
	rec.Add("x", base+1800_000, Bucket{}) // no value was read
	db := saved{}
	db.save(rec.Take())
	for _, l := range Levels {
		if got := db.level(l.Step); len(got) != 2 || got[0].Mean() != 5 || got[1].Mean() != 7 {
			t.Errorf("%s: %+v", l.Step, got)
		}
	}
}

func TestWhatCouldNotBeSavedIsTakenBackForAWhile(t *testing.T) {
	t.Parallel()
	var rec Recorder
	now := int64(1_764_000_000_000)
	rec.Add("x", now, Of(1))
	rec.Add("x", now-pendingFor.Milliseconds()-3600_000, Of(100))
	rec.Return(rec.Take(), now)
	rec.Add("x", now, Of(3))
	rows := rec.Take()
	if len(rows) != len(Levels) {
		t.Fatalf("%+v", rows)
	}
	for _, r := range rows {
		if r.Count != 2 || r.Sum != 4 || r.Min != 1 || r.Max != 3 {
			t.Errorf("%+v", r)
		}
	}
	if left := rec.Take(); len(left) != 0 {
		t.Errorf("given twice: %+v", left)
	}
}

func TestARangeIsDrawnFromTheFinestLevelThatHoldsItWithAtMostSoManyPoints(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_764_000_000_000)
	for _, c := range []struct {
		ago         time.Duration
		points      int
		level, step time.Duration
	}{
		{time.Hour, 600, 10 * time.Second, 10 * time.Second},
		{time.Hour, 120, 10 * time.Second, 30 * time.Second},
		{6 * time.Hour, 600, time.Minute, time.Minute},
		{24 * time.Hour, 600, time.Minute, 3 * time.Minute},
		{7 * 24 * time.Hour, 600, 10 * time.Minute, 20 * time.Minute},
		{30 * 24 * time.Hour, 600, 10 * time.Minute, 80 * time.Minute},
		{90 * 24 * time.Hour, 600, 10 * time.Minute, 220 * time.Minute},
		{10 * time.Second, 600, 10 * time.Second, 10 * time.Second},
	} {
		level, step := Pick(now.Add(-c.ago), now, now, c.points)
		if level.Step != c.level || step != c.step {
			t.Errorf("%s in %d points: %s by %s", c.ago, c.points, level.Step, step)
		}
		if n := int(c.ago / step); n > c.points {
			t.Errorf("%s in %d points: %d points", c.ago, c.points, n)
		}
	}
}

func TestEverySeriesSaysWhatItIs(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, d := range All {
		if found, ok := Find(d.Name); !ok || found != d || seen[d.Name] || d.Title == "" ||
			d.About == "" {
			t.Errorf("%+v", d)
		}
		seen[d.Name] = true
	}
	if _, ok := Find("weather"); ok {
		t.Error("a series that there is not was found")
	}
}
