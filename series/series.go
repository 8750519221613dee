// Package series keeps what is measured over time in buckets of three widths, each with the
// least, the mean and the most. What nobody measured has no bucket: nothing is filled in.
package series

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Bucket is everything that was measured between Start and a step later.
type Bucket struct {
	Start    int64 // unix ms, a multiple of the step
	Count    int64 // values; never 0
	Sum      float64
	Min, Max float64
}

// Of is the bucket of one value.
func Of(v float64) Bucket { return Bucket{Count: 1, Sum: v, Min: v, Max: v} }

// With is what both hold; the bucket keeps its start.
func (b Bucket) With(o Bucket) Bucket {
	switch {
	case o.Count == 0:
		return b
	case b.Count == 0:
		return Bucket{b.Start, o.Count, o.Sum, o.Min, o.Max}
	}
	return Bucket{b.Start, b.Count + o.Count, b.Sum + o.Sum, min(b.Min, o.Min), max(b.Max, o.Max)}
}

// Mean of its values; it must hold one.
func (b Bucket) Mean() float64 { return b.Sum / float64(b.Count) }

// Level is a width of buckets, and how long they are kept.
type Level struct{ Step, Keep time.Duration }

// Levels are those that are kept, the finest first. Each is kept a little longer than the
// longest range that is drawn from it.
var Levels = []Level{
	{10 * time.Second, 2 * time.Hour},
	{time.Minute, 25 * time.Hour},
	{10 * time.Minute, 31 * 24 * time.Hour},
}

// Row is what a bucket of a level got since rows were taken last.
type Row struct {
	Name string
	Step time.Duration
	Bucket
}

type key struct {
	name  string
	step  time.Duration
	start int64
}

// Recorder puts values into the buckets of every level, and gives what is not saved yet. Rows
// add up in any order. The zero value is ready; it is not for several goroutines.
type Recorder struct{ pending map[key]Bucket }

// Add notes values of a moment (unix ms).
func (r *Recorder) Add(name string, at int64, values Bucket) {
	if values.Count == 0 {
		return
	}
	for _, l := range Levels {
		r.put(name, l.Step, Bucket{Start: Floor(at, l.Step)}.With(values))
	}
}

func (r *Recorder) put(name string, step time.Duration, b Bucket) {
	if r.pending == nil {
		r.pending = map[key]Bucket{}
	}
	k := key{name, step, b.Start}
	r.pending[k] = Bucket{Start: b.Start}.With(r.pending[k]).With(b)
}

// Take gives what is not saved, and forgets it.
func (r *Recorder) Take() []Row {
	out := make([]Row, 0, len(r.pending))
	for k, b := range r.pending {
		out = append(out, Row{k.name, k.step, b})
	}
	r.pending = nil
	slices.SortFunc(out, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Step, b.Step), cmp.Compare(a.Start, b.Start),
			cmp.Compare(a.Name, b.Name))
	})
	return out
}

// pendingFor bounds what waits for a database that does not answer.
const pendingFor = 2 * time.Hour

// Return takes back rows that could not be saved; those that are too old at now (unix ms) are
// given up.
func (r *Recorder) Return(rows []Row, now int64) {
	for _, row := range rows {
		if row.Start >= now-pendingFor.Milliseconds() {
			r.put(row.Name, row.Step, row.Bucket)
		}
	}
}

// Floor gives when the bucket of this length that a time is in began, in milliseconds since 1970.
func Floor(at int64, step time.Duration) int64 { return at - at%step.Milliseconds() }

// Downsample merges buckets into wider ones, in order of time.
func Downsample(buckets []Bucket, step time.Duration) []Bucket {
	by := map[int64]Bucket{}
	for _, b := range buckets {
		start := Floor(b.Start, step)
		by[start] = Bucket{Start: start}.With(by[start]).With(b)
	}
	return slices.SortedFunc(maps.Values(by), func(a, b Bucket) int {
		return cmp.Compare(a.Start, b.Start)
	})
}

// Pick chooses the level to draw a time from, and the step that gives at most so many points.
// A time that begins before everything that is kept gets the coarsest level.
func Pick(since, until, now time.Time, points int) (Level, time.Duration) {
	for i, l := range Levels {
		if now.Sub(since) > l.Keep && i < len(Levels)-1 {
			continue
		}
		span := until.Sub(since)
		n := (span + l.Step - 1) / l.Step                              // buckets of the level
		per := (n + time.Duration(points) - 1) / time.Duration(points) // buckets in a point
		return l, max(per, 1) * l.Step
	}
	panic("unreachable: the last level takes everything")
}
