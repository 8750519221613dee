package ledger

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Journal folds the application's journals into what happened to each order. It is
// the proof of "none lost, none processed twice": it considers only what was
// promised to the payment provider (a 2xx) and what took effect. Every instance of the
// app has a journal of its own, and so has a new disk: each is an epoch, and all of
// them are one record. One goroutine may Apply while others read.
//
// Memory is bounded by what is not in order. Of an order that was acknowledged and
// took effect once, long ago, only its minute's counters and eight bytes that
// recognise it remain; every other order is kept whole, for good.
type Journal struct {
	mu   sync.RWMutex
	keep int
	// only is the queue of events that name none: the one that is routed, "" where
	// there are several, since then nobody knows.
	only    string
	orders  map[string]*order
	jobs    map[lifeKey]*order // by job
	shared  map[lifeKey]bool   // jobs that several orders say are theirs
	queues  map[string]bool    // of jobs
	last    map[string]int64   // highest sequence number by epoch
	since   int64              // unix ms of the first event
	newest  int64
	applied int // events
	// number of events at which it is worth looking for orders to fold again
	foldNext int
	folded   map[int64]*counters      // by the minute of the first add
	arrivals map[string]map[int64]int // first deliveries, by provider and hour
	backlog  map[string]Backlog       // by epoch
	// decided are the findings about orders that a person has dealt with, see Finding.
	decided map[string]bool
	// known maps a folded order's hash to its minute, and so a canary's and its job's;
	// knownJobs does the same for the jobs of folded orders.
	known, knownJobs generations
	saving           *saving // nil: nobody saves it
}

// Backlog is what the app reports of its durable intake at the end of the journal:
// orders that are on its disk and not enqueued yet.
type Backlog struct {
	Orders int
	Oldest int64 // when the oldest of them was accepted, unix ms; 0 when there is none
}

// Backlog takes the state of an instance's durable intake as of the end of its journal
// read so far. It keeps waiting orders from being reported lost: an order that the
// journal calls kept and that has no job yet is in the intake, unless everything in
// there is younger.
func (j *Journal) Backlog(epoch string, b Backlog) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.backlog[epoch] = b
}

// waits reports whether an order has no job yet and is in the intake of any instance.
func (j *Journal) waits(o *order) bool {
	for _, b := range j.backlog {
		if b.waits(o) {
			return true
		}
	}
	return false
}

// waits reports whether an order has no job yet and is in the app's intake as far
// as we can know. If the intake lost it while older orders remain there, that is
// noticed once those are gone.
func (b Backlog) waits(o *order) bool {
	return o.Kept != 0 && o.Added == 0 && b.Orders > 0 && o.Kept >= b.Oldest
}

// NewJournal returns an empty Journal of these routed queues, as bullmq.Queue.String
// names them.
func NewJournal(queues ...string) *Journal {
	j := &Journal{keep: keepOrders, orders: map[string]*order{}, jobs: map[lifeKey]*order{},
		shared: map[lifeKey]bool{}, queues: map[string]bool{}, last: map[string]int64{},
		arrivals: map[string]map[int64]int{}, folded: map[int64]*counters{},
		backlog: map[string]Backlog{}, known: newGenerations(2 * knownOrders),
		knownJobs: newGenerations(2 * knownOrders)}
	for _, q := range queues {
		j.queues[q] = true
	}
	if len(queues) == 1 {
		j.only = queues[0]
	}
	return j
}

// job gives the whole key of an event's job. A copy is of the queue that it copies.
func (j *Journal) job(e Event) lifeKey {
	queue := e.Queue
	if e.Shadow || e.Mode == ModeShadow {
		queue = strings.TrimSuffix(queue, "-shadow")
	}
	return lifeKey{cmp.Or(queue, j.only), e.JobID}
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
	at := e.at()
	if j.since == 0 || at != 0 && at < j.since {
		j.since = at
	}
	j.newest = max(j.newest, at)
	k := j.job(e)
	if known := j.jobs[k]; e.Order == "" && known != nil && !j.shared[k] {
		e.Order = known.ID // a worker that received no data knows only the job
	}
	if e.Order == "" || j.canary(e, k) {
		return
	}
	o := j.open(e.Order)
	o.Last = max(o.Last, at)
	if j.applied++; j.applied >= j.foldNext && len(j.orders) > j.keep {
		defer j.fold()
	}
	switch e.Type {
	case EventDelivery:
		if len(o.Deliveries) == 0 && e.Provider != "" {
			j.arrived(e.Provider, at)
		}
		o.delivered(e)
	case EventKept:
		o.Kept, o.LostAt = at, 0
		o.tell(at, "kept on disk, to be enqueued")
	case EventEnqueued:
		if f := j.effect(o, k); f != nil {
			f.Payload.carries(e)
			o.enqueued(e, f)
		}
	case EventExecuted:
		if f := j.effect(o, k); f != nil {
			f.Payload.carries(e)
			o.executed(e, f)
		}
	case EventFailed:
		if f := j.effect(o, k); f != nil {
			f.Payload.carries(e)
		}
		if e.Mode != ModeShadow {
			o.Failures++
		}
		o.tell(at, fmt.Sprintf("an attempt failed on %s%s", cmp.Or(e.Side, "an unknown side"),
			shadowWord(e.Mode == ModeShadow)))
	}
}

// effect gives what is known of an order's job, which becomes the order's with the first
// event that says so; nil when the order has more jobs than an order can have.
func (j *Journal) effect(o *order, k lifeKey) *effect {
	if f := o.find(k); f != nil {
		return f
	}
	if len(o.Jobs) >= maxJobs {
		o.contradict("it has more than %d jobs", maxJobs)
		return nil
	}
	f := &effect{Queue: k.queue, ID: k.job}
	if o.Before {
		j.recall(o, f)
	}
	o.Jobs = append(o.Jobs, f)
	if k.job == "" {
		return f
	}
	if j.isCanarys(k) {
		o.contradict("its job %.80q is a canary's", k.job)
	}
	j.index(o, k)
	return f
}

// recall sets what is remembered of a job of an order that was folded: it took effect, or
// another job of its queue did.
func (j *Journal) recall(o *order, f *effect) {
	if _, known := j.knownJobs.find(hash(f.key())); known {
		f.Applied = 1
		o.Earlier = slices.DeleteFunc(o.Earlier, func(q string) bool { return q == f.Queue })
		return
	}
	_, known := j.known.find(hash(ranIn(f.Queue, o.ID)))
	if known && o.runs(f.Queue) == 0 {
		o.Earlier = append(o.Earlier, f.Queue)
	}
}

// index finds an order by its job. A job that is said to be of two orders proves nothing
// about either.
func (j *Journal) index(o *order, k lifeKey) {
	j.queues[k.queue] = true
	if j.jobs[k] != nil {
		j.shared[k] = true
		return
	}
	j.jobs[k] = o
}

// canary reports whether an event is of a canary, which is no order. A canary is one from
// its first event on. An order that is called one later is not wiped out: that is a
// contradiction, unless it has the form of an id that Switchyard gave and nothing was
// promised, since a worker's entry may come before the sender's.
func (j *Journal) canary(e Event, k lifeKey) bool {
	if j.isCanary(e.Order) {
		real := e.Type == EventDelivery && e.Status >= 200 && e.Status < 300 ||
			e.Outcome == OutcomeApplied || e.Outcome == OutcomeSuppressed
		if e.calledCanary() || !real {
			j.ofCanary(e, k)
			return true
		}
		j.open(e.Order).contradict("it was called a canary, and then not")
		return false
	}
	if !e.calledCanary() {
		return false
	}
	_, folded := j.known.find(hash(lifeKey{job: e.Order}))
	o := j.orders[e.Order]
	switch {
	case o == nil && !folded:
	case o != nil && strings.HasPrefix(o.ID, canaryPrefix) && o.Acknowledged == 0 &&
		o.applied() == 0:
		j.drop(o) // it turned out to be no order
		j.touch(o)
	default:
		j.open(e.Order).contradict("an event that came later calls it a canary")
		return true
	}
	j.mark(canaryMark(e.Order))
	j.ofCanary(e, k)
	return true
}

// canaryMark and canaryJobMark stand for a canary, and for its job, among what is recognised
// when it comes again, after a restart too: neither is a queue's name.
func canaryMark(order string) lifeKey { return lifeKey{"\x00canary", order} }

func canaryJobMark(k lifeKey) lifeKey {
	return lifeKey{"\x00canary's job", k.queue + "\x00" + k.job}
}

// mark has something recognised.
func (j *Journal) mark(k lifeKey) {
	at := j.newest - j.newest%minute
	j.known.add(hash(k), at)
	if j.saving != nil {
		j.saving.marks = append(j.saving.marks, [2]int64{signed(hash(k)), at})
	}
}

// isCanary reports whether an order's id is a canary's. One that turned out to be an order is
// kept as that.
func (j *Journal) isCanary(order string) bool {
	_, marked := j.known.find(hash(canaryMark(order)))
	return marked && j.orders[order] == nil
}

func (j *Journal) isCanarys(k lifeKey) bool {
	_, marked := j.known.find(hash(canaryJobMark(k)))
	return marked && j.jobs[k] == nil
}

// ofCanary notes the job of a canary, which must not be an order's.
func (j *Journal) ofCanary(e Event, k lifeKey) {
	if e.JobID == "" {
		return
	}
	if o := j.jobs[k]; o != nil {
		j.touch(o)
		o.contradict("the canary %.80q names its job", e.Order)
		return
	}
	if !j.isCanarys(k) {
		j.mark(canaryJobMark(k))
	}
}

// drop lets go of an order.
func (j *Journal) drop(o *order) {
	for _, f := range o.Jobs {
		if j.jobs[f.key()] == o {
			delete(j.jobs, f.key())
		}
	}
	delete(j.orders, o.ID)
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

// Job returns what is known about one job of a queue.
func (j *Journal) Job(queue, id string) Facts {
	j.mu.RLock()
	defer j.mu.RUnlock()
	k := lifeKey{queue, id}
	if j.isCanarys(k) {
		return Facts{Known: true, Canary: true}
	}
	if j.shared[k] {
		return Facts{Known: true} // several orders say that it is theirs
	}
	if o := j.jobs[k]; o != nil {
		f := o.find(k)
		applied := f.Applied
		if applied == 0 && o.took(f) {
			applied = 1 // by another job of the order: its run found that out
		}
		return Facts{
			Known:        true,
			Acknowledged: o.Acknowledged != 0,
			Applied:      applied,
			Caught:       f.Suppressed,
			Sent:         f.Sent,
			Different:    f.Payload.differs(),
		}
	}
	if _, ok := j.knownJobs.find(hash(k)); ok {
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

// Decided takes the findings about orders that a person has dealt with, see Finding.
func (j *Journal) Decided(findings map[string]bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.decided = findings
}
