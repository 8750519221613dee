package ledger

import (
	"cmp"
	"slices"
	"time"
	"unique"
)

// Bounds of what Journal keeps in memory.
const (
	keepOrders = 100_000 // orders kept whole, at least
	// a finished order is folded into its minute's counters no sooner than this
	// after its last event
	foldAfter = 10 * time.Minute
	foldSoon  = 30 * time.Second // ... or than this, when twice as many orders are held
	// folded orders that are recognised when they come back: at least this many, at
	// most twice as many
	knownOrders = 250_000
)

// generations remembers the last n to 2n numbers.
type generations struct {
	n          int
	young, old map[uint64]int64
}

func newGenerations(n int) generations { return generations{n: n, young: map[uint64]int64{}} }

func (g *generations) add(k uint64, v int64) {
	if len(g.young) >= g.n {
		g.young, g.old = map[uint64]int64{}, g.young
	}
	g.young[k] = v
}

func (g *generations) find(k uint64) (int64, bool) {
	if v, ok := g.young[k]; ok {
		return v, true
	}
	v, ok := g.old[k]
	return v, ok
}

func (g *generations) drop(k uint64) {
	delete(g.young, k)
	delete(g.old, k)
}

// open gives an order that something is about to happen to: it creates it, or brings a
// folded one back.
func (j *Journal) open(id string) *order {
	o := j.orders[id]
	if o == nil {
		o = j.unfold(id)
		j.orders[id] = o
	}
	j.touch(o)
	return o
}

func (j *Journal) unfold(id string) *order {
	h := hash(lifeKey{job: id})
	minute, ok := j.known.find(h)
	if !ok {
		return &order{ID: id}
	}
	o := &order{
		ID:            id,
		FirstEnqueued: minute,
		Acknowledged:  minute,
		Before:        true,
		Last:          minute,
		Story: []Moment{{minute,
			"acknowledged and applied once in this minute; details are no longer kept"}},
	}
	j.known.drop(h)
	o.counted = unique.Make(o.counters())
	if b := j.folded[minute]; b != nil {
		b.sum(o.counted.Value(), -1)
	}
	return o
}

// fold turns the oldest orders that are in order into counters. O(orders), each time the number
// of events has grown by a quarter of that.
func (j *Journal) fold() {
	j.foldNext = j.applied + len(j.orders)/4
	after := foldAfter
	if len(j.orders) > 2*j.keep {
		after = foldSoon
	}
	type old struct {
		at int64
		o  *order
	}
	var found []old
	for _, o := range j.orders {
		if o.inOrder() && j.newest-o.Last > after.Milliseconds() && !j.unsaved(o) {
			found = append(found, old{o.Last, o})
		}
	}
	slices.SortFunc(found, func(a, b old) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.o.ID, b.o.ID))
	})
	for _, f := range found[:min(len(found), len(j.orders)-j.keep)] {
		o := f.o
		count(j.folded, o.minute(), o.counters(), 1)
		orders, jobs := o.marks()
		for _, h := range orders {
			j.known.add(h, o.minute())
		}
		for _, h := range jobs {
			j.knownJobs.add(h, o.minute())
		}
		j.drop(o)
	}
}

// marks are the hashes by which an order that is only counted is recognised: it and the queues
// where it took effect, and the jobs that did. A job that only a failed attempt has named may be
// promised yet.
func (o *order) marks() (orders, jobs []uint64) {
	orders = append(orders, hash(lifeKey{job: o.ID}))
	for _, f := range o.Jobs {
		if !o.took(f) {
			continue
		}
		orders = append(orders, hash(ranIn(f.Queue, o.ID)))
		if f.ID != "" {
			jobs = append(jobs, hash(f.key()))
		}
	}
	return orders, jobs
}

// minute is that of the order's first add, whose counters it becomes part of.
func (o *order) minute() int64 { return o.FirstEnqueued - o.FirstEnqueued%minute }

// counters are what remains of orders that are in order, by the minute of their first
// add.
type counters struct {
	Orders         int `json:"orders"`
	Acknowledged   int `json:"acknowledged"`
	Fulfilled      int `json:"fulfilled"`
	Suppressed     int `json:"suppressed,omitempty"`
	Misrouted      int `json:"misrouted,omitempty"`
	Failures       int `json:"failures,omitempty"`
	OnTarget       int `json:"on_target,omitempty"`
	TargetDone     int `json:"target_done,omitempty"`
	ShadowExpected int `json:"shadow_expected,omitempty"`
	ShadowEnqueued int `json:"shadow_enqueued,omitempty"`
	ShadowCompared int `json:"shadow_compared,omitempty"`
	OfData         int `json:"of_data,omitempty"`
	Alone          int `json:"alone,omitempty"`
	// AloneFrom and AloneTo reach, in unix ms, from the first to the last add of those of Alone:
	// maybe wider, since no time is taken out. 0: not known.
	AloneFrom int64 `json:"alone_from,omitempty"`
	AloneTo   int64 `json:"alone_to,omitempty"`
}

// aloneWithin gives how many orders without a copy may have come in within [sinceMS,
// untilMS), unix ms; untilMS 0 means no end.
func (c *counters) aloneWithin(sinceMS, untilMS int64) int {
	if c.AloneTo != 0 && (c.AloneTo < sinceMS || untilMS != 0 && c.AloneFrom >= untilMS) {
		return 0
	}
	return c.Alone
}

// counters gives what an order that is in order counts.
func (o *order) counters() (c counters) {
	var s Summary
	s.add(o, 0, 0, false)
	c = counters{Orders: s.Orders, Acknowledged: s.Acknowledged, Fulfilled: s.Fulfilled,
		Suppressed: s.Suppressed, Misrouted: s.Misrouted, Failures: s.Failures,
		OnTarget: s.OnTarget, TargetDone: s.TargetDone, ShadowExpected: s.ShadowExpected,
		ShadowEnqueued: s.ShadowEnqueued, ShadowCompared: s.ShadowCompared, OfData: s.OfData,
		Alone: s.Alone}
	if c.Alone > 0 {
		c.AloneFrom, c.AloneTo = o.FirstEnqueued, o.FirstEnqueued
	}
	return c
}

// sum adds counters, or subtracts them.
func (c *counters) sum(d counters, sign int) {
	c.Orders += sign * d.Orders
	c.Acknowledged += sign * d.Acknowledged
	c.Fulfilled += sign * d.Fulfilled
	c.Suppressed += sign * d.Suppressed
	c.Misrouted += sign * d.Misrouted
	c.Failures += sign * d.Failures
	c.OnTarget += sign * d.OnTarget
	c.TargetDone += sign * d.TargetDone
	c.ShadowExpected += sign * d.ShadowExpected
	c.ShadowEnqueued += sign * d.ShadowEnqueued
	c.ShadowCompared += sign * d.ShadowCompared
	c.OfData += sign * d.OfData
	c.alone(d, sign)
}

func (c *counters) alone(d counters, sign int) {
	before := c.Alone
	c.Alone += sign * d.Alone
	switch {
	case d.Alone == 0:
	case before == 0:
		c.AloneFrom, c.AloneTo = d.AloneFrom, d.AloneTo
	case c.AloneTo == 0: // saved when times were not
	default:
		c.AloneFrom, c.AloneTo = min(c.AloneFrom, d.AloneFrom), max(c.AloneTo, d.AloneTo)
	}
}

func count(by map[int64]*counters, minute int64, c counters, sign int) {
	if by[minute] == nil {
		by[minute] = &counters{}
	}
	by[minute].sum(c, sign)
}
