package ledger

import (
	"cmp"
	"slices"
	"time"
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

// open creates an order, or brings a folded one back.
func (j *Journal) open(id string) *order {
	o := &order{id: id}
	j.orders[id] = o
	h := hash(lifeKey{job: id})
	minute, ok := j.known.find(h)
	if !ok {
		return o
	}
	*o = order{
		id:            id,
		firstEnqueued: minute,
		acknowledged:  minute,
		applied:       1,
		last:          minute,
		story: []Moment{{minute,
			"acknowledged and applied once in this minute; details are no longer kept"}},
	}
	j.known.drop(h)
	if b := j.folded[minute]; b != nil {
		var s Summary
		s.add(o, minute, 0, Backlog{})
		b.sum(s, -1)
	}
	return o
}

// fold turns the oldest orders that are in order into counters. O(orders), each
// time the number of events has grown by a quarter of that.
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
		if o.inOrder() && j.newest-o.last > after.Milliseconds() {
			found = append(found, old{o.last, o})
		}
	}
	slices.SortFunc(found, func(a, b old) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.o.id, b.o.id))
	})
	for _, f := range found[:min(len(found), len(j.orders)-j.keep)] {
		o := f.o
		m := o.firstEnqueued - o.firstEnqueued%minute
		b := j.folded[m]
		if b == nil {
			b = &Summary{}
			j.folded[m] = b
		}
		b.add(o, m, 0, Backlog{})
		j.known.add(hash(lifeKey{job: o.id}), m)
		for _, job := range o.jobs {
			j.knownJobs.add(hash(lifeKey{job: job}), m)
			delete(j.jobs, job)
		}
		delete(j.orders, o.id)
	}
}
