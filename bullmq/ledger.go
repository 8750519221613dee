package bullmq

import (
	"cmp"
	"slices"
	"sync"
	"time"
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
}

// The journal's types, modes and outcomes.
const (
	EventDelivery = "delivery" // a webhook was answered with Status
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

// Ledger folds the journal into what happened to each order. It is the proof of "none lost, none twice": it looks only at what was promised
// to the payment provider (a 2xx) and at what took effect. One goroutine may Apply while others read.
type Ledger struct {
	mu       sync.RWMutex
	orders   map[string]*order
	canaries map[string]bool
	last     map[string]int64 // highest sequence number by journal
}

// order is everything known about one order. Times are unix ms, 0 is never.
type order struct {
	id             string
	provider       string
	firstEnqueued  int64
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
}

// NewLedger makes an empty ledger.
func NewLedger() *Ledger {
	return &Ledger{orders: map[string]*order{}, canaries: map[string]bool{}, last: map[string]int64{}}
}

// Apply folds one event in. An event of a journal that was folded before (by its sequence number) is ignored, so a reader may go back.
func (l *Ledger) Apply(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Seq != 0 {
		if e.Seq <= l.last[e.Epoch] {
			return
		}
		l.last[e.Epoch] = e.Seq
	}
	if e.Canary || e.Outcome == OutcomeCanary {
		l.canaries[e.Order] = true
		delete(l.orders, e.Order)
	}
	if e.Order == "" || l.canaries[e.Order] {
		return
	}
	o := l.orders[e.Order]
	if o == nil {
		o = &order{id: e.Order}
		l.orders[e.Order] = o
	}
	switch e.Type {
	case EventDelivery:
		o.delivered(e)
	case EventEnqueued:
		o.enqueued(e)
	case EventExecuted:
		o.executed(e)
	case EventFailed:
		if e.Mode != ModeShadow {
			o.failures++
		}
	}
}

func (o *order) delivered(e Event) {
	o.provider = cmp.Or(o.provider, e.Provider)
	o.deliveries = append(o.deliveries, Delivery{At: e.At, Status: e.Status})
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
	if e.Shadow {
		o.shadowEnqueued = o.shadowEnqueued || e.OK
		return
	}
	if o.firstEnqueued == 0 {
		o.firstEnqueued = e.At
	}
	if e.OK {
		o.onSource = e.Side == "source"
		o.onTarget = e.Side == "target"
	}
	if e.OK && e.Stage != "" && e.Stage != "off" && e.Stage != "complete" {
		o.shadowExpected = true
	}
}

func (o *order) executed(e Event) {
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
	Lost          int      `json:"lost"`           // acknowledged, not fulfilled, older than grace
	LostIDs       []string `json:"lost_ids,omitempty"`
	Rejected503   int      `json:"rejected_503"`   // orders that were answered 503 at least once
	RetriedOK     int      `json:"retried_ok"`     // of those, acknowledged by a later delivery
	Misrouted     int      `json:"misrouted"`      // runs on a side without authority
	Failures      int      `json:"failures"`       // failed attempts that counted
	NotEnqueued   int      `json:"not_enqueued"`   // acknowledged although no authoritative add is recorded
	OldestOpenMS  int64    `json:"oldest_open_ms"` // age of the oldest pending or lost order since its acknowledgement

	OnTarget       int      `json:"on_target"`       // whose job was last put on the target
	ShadowExpected int      `json:"shadow_expected"` // enqueued in a stage that makes shadow copies
	ShadowEnqueued int      `json:"shadow_enqueued"` // of those, the copy was added
	ShadowCompared int      `json:"shadow_compared"` // both results are known
	Mismatches     int      `json:"mismatches"`      // of those, the results differ
	MismatchIDs    []string `json:"mismatch_ids,omitempty"`
}

// Summary sums up every order. An order acknowledged longer than grace ago that has not taken effect is lost; before that it is pending.
func (l *Ledger) Summary(now time.Time, grace time.Duration) Summary {
	return l.summary(now, grace, func(*order) bool { return true })
}

// Window sums up the orders whose first authoritative add was attempted in [sinceMS, untilMS), unix ms; untilMS 0 is no end.
func (l *Ledger) Window(sinceMS, untilMS int64, now time.Time, grace time.Duration) Summary {
	return l.summary(now, grace, func(o *order) bool {
		return o.firstEnqueued >= sinceMS && o.firstEnqueued != 0 && (untilMS == 0 || o.firstEnqueued < untilMS)
	})
}

func (l *Ledger) summary(now time.Time, grace time.Duration, include func(*order) bool) Summary {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var s Summary
	for _, o := range l.orders {
		if include(o) {
			s.add(o, now.UnixMilli(), grace.Milliseconds())
		}
	}
	for _, ids := range []*[]string{&s.DuplicatedIDs, &s.LostIDs, &s.MismatchIDs} {
		slices.Sort(*ids)
		*ids = (*ids)[:min(len(*ids), maxIDs)]
	}
	return s
}

func (s *Summary) add(o *order, now, grace int64) {
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
		count(&s.NotEnqueued, o.firstEnqueued == 0)
		if o.applied == 0 {
			age := now - o.acknowledged
			s.OldestOpenMS = max(s.OldestOpenMS, age)
			if age > grace {
				s.Lost++
				s.LostIDs = append(s.LostIDs, o.id)
			} else {
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
	if o.compared && o.result != "" {
		s.ShadowCompared++
		if o.result != o.shadow {
			s.Mismatches++
			s.MismatchIDs = append(s.MismatchIDs, o.id)
		}
	}
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

func (o *order) recoveredAfter() int64 {
	for _, d := range o.deliveries {
		if o.rejected != 0 && d.At > o.rejected && d.Status >= 200 && d.Status < 300 {
			return d.At - o.rejected
		}
	}
	return 0
}

// Retries tells the story of every order that was answered 503 at or after sinceMS (unix ms), the earliest first.
func (l *Ledger) Retries(sinceMS int64) []RetryStory {
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
