package environment

import (
	"context"
	"slices"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/series"
)

// Samples gives what was read of both sides since the last call, by the names of the series. No
// server is asked anything for it. What is not known is left out.
func (e *Environment) Samples(ctx context.Context, mid string) map[string]series.Bucket {
	out := map[string]series.Bucket{}
	if live := e.Streams.live.Load(); live != nil {
		e.Streams.sample(live.Gauges(), out)
	}
	e.Journal.sample(out)
	e.Vitals.sample(out)
	if r, err := e.Routing.Read(ctx, mid); err == nil {
		out[series.RampRequested] = series.Of(requested(r))
	}
	return out
}

// requested is the share of new orders that the routing sends to the target, in percent.
func requested(r migration.Routing) float64 {
	switch r.Stage {
	case migration.StageLive:
		return float64(r.Ramp)
	case migration.StageRampDown, migration.StageComplete:
		return 100
	}
	return 0
}

// sample sums up the routed queues of each side. A side of which a queue was not read gets no
// point.
func (s *Streams) sample(gauges []ledger.Gauge, out map[string]series.Bucket) {
	for _, side := range series.Sides {
		var of []ledger.Gauge
		for at := range s.lanes(side) {
			i := slices.IndexFunc(gauges, func(g ledger.Gauge) bool { return g.Lane == at })
			switch {
			case at.Shadow && i >= 0:
				responses(gauges[i], side, out)
			case at.Shadow:
			case i < 0:
				of = nil
			default:
				responses(gauges[i], side, out)
				of = append(of, gauges[i])
			}
		}
		if len(of) > 0 && len(of) == len(s.servers.Queues) {
			sumUp(of, side, out)
		}
	}
}

func responses(g ledger.Gauge, side string, out map[string]series.Bucket) {
	name := series.On(series.Response, side)
	for _, t := range g.Trips {
		out[name] = out[name].With(series.Of(float64(t.Microseconds()) / 1000))
	}
}

func sumUp(of []ledger.Gauge, side string, out map[string]series.Bucket) {
	put := func(kind string, v float64) { out[series.On(kind, side)] = series.Of(v) }
	var jobs, oldest int64
	known, rates := true, true
	events := map[string]float64{} // a minute
	for _, g := range of {
		jobs, oldest = jobs+g.Jobs, max(oldest, g.OldestMS)
		known, rates = known && g.OldestMS >= 0, rates && g.Events != nil
		for name, n := range g.Events {
			events[name] += float64(n) / g.Over.Minutes()
		}
	}
	put(series.Depth, float64(jobs))
	if known {
		put(series.Oldest, float64(oldest)/1000)
	}
	if rates {
		put(series.In, events["added"])
		put(series.Out, events["completed"])
		put(series.Failed, events["failed"])
	}
}

// flow counts what the app's journal told lately, for the sample that comes next.
type flow struct {
	since  int64          // unix ms; 0: nothing was counted yet
	orders map[string]int // enqueued, by side
	answer series.Bucket  // ms
}

const (
	// flowRecent is how old an event may be to count for now, in milliseconds.
	flowRecent = 30_000
	// flowOver is the longest time over which orders make a rate.
	flowOver = 90 * time.Second
)

func (f *flow) note(e ledger.Event, now int64) {
	if e.Shadow || now-e.At > flowRecent {
		return
	}
	switch {
	case e.Type == ledger.EventEnqueued && e.OK:
		if f.orders == nil {
			f.orders = map[string]int{}
		}
		f.orders[e.Side]++
	case e.Type == ledger.EventDelivery && e.Status >= 200 && e.Status < 300:
		f.answer = f.answer.With(series.Of(float64(e.MS)))
	}
}

// sample gives the rates since the last call, if the journal is read to its end.
func (t *Journal) sample(out map[string]series.Bucket) {
	_, err := t.Read()
	t.mu.Lock()
	defer t.mu.Unlock()
	f := &t.pulse.flow
	if err != nil {
		f.since = 0
		return
	}
	now := t.now().UnixMilli()
	over := time.Duration(now-f.since) * time.Millisecond
	if f.since != 0 && over > 0 && over <= flowOver {
		for _, side := range series.Sides {
			out[series.On(series.Orders, side)] = series.Of(float64(f.orders[side]) / over.Minutes())
		}
		if f.answer.Count > 0 {
			out[series.Webhook] = f.answer
		}
	}
	*f = flow{since: now}
}

// sample gives how long the last add of our own took, if there was one lately.
func (v *Vitals) sample(out map[string]series.Bucket) {
	v.mu.Lock()
	defer v.mu.Unlock()
	a, ok := v.tried[ledger.Target]
	if !ok || a.err != nil || v.now().Sub(a.at) > series.Levels[0].Step {
		return
	}
	if ms, known := a.took.Value(); known {
		out[series.TargetAdd] = series.Of(float64(ms))
	}
}
