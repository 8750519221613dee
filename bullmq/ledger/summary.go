package ledger

import (
	"cmp"
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
	// of the pending ones, those with a job that was added to the source, or nobody
	// knows where
	PendingSource int `json:"pending_source"`
	// of the acknowledged ones, those that by their times are yet to come: nobody
	// knows how old they are
	Future int `json:"future,omitempty"`
	// of the pending ones, those waiting in the app's durable intake, however long
	Held int `json:"held"`
	// of those, the ones waiting longer than grace
	HeldLate int `json:"held_late"`
	// acknowledged, not fulfilled, older than grace
	// once found lost, until it takes effect or is under way again
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
	TargetDone     int `json:"-"`               // of those, the ones that took effect
	ShadowExpected int `json:"shadow_expected"` // enqueued in a stage that makes shadow copies
	ShadowEnqueued int `json:"shadow_enqueued"` // of those, the copy was added
	ShadowCompared int `json:"shadow_compared"` // both results are known
	// OfData are those of the compared whose result is the digest of the data: the app tells
	// none of its own.
	OfData int `json:"-"`
	// Alone are orders with a job that was enqueued in a stage that makes no copies, as
	// by an instance that has not followed.
	Alone    int      `json:"-"`
	AloneIDs []string `json:"-"`
	// Cut are those of which nobody knows any more whether they are in the window: they
	// are folded, and the window begins or ends between the first and last of their minute.
	Cut int `json:"-"`
	// Mismatches are orders whose run and shadow run had different results, or
	// whose data differ; the latter also count as DataMismatches.
	Mismatches int `json:"mismatches"`
	// a worker received other data than was sent, or the copy's data differed
	DataMismatches int      `json:"data_mismatches"`
	MismatchIDs    []string `json:"mismatch_ids,omitempty"`
	// Contradicted are orders whose record cannot be true, such as one that is a
	// canary's too.
	Contradicted    int      `json:"contradicted,omitempty"`
	ContradictedIDs []string `json:"contradicted_ids,omitempty"`
	// Decided are those of which everything that was wrong was dealt with by a person;
	// they count as nothing else that is wrong.
	Decided int `json:"decided,omitempty"`
}

// Red is how many orders are wrong for certain: it ends only by proof or by a person.
func (s Summary) Red() int { return s.Lost + s.Duplicated + s.Mismatches + s.Contradicted }

// Summary sums up every order. An order that has not taken effect within grace of
// its acknowledgement is lost; before that it is pending. One that waits in the
// app's durable intake is pending however long (see Backlog); its grace begins when
// its job is added.
func (j *Journal) Summary(now time.Time, grace time.Duration) Summary {
	return j.summary(now, grace, func(*order) bool {
		return true
	}, func(s *Summary, _ int64, c *counters) { s.sum(*c) })
}

// Window sums up the orders whose first authoritative add was attempted in
// [sinceMS, untilMS), unix ms, and those that were acknowledged then without one;
// untilMS 0 means no end. Of folded orders (see Journal) it counts whole minutes only,
// and of minutes that the window cuts those without a copy that may be in it, as Cut.
func (j *Journal) Window(sinceMS, untilMS int64, now time.Time, grace time.Duration) Summary {
	return j.summary(now, grace, func(o *order) bool {
		at := cmp.Or(o.FirstEnqueued, o.Acknowledged)
		return at >= sinceMS && at != 0 && (untilMS == 0 || at < untilMS)
	}, func(s *Summary, m int64, c *counters) {
		switch {
		case m >= sinceMS && (untilMS == 0 || m+minute <= untilMS):
			s.sum(*c)
		case m+minute > sinceMS && (untilMS == 0 || m < untilMS):
			s.Cut += c.aloneWithin(sinceMS, untilMS)
		}
	})
}

func (j *Journal) summary(
	now time.Time, grace time.Duration, include func(*order) bool,
	folded func(s *Summary, minute int64, c *counters),
) Summary {
	j.mu.RLock()
	defer j.mu.RUnlock()
	var s Summary
	for _, o := range j.orders {
		if !include(o) {
			continue
		}
		if j.decided != nil && j.settled(o, now, grace) {
			s.Orders++
			s.Decided++
			continue
		}
		s.add(o, now.UnixMilli(), grace.Milliseconds(), j.waits(o))
	}
	for m, c := range j.folded {
		folded(&s, m, c)
	}
	for _, ids := range []*[]string{&s.DuplicatedIDs, &s.LostIDs, &s.MismatchIDs, &s.AloneIDs,
		&s.ContradictedIDs} {
		slices.Sort(*ids)
		*ids = (*ids)[:min(len(*ids), maxIDs)]
	}
	return s
}

// ahead is how far before its own event we may look at it: clocks are read one after
// the other.
const ahead = 5_000

// state says where an acknowledged order stands that is not fulfilled.
func (o *order) state(now, grace int64, held bool) orderState {
	switch due := o.due(); {
	case held:
		return waiting
	case o.LostAt != 0:
		return lost
	case due > now+ahead:
		return future
	case now-due > grace:
		return lost
	}
	return pending
}

type orderState int

const (
	pending orderState = iota
	waiting            // in the durable intake
	lost
	future
)

func (s *Summary) add(o *order, now, grace int64, held bool) {
	s.Orders++
	isLost := false
	tally(&s.Rejected503, o.Rejected != 0)
	refused := o.refused()
	tally(&s.RetriedOK, len(refused) > 0 && !slices.ContainsFunc(refused, func(d []Delivery) bool {
		_, ok := recovered(d)
		return !ok
	}))
	tally(&s.Fulfilled, o.fulfilled())
	for _, f := range o.Jobs {
		s.Suppressed += f.Suppressed
	}
	s.Misrouted += o.Misrouted
	s.Failures += o.Failures
	if o.applied() > 1 {
		s.Duplicated++
		s.DuplicatedIDs = append(s.DuplicatedIDs, o.ID)
	}
	if o.Contradiction != "" {
		s.Contradicted++
		s.ContradictedIDs = append(s.ContradictedIDs, o.ID)
	}
	if o.Acknowledged != 0 {
		s.Acknowledged++
		tally(&s.NotEnqueued, o.FirstEnqueued == 0 && !held)
		if !o.fulfilled() {
			age := max(0, now-o.Acknowledged)
			s.OldestOpenMS = max(s.OldestOpenMS, age)
			switch o.state(now, grace, held) {
			case waiting:
				s.Pending++
				s.Held++
				tally(&s.HeldLate, age > grace)
			case lost:
				isLost = true
			case future:
				s.Future++
			case pending:
				s.Pending++
				tally(&s.PendingSource, o.owed())
			}
		}
	}
	if isLost {
		s.Lost++
		s.LostIDs = append(s.LostIDs, o.ID)
	}
	s.compare(o)
}

// compare counts what an order's copies show.
func (s *Summary) compare(o *order) {
	tally(&s.OnTarget, o.OnTarget)
	tally(&s.TargetDone, o.OnTarget && o.fulfilled())
	expected, copied, alone := false, true, o.Acknowledged != 0 && o.Added == 0 && !o.Before
	for _, f := range o.Jobs {
		alone = alone || f.Alone
		if f.Expected {
			expected, copied = true, copied && f.Copied
		}
	}
	if expected {
		s.ShadowExpected++
		tally(&s.ShadowEnqueued, copied)
		tally(&s.ShadowCompared, o.compared())
		tally(&s.OfData, o.compared() && o.ofData())
	} else if alone {
		s.Alone++
		s.AloneIDs = append(s.AloneIDs, o.ID)
	}
	data := o.differs() != ""
	tally(&s.DataMismatches, data)
	if o.differ() {
		s.Mismatches++
		s.MismatchIDs = append(s.MismatchIDs, o.ID)
	}
}

// Finding is the key of what is wrong with an order: a decision about it is about
// nothing else, and none about what goes wrong with the order later.
func Finding(order, wrong string) string { return "order:" + order + ":" + wrong }

// Findings are what is wrong with orders, by order; at most limit of them, and not what
// was decided.
func (j *Journal) Findings(now time.Time, grace time.Duration, limit int) map[string]string {
	j.mu.RLock()
	defer j.mu.RUnlock()
	out := map[string]string{}
	for _, o := range j.orders {
		if len(out) == limit {
			break
		}
		if w := j.wrong(o, now, grace); w != "" && !j.decided[Finding(o.ID, w)] {
			out[o.ID] = w
		}
	}
	return out
}

func (j *Journal) wrong(o *order, now time.Time, grace time.Duration) string {
	open := o.Acknowledged != 0 && !o.fulfilled()
	return o.wrong(open && o.state(now.UnixMilli(), grace.Milliseconds(), j.waits(o)) == lost)
}

func (j *Journal) settled(o *order, now time.Time, grace time.Duration) bool {
	w := j.wrong(o, now, grace)
	return w != "" && j.decided[Finding(o.ID, w)]
}

// sum adds the counters of folded orders.
func (s *Summary) sum(c counters) {
	s.Orders += c.Orders
	s.Acknowledged += c.Acknowledged
	s.Fulfilled += c.Fulfilled
	s.Suppressed += c.Suppressed
	s.Misrouted += c.Misrouted
	s.Failures += c.Failures
	s.OnTarget += c.OnTarget
	s.TargetDone += c.TargetDone
	s.ShadowExpected += c.ShadowExpected
	s.ShadowEnqueued += c.ShadowEnqueued
	s.ShadowCompared += c.ShadowCompared
	s.OfData += c.OfData
	s.Alone += c.Alone
}

func tally(n *int, yes bool) {
	if yes {
		*n++
	}
}
