package ledger

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unique"
)

// Event is one entry of the ingestion application's journal.
type Event struct {
	Seq   int64  `json:"seq"`
	At    int64  `json:"at"` // unix ms
	Type  string `json:"type"`
	Epoch string `json:"epoch,omitempty"` // of the journal it comes from; set by whoever reads several

	Order     string `json:"order"`
	Canary    bool   `json:"canary,omitempty"`
	EventID   string `json:"event,omitempty"` // the provider's
	Provider  string `json:"provider,omitempty"`
	Status    int    `json:"status,omitempty"` // HTTP status answered to the provider
	MS        int64  `json:"ms,omitempty"`
	JobID     string `json:"jobId,omitempty"`
	Side      string `json:"side,omitempty"`
	Endpoint  string `json:"endpoint,omitempty"`
	Shadow    bool   `json:"shadow,omitempty"`
	OK        bool   `json:"ok,omitempty"`
	Error     string `json:"error,omitempty"`
	Stage     string `json:"stage,omitempty"`
	Revision  int64  `json:"revision,omitempty"`
	Authority string `json:"authority,omitempty"`
	Mode      string `json:"mode,omitempty"`
	Outcome   string `json:"outcome,omitempty"`
	Result    string `json:"result,omitempty"`
	Attempt   int    `json:"attempt,omitempty"`
	// Digest recognises the job's data without its routing stamp: as it was added, and as the worker got it. Older apps do not tell.
	Digest string `json:"digest,omitempty"`
}

// The journal's types, modes and outcomes.
const (
	EventDelivery = "delivery" // a webhook was answered with Status
	EventKept     = "kept"     // the order is on the app's own disk (durable intake), to be enqueued later
	EventEnqueued = "enqueued" // a job was added, or OK is false
	EventExecuted = "executed" // a worker ran a job
	EventFailed   = "failed"   // a worker's attempt failed; BullMQ tries again

	ModeAuthoritative = "authoritative" // the run that counts
	ModeShadow        = "shadow"        // a run without side effects

	OutcomeApplied    = "applied"    // the order took effect
	OutcomeSuppressed = "suppressed" // it had taken effect before: a duplicate was caught
	OutcomeCompared   = "compared"   // a shadow run's result was recorded
	OutcomeMisrouted  = "misrouted"  // the worker's side had no authority: nothing was done
	OutcomeCanary     = "canary"     // a canary: nothing to do
)

// maxIDs is how many ids a summary names.
const maxIDs = 20

// Bounds of what Orders keeps in memory.
const (
	keepOrders  = 100_000          // orders that are kept whole, at least
	foldAfter   = 10 * time.Minute // an order that is in order is folded into its minute's counters no sooner than this after its last event
	foldSoon    = 30 * time.Second // ... or than this, when there are twice as many as are kept
	knownOrders = 250_000          // folded orders that are recognised when they come again, at least; twice as many at most
)

// Journal folds the journal into what happened to each order. It is the proof of "none lost, none twice": it looks only at what was promised
// to the payment provider (a 2xx) and at what took effect. One goroutine may Apply while others read.
//
// Memory is bounded by what is not in order: of an order that was acknowledged and took effect once, long ago, only its minute's counters and
// eight bytes that recognise it are kept; every other one is kept whole, for good.
type Journal struct {
	mu       sync.RWMutex
	keep     int
	orders   map[string]*order
	jobs     map[string]*order // by job id
	canaries map[string]bool   // orders and their job ids
	last     map[string]int64  // highest sequence number by journal
	since    int64             // unix ms of the first event
	newest   int64
	applied  int                      // events
	foldNext int                      // how many they are when it is worth looking for orders to fold
	folded   map[int64]*Summary       // by the minute of the first add
	arrivals map[string]map[int64]int // first deliveries, by provider and hour
	backlog  Backlog
	// known gives the minute of a folded order, by its hash; knownJobs the same by its job's id.
	known, knownJobs generations
}

// Backlog is what the app says of its durable intake at the end of the journal: orders that are on its disk and not enqueued yet.
type Backlog struct {
	Orders int
	Oldest int64 // when the oldest of them was taken in, unix ms; 0 when there is none
}

// Backlog takes in what the app says of its durable intake, as of the end of the journal that was read. It keeps orders from being lost that are not:
// an order that the journal calls kept and that has no job yet is in the intake, unless everything in there is younger.
func (l *Journal) Backlog(b Backlog) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.backlog = b
}

// waits says whether an order has no job yet and is in the app's intake for all that is known. One that the intake lost from among younger ones is not in
// there any more than they are; one from among older ones is found when those are gone.
func (b Backlog) waits(o *order) bool {
	return o.kept != 0 && o.added == 0 && b.Orders > 0 && o.kept >= b.Oldest
}

// generations remember the last n to 2n numbers.
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

// order is everything known about one order. Times are unix ms, 0 is never.
type order struct {
	id             string
	provider       string
	firstEnqueued  int64
	added          int64 // first authoritative add that was accepted
	kept           int64 // last time that the durable intake took it
	acknowledged   int64 // first 2xx
	rejected       int64 // first 503
	retriedOK      bool  // a 2xx after a 503
	deliveries     []Delivery
	applied        int
	suppressed     int
	misrouted      int
	failures       int
	shadowExpected bool
	shadowEnqueued bool
	result, shadow string // result hashes
	compared       bool
	onSource       bool // the last authoritative add that was accepted went to the source
	onTarget       bool // ... to the target
	jobs           []string
	sent           [4]bool // see Facts.Sent
	cargo          []cargo
	last           int64 // of its last event
	story          []Moment
}

// cargo is what one job of an order carried: digests of what was sent, by whether it was a shadow copy, and of what workers got; each once.
type cargo struct {
	job  string
	sent [2][]string
	got  []gotCargo
}

type gotCargo struct {
	digest, side string
	shadow       bool
}

// maxCargo bounds the different digests that are remembered of one job. Who sends one job with more different data than that cannot be told what ran.
const maxCargo = 16

// carries notes the digest of an event; "" says nothing.
func (o *order) carries(e Event) {
	d := e.Digest[:min(len(e.Digest), 64)]
	if d == "" {
		return
	}
	i := slices.IndexFunc(o.cargo, func(c cargo) bool { return c.job == e.JobID })
	if i < 0 {
		i, o.cargo = len(o.cargo), append(o.cargo, cargo{job: e.JobID})
	}
	c := &o.cargo[i]
	if e.Type == EventEnqueued {
		if l := &c.sent[copyIndex(e.Shadow)]; !slices.Contains(*l, d) && len(*l) < maxCargo {
			*l = append(*l, d)
		}
		return
	}
	for _, sent := range c.sent {
		if same := slices.Index(sent, d); same >= 0 {
			d = sent[same] // kept once
		}
	}
	if g := (gotCargo{d, e.Side, e.Mode == ModeShadow}); !slices.Contains(c.got, g) && len(c.got) < maxCargo {
		c.got = append(c.got, g)
	}
}

func copyIndex(shadow bool) int {
	if shadow {
		return 1
	}
	return 0
}

// differs says which data differ, of one job or, for "", of any; "" when none do, or nothing is told.
func (o *order) differs(job string) string {
	for _, c := range o.cargo {
		if job != "" && c.job != job {
			continue
		}
		if d := c.differs(); d != "" {
			return d
		}
	}
	return ""
}

// differs: a provider may deliver an event again with other bytes, of which BullMQ keeps the first, so what a worker got has to be any of what was sent.
// It is looked at late, since a fast worker's entry may come before the sender's.
func (c *cargo) differs() string {
	real, copies := c.sent[0], c.sent[1]
	for _, d := range copies {
		if len(real) > 0 && !slices.Contains(real, d) {
			return fmt.Sprintf("the shadow copy was sent with data %s, the order with %s", d, strings.Join(real, " or "))
		}
	}
	run, copied := "", ""
	for _, g := range c.got {
		if len(real)+len(copies) > 0 && !slices.Contains(real, g.digest) && !slices.Contains(copies, g.digest) {
			sent := real
			if len(sent) == 0 {
				sent = copies
			}
			return fmt.Sprintf("the worker on %s%s got data %s, what was sent is %s", cmp.Or(g.side, "a side not told"), shadowWord(g.shadow), g.digest, strings.Join(sent, " or "))
		}
		if g.shadow {
			copied = cmp.Or(copied, g.digest)
		} else {
			run = cmp.Or(run, g.digest)
		}
	}
	if run != "" && copied != "" && run != copied {
		return fmt.Sprintf("the run got data %s, the shadow run %s", run, copied)
	}
	return ""
}

// maxStory bounds what is told of one order; after that only the counters go on.
const maxStory = 60

// Moment is one thing that happened to an order, as the application recorded it.
type Moment struct {
	At   int64  `json:"at"` // unix ms
	What string `json:"what"`
}

func (o *order) tell(at int64, what string) {
	if len(o.story) < maxStory {
		o.story = append(o.story, Moment{at, unique.Make(what).Value()}) // the same few words for every order
	}
}

// inOrder: nothing is to be said of it any more. What was answered 503 is kept, for the story of its recovery.
func (o *order) inOrder() bool {
	return o.acknowledged != 0 && o.firstEnqueued != 0 && o.applied == 1 && o.rejected == 0 && (!o.shadowExpected || o.compared && o.result == o.shadow) && o.differs("") == ""
}

// NewJournal makes an empty ledger.
func NewJournal() *Journal {
	return &Journal{keep: keepOrders, orders: map[string]*order{}, jobs: map[string]*order{}, canaries: map[string]bool{}, last: map[string]int64{}, arrivals: map[string]map[int64]int{}, folded: map[int64]*Summary{},
		known: newGenerations(knownOrders), knownJobs: newGenerations(knownOrders)}
}

// Apply folds one event in. An event of a journal that was folded before (by its sequence number) is ignored, so a reader may go back.
func (l *Journal) Apply(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Seq != 0 {
		if e.Seq <= l.last[e.Epoch] {
			return
		}
		l.last[e.Epoch] = e.Seq
	}
	if l.since == 0 || e.At != 0 && e.At < l.since {
		l.since = e.At
	}
	l.newest = max(l.newest, e.At)
	if e.Canary || e.Outcome == OutcomeCanary {
		l.canaries[e.Order] = true
		if e.JobID != "" {
			l.canaries[e.JobID] = true
		}
		delete(l.orders, e.Order)
	}
	if known := l.jobs[e.JobID]; e.Order == "" && known != nil {
		e.Order = known.id // a worker that got no data knows the job alone
	}
	if e.Order == "" || l.canaries[e.Order] {
		return
	}
	o := l.orders[e.Order]
	if o == nil {
		o = l.open(e.Order)
	}
	if e.JobID != "" && l.jobs[e.JobID] != o {
		l.jobs[e.JobID] = o
		o.jobs = append(o.jobs, e.JobID)
	}
	o.last = max(o.last, e.At)
	if l.applied++; l.applied >= l.foldNext && len(l.orders) > l.keep {
		defer l.fold()
	}
	o.carries(e)
	switch e.Type {
	case EventDelivery:
		if len(o.deliveries) == 0 && e.Provider != "" {
			l.arrived(e.Provider, e.At)
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
		o.tell(e.At, fmt.Sprintf("an attempt failed on %s%s", cmp.Or(e.Side, "a side not told"), shadowWord(e.Mode == ModeShadow)))
	}
}

const (
	hour = 60 * minute
	// arrivalHours is how many hours of first deliveries are kept by provider.
	arrivalHours = 8 * 24
)

func (l *Journal) arrived(provider string, at int64) {
	hours := l.arrivals[provider]
	if hours == nil {
		hours = map[int64]int{}
		l.arrivals[provider] = hours
	}
	hours[at-at%hour]++
	for len(hours) > arrivalHours {
		delete(hours, slices.Min(slices.Collect(maps.Keys(hours))))
	}
}

// Rates gives the orders a minute that each provider sent for the first time, over the whole hours that touch a time (unix ms), or since the journal began.
func (l *Journal) Rates(sinceMS, nowMS int64) map[string]float64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	from := sinceMS - sinceMS%hour
	minutes := float64(nowMS-max(from, l.since)) / float64(minute)
	if minutes <= 0 {
		return nil
	}
	out := map[string]float64{}
	for p, hours := range l.arrivals {
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

func shadowWord(yes bool) string {
	if yes {
		return " (shadow)"
	}
	return ""
}

// open makes an order, or brings a folded one back.
func (l *Journal) open(id string) *order {
	o := &order{id: id}
	l.orders[id] = o
	h := hash(lifeKey{job: id})
	minute, ok := l.known.find(h)
	if !ok {
		return o
	}
	*o = order{id: id, firstEnqueued: minute, acknowledged: minute, applied: 1, last: minute, story: []Moment{{minute, "acknowledged and applied once in this minute; what happened in it was folded"}}}
	l.known.drop(h)
	if b := l.folded[minute]; b != nil {
		var s Summary
		s.add(o, minute, 0, Backlog{})
		b.sum(s, -1)
	}
	return o
}

// fold turns the oldest orders that are in order into counters. O(orders), once in a quarter as many events.
func (l *Journal) fold() {
	l.foldNext = l.applied + len(l.orders)/4
	after := foldAfter
	if len(l.orders) > 2*l.keep {
		after = foldSoon
	}
	type old struct {
		at int64
		o  *order
	}
	var found []old
	for _, o := range l.orders {
		if o.inOrder() && l.newest-o.last > after.Milliseconds() {
			found = append(found, old{o.last, o})
		}
	}
	slices.SortFunc(found, func(a, b old) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.o.id, b.o.id)) })
	for _, f := range found[:min(len(found), len(l.orders)-l.keep)] {
		o := f.o
		m := o.firstEnqueued - o.firstEnqueued%minute
		b := l.folded[m]
		if b == nil {
			b = &Summary{}
			l.folded[m] = b
		}
		b.add(o, m, 0, Backlog{})
		l.known.add(hash(lifeKey{job: o.id}), m)
		for _, j := range o.jobs {
			l.knownJobs.add(hash(lifeKey{job: j}), m)
			delete(l.jobs, j)
		}
		delete(l.orders, o.id)
	}
}

// Job gives what is known of the order that a job is for.
func (l *Journal) Job(id string) Facts {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.canaries[id] {
		return Facts{Known: true, Canary: true}
	}
	if o := l.jobs[id]; o != nil {
		return Facts{Known: true, Acknowledged: o.acknowledged != 0, Applied: o.applied, Sent: o.sent, Different: o.differs(id)}
	}
	if _, ok := l.knownJobs.find(hash(lifeKey{job: id})); ok {
		return Facts{Known: true, Acknowledged: true, Applied: 1}
	}
	return Facts{}
}

// Since is the time of the journal's first event, unix ms; 0 while there is none.
func (l *Journal) Since() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.since
}

// Story is one order as the application recorded it.
type Story struct {
	Order        string   `json:"order"`
	Provider     string   `json:"provider,omitempty"`
	Jobs         []string `json:"jobs" nullable:"true"` // nil with Folded
	Acknowledged bool     `json:"acknowledged"`
	Applied      int      `json:"applied"`             // 1 is right
	Suppressed   int      `json:"suppressed"`          // second runs that were caught
	Different    string   `json:"different,omitempty"` // which data differ
	Folded       bool     `json:"folded"`              // long done, in order: the moments are not kept
	Moments      []Moment `json:"moments"`
}

// Find gives an order by its own id or its job's.
func (l *Journal) Find(id string) (Story, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	o := l.orders[id]
	if o == nil {
		o = l.jobs[id]
	}
	if o != nil {
		return Story{Order: o.id, Provider: o.provider, Jobs: slices.Clone(o.jobs), Acknowledged: o.acknowledged != 0, Applied: o.applied, Suppressed: o.suppressed,
			Different: o.differs(""), Moments: slices.Clone(o.story)}, true
	}
	h := hash(lifeKey{job: id})
	m, ok := l.known.find(h)
	if !ok {
		m, ok = l.knownJobs.find(h)
	}
	if !ok {
		return Story{}, false
	}
	return Story{Order: id, Acknowledged: true, Applied: 1, Folded: true, Moments: []Moment{{m, "added, acknowledged and applied once, in the minute that began then"}}}, true
}

func (o *order) delivered(e Event) {
	o.provider = cmp.Or(o.provider, e.Provider)
	o.deliveries = append(o.deliveries, Delivery{At: e.At, Status: e.Status})
	o.tell(e.At, fmt.Sprintf("a delivery was answered %d", e.Status))
	switch {
	case e.Status >= 200 && e.Status < 300:
		if o.acknowledged == 0 {
			o.acknowledged = e.At
		}
		o.retriedOK = o.retriedOK || o.rejected != 0
	case e.Status == 503 && o.rejected == 0:
		o.rejected = e.At
	}
}

func (o *order) enqueued(e Event) {
	at := Lane{Side: e.Side, Shadow: e.Shadow}
	if e.Side == Source || e.Side == Target {
		o.sent[at.place()] = true
	}
	how := "added to"
	if !e.OK {
		how = "could not be added to"
	}
	o.tell(e.At, fmt.Sprintf("%s %s%s in stage %s", how, e.Side, shadowWord(e.Shadow), cmp.Or(e.Stage, "unknown")))
	if e.Shadow {
		o.shadowEnqueued = o.shadowEnqueued || e.OK
		return
	}
	if o.firstEnqueued == 0 {
		o.firstEnqueued = e.At
	}
	if e.OK {
		o.added = cmp.Or(o.added, e.At)
		o.onSource = e.Side == "source"
		o.onTarget = e.Side == "target"
	}
	if e.OK && e.Stage != "" && e.Stage != "off" && e.Stage != "complete" {
		o.shadowExpected = true
	}
}

func (o *order) executed(e Event) {
	o.tell(e.At, fmt.Sprintf("run on %s%s: %s", cmp.Or(e.Side, "a side not told"), shadowWord(e.Mode == ModeShadow), e.Outcome))
	switch e.Outcome {
	case OutcomeApplied:
		o.applied++
		o.result = cmp.Or(o.result, e.Result)
	case OutcomeSuppressed:
		o.suppressed++
		o.result = cmp.Or(o.result, e.Result)
	case OutcomeCompared:
		o.compared = true
		o.shadow = cmp.Or(o.shadow, e.Result)
	case OutcomeMisrouted:
		o.misrouted++
	}
}

// Summary is what the ledger says about a set of orders. Canaries are not among them.
type Summary struct {
	Orders        int      `json:"orders"`
	Acknowledged  int      `json:"acknowledged"` // some delivery was answered 2xx
	Fulfilled     int      `json:"fulfilled"`    // took effect, once or more
	Duplicated    int      `json:"duplicated"`   // took effect more than once
	DuplicatedIDs []string `json:"duplicated_ids,omitempty"`
	Suppressed    int      `json:"suppressed"`     // second runs that were caught
	Pending       int      `json:"pending"`        // acknowledged, not fulfilled, younger than grace
	PendingSource int      `json:"pending_source"` // of the pending ones, those whose job was put on the source
	Held          int      `json:"held"`           // of the pending ones, those that wait in the app's durable intake, however long
	HeldLate      int      `json:"held_late"`      // of those, the ones that have been waiting for longer than grace
	Lost          int      `json:"lost"`           // acknowledged, not fulfilled, older than grace
	LostIDs       []string `json:"lost_ids,omitempty"`
	Rejected503   int      `json:"rejected_503"`   // orders that were answered 503 at least once
	RetriedOK     int      `json:"retried_ok"`     // of those, acknowledged by a later delivery
	Misrouted     int      `json:"misrouted"`      // runs on a side without authority
	Failures      int      `json:"failures"`       // failed attempts that counted
	NotEnqueued   int      `json:"not_enqueued"`   // acknowledged although no authoritative add is recorded
	OldestOpenMS  int64    `json:"oldest_open_ms"` // age of the oldest pending or lost order since its acknowledgement

	OnTarget       int `json:"on_target"`       // whose job was last put on the target
	ShadowExpected int `json:"shadow_expected"` // enqueued in a stage that makes shadow copies
	ShadowEnqueued int `json:"shadow_enqueued"` // of those, the copy was added
	ShadowCompared int `json:"shadow_compared"` // both results are known
	// Mismatches are orders whose run and shadow run came to different results, or whose data differ: the latter are counted in DataMismatches too.
	Mismatches     int      `json:"mismatches"`
	DataMismatches int      `json:"data_mismatches"` // a worker got other data than was sent, or the copy was another
	MismatchIDs    []string `json:"mismatch_ids,omitempty"`
}

// Summary sums up every order. An order acknowledged longer than grace ago that has not taken effect is lost; before that it is pending. One that waits
// in the app's durable intake is pending however long (see Backlog); after that its grace begins with its job.
func (l *Journal) Summary(now time.Time, grace time.Duration) Summary {
	return l.summary(now, grace, func(*order) bool { return true }, func(int64) bool { return true })
}

// Window sums up the orders whose first authoritative add was attempted in [sinceMS, untilMS), unix ms; untilMS 0 is no end. Of orders long done and
// in order (see Orders) it counts whole minutes only: those of a minute that the window cuts are left out.
func (l *Journal) Window(sinceMS, untilMS int64, now time.Time, grace time.Duration) Summary {
	return l.summary(now, grace, func(o *order) bool {
		return o.firstEnqueued >= sinceMS && o.firstEnqueued != 0 && (untilMS == 0 || o.firstEnqueued < untilMS)
	}, func(m int64) bool { return m >= sinceMS && (untilMS == 0 || m+minute <= untilMS) })
}

func (l *Journal) summary(now time.Time, grace time.Duration, include func(*order) bool, whole func(minute int64) bool) Summary {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var s Summary
	for _, o := range l.orders {
		if include(o) {
			s.add(o, now.UnixMilli(), grace.Milliseconds(), l.backlog)
		}
	}
	for m, b := range l.folded {
		if whole(m) {
			s.sum(*b, 1)
		}
	}
	for _, ids := range []*[]string{&s.DuplicatedIDs, &s.LostIDs, &s.MismatchIDs} {
		slices.Sort(*ids)
		*ids = (*ids)[:min(len(*ids), maxIDs)]
	}
	return s
}

func (s *Summary) add(o *order, now, grace int64, backlog Backlog) {
	s.Orders++
	count(&s.Rejected503, o.rejected != 0)
	count(&s.RetriedOK, o.retriedOK)
	count(&s.Fulfilled, o.applied > 0)
	s.Suppressed += o.suppressed
	s.Misrouted += o.misrouted
	s.Failures += o.failures
	if o.applied > 1 {
		s.Duplicated++
		s.DuplicatedIDs = append(s.DuplicatedIDs, o.id)
	}
	if o.acknowledged != 0 {
		s.Acknowledged++
		held := backlog.waits(o)
		count(&s.NotEnqueued, o.firstEnqueued == 0 && !held)
		if o.applied == 0 {
			age := now - o.acknowledged
			s.OldestOpenMS = max(s.OldestOpenMS, age)
			since := o.acknowledged
			if o.kept != 0 {
				since = max(since, o.added) // its time for running begins when there is a job to run
			}
			switch {
			case held:
				s.Pending++
				s.Held++
				count(&s.HeldLate, age > grace)
			case now-since > grace:
				s.Lost++
				s.LostIDs = append(s.LostIDs, o.id)
			default:
				s.Pending++
				count(&s.PendingSource, o.onSource)
			}
		}
	}
	count(&s.OnTarget, o.onTarget)
	if o.shadowExpected {
		s.ShadowExpected++
		count(&s.ShadowEnqueued, o.shadowEnqueued)
	}
	data := o.differs("") != ""
	count(&s.DataMismatches, data)
	both := o.compared && o.result != ""
	count(&s.ShadowCompared, both)
	if data || both && o.result != o.shadow {
		s.Mismatches++
		s.MismatchIDs = append(s.MismatchIDs, o.id)
	}
}

// sum adds the counters of orders that are in order, or takes them off.
func (s *Summary) sum(t Summary, sign int) {
	s.Orders += sign * t.Orders
	s.Acknowledged += sign * t.Acknowledged
	s.Fulfilled += sign * t.Fulfilled
	s.Suppressed += sign * t.Suppressed
	s.Misrouted += sign * t.Misrouted
	s.Failures += sign * t.Failures
	s.OnTarget += sign * t.OnTarget
	s.ShadowExpected += sign * t.ShadowExpected
	s.ShadowEnqueued += sign * t.ShadowEnqueued
	s.ShadowCompared += sign * t.ShadowCompared
}

func count(n *int, yes bool) {
	if yes {
		*n++
	}
}

// Delivery is one webhook delivery as it was answered.
type Delivery struct {
	At     int64 `json:"at"` // unix ms
	Status int   `json:"status"`
}

// RetryStory is what became of an order that was answered 503.
type RetryStory struct {
	Order        string     `json:"order"`
	Provider     string     `json:"provider"`   // as the journal names it; empty when it does not
	Deliveries   []Delivery `json:"deliveries"` // all of them, in order of arrival
	Acknowledged bool       `json:"acknowledged"`
	Applied      int        `json:"applied"` // 1 is right
	// RecoveredAfterMS is from the first 503 to the first acknowledgement after it; 0 while there is none.
	RecoveredAfterMS int64 `json:"recovered_after_ms"`
}

// Kept tells of every order that the app's durable intake took between sinceMS and untilMS (unix ms, both included) and that had no job until then: the
// orders that an outage up to untilMS held up. RecoveredAfterMS is until the job was added. The earliest first.
func (l *Journal) Kept(sinceMS, untilMS int64) []RetryStory {
	l.mu.RLock()
	defer l.mu.RUnlock()
	type held struct {
		at int64
		s  RetryStory
	}
	var found []held
	for _, o := range l.orders {
		if o.kept < sinceMS || o.kept > untilMS || o.added != 0 && o.added < untilMS {
			continue
		}
		s := RetryStory{Order: o.id, Provider: o.provider, Deliveries: slices.Clone(o.deliveries), Acknowledged: o.acknowledged != 0, Applied: o.applied}
		if o.added != 0 {
			s.RecoveredAfterMS = o.added - o.kept
		}
		found = append(found, held{o.kept, s})
	}
	slices.SortFunc(found, func(a, b held) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.s.Order, b.s.Order)) })
	out := make([]RetryStory, len(found))
	for i, f := range found {
		out[i] = f.s
	}
	return out
}

func (o *order) recoveredAfter() int64 {
	for _, d := range o.deliveries {
		if o.rejected != 0 && d.At > o.rejected && d.Status >= 200 && d.Status < 300 {
			return d.At - o.rejected
		}
	}
	return 0
}

// Retries tells the story of every order that was answered 503 at or after sinceMS (unix ms), the earliest first.
func (l *Journal) Retries(sinceMS int64) []RetryStory {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var out []RetryStory
	for _, o := range l.orders {
		if slices.ContainsFunc(o.deliveries, func(d Delivery) bool { return d.Status == 503 && d.At >= sinceMS }) {
			out = append(out, RetryStory{Order: o.id, Provider: o.provider, Deliveries: slices.Clone(o.deliveries), Acknowledged: o.acknowledged != 0, Applied: o.applied,
				RecoveredAfterMS: o.recoveredAfter()})
		}
	}
	slices.SortFunc(out, func(a, b RetryStory) int {
		return cmp.Or(cmp.Compare(a.Deliveries[0].At, b.Deliveries[0].At), cmp.Compare(a.Order, b.Order))
	})
	return out
}
