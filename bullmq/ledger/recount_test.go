package ledger_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

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
			copied = copied && o.count(r.of(k, func(e ledger.Event) bool {
				return e.Type == ledger.EventEnqueued && e.Shadow && e.OK
			})) > 0
		}
	}
	if target {
		s.OnTarget++
	}
	switch {
	case expected:
		s.ShadowExpected++
		if copied {
			s.ShadowEnqueued++
		}
		if compared {
			s.ShadowCompared++
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

// anyEvents is what apps may write of a few orders, in an order that they should not: several
// instances and queues, jobs that two orders name, data that differs, clocks that go back.
func anyEvents(r *rand.Rand) []ledger.Event {
	events, seqs := randomEvents(r), map[string]int64{}
	start := int64(r.IntN(7_200_000))
	for i := range events {
		e := &events[i]
		e.Canary, e.At = false, e.At+start
		e.Epoch = []string{"", "A", "B"}[r.IntN(3)]
		seqs[e.Epoch]++
		if e.Seq = seqs[e.Epoch]; r.IntN(20) == 0 {
			e.Seq = 0 // an app that numbers none
		}
		if r.IntN(10) == 0 {
			e.Read = e.At - int64(r.IntN(100_000)) + 10_000
		}
		if r.IntN(40) == 0 {
			e.At, e.Read = -int64(r.IntN(2)), e.At // it tells no time
		}
		if e.Type == ledger.EventDelivery {
			if r.IntN(10) == 0 {
				e.Status = []int{100, 199, 299, 300}[r.IntN(4)]
			}
			continue
		}
		switch r.IntN(12) {
		case 0:
			e.JobID = ""
		case 1:
			e.JobID = "shared"
		case 2:
			e.Queue = ""
		case 3:
			e.Side = "" // older apps
		}
		if r.IntN(12) == 0 {
			e.Order = ""
		}
		if e.Queue != "" && (e.Shadow && r.IntN(3) > 0 || r.IntN(20) == 0) {
			e.Queue += "-shadow" // of its copy; or that is the queue's own name
		}
		if e.Mode == ledger.ModeShadow {
			e.Shadow = r.IntN(2) == 0
		}
		e.Result = []string{"", "r", "r", "r", "q"}[r.IntN(5)]
		e.Digest = []string{"", "d", "d", "d", "d", "d", "e"}[r.IntN(7)]
		if e.Type == ledger.EventFailed && r.IntN(3) == 0 {
			e.Mode = ledger.ModeShadow
		}
	}
	return events
}

// Two accounts of the same journals agree: the one that is made event by event, some of which
// are read twice, and the one that looks at all of them at once.
func TestARecordIsWhatItsEventsAmountTo(t *testing.T) {
	t.Parallel()
	const grace = 60_000
	for seed := range worlds(3000) {
		r := rand.New(rand.NewPCG(seed, 11))
		queues := [][]string{{"orders", "refunds"}, {"orders"}}[r.IntN(2)]
		events := anyEvents(r)
		j := ledger.NewJournal(queues...)
		for i, e := range events {
			j.Apply(e)
			if again := events[r.IntN(i+1)]; again.Seq != 0 {
				j.Apply(again)
			}
		}
		want := recounted(events, queues...)
		last := events[len(events)-1].At
		b := ledger.Backlog{Orders: r.IntN(3), Oldest: last - int64(r.IntN(300_000))}
		j.Backlog("A", b)
		check := func(what string, got, want any) {
			t.Helper()
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("world %d, %s:\n got %+v\nwant %+v\n%+v", seed, what, got, want, events)
			}
		}
		check("since", j.Since(), want.since)
		for _, later := range []int64{-30_000, 0, 20_000, 70_000, 3_600_000} {
			now := last + later
			check(fmt.Sprintf("summary %d ms later", later),
				j.Summary(time.UnixMilli(now), grace*time.Millisecond),
				want.summary(now, grace, func(*tale) bool { return true }, b))
		}
		from, to := last-int64(r.IntN(500_000)), last-int64(r.IntN(200_000))
		if r.IntN(3) == 0 {
			to = 0
		}
		check("window", j.Window(from, to, time.UnixMilli(last), grace*time.Millisecond),
			want.summary(last, grace, func(o *tale) bool {
				at := cmp.Or(o.first(tried), o.first(answered))
				return at != 0 && at >= from && (to == 0 || at < to)
			}, b))
		for _, queue := range []string{"orders", "refunds", "", "orders-shadow"} {
			for _, id := range []string{"a", "a2", "b", "c2", "d", "shared", "nobody's", ""} {
				got := j.Job(queue, id)
				k := [2]string{queue, id}
				differs := len(want.owners[k]) == 1 && want.data(want.orders[want.owners[k][0]], k)
				check("whether the data of "+queue+" "+id+" differs", got.Different != "", differs)
				got.Different = ""
				check("job "+queue+" "+id, got, want.facts(k))
			}
		}
		check("retries", retold(j.Retries(from)), want.retold(from))
		check("kept", keptOf(j.Kept(from, last)), want.kept(from, last))
		check("rates", j.Rates(from, last), want.rates(from, last))
		for _, id := range []string{"a", "b", "c", "d", "a2", "d2", "shared", "nobody's"} {
			got, found := j.Find(id)
			o := want.find(id, got.Order)
			check("whether "+id+" is found", found, o != nil)
			if found {
				check("story of "+id, told(got), want.told(o))
			}
		}
		sum := want.summary(last, grace, func(*tale) bool { return true }, b)
		wrong := slices.Concat(sum.DuplicatedIDs, sum.LostIDs, sum.MismatchIDs)
		slices.Sort(wrong)
		check("findings", slices.Sorted(maps.Keys(j.Findings(time.UnixMilli(last),
			grace*time.Millisecond, 100))), slices.Compact(wrong))
	}
}

// find gives the order of an id, or the one that Switchyard found if the id's job is that one's.
func (r *recount) find(id, found string) *tale {
	if o := r.orders[id]; o != nil {
		return o
	}
	for k, owners := range r.owners {
		// a job that several orders name is found as one of these
		if k[1] == id && (slices.Contains(owners, found) || found == "") {
			return r.orders[cmp.Or(found, owners[0])]
		}
	}
	return nil
}

func told(s ledger.Story) string {
	return fmt.Sprint(s.Order, s.Provider, s.Jobs, s.Acknowledged, s.Applied, s.Suppressed,
		s.Different != "", s.Folded, len(s.Moments))
}

func (r *recount) told(o *tale) string {
	var jobs []string
	differs := false
	for _, k := range o.jobs {
		if k[1] != "" && !slices.Contains(jobs, k[1]) {
			jobs = append(jobs, k[1])
		}
		differs = differs || r.data(o, k)
	}
	return fmt.Sprint(o.id, o.provider(), jobs, o.first(answered) != 0, r.applied(o),
		o.count(ends(ledger.OutcomeSuppressed)), differs, false, len(o.said))
}

func (o *tale) provider() (p string) {
	for _, e := range o.said {
		if delivered(e) {
			p = cmp.Or(p, e.Provider)
		}
	}
	return p
}

// effects are how often an order took effect, once it has in full.
func (r *recount) effects(o *tale) int {
	if n := r.applied(o); n > 1 || r.fulfilled(o) {
		return n
	}
	return 0
}

func keptOf(all []ledger.RetryStory) (out []string) {
	for _, s := range all {
		out = append(out, fmt.Sprint(s.Order, s.Provider, len(s.Deliveries), s.Acknowledged,
			s.Applied, s.RecoveredAfterMS, s.Event, s.Recovered))
	}
	return out
}

// kept are the orders that were in durable intake when an outage ended.
func (r *recount) kept(since, until int64) []string {
	var lines []line
	for _, o := range r.orders {
		kept, added := int64(0), o.first(landed)
		for _, e := range o.said {
			if e.Type == ledger.EventKept {
				kept = e.At
			}
		}
		if kept < since || kept > until || added != 0 && added < until {
			continue
		}
		after := int64(0)
		if added != 0 {
			after = added - kept
		}
		lines = append(lines, line{kept, o.id, fmt.Sprint(o.id, o.provider(), o.count(delivered),
			o.first(answered) != 0, r.effects(o), after, "", false)})
	}
	return sorted(lines)
}

// rates are the first deliveries that name a provider, a minute, from the whole hour on.
func (r *recount) rates(since, now int64) map[string]float64 {
	from := since - since%3_600_000
	minutes := float64(now-max(from, r.since)) / 60_000
	if minutes <= 0 {
		return nil
	}
	out := map[string]float64{}
	for _, o := range r.orders {
		i := slices.IndexFunc(o.said, delivered)
		if i < 0 || o.said[i].Provider == "" || o.said[i].At-o.said[i].At%3_600_000 < from {
			continue
		}
		out[o.said[i].Provider]++
	}
	for p := range out {
		out[p] /= max(minutes, 1)
	}
	return out
}

type line struct {
	at   int64
	by   string
	text string
}

func sorted(lines []line) (out []string) {
	slices.SortFunc(lines, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.by, b.by))
	})
	for _, l := range lines {
		out = append(out, l.text)
	}
	return out
}

// retold are the retries, each as one line.
func retold(all []ledger.RetryStory) (out []string) {
	for _, s := range all {
		out = append(out, fmt.Sprint(s.Order, s.Provider, s.Event, len(s.Deliveries),
			s.Acknowledged, s.Recovered, s.Applied, s.RecoveredAfterMS))
	}
	return out
}

func (r *recount) retold(since int64) []string {
	var lines []line
	for _, o := range r.orders {
		for k, of := range o.retries() {
			if !slices.ContainsFunc(of, func(e ledger.Event) bool {
				return refused(e) && e.At >= since
			}) {
				continue
			}
			after, ok := back(of)
			lines = append(lines, line{of[0].At, o.id + "\x00" + k[1], fmt.Sprint(o.id,
				cmp.Or(k[0], o.provider()), k[1], len(of), slices.ContainsFunc(of, answered), ok,
				r.effects(o), after)})
		}
	}
	return sorted(lines)
}
