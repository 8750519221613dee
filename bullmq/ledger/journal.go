package ledger

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// Journal folds the application's journal into what happened to each order. It is
// the proof of "none lost, none processed twice": it considers only what was
// promised to the payment provider (a 2xx) and what took effect. One goroutine may
// Apply while others read.
//
// Memory is bounded by what is not in order. Of an order that was acknowledged and
// took effect once, long ago, only its minute's counters and eight bytes that
// recognise it remain; every other order is kept whole, for good.
type Journal struct {
	mu       sync.RWMutex
	keep     int
	orders   map[string]*order
	jobs     map[string]*order // by job id
	canaries map[string]bool   // orders and their job IDs
	last     map[string]int64  // highest sequence number by journal
	since    int64             // unix ms of the first event
	newest   int64
	applied  int // events
	// number of events at which it is worth looking for orders to fold again
	foldNext int
	folded   map[int64]*Summary       // by the minute of the first add
	arrivals map[string]map[int64]int // first deliveries, by provider and hour
	backlog  Backlog
	// known maps a folded order's hash to its minute; knownJobs does the same for
	// its job IDs.
	known, knownJobs generations
}

// Backlog is what the app reports of its durable intake at the end of the journal:
// orders that are on its disk and not enqueued yet.
type Backlog struct {
	Orders int
	Oldest int64 // when the oldest of them was accepted, unix ms; 0 when there is none
}

// Backlog takes the state of the app's durable intake as of the end of the journal
// read so far. It keeps waiting orders from being reported lost: an order that the
// journal calls kept and that has no job yet is in the intake, unless everything in
// there is younger.
func (j *Journal) Backlog(b Backlog) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.backlog = b
}

// waits reports whether an order has no job yet and is in the app's intake as far
// as we can know. If the intake lost it while older orders remain there, that is
// noticed once those are gone.
func (b Backlog) waits(o *order) bool {
	return o.kept != 0 && o.added == 0 && b.Orders > 0 && o.kept >= b.Oldest
}

// NewJournal returns an empty Journal.
func NewJournal() *Journal {
	return &Journal{keep: keepOrders, orders: map[string]*order{}, jobs: map[string]*order{},
		canaries: map[string]bool{}, last: map[string]int64{},
		arrivals: map[string]map[int64]int{}, folded: map[int64]*Summary{},
		known: newGenerations(knownOrders), knownJobs: newGenerations(knownOrders)}
}

// Apply folds one event. An event whose sequence number was folded before is
// ignored, so a reader may go back.
func (j *Journal) Apply(e Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if e.Seq != 0 {
		if e.Seq <= j.last[e.Epoch] {
			return
		}
		j.last[e.Epoch] = e.Seq
	}
	if j.since == 0 || e.At != 0 && e.At < j.since {
		j.since = e.At
	}
	j.newest = max(j.newest, e.At)
	if e.Canary || e.Outcome == OutcomeCanary {
		j.canaries[e.Order] = true
		if e.JobID != "" {
			j.canaries[e.JobID] = true
		}
		delete(j.orders, e.Order)
	}
	if known := j.jobs[e.JobID]; e.Order == "" && known != nil {
		e.Order = known.id // a worker that received no data knows only the job
	}
	if e.Order == "" || j.canaries[e.Order] {
		return
	}
	o := j.orders[e.Order]
	if o == nil {
		o = j.open(e.Order)
	}
	if e.JobID != "" && j.jobs[e.JobID] != o {
		j.jobs[e.JobID] = o
		o.jobs = append(o.jobs, e.JobID)
	}
	o.last = max(o.last, e.At)
	if j.applied++; j.applied >= j.foldNext && len(j.orders) > j.keep {
		defer j.fold()
	}
	o.carries(e)
	switch e.Type {
	case EventDelivery:
		if len(o.deliveries) == 0 && e.Provider != "" {
			j.arrived(e.Provider, e.At)
		}
		o.delivered(e)
	case EventKept:
		o.kept = e.At
		o.tell(e.At, "kept on disk, to be enqueued")
	case EventEnqueued:
		o.enqueued(e)
	case EventExecuted:
		o.executed(e)
	case EventFailed:
		if e.Mode != ModeShadow {
			o.failures++
		}
		o.tell(e.At, fmt.Sprintf("an attempt failed on %s%s", cmp.Or(e.Side, "an unknown side"),
			shadowWord(e.Mode == ModeShadow)))
	}
}

const (
	hour = 60 * minute
	// arrivalHours is how many hours of first deliveries are kept per provider.
	arrivalHours = 8 * 24
)

func (j *Journal) arrived(provider string, at int64) {
	hours := j.arrivals[provider]
	if hours == nil {
		hours = map[int64]int{}
		j.arrivals[provider] = hours
	}
	hours[at-at%hour]++
	for len(hours) > arrivalHours {
		delete(hours, slices.Min(slices.Collect(maps.Keys(hours))))
	}
}

// Rates returns how many orders a minute each provider sent for the first time,
// over the whole hours since sinceMS (unix ms), or since the journal began.
func (j *Journal) Rates(sinceMS, nowMS int64) map[string]float64 {
	j.mu.RLock()
	defer j.mu.RUnlock()
	from := sinceMS - sinceMS%hour
	minutes := float64(nowMS-max(from, j.since)) / float64(minute)
	if minutes <= 0 {
		return nil
	}
	out := map[string]float64{}
	for p, hours := range j.arrivals {
		n := 0
		for at, count := range hours {
			if at >= from {
				n += count
			}
		}
		if n > 0 {
			out[p] = float64(n) / max(minutes, 1)
		}
	}
	return out
}

// Job returns what is known about the order a job is for.
func (j *Journal) Job(_, id string) Facts {
	j.mu.RLock()
	defer j.mu.RUnlock()
	if j.canaries[id] {
		return Facts{Known: true, Canary: true}
	}
	if o := j.jobs[id]; o != nil {
		return Facts{
			Known:        true,
			Acknowledged: o.acknowledged != 0,
			Applied:      o.applied,
			Caught:       o.suppressed,
			Sent:         o.sent,
			Different:    o.differs(id),
		}
	}
	if _, ok := j.knownJobs.find(hash(lifeKey{job: id})); ok {
		return Facts{Known: true, Acknowledged: true, Applied: 1}
	}
	return Facts{}
}

// Since returns the time of the journal's first event, unix ms; 0 while there is
// none.
func (j *Journal) Since() int64 {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.since
}
