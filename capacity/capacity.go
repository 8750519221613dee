// Package capacity turns what servers say of themselves, hour by hour, into rates,
// shares of a plan's limits, and the day on which a limit would be reached. It reads no
// server and knows no price.
package capacity

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Reading is one look at a server. The counters run since its start, which RunID tells
// apart.
type Reading struct {
	At    time.Time
	RunID string // INFO server: run_id; empty where it is not told
	// Commands counts every command, those inside of scripts too (INFO stats:
	// total_commands_processed, since Redis 7).
	Commands int64
	// Calls counts what clients surely sent themselves: scripts, and commands that no
	// script may run. -1 where INFO commandstats is not told.
	Calls       int64
	NetBytes    int64 // in and out
	Memory      int64 // bytes used
	Connections int64
}

// Hour is what was seen of one server in one hour.
type Hour struct {
	Start time.Time `json:"start"`
	// how much of the hour lies between two readings of the same server
	Seen        time.Duration `json:"seen"`
	Commands    int64         `json:"commands"`
	Calls       int64         `json:"calls"` // -1: not told
	NetBytes    int64         `json:"net_bytes"`
	Peak        float64       `json:"peak"` // most commands per second between two readings
	Memory      int64         `json:"memory"`
	Connections int64         `json:"connections"` // most
}

// Recorder folds readings of one server into hours. The zero value is ready; it is not
// for several goroutines.
type Recorder struct {
	last Reading
	hour Hour
}

// Resume goes on with an hour that was begun before a restart.
func (r *Recorder) Resume(h Hour) { r.hour = h }

// maxGap is the longest time between two readings that still says something of its
// hour: over a longer one a peak is flattened.
const maxGap = 5 * time.Minute

// Add takes a reading and gives its hour so far. A restart, another server behind the
// address, or a gap begins anew: the counters in between belong to nobody, and the time
// does not count as seen.
func (r *Recorder) Add(now Reading) Hour {
	start := now.At.Truncate(time.Hour)
	if !r.hour.Start.Equal(start) {
		r.hour = Hour{Start: start}
	}
	h := &r.hour
	h.Memory, h.Connections = max(h.Memory, now.Memory), max(h.Connections, now.Connections)
	gap := now.At.Sub(r.last.At)
	if r.last.RunID == now.RunID && gap > 0 && gap <= maxGap &&
		now.Commands >= r.last.Commands && now.NetBytes >= r.last.NetBytes {
		done := now.Commands - r.last.Commands
		h.Seen += gap
		h.Commands += done
		h.NetBytes += now.NetBytes - r.last.NetBytes
		h.Peak = max(h.Peak, float64(done)/gap.Seconds())
		if now.Calls < 0 || r.last.Calls < 0 || now.Calls < r.last.Calls || h.Calls < 0 {
			h.Calls = -1
		} else {
			h.Calls += now.Calls - r.last.Calls
		}
	}
	r.last = now
	return *h
}

// Rates are means over the time that was seen, by the second.
type Rates struct {
	Seen     time.Duration `json:"seen"`
	Commands float64       `json:"commands"`
	Calls    float64       `json:"calls"` // -1: not told for all of it
	NetBytes float64       `json:"net_bytes"`
	Peak     float64       `json:"peak"` // highest Peak of an hour
}

// RatesOf averages hours.
func RatesOf(hours []Hour) Rates {
	var r Rates
	var commands, calls, net int64
	for _, h := range hours {
		r.Seen += h.Seen
		commands, net = commands+h.Commands, net+h.NetBytes
		r.Peak = max(r.Peak, h.Peak)
		if h.Calls < 0 || calls < 0 {
			calls = -1
		} else {
			calls += h.Calls
		}
	}
	if s := r.Seen.Seconds(); s > 0 {
		r.Commands, r.Calls, r.NetBytes = float64(commands)/s, float64(calls)/s, float64(net)/s
	}
	if calls < 0 {
		r.Calls = -1
	}
	return r
}

// Month is thirty days, as the bill of the managed service reckons.
const Month = 30 * 24 * time.Hour

// Point is one value of one hour.
type Point struct {
	At    time.Time
	Value float64
}

// Trend is how a value grows.
type Trend struct {
	PerDay float64 `json:"per_day"` // median slope
	// High is the slope that only 1 in 20 pairs of hours exceeds: the pessimist's.
	High  float64   `json:"high"`
	Now   float64   `json:"now"` // value of the line at its last point
	Last  time.Time `json:"last"`
	Pairs int       `json:"pairs"`
}

const (
	// minSpan is the least time that says anything about growth: less is one day's
	// rhythm.
	minSpan = 24 * time.Hour
	// daily is the span from which on only like hours of different days are compared,
	// so that the rhythm of the day is no growth.
	daily     = 72 * time.Hour
	maxPoints = 24 * 28
)

// TrendOf fits a line that single bursts do not bend: the median of the slopes between
// pairs of hours (Theil and Sen), over the last four weeks, O(n²) of at most 672
// points. False when the points span less than a day or are fewer than twelve.
func TrendOf(points []Point) (Trend, bool) {
	points = slices.Clone(points)
	slices.SortFunc(points, func(a, b Point) int { return a.At.Compare(b.At) })
	if n := len(points); n > maxPoints {
		points = points[n-maxPoints:]
	}
	if len(points) < 12 {
		return Trend{}, false
	}
	last := points[len(points)-1].At
	span := last.Sub(points[0].At)
	if span < minSpan {
		return Trend{}, false
	}
	var slopes []float64
	for i, a := range points {
		for _, b := range points[i+1:] {
			apart := b.At.Sub(a.At)
			if apart <= 0 || span >= daily && apart%(24*time.Hour) != 0 {
				continue
			}
			slopes = append(slopes, (b.Value-a.Value)/(apart.Hours()/24))
		}
	}
	if len(slopes) == 0 { // hours so ragged that no two are alike
		return Trend{}, false
	}
	slices.Sort(slopes)
	t := Trend{
		PerDay: quantile(slopes, 0.5),
		High:   quantile(slopes, 0.95),
		Last:   last,
		Pairs:  len(slopes),
	}
	rest := make([]float64, len(points))
	for i, p := range points {
		rest[i] = p.Value + t.PerDay*last.Sub(p.At).Hours()/24
	}
	slices.Sort(rest)
	t.Now = quantile(rest, 0.5)
	return t, true
}

// quantile of sorted values, which must not be empty.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	low := int(math.Floor(at))
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (sorted[high]-sorted[low])*(at-float64(low))
}

// horizon is how far a line of four weeks may be drawn on.
const horizon = 365 * 24 * time.Hour

// Reaches tells when the line meets a limit: at its own slope, and at the pessimist's.
// Zero times: not within a year.
func (t Trend) Reaches(limit float64) (likely, early time.Time) {
	at := func(perDay float64) time.Time {
		if t.Now >= limit {
			return t.Last
		}
		if perDay <= 0 {
			return time.Time{}
		}
		days := (limit - t.Now) / perDay
		if days > horizon.Hours()/24 {
			return time.Time{}
		}
		return t.Last.Add(time.Duration(days * 24 * float64(time.Hour)))
	}
	return at(t.PerDay), at(t.High)
}

// Use is a value against a limit of the plan.
type Use struct {
	ID    string  `json:"id" enum:"memory,commands,connections,bandwidth"`
	Title string  `json:"title"`
	Unit  string  `json:"unit"` // bytes, connections, commands/s, bytes/month
	Limit float64 `json:"limit"`
	// the highest hour of the time looked at; what a month would be at the mean rate for
	// bytes/month
	Value float64 `json:"value"`
	// ProjectedFrom is how much time a value that is not measured was worked out from, in
	// words; empty: it is measured.
	ProjectedFrom string `json:"projected_from,omitempty"`
	State         State  `json:"state"`
	Why           string `json:"why"` // what the state rests on
	// Trend is nil while too little was seen.
	Trend  *Trend     `json:"trend,omitempty"`
	Likely *time.Time `json:"likely,omitempty"` // limit reached at the trend
	Early  *time.Time `json:"early,omitempty"`  // limit reached at the pessimist's trend
}

// State is how a value stands to its limit.
type State string

// States. Unknown is never well.
const (
	Fits    State = "fits"
	Near    State = "near" // from Headroom on, or reached within a month
	Over    State = "over"
	Unknown State = "unknown"
)

// Headroom is the share of a limit from which on it counts as near: a burst or a
// backlog must still fit.
const Headroom = 0.7

// Share is how much of the limit is used.
func (u Use) Share() float64 {
	if u.Limit <= 0 {
		return 0
	}
	return u.Value / u.Limit
}

// Limits of a plan. 0 is a limit that is not known.
type Limits struct {
	Memory            int64
	Connections       int64
	CommandsPerSecond int64
	BytesPerMonth     int64
}

// Uses holds hours against limits. Nothing seen gives unknown for each.
func Uses(hours []Hour, l Limits) []Use {
	r := RatesOf(hours)
	series := func(of func(Hour) (float64, bool)) []Point {
		var out []Point
		for _, h := range hours {
			if v, ok := of(h); ok {
				out = append(out, Point{h.Start, v})
			}
		}
		return out
	}
	traffic := func(points []Point) Use {
		u := use("bandwidth", "Traffic in a month", "bytes/month", float64(l.BytesPerMonth), points,
			func([]Point) (float64, bool) { return r.NetBytes * Month.Seconds(), r.Seen > 0 })
		u.ProjectedFrom = migration.Words(r.Seen)
		if u.State != Unknown && r.Seen < minSpan {
			u.State, u.Why = Unknown, fmt.Sprintf("%s of traffic say nothing of a month: that needs "+
				"a day of measuring", u.ProjectedFrom)
		}
		return u
	}
	// a rate of minutes is no hour's
	whole := func(h Hour) bool { return h.Seen >= 30*time.Minute }
	return []Use{
		use("memory", "Data", "bytes", float64(l.Memory), series(func(h Hour) (float64, bool) {
			return float64(h.Memory), h.Memory > 0
		}), highest),
		use("commands", "Commands per second, peak", "commands/s", float64(l.CommandsPerSecond),
			series(func(h Hour) (float64, bool) {
				return h.Peak, h.Seen > 0
			}), highest),
		use("connections", "Connections", "connections", float64(l.Connections),
			series(func(h Hour) (float64, bool) {
				return float64(h.Connections), h.Connections > 0
			}), highest),
		traffic(series(func(h Hour) (float64, bool) {
			return float64(h.NetBytes) / max(h.Seen.Seconds(), 1) * Month.Seconds(), whole(h)
		})),
	}
}

func highest(points []Point) (float64, bool) {
	v := 0.0
	for _, p := range points {
		v = max(v, p.Value)
	}
	return v, len(points) > 0
}

func use(
	id, title, unit string, limit float64, points []Point,
	value func([]Point) (float64, bool),
) Use {
	u := Use{ID: id, Title: title, Unit: unit, Limit: limit, State: Unknown}
	v, seen := value(points)
	u.Value = v
	switch {
	case !seen:
		u.Why = "not measured yet"
		return u
	case limit <= 0:
		u.Why = "the plan has no such limit, or it is not known"
		return u
	}
	if t, ok := TrendOf(points); ok {
		u.Trend = &t
		likely, early := t.Reaches(limit)
		if !likely.IsZero() {
			u.Likely = &likely
		}
		if !early.IsZero() {
			u.Early = &early
		}
	}
	soon := u.Likely != nil && u.Trend != nil && u.Likely.Sub(u.Trend.Last) < Month
	switch {
	case v >= limit:
		u.State, u.Why = Over, "more than the plan allows"
	case u.Share() >= Headroom:
		u.State, u.Why = Near, "less than 30 % is left for a burst or a backlog"
	case soon:
		u.State, u.Why = Near, "reached within a month at this growth"
	case u.Trend == nil:
		u.State, u.Why = Fits, "no date yet: that needs a day of measuring"
	case u.Likely == nil:
		u.State, u.Why = Fits, "not reached within a year at this growth"
	default:
		u.State, u.Why = Fits, "reached at this growth, but not within a month"
	}
	return u
}
