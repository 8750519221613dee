package ledger

import (
	"cmp"
	"slices"
	"time"
)

// gauge is what the readings of a lane showed since they were asked for last. It is not saved:
// a restart begins anew.
type gauge struct {
	since, read int64 // by our clock: of the reading asked for last, and of the last one
	jobs        int64
	oldest      int64 // ms; -1: not known
	events      map[string]int64
	trips       []time.Duration
}

// Gauge is what the readings of a lane showed since the last call.
type Gauge struct {
	Lane Lane
	// Jobs wait or run, by the last reading.
	Jobs int64
	// OldestMS is how long the job next in line has waited: 0 when none waits, -1 when that is
	// not known.
	OldestMS int64
	// Events by BullMQ's name within Over; nil: it is not known over which time.
	Events map[string]int64
	Over   time.Duration
	Trips  []time.Duration // how long the readings took
}

const (
	// recent is how old an event may be to count for now: what is read later is history.
	recent = minute / 2
	// gaugeOver is the longest time over which events make a rate.
	gaugeOver = 90 * time.Second
	// gaugeTrips bounds the readings that are remembered.
	gaugeTrips = 1000
)

func (g *gauge) count(e Entry, now int64) {
	if now-e.At.MS > recent {
		return
	}
	if g.events == nil {
		g.events = map[string]int64{}
	}
	g.events[e.Event]++
}

func (g *gauge) took(trip time.Duration) {
	if trip > 0 && len(g.trips) < gaugeTrips {
		g.trips = append(g.trips, trip)
	}
}

// measure takes what a reading that reached the end shows of this moment.
func (st *Streams) measure(at Lane, ln *lane, r Reading) {
	g := &ln.gauge
	g.read, g.jobs, g.oldest = cmp.Or(r.ReadAt, r.At), r.Jobs, -1
	switch {
	case r.Waits == 0:
		g.oldest = 0
	case r.Next != "":
		life := st.lives[lifeKey{at.Queue, r.Next}]
		if life == nil {
			return
		}
		if s := life.Stays[at.place()]; s != nil && s.AddedAt != 0 {
			g.oldest = max(r.At-s.AddedAt, 0)
		}
	}
}

// Gauges gives what the readings of each lane showed since the last call. A lane that was not
// read to its end meanwhile is left out, and so is one of which nobody reads any more.
func (st *Streams) Gauges() (out []Gauge) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for at, ln := range st.lanes {
		g := &ln.gauge
		if ln.DroppedAt != 0 || ln.Error != "" || g.read <= g.since {
			continue
		}
		one := Gauge{Lane: at, Jobs: g.jobs, OldestMS: g.oldest, Trips: g.trips}
		over := time.Duration(g.read-g.since) * time.Millisecond
		if g.since != 0 && over <= gaugeOver {
			one.Events, one.Over = g.events, over
			if g.events == nil {
				one.Events = map[string]int64{}
			}
		}
		out = append(out, one)
		*g = gauge{since: g.read, read: g.read}
	}
	slices.SortFunc(out, func(a, b Gauge) int {
		return cmp.Compare(a.Lane.String(), b.Lane.String())
	})
	return out
}
