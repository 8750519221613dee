package ledger_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

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
		e.Result = []string{"", "r", "r", "r", "q", "d"}[r.IntN(6)]
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
