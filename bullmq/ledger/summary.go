package ledger

import (
	"slices"
	"time"
)

// maxIDs is how many IDs a summary lists.
const maxIDs = 20

// Summary is the state of a set of orders. Canaries are not counted.
type Summary struct {
	Orders        int      `json:"orders"`
	Acknowledged  int      `json:"acknowledged"` // at least one delivery was answered 2xx
	Fulfilled     int      `json:"fulfilled"`    // took effect, once or more
	Duplicated    int      `json:"duplicated"`   // took effect more than once
	DuplicatedIDs []string `json:"duplicated_ids,omitempty"`
	Suppressed    int      `json:"suppressed"` // second runs that were caught
	// acknowledged, not fulfilled, younger than grace
	Pending int `json:"pending"`
	// of the pending ones, those whose job was added to the source
	PendingSource int `json:"pending_source"`
	// of the pending ones, those waiting in the app's durable intake, however long
	Held int `json:"held"`
	// of those, the ones waiting longer than grace
	HeldLate int `json:"held_late"`
	// acknowledged, not fulfilled, older than grace
	Lost    int      `json:"lost"`
	LostIDs []string `json:"lost_ids,omitempty"`
	// orders that were answered 503 at least once
	Rejected503 int `json:"rejected_503"`
	RetriedOK   int `json:"retried_ok"` // of those, acknowledged by a later delivery
	Misrouted   int `json:"misrouted"`  // runs on a side that was not primary
	Failures    int `json:"failures"`   // failed attempts of authoritative runs
	// acknowledged although no authoritative add is recorded
	NotEnqueued int `json:"not_enqueued"`
	// age of the oldest pending or lost order since its acknowledgement
	OldestOpenMS int64 `json:"oldest_open_ms"`

	OnTarget       int `json:"on_target"`       // whose job was last added to the target
	ShadowExpected int `json:"shadow_expected"` // enqueued in a stage that makes shadow copies
	ShadowEnqueued int `json:"shadow_enqueued"` // of those, the copy was added
	ShadowCompared int `json:"shadow_compared"` // both results are known
	// Mismatches are orders whose run and shadow run had different results, or
	// whose data differ; the latter also count as DataMismatches.
	Mismatches int `json:"mismatches"`
	// a worker received other data than was sent, or the copy's data differed
	DataMismatches int      `json:"data_mismatches"`
	MismatchIDs    []string `json:"mismatch_ids,omitempty"`
}

// Summary sums up every order. An order that has not taken effect within grace of
// its acknowledgement is lost; before that it is pending. One that waits in the
// app's durable intake is pending however long (see Backlog); its grace begins when
// its job is added.
func (j *Journal) Summary(now time.Time, grace time.Duration) Summary {
	return j.summary(now, grace, func(*order) bool {
		return true
	}, func(int64) bool { return true })
}

// Window sums up the orders whose first authoritative add was attempted in
// [sinceMS, untilMS), unix ms; untilMS 0 means no end. Of folded orders (see
// Journal) it counts whole minutes only, and leaves out minutes that the window
// cuts.
func (j *Journal) Window(sinceMS, untilMS int64, now time.Time, grace time.Duration) Summary {
	return j.summary(now, grace, func(o *order) bool {
		return o.firstEnqueued >= sinceMS && o.firstEnqueued != 0 &&
			(untilMS == 0 || o.firstEnqueued < untilMS)
	}, func(m int64) bool { return m >= sinceMS && (untilMS == 0 || m+minute <= untilMS) })
}

func (j *Journal) summary(
	now time.Time, grace time.Duration, include func(*order) bool,
	whole func(minute int64) bool,
) Summary {
	j.mu.RLock()
	defer j.mu.RUnlock()
	var s Summary
	for _, o := range j.orders {
		if include(o) {
			s.add(o, now.UnixMilli(), grace.Milliseconds(), j.backlog)
		}
	}
	for m, b := range j.folded {
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
				// it cannot run before there is a job to run
				since = max(since, o.added)
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

// sum adds the counters of folded orders, or subtracts them.
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
