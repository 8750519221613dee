package ledger_test

import (
	"cmp"
	"slices"
	"strings"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

// recount makes the same account another way: from all events at once, with nothing folded and
// nothing carried from one event to the next. It knows no canaries.
type recount struct {
	only   string // the routed queue, where there is one
	since  int64
	orders map[string]*tale
	owners map[[2]string][]string // of jobs: the orders that name them
}

// tale is one order: all that was said of it, and of its jobs in the order they were named.
type tale struct {
	id   string
	said []ledger.Event
	jobs [][2]string
}

func recounted(events []ledger.Event, queues ...string) *recount {
	r := &recount{orders: map[string]*tale{}, owners: map[[2]string][]string{}}
	if len(queues) == 1 {
		r.only = queues[0]
	}
	for _, e := range events {
		if e.Read != 0 && (e.At <= 0 || e.Read < e.At) {
			e.At = e.Read
		}
		if r.since == 0 || e.At != 0 && e.At < r.since {
			r.since = e.At
		}
		k := r.job(e)
		if of := r.owners[k]; e.Order == "" && len(of) == 1 {
			e.Order = of[0]
		}
		if e.Order == "" {
			continue
		}
		o := r.orders[e.Order]
		if o == nil {
			o = &tale{id: e.Order}
			r.orders[e.Order] = o
		}
		o.said = append(o.said, e)
		if e.Type == ledger.EventDelivery || e.Type == ledger.EventKept {
			continue
		}
		if !slices.Contains(o.jobs, k) {
			o.jobs = append(o.jobs, k)
		}
		if e.JobID != "" && !slices.Contains(r.owners[k], e.Order) {
			r.owners[k] = append(r.owners[k], e.Order)
		}
	}
	return r
}

func (r *recount) job(e ledger.Event) [2]string {
	queue := e.Queue
	if e.Shadow || e.Mode == ledger.ModeShadow {
		queue = strings.TrimSuffix(queue, "-shadow")
	}
	return [2]string{cmp.Or(queue, r.only), e.JobID}
}

// first gives the time of the first event that is so; 0 when none is.
func (o *tale) first(is func(ledger.Event) bool) int64 {
	if i := slices.IndexFunc(o.said, is); i >= 0 {
		return o.said[i].At
	}
	return 0
}

func (o *tale) count(is func(ledger.Event) bool) (n int) {
	for _, e := range o.said {
		if is(e) {
			n++
		}
	}
	return n
}

// What an event says.
func delivered(e ledger.Event) bool { return e.Type == ledger.EventDelivery }
func refused(e ledger.Event) bool   { return delivered(e) && e.Status == 503 }
func answered(e ledger.Event) bool {
	return delivered(e) && e.Status/100 == 2
}
func tried(e ledger.Event) bool  { return e.Type == ledger.EventEnqueued && !e.Shadow }
func landed(e ledger.Event) bool { return tried(e) && e.OK }
func ends(how string) func(ledger.Event) bool {
	return func(e ledger.Event) bool { return e.Type == ledger.EventExecuted && e.Outcome == how }
}

// of limits it to one job.
func (r *recount) of(k [2]string, is func(ledger.Event) bool) func(ledger.Event) bool {
	return func(e ledger.Event) bool { return is(e) && r.job(e) == k }
}

// ran is how often the order took effect in a queue.
func (r *recount) ran(o *tale, queue string) int {
	return o.count(func(e ledger.Event) bool {
		return ends(ledger.OutcomeApplied)(e) && r.job(e)[0] == queue
	})
}

// applied is that of the queue in which it did most often.
func (r *recount) applied(o *tale) (n int) {
	for _, k := range o.jobs {
		n = max(n, r.ran(o, k[0]))
	}
	return n
}

func (r *recount) took(o *tale, k [2]string) bool {
	return o.count(r.of(k, ends(ledger.OutcomeApplied))) > 0 ||
		o.count(r.of(k, ends(ledger.OutcomeSuppressed))) > 0 && r.ran(o, k[0]) > 0
}

// owes are the jobs that were added and did not take effect.
func (r *recount) owes(o *tale) (jobs [][2]string) {
	for _, k := range o.jobs {
		if o.first(r.of(k, landed)) != 0 && !r.took(o, k) {
			jobs = append(jobs, k)
		}
	}
	return jobs
}

func (r *recount) fulfilled(o *tale) bool { return len(r.owes(o)) == 0 && r.applied(o) > 0 }

// due is since when it has waited.
func (r *recount) due(o *tale) int64 {
	acked, due := o.first(answered), int64(1<<62)
	for _, k := range r.owes(o) {
		due = min(due, max(acked, o.first(r.of(k, landed))))
	}
	if due == 1<<62 {
		return acked
	}
	return due
}

// result is the first that one of these runs of a job reported.
func (r *recount) result(o *tale, k [2]string, outcomes ...string) string {
	for _, e := range o.said {
		if e.Type == ledger.EventExecuted && slices.Contains(outcomes, e.Outcome) &&
			r.job(e) == k && e.Result != "" {
			return e.Result
		}
	}
	return ""
}

func copies(stage string) bool { return stage != "" && stage != "off" && stage != "complete" }

// data reports whether a worker got other data than was sent, or the copy was sent with other.
func (r *recount) data(o *tale, k [2]string) bool {
	sent := map[bool][]string{}
	for _, e := range o.said {
		if r.job(e) == k && e.Type == ledger.EventEnqueued && e.Digest != "" {
			sent[e.Shadow] = append(sent[e.Shadow], e.Digest)
		}
	}
	for _, d := range sent[true] {
		if len(sent[false]) > 0 && !slices.Contains(sent[false], d) {
			return true
		}
	}
	all, got := slices.Concat(sent[false], sent[true]), map[bool]string{}
	for _, e := range o.said {
		if r.job(e) != k || e.Digest == "" ||
			e.Type != ledger.EventExecuted && e.Type != ledger.EventFailed {
			continue
		}
		if len(all) > 0 && !slices.Contains(all, e.Digest) {
			return true
		}
		shadow := e.Mode == ledger.ModeShadow
		got[shadow] = cmp.Or(got[shadow], e.Digest)
	}
	return got[true] != "" && got[false] != "" && got[true] != got[false]
}

// retries are the deliveries of each event that was refused.
func (o *tale) retries() map[[2]string][]ledger.Event {
	out := map[[2]string][]ledger.Event{}
	for _, e := range o.said {
		k := [2]string{e.Provider, e.EventID}
		if delivered(e) && o.count(func(f ledger.Event) bool {
			return refused(f) && f.Provider == k[0] && f.EventID == k[1]
		}) > 0 {
			out[k] = append(out[k], e)
		}
	}
	return out
}

func back(of []ledger.Event) (after int64, ok bool) {
	i := slices.IndexFunc(of, refused)
	if j := slices.IndexFunc(of[i:], answered); j >= 0 {
		return max(0, of[i+j].At-of[i].At), true
	}
	return 0, false
}

// summary of the orders that are asked for.
func (r *recount) summary(now, grace int64, in func(*tale) bool, b ledger.Backlog) ledger.Summary {
	var s ledger.Summary
	n := func(to *int, yes bool) bool {
		if yes {
			*to++
		}
		return yes
	}
	name := func(ids *[]string, o *tale, yes bool) {
		if yes {
			*ids = append(*ids, o.id)
		}
	}
	for _, o := range r.orders {
		if !in(o) {
			continue
		}
		s.Orders++
		acked, back := o.first(answered), r.back(o)
		n(&s.Rejected503, o.first(refused) != 0)
		n(&s.RetriedOK, o.first(refused) != 0 && back)
		n(&s.Fulfilled, r.fulfilled(o))
		s.Suppressed += o.count(ends(ledger.OutcomeSuppressed))
		s.Misrouted += o.count(ends(ledger.OutcomeMisrouted))
		s.Failures += o.count(func(e ledger.Event) bool {
			return e.Type == ledger.EventFailed && e.Mode != ledger.ModeShadow
		})
		name(&s.DuplicatedIDs, o, n(&s.Duplicated, r.applied(o) > 1))
		held := r.held(o, b)
		n(&s.Acknowledged, acked != 0)
		n(&s.NotEnqueued, acked != 0 && o.first(tried) == 0 && !held)
		if acked != 0 && !r.fulfilled(o) {
			r.waiting(&s, o, now, grace, held)
		}
		r.compare(&s, o)
	}
	for _, ids := range [][]string{s.DuplicatedIDs, s.LostIDs, s.MismatchIDs, s.AloneIDs} {
		slices.Sort(ids)
	}
	return s
}

// back reports whether every event of the order that was refused was acknowledged later.
func (r *recount) back(o *tale) bool {
	for _, of := range o.retries() {
		if _, ok := back(of); !ok {
			return false
		}
	}
	return true
}

func (r *recount) held(o *tale, b ledger.Backlog) bool {
	kept := int64(0)
	for _, e := range o.said {
		if e.Type == ledger.EventKept {
			kept = e.At
		}
	}
	return kept != 0 && o.first(landed) == 0 && b.Orders > 0 && kept >= b.Oldest
}

// waiting counts an acknowledged order that has not taken effect in full.
func (r *recount) waiting(s *ledger.Summary, o *tale, now, grace int64, held bool) {
	age := max(0, now-o.first(answered))
	s.OldestOpenMS = max(s.OldestOpenMS, age)
	switch due := r.due(o); {
	case held:
		s.Pending++
		s.Held++
		if age > grace {
			s.HeldLate++
		}
	case due > now+5000:
		s.Future++
	case now-due > grace:
		s.Lost++
		s.LostIDs = append(s.LostIDs, o.id)
	default:
		s.Pending++
		source := len(r.owes(o)) == 0
		for _, k := range r.owes(o) {
			side := ""
			for _, e := range o.said {
				if r.of(k, landed)(e) {
					side = e.Side
				}
			}
			source = source || side != ledger.Target
		}
		if source {
			s.PendingSource++
		}
	}
}

func (r *recount) compare(s *ledger.Summary, o *tale) {
	expected, copied, compared, differ, data := false, true, true, false, false
	ofData := false
	alone := o.first(answered) != 0 && o.first(landed) == 0
	target := false
	for _, e := range o.said {
		if landed(e) {
			target = e.Side == ledger.Target
			alone = alone || !copies(e.Stage)
		}
	}
	for _, k := range o.jobs {
		run := r.result(o, k, ledger.OutcomeApplied, ledger.OutcomeSuppressed)
		shadow := r.result(o, k, ledger.OutcomeCompared)
		both := o.count(r.of(k, ends(ledger.OutcomeCompared))) > 0 && run != ""
		differ, data = differ || both && run != shadow, data || r.data(o, k)
		if o.count(r.of(k, func(e ledger.Event) bool { return landed(e) && copies(e.Stage) })) > 0 {
			expected, compared = true, compared && both
			for _, e := range o.said {
				if r.of(k, ends(ledger.OutcomeCompared))(e) && e.Result != "" {
					ofData = ofData || e.Result == e.Digest
					break
				}
			}
			copied = copied && o.count(r.of(k, func(e ledger.Event) bool {
				return e.Type == ledger.EventEnqueued && e.Shadow && e.OK
			})) > 0
		}
	}
	if target {
		s.OnTarget++
		if r.fulfilled(o) {
			s.TargetDone++
		}
	}
	switch {
	case expected:
		s.ShadowExpected++
		if copied {
			s.ShadowEnqueued++
		}
		if compared {
			s.ShadowCompared++
			if ofData {
				s.OfData++
			}
		}
	case alone:
		s.Alone++
		s.AloneIDs = append(s.AloneIDs, o.id)
	}
	if data {
		s.DataMismatches++
	}
	if differ || data {
		s.Mismatches++
		s.MismatchIDs = append(s.MismatchIDs, o.id)
	}
}

// facts are what is known of a job, without what differs, which is told in words.
func (r *recount) facts(k [2]string) (f ledger.Facts) {
	owners := r.owners[k]
	if len(owners) == 0 {
		return ledger.Facts{}
	}
	if f.Known = true; len(owners) > 1 {
		return f
	}
	o := r.orders[owners[0]]
	f.Acknowledged = o.first(answered) != 0
	f.Applied, f.Caught = o.count(r.of(k, ends(ledger.OutcomeApplied))),
		o.count(r.of(k, ends(ledger.OutcomeSuppressed)))
	if f.Applied == 0 && r.took(o, k) {
		f.Applied = 1
	}
	for i, place := range []ledger.Lane{{Side: ledger.Source}, {Side: ledger.Source, Shadow: true},
		{Side: ledger.Target}, {Side: ledger.Target, Shadow: true}} {
		f.Sent[i] = o.count(r.of(k, func(e ledger.Event) bool {
			return e.Type == ledger.EventEnqueued && e.Side == place.Side && e.Shadow == place.Shadow
		})) > 0
	}
	return f
}
