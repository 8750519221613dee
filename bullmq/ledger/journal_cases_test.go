package ledger_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

// job is an event of one job of a queue.
func (s *script) job(at int64, kind, order, queue, id string, more ...func(*ledger.Event)) *script {
	e := ledger.Event{Type: kind, Order: order, Queue: queue, JobID: id, Side: ledger.Source}
	switch kind {
	case ledger.EventEnqueued:
		e.OK, e.Stage = true, "off"
	case ledger.EventExecuted:
		e.Outcome = ledger.OutcomeApplied
	}
	for _, f := range more {
		f(&e)
	}
	return s.add(at, e)
}

func outcome(o string) func(*ledger.Event) { return func(e *ledger.Event) { e.Outcome = o } }
func epoch(name string) func(*ledger.Event) {
	return func(e *ledger.Event) { e.Epoch = name }
}

func (s *script) fold(queues ...string) *ledger.Journal {
	j := ledger.NewJournal(queues...)
	for _, e := range s.events {
		j.Apply(e)
	}
	return j
}

const (
	added = ledger.EventEnqueued
	ran   = ledger.EventExecuted
)

// What the journals of several queues, instances and clocks amount to, and why.
func TestEachVerdictOfTheRecordHasItsReason(t *testing.T) {
	t.Parallel()
	const now, grace, day = 1_000_000, 60_000, 24 * 3_600_000
	old := int64(now - 2*grace)
	read := func(at int64) func(*ledger.Event) {
		return func(e *ledger.Event) { e.Read = at }
	}
	for _, tc := range []struct {
		rule   string
		j      *script
		queues []string
		want   ledger.Summary // of what is told apart below
	}{
		{
			"one order with a job in each of two queues: each has to take effect",
			new(script).job(old, added, "a", "orders", "1").job(old, added, "a", "refunds", "1").
				answered(old, "a", 200).job(old, ran, "a", "orders", "1"),
			[]string{"orders", "refunds"}, ledger.Summary{Lost: 1},
		},
		{
			"both have: once in each queue is once",
			new(script).job(old, added, "a", "orders", "1").job(old, added, "a", "refunds", "1").
				answered(old, "a", 200).job(old, ran, "a", "orders", "1").
				job(old, ran, "a", "refunds", "1"),
			[]string{"orders", "refunds"}, ledger.Summary{Fulfilled: 1},
		},
		{
			"twice in one of the queues is twice",
			new(script).job(old, added, "a", "orders", "1").job(old, added, "a", "orders", "2").
				answered(old, "a", 200).job(old, ran, "a", "orders", "1").
				job(old, ran, "a", "orders", "2"),
			[]string{"orders"}, ledger.Summary{Fulfilled: 1, Duplicated: 1},
		},
		{
			"a second job that found the order done is done",
			new(script).job(old, added, "a", "orders", "1").job(old, added, "a", "orders", "2").
				answered(old, "a", 200).job(old, ran, "a", "orders", "1").
				job(old, ran, "a", "orders", "2", outcome(ledger.OutcomeSuppressed)),
			[]string{"orders"}, ledger.Summary{Fulfilled: 1},
		},
		{
			"what another queue's job found done is not done here",
			new(script).job(old, added, "a", "orders", "1").job(old, added, "a", "refunds", "1").
				answered(old, "a", 200).job(old, ran, "a", "orders", "1").
				job(old, ran, "a", "refunds", "1", outcome(ledger.OutcomeSuppressed)),
			[]string{"orders", "refunds"}, ledger.Summary{Lost: 1},
		},
		{
			"a job that was added a moment ago has its time",
			new(script).job(old, added, "a", "orders", "1").answered(old, "a", 200).
				job(old, ran, "a", "orders", "1").job(now-10, added, "a", "refunds", "1"),
			[]string{"orders", "refunds"}, ledger.Summary{Pending: 1, PendingSource: 1},
		},
		{
			"an older app names no queue: there is one",
			new(script).job(old, added, "a", "", "1").answered(old, "a", 200).
				job(old, ran, "a", "orders", "1"),
			[]string{"orders"}, ledger.Summary{Fulfilled: 1},
		},
		{
			"an older app names no queue: there are two, and its run proves nothing of either",
			new(script).job(old, added, "a", "orders", "1").answered(old, "a", 200).
				job(old, ran, "a", "", "1"),
			[]string{"orders", "refunds"}, ledger.Summary{Lost: 1},
		},
		{
			"acknowledged in one instance's journal, run in another's",
			new(script).job(old, added, "a", "orders", "1", epoch("A")).answered(old, "a", 200).
				job(old, ran, "a", "orders", "1", epoch("B")),
			[]string{"orders"}, ledger.Summary{Fulfilled: 1},
		},
		{
			"run in both instances' journals",
			new(script).job(old, added, "a", "orders", "1", epoch("A")).answered(old, "a", 200).
				job(old, ran, "a", "orders", "1", epoch("A")).
				job(old, ran, "a", "orders", "1", epoch("B")),
			[]string{"orders"}, ledger.Summary{Fulfilled: 1, Duplicated: 1},
		},
		{
			"the app's clock is a day ahead: the order is as old as its reading",
			new(script).job(old+day, added, "a", "orders", "1", read(old)).add(old+day,
				ledger.Event{Type: ledger.EventDelivery, Order: "a", Status: 200, Read: old}),
			[]string{"orders"}, ledger.Summary{Lost: 1},
		},
		{
			"the app tells no time: it was acknowledged when that was read",
			new(script).job(old, added, "a", "orders", "1").add(0,
				ledger.Event{Type: ledger.EventDelivery, Order: "a", Status: 200, Read: old}),
			[]string{"orders"}, ledger.Summary{Lost: 1},
		},
		{
			"nobody says when it was read: an order of tomorrow is not fresh",
			new(script).job(now+day, added, "a", "orders", "1").answered(now+day, "a", 200),
			[]string{"orders"}, ledger.Summary{Future: 1},
		},
		{
			"under way on the target: the source owes nothing",
			new(script).job(now-10, added, "a", "orders", "1", func(e *ledger.Event) {
				e.Side = ledger.Target
			}).answered(now-10, "a", 200),
			[]string{"orders"}, ledger.Summary{Pending: 1},
		},
		{
			"under way, nobody knows where: the source may owe it",
			new(script).answered(now-10, "a", 200),
			[]string{"orders"}, ledger.Summary{Pending: 1, PendingSource: 1},
		},
		{
			"it is called a canary when it is lost",
			new(script).job(old, added, "a", "orders", "1").answered(old, "a", 200).
				job(now, ran, "a", "orders", "1", outcome(ledger.OutcomeCanary)),
			[]string{"orders"}, ledger.Summary{Lost: 1, Contradicted: 1},
		},
		{
			"another order's canary names its job",
			new(script).job(old, added, "a", "orders", "1").answered(old, "a", 200).
				job(old, ran, "a", "orders", "1").
				job(now, added, "c", "orders", "1", func(e *ledger.Event) { e.Canary = true }),
			[]string{"orders"}, ledger.Summary{Fulfilled: 1, Contradicted: 1},
		},
		{
			"the name alone makes no canary: it was acknowledged as an order",
			new(script).job(old, added, "canary_a", "orders", "1").answered(old, "canary_a", 200).
				job(now, ran, "canary_a", "orders", "1", outcome(ledger.OutcomeCanary)),
			[]string{"orders"}, ledger.Summary{Lost: 1, Contradicted: 1},
		},
		{
			"a canary of ours whose worker's entry came first",
			new(script).job(old, ledger.EventFailed, "canary_a", "orders", "1").
				job(old, added, "canary_a", "orders", "1",
					func(e *ledger.Event) { e.Canary = true }),
			[]string{"orders"}, ledger.Summary{},
		},
		{
			"an order that nobody promised anything is called a canary",
			new(script).job(old, ledger.EventFailed, "a", "orders", "1").
				job(now, added, "a", "orders", "1", canary),
			[]string{"orders"}, ledger.Summary{Contradicted: 1},
		},
		{
			"one that took effect is called a canary, and has a canary's name",
			new(script).job(old, ran, "canary_a", "orders", "1").
				job(now, added, "canary_a", "orders", "1", canary),
			[]string{"orders"}, ledger.Summary{Fulfilled: 1, Contradicted: 1},
		},
		{
			"a canary that took effect is no canary",
			new(script).job(old, added, "c", "orders", "1", func(e *ledger.Event) {
				e.Canary = true
			}).job(old, ran, "c", "orders", "1"),
			[]string{"orders"}, ledger.Summary{Fulfilled: 1, Contradicted: 1},
		},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			s := tc.j.fold(tc.queues...).Summary(time.UnixMilli(now), grace*time.Millisecond)
			got := ledger.Summary{Fulfilled: s.Fulfilled, Lost: s.Lost, Duplicated: s.Duplicated,
				Pending: s.Pending, PendingSource: s.PendingSource, Future: s.Future,
				Contradicted: s.Contradicted}
			if g, w := marshal(t, got), marshal(t, tc.want); g != w {
				t.Errorf("\n got %s\nwant %s", g, w)
			}
		})
	}
}

func TestAJobIsKnownByItsQueueAndId(t *testing.T) {
	t.Parallel()
	j := new(script).job(1, added, "a", "orders", "42").answered(2, "a", 200).
		job(3, ran, "a", "orders", "42").
		job(4, added, "b", "refunds", "42").answered(5, "b", 200).
		job(6, added, "c", "orders", "7").job(6, added, "d", "orders", "7").
		job(7, ran, "c", "orders", "7").fold("orders", "refunds")
	for _, tc := range []struct {
		rule, queue, id string
		want            ledger.Facts
	}{
		{"it ran", "orders", "42", ledger.Facts{Known: true, Acknowledged: true, Applied: 1}},
		{"the other queue's job of that id ran, not this", "refunds", "42",
			ledger.Facts{Known: true, Acknowledged: true}},
		{"a queue that nobody told of", "mails", "42", ledger.Facts{}},
		{"two orders say that it is theirs: nothing is proven", "orders", "7",
			ledger.Facts{Known: true}},
	} {
		got := j.Job(tc.queue, tc.id)
		if got.Sent = [4]bool{}; got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.rule, got, tc.want)
		}
	}
}

func TestAnEventComesAgainByItsOwnIdAndProvider(t *testing.T) {
	t.Parallel()
	said := func(provider, event string, status int) ledger.Event {
		return ledger.Event{Type: ledger.EventDelivery, Order: "a", Provider: provider,
			EventID: event, Status: status}
	}
	for _, tc := range []struct {
		rule string
		said []ledger.Event
		want map[string]bool // by provider and event, whether it recovered
	}{
		{"refused, and back", []ledger.Event{said("s", "1", 503), said("s", "1", 200)},
			map[string]bool{"s 1": true}},
		{"refused, failed, and back", []ledger.Event{said("s", "1", 503), said("s", "1", 500),
			said("s", "1", 200)}, map[string]bool{"s 1": true}},
		{"refused, back, and failed when it came once more", []ledger.Event{said("s", "1", 503),
			said("s", "1", 200), said("s", "1", 500)}, map[string]bool{"s 1": true}},
		{"refused, and never acknowledged", []ledger.Event{said("s", "1", 503), said("s", "1", 199),
			said("s", "1", 302)}, map[string]bool{"s 1": false}},
		{"another event of the order was acknowledged before and after",
			[]ledger.Event{said("s", "1", 200), said("s", "2", 503), said("s", "1", 200)},
			map[string]bool{"s 2": false}},
		{"another provider's event of that id",
			[]ledger.Event{said("s", "1", 503), said("p", "1", 200)}, map[string]bool{"s 1": false}},
		{"acknowledged before, refused when it came once more",
			[]ledger.Event{said("s", "1", 200), said("s", "1", 503)}, map[string]bool{"s 1": false}},
	} {
		s := new(script)
		for i, e := range tc.said {
			s.add(int64(i+1), e)
		}
		got := map[string]bool{}
		for _, r := range s.fold().Retries(0) {
			got[r.Provider+" "+r.Event] = r.Recovered
		}
		if g, w := marshal(t, got), marshal(t, tc.want); g != w {
			t.Errorf("%s: %s, want %s", tc.rule, g, w)
		}
	}
}

func TestAWindowNamesTheOrdersOfWhichNoCopyWasMade(t *testing.T) {
	t.Parallel()
	stage := func(s string) func(*ledger.Event) { return func(e *ledger.Event) { e.Stage = s } }
	copied := func(e *ledger.Event) { e.Shadow, e.Side, e.Stage = true, ledger.Target, "shadow" }
	j := new(script).job(10, added, "copied", "orders", "1", stage("shadow")).
		job(11, added, "copied", "orders", "1", copied).
		job(12, added, "alone", "orders", "2", stage("off")).
		job(13, added, "unknown", "orders", "3", stage("")).
		answered(14, "nowhere", 200).answered(15, "refused", 503).fold("orders")
	s := j.Window(10, 20, time.UnixMilli(30), time.Second)
	if s.ShadowExpected != 1 || s.ShadowEnqueued != 1 || s.Alone != 3 {
		t.Errorf("%+v", s)
	}
}

// A process that has begun again knows minutes of the orders that are in order, and when the
// first and the last of those without a copy came in.
func TestAWindowTellsOrdersWithoutACopyThatCameInBefore(t *testing.T) {
	t.Parallel()
	const start = 600_000 // of a minute
	order := func(s *script, at int64, id, stage string) {
		s.enqueued(start+at, id, stage).answered(start+at+1, id, 200).
			executed(start+at+2, id, ledger.OutcomeApplied, "r")
	}
	s := new(script)
	order(s, 5_000, "first", "off")
	order(s, 9_000, "last", "off")
	s.enqueued(start+20_000, "copied", "shadow").shadow(start+20_000, "copied", true).
		answered(start+20_001, "copied", 200).
		executed(start+20_002, "copied", ledger.OutcomeCompared, "r").
		executed(start+20_003, "copied", ledger.OutcomeApplied, "r")
	for _, tc := range []struct {
		rule         string
		since, until int64
		forgets      string // what an older row of the minute does not hold
		cut          int
	}{
		{"it begins after the last", 10_000, 0, "", 0},
		{"it begins between them", 7_000, 0, "", 2},
		{"it begins with the last", 9_000, 0, "", 2},
		{"it ends before the first", 1, 5_000, "", 0},
		{"it ends after the first", 1, 5_001, "", 2},
		{"times that were not saved", 10_000, 0, "alone_", 2},
		{"times that were not saved, of a minute before", 60_000, 0, "alone_", 0},
		{"times that were not saved, of a minute that it is in", 0, 60_000, "alone_", 0},
		{"times that were not saved, of a minute after", -120_000, -1, "alone_", 0},
		{"times that were not saved, of a minute that it ends in", -120_000, 1, "alone_", 2},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			db, j := &saved{}, ledger.NewJournal("orders", "refunds")
			j.Keep(true)
			for i, e := range s.events { // each order changes its minute several times
				j.Apply(e)
				if i%2 == 0 {
					db.save(t, j, e.At)
				}
			}
			db.save(t, j, start+30_000)
			if tc.forgets != "" {
				for m, row := range db.Minutes {
					db.Minutes[m] = json.RawMessage(strings.ReplaceAll(string(row), tc.forgets, "no_"))
				}
			}
			j = restored(t, db)
			if tc.until != 0 {
				tc.until += start
			}
			got := j.Window(start+tc.since, tc.until, time.UnixMilli(start+60_000), time.Minute)
			if got.Cut != tc.cut {
				t.Errorf("%d may be in the window, want %d", got.Cut, tc.cut)
			}
			if got := j.Window(start, 0, time.UnixMilli(start+60_000), time.Minute); got.Orders != 3 {
				t.Errorf("from its beginning: %+v", got)
			}
		})
	}
}

// Lost is lost until proof: neither a clock that goes back nor a longer deadline ends it.
func TestAnOrderThatWasFoundLostStaysSo(t *testing.T) {
	t.Parallel()
	s := new(script).job(1000, added, "a", "orders", "1").answered(1000, "a", 200)
	j := s.fold("orders")
	j.Keep(true)
	for range 2 { // found at the first save at which it is known to be open
		if _, err := j.Changes(time.UnixMilli(100_000), time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if got := j.Summary(time.UnixMilli(1001), time.Hour); got.Lost != 1 {
		t.Errorf("after the clock went back: %+v", got)
	}
	j.Apply(ledger.Event{Seq: 9, At: 100_001, Type: ran, Order: "a", Queue: "orders", JobID: "1",
		Outcome: ledger.OutcomeApplied})
	if got := j.Summary(time.UnixMilli(200_000), time.Second); got.Lost != 0 ||
		got.Fulfilled != 1 {
		t.Errorf("after it took effect: %+v", got)
	}
}

func TestADecisionIsAboutWhatWasWrongThen(t *testing.T) {
	t.Parallel()
	s := new(script).job(1, added, "a", "orders", "1").answered(1, "a", 200).
		job(2, ran, "a", "orders", "1").job(3, ran, "a", "orders", "1")
	j := s.fold("orders")
	now, grace := time.UnixMilli(10), time.Second
	found := j.Findings(now, grace, 10)
	j.Decided(map[string]bool{ledger.Finding("a", found["a"]): true})
	if got := j.Summary(now, grace); got.Red() != 0 || got.Decided != 1 {
		t.Errorf("%+v, found %v", got, found)
	}
	j.Apply(ledger.Event{Seq: 9, At: 4, Type: ran, Order: "a", Queue: "orders", JobID: "1",
		Outcome: ledger.OutcomeApplied})
	if got := j.Summary(now, grace); got.Duplicated != 1 || got.Decided != 0 {
		t.Errorf("after a third run: %+v", got)
	}
}

// saved is what a database would hold.
type saved struct{ ledger.JournalState }

func (s *saved) save(t *testing.T, j *ledger.Journal, now int64) {
	t.Helper()
	c, err := j.Changes(time.UnixMilli(now), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	s.Since, s.Newest, s.Arrivals, s.Last = c.Since, c.Newest, c.Arrivals, c.Last
	for _, id := range c.Gone {
		delete(s.Orders, id)
	}
	if s.Orders == nil {
		s.Orders, s.Minutes = c.Orders, c.Minutes
	}
	for id, o := range c.Orders {
		s.Orders[id] = o
	}
	for m, b := range c.Minutes {
		s.Minutes[m] = b
	}
	s.Known = append(s.Known, c.Known...)
	s.KnownJobs = append(s.KnownJobs, c.KnownJobs...)
}

// Every order of a scenario is followed event by event, and the record is saved and gone on
// from between any two of them: it tells the same as one that never was.
func TestARecordThatIsSavedAndRestoredTellsTheSame(t *testing.T) {
	t.Parallel()
	s := new(script).job(1, added, "once", "orders", "1").answered(2, "once", 200).
		job(3, ran, "once", "orders", "1").answered(4, "once", 200). // delivered again
		job(5, added, "once", "orders", "1").
		job(6, added, "twice", "orders", "2").answered(7, "twice", 200).
		job(8, ran, "twice", "orders", "2").job(9, ran, "twice", "orders", "2").
		job(10, added, "lost", "orders", "3").answered(11, "lost", 200).
		answered(12, "refused", 503).
		job(13, added, "half", "orders", "4").job(13, added, "half", "refunds", "4").
		answered(14, "half", 200).job(15, ran, "half", "orders", "4")
	const now, grace = 10_000_000, time.Minute
	for i := range s.events {
		s.events[i].At += 600_000
	}
	want := s.fold("orders", "refunds").Summary(time.UnixMilli(now), grace)
	for cut := range s.events {
		db := &saved{}
		j := ledger.NewJournal("orders", "refunds")
		j.Keep(true)
		for i, e := range s.events {
			if i == cut {
				db.save(t, j, e.At)
				var err error
				if j, err = ledger.RestoreJournal(db.JournalState, "orders", "refunds"); err != nil {
					t.Fatal(err)
				}
				j.Keep(true)
				for _, again := range s.events[:i] { // read again: it changes nothing
					j.Apply(again)
				}
			}
			j.Apply(e)
		}
		for range 2 {
			db.save(t, j, now)
		}
		for name, j := range map[string]*ledger.Journal{"gone on": j, "restored": restored(t, db)} {
			got := j.Summary(time.UnixMilli(now), grace)
			got.AloneIDs, want.AloneIDs = nil, nil
			if g, w := marshal(t, got), marshal(t, want); g != w {
				t.Errorf("%s, saved before event %d:\n got %s\nwant %s", name, cut, g, w)
			}
		}
		// a second run of what was only counted is seen, in its queue alone
		j = restored(t, db)
		j.Apply(ledger.Event{Seq: 98, At: 600_020, Type: ran, Order: "once", Queue: "refunds",
			JobID: "9", Outcome: ledger.OutcomeApplied})
		if got := j.Summary(time.UnixMilli(now), grace); got.Duplicated != 1 {
			t.Errorf("a first run of another queue after a restart: %+v", got)
		}
		j.Apply(ledger.Event{Seq: 99, At: 600_020, Type: ran, Order: "once", Queue: "orders",
			JobID: "1", Outcome: ledger.OutcomeApplied})
		if got := j.Summary(time.UnixMilli(now), grace); got.Duplicated != 2 {
			t.Errorf("a second run after a restart: %+v", got)
		}
	}
}

func restored(t *testing.T, db *saved) *ledger.Journal {
	t.Helper()
	j, err := ledger.RestoreJournal(db.JournalState, "orders", "refunds")
	if err != nil {
		t.Fatal(err)
	}
	return j
}
