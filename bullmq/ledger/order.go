package ledger

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unique"
)

// order is everything known about one order. Times are unix ms; 0 means never. It is
// stored as JSON while it is not in order.
type order struct {
	ID            string `json:"id"`
	Provider      string `json:"provider,omitempty"`
	FirstEnqueued int64  `json:"first_enqueued,omitempty"`
	// Added is when the first authoritative add was accepted, Kept when the durable
	// intake last accepted it.
	Added        int64      `json:"added,omitempty"`
	Kept         int64      `json:"kept,omitempty"`
	Acknowledged int64      `json:"acknowledged,omitempty"` // first 2xx
	Rejected     int64      `json:"rejected,omitempty"`     // first 503
	Deliveries   []Delivery `json:"deliveries,omitempty"`
	Misrouted    int        `json:"misrouted,omitempty"`
	Failures     int        `json:"failures,omitempty"`
	// Before: it took effect once before what is known of it here was forgotten, in the
	// queues that are Earlier, by jobs that are not known here.
	Before   bool      `json:"before,omitempty"`
	Earlier  []string  `json:"earlier,omitempty"`
	OnTarget bool      `json:"on_target,omitempty"` // the last accepted add went there
	Jobs     []*effect `json:"jobs,omitempty"`
	// Contradiction is what makes its record impossible; it is red for good.
	Contradiction string `json:"contradiction,omitempty"`
	// LostAt is since when it has been lost. It is not taken back by a clock: only by
	// the order's taking effect, or by word that it is under way again.
	LostAt int64    `json:"lost_at,omitempty"`
	Last   int64    `json:"last,omitempty"` // of its last event
	Story  []Moment `json:"story,omitempty"`

	counted unique.Handle[counters] // what the stored minute has of it
	saved   bool                    // it has a row of its own
}

// effect is what became of one job of an order. An order may have jobs in several
// queues: each of them has to take effect, and none of the queues twice.
type effect struct {
	Queue string `json:"queue,omitempty"` // "": unknown
	ID    string `json:"id,omitempty"`
	Added int64  `json:"added,omitempty"` // first authoritative add that was accepted; 0: none
	Side  string `json:"side,omitempty"`  // of the last one
	// Expected: it was added in a stage that makes shadow copies; Alone: in one that
	// makes none.
	Expected   bool   `json:"expected,omitempty"`
	Alone      bool   `json:"alone,omitempty"`
	Copied     bool   `json:"copied,omitempty"`
	Applied    int    `json:"applied,omitempty"`
	Suppressed int    `json:"suppressed,omitempty"`
	Result     string `json:"result,omitempty"` // hash
	Shadow     string `json:"shadow,omitempty"` // hash of the copy's
	// OfData: that hash is the digest of the data, and no result of processing
	OfData   bool    `json:"of_data,omitempty"`
	Compared bool    `json:"compared,omitempty"`
	Sent     [4]bool `json:"sent"` // see Facts.Sent
	Payload  payload `json:"payload"`
}

func (f *effect) key() lifeKey { return lifeKey{f.Queue, f.ID} }

// Moment is one thing that happened to an order, as the application recorded it.
type Moment struct {
	At   int64  `json:"at"` // unix ms
	What string `json:"what"`
}

const (
	// maxStory bounds how many moments of one order are kept; beyond that only
	// counters advance.
	maxStory = 60
	// maxJobs bounds how many jobs one order can have. With more, its journal is not
	// one of orders.
	maxJobs = 100
)

func (o *order) tell(at int64, what string) {
	if len(o.Story) < maxStory {
		// the same few words for every order
		o.Story = append(o.Story, Moment{at, unique.Make(what).Value()})
	}
}

func (o *order) contradict(why string, args ...any) {
	if o.Contradiction == "" {
		o.Contradiction = fmt.Sprintf(why, args...)
	}
}

func (o *order) find(k lifeKey) *effect {
	for _, f := range o.Jobs {
		if f.key() == k {
			return f
		}
	}
	return nil
}

// runs is how many times the order took effect in one queue.
func (o *order) runs(queue string) (n int) {
	for _, f := range o.Jobs {
		if f.Queue == queue {
			n += f.Applied
		}
	}
	if slices.Contains(o.Earlier, queue) {
		n++
	}
	return n
}

// ranIn is the key by which it is remembered that an order took effect in a queue.
func ranIn(queue, order string) lifeKey { return lifeKey{queue, "\x00" + order} }

// applied is how many times the order took effect, in the queue where it did most
// often: 1 is right.
func (o *order) applied() (n int) {
	if o.Before {
		n = 1
	}
	for _, f := range o.Jobs {
		n = max(n, o.runs(f.Queue))
	}
	return n
}

// took reports whether a job had its effect: by its own run, or it was found by its
// run that another job of the same queue had brought it about.
func (o *order) took(f *effect) bool {
	return f.Applied > 0 || f.Suppressed > 0 && o.runs(f.Queue) > 0
}

// fulfilled reports whether every job that the order was promised with took effect.
func (o *order) fulfilled() bool {
	for _, f := range o.Jobs {
		if f.Added != 0 && !o.took(f) {
			return false
		}
	}
	return o.applied() > 0
}

// due is since when the order has been waiting for what it was promised: a job that
// was added later than the acknowledgement has its time from then on.
func (o *order) due() int64 {
	first := int64(0)
	for _, f := range o.Jobs {
		if f.Added != 0 && !o.took(f) {
			if at := max(o.Acknowledged, f.Added); first == 0 || at < first {
				first = at
			}
		}
	}
	return cmp.Or(first, o.Acknowledged)
}

// owed reports whether a job that has not taken effect was put on the source, or
// nobody knows where.
func (o *order) owed() bool {
	known := false
	for _, f := range o.Jobs {
		if f.Added != 0 && !o.took(f) {
			if known = true; f.Side != Target {
				return true
			}
		}
	}
	return !known
}

// inOrder reports whether there is nothing left to say about the order. One that
// was answered 503 is kept, to tell how it recovered.
func (o *order) inOrder() bool {
	return o.Acknowledged != 0 && o.FirstEnqueued != 0 && o.fulfilled() && o.applied() == 1 &&
		o.Rejected == 0 && o.Contradiction == "" && !o.differ() && o.compared() &&
		!o.heldUp()
}

// heldUp reports whether the order waited in the durable intake for longer than it
// takes to be enqueued: an outage is told by these.
func (o *order) heldUp() bool {
	return o.Kept != 0 && o.Added-o.Kept > heldUpAfter
}

// heldUpAfter is how long an order may be in the durable intake on its way, ms.
const heldUpAfter = 2000

// compared reports whether every copy that was expected is known to have run.
func (o *order) compared() bool {
	return !slices.ContainsFunc(o.Jobs, func(f *effect) bool {
		return f.Expected && (!f.Compared || f.Result == "")
	})
}

// ofData reports whether a copy that was expected has shown that it got the same data, and
// nothing of what the app makes of it.
func (o *order) ofData() bool {
	return slices.ContainsFunc(o.Jobs, func(f *effect) bool { return f.Expected && f.OfData })
}

// differ reports whether a run and its shadow run had different results, or data.
func (o *order) differ() bool {
	return o.differs() != "" || slices.ContainsFunc(o.Jobs, func(f *effect) bool {
		return f.Compared && f.Result != "" && f.Result != f.Shadow
	})
}

// differs says which data differ; "" when none do or no digests are known.
func (o *order) differs() string {
	for _, f := range o.Jobs {
		if d := f.Payload.differs(); d != "" {
			return d
		}
	}
	return ""
}

// wrong says all that is wrong with the order, "" when nothing is. What a person
// decided about holds for exactly these words.
func (o *order) wrong(lost bool) string {
	var all []string
	if lost {
		all = append(all, "lost")
	}
	if n := o.applied(); n > 1 {
		all = append(all, fmt.Sprintf("processed %d times", n))
	}
	if d := o.differs(); d != "" {
		all = append(all, d)
	} else if o.differ() {
		all = append(all, "the results differ")
	}
	if o.Contradiction != "" {
		all = append(all, o.Contradiction)
	}
	return strings.Join(all, "; ")
}

func (o *order) delivered(e Event) {
	o.Provider = cmp.Or(o.Provider, e.Provider)
	o.Deliveries = append(o.Deliveries,
		Delivery{At: e.at(), Status: e.Status, Provider: e.Provider, Event: e.EventID})
	o.tell(e.at(), fmt.Sprintf("a delivery was answered %d", e.Status))
	switch {
	case e.Status >= 200 && e.Status < 300:
		o.Acknowledged = cmp.Or(o.Acknowledged, e.at())
	case e.Status == 503:
		o.Rejected = cmp.Or(o.Rejected, e.at())
	}
}

func (o *order) enqueued(e Event, f *effect) {
	at := Lane{Side: e.Side, Shadow: e.Shadow}
	if e.Side == Source || e.Side == Target {
		f.Sent[at.place()] = true
	}
	how := "added to"
	if !e.OK {
		how = "could not be added to"
	}
	o.tell(e.at(), fmt.Sprintf("%s %s%s in stage %s", how, e.Side, shadowWord(e.Shadow),
		cmp.Or(e.Stage, "unknown")))
	if e.Shadow {
		f.Copied = f.Copied || e.OK
		return
	}
	o.FirstEnqueued = cmp.Or(o.FirstEnqueued, e.at())
	if !e.OK {
		return
	}
	o.Added, f.Added = cmp.Or(o.Added, e.at()), cmp.Or(f.Added, e.at())
	o.OnTarget, f.Side, o.LostAt = e.Side == Target, e.Side, 0
	if copies := e.Stage != "" && e.Stage != "off" && e.Stage != "complete"; copies {
		f.Expected = true
	} else {
		f.Alone = true
	}
}

func (o *order) executed(e Event, f *effect) {
	o.tell(e.at(), fmt.Sprintf("run on %s%s: %s", cmp.Or(e.Side, "an unknown side"),
		shadowWord(e.Mode == ModeShadow), e.Outcome))
	switch e.Outcome {
	case OutcomeApplied:
		f.Applied++
		f.Result = cmp.Or(f.Result, e.Result)
	case OutcomeSuppressed:
		f.Suppressed++
		f.Result = cmp.Or(f.Result, e.Result)
	case OutcomeCompared:
		f.Compared = true
		if f.Shadow == "" {
			f.Shadow, f.OfData = e.Result, e.Result != "" && e.Result == e.Digest
		}
	case OutcomeMisrouted:
		o.Misrouted++
	}
}

func shadowWord(yes bool) string {
	if yes {
		return " (shadow)"
	}
	return ""
}

// Delivery is one webhook delivery and how it was answered.
type Delivery struct {
	At       int64  `json:"at"` // unix ms
	Status   int    `json:"status"`
	Provider string `json:"provider,omitempty"`
	// Event is the provider's own id of what it delivers; "" where the app does not
	// tell it.
	Event string `json:"event,omitempty"`
}

func (d Delivery) acknowledges() bool { return d.Status >= 200 && d.Status < 300 }

// refused gives the deliveries of each of the order's events that was answered 503, in
// the order of their first delivery. Events of two providers may have the same id.
func (o *order) refused() [][]Delivery {
	type event struct{ provider, id string }
	var keys []event
	by := map[event][]Delivery{}
	for _, d := range o.Deliveries {
		k := event{d.Provider, d.Event}
		if by[k] == nil {
			keys = append(keys, k)
		}
		by[k] = append(by[k], d)
	}
	var out [][]Delivery
	for _, k := range keys {
		if slices.ContainsFunc(by[k], func(d Delivery) bool { return d.Status == 503 }) {
			out = append(out, by[k])
		}
	}
	return out
}

// recovered finds the first acknowledgement after the first refusal among the
// deliveries of one event, and how long it took; false when there was none.
func recovered(of []Delivery) (after int64, ok bool) {
	first := slices.IndexFunc(of, func(d Delivery) bool { return d.Status == 503 })
	if first < 0 {
		return 0, false
	}
	for _, d := range of[first+1:] {
		if d.acknowledges() {
			return max(0, d.At-of[first].At), true
		}
	}
	return 0, false
}
