package ledger_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

// script builds events with rising sequence numbers; times are unix ms.
type script struct {
	seq    int64
	events []ledger.Event
}

func (s *script) add(at int64, e ledger.Event) *script {
	s.seq++
	e.Seq, e.At = s.seq, at
	s.events = append(s.events, e)
	return s
}

func (s *script) enqueued(at int64, order, stage string) *script {
	return s.add(at,
		ledger.Event{Type: ledger.EventEnqueued, Order: order, OK: true, Stage: stage})
}

func (s *script) shadow(at int64, order string, ok bool) *script {
	return s.add(at, ledger.Event{Type: ledger.EventEnqueued, Order: order, OK: ok,
		Shadow: true, Stage: "shadow"})
}

func (s *script) answered(at int64, order string, status int) *script {
	return s.add(at, ledger.Event{Type: ledger.EventDelivery, Order: order, Status: status})
}

func (s *script) executed(at int64, order, outcome, result string) *script {
	return s.add(at, ledger.Event{Type: ledger.EventExecuted, Order: order, Outcome: outcome,
		Result: result})
}

// sent and got are an add and a run that report the digest of the job's data.
func (s *script) sent(at int64, order, digest string, shadow bool) *script {
	return s.add(at, ledger.Event{Type: ledger.EventEnqueued, Order: order,
		JobID: "job-" + order, OK: true, Stage: "live", Shadow: shadow, Digest: digest})
}

func (s *script) got(at int64, order, outcome, digest string) *script {
	e := ledger.Event{Type: ledger.EventExecuted, Order: order, JobID: "job-" + order,
		Side: ledger.Source, Outcome: outcome, Result: "h", Digest: digest}
	if outcome == ledger.OutcomeCompared {
		e.Mode, e.Side = ledger.ModeShadow, ledger.Target
	}
	return s.add(at, e)
}

func (s *script) journal() *ledger.Journal {
	j := ledger.NewJournal("orders")
	for _, e := range s.events {
		j.Apply(e)
	}
	return j
}

func TestJournalVerdicts(t *testing.T) {
	t.Parallel()
	const now, grace = 100_000, 10 * time.Second
	for _, tt := range []struct {
		rule string
		j    *script
		want ledger.Summary
	}{
		{"acknowledged and applied once is fulfilled", new(script).enqueued(1, "a",
			"off").answered(2, "a", 200).executed(3, "a", "applied", "h"),
			ledger.Summary{Orders: 1, Acknowledged: 1, Fulfilled: 1}},
		{"acknowledged and never applied is lost after the grace",
			new(script).enqueued(1, "a", "off").answered(2, "a", 200),
			ledger.Summary{Orders: 1, Acknowledged: 1, Lost: 1, LostIDs: []string{"a"},
				OldestOpenMS: now - 2}},
		{"within the grace it is pending",
			new(script).enqueued(now-6, "a", "off").answered(now-5, "a", 200),
			ledger.Summary{Orders: 1, Acknowledged: 1, Pending: 1, PendingSource: 1,
				OldestOpenMS: 5}},
		{"a late run makes a lost order fulfilled", new(script).enqueued(1, "a",
			"off").answered(2, "a", 200).executed(now, "a", "applied", "h"),
			ledger.Summary{Orders: 1, Acknowledged: 1, Fulfilled: 1}},
		{"applied twice is a duplicate", new(script).enqueued(1, "a", "off").answered(2, "a",
			200).executed(3, "a", "applied", "h").executed(4, "a", "applied", "h"),
			ledger.Summary{Orders: 1, Acknowledged: 1, Fulfilled: 1, Duplicated: 1,
				DuplicatedIDs: []string{"a"}}},
		{"a second run that was caught is none",
			new(script).enqueued(1, "a", "off").answered(2, "a", 200).executed(3, "a",
				"applied", "h").executed(4, "a", "suppressed", "h"),
			ledger.Summary{Orders: 1, Acknowledged: 1, Fulfilled: 1, Suppressed: 1}},
		{"a shadow run does not fulfil", new(script).enqueued(1, "a", "shadow").shadow(1, "a",
			true).answered(2, "a", 200).executed(3, "a", "compared", "h"),
			ledger.Summary{Orders: 1, Acknowledged: 1, Lost: 1, LostIDs: []string{"a"},
				OldestOpenMS: now - 2, ShadowExpected: 1, ShadowEnqueued: 1}},
		{"a misrouted run does not fulfil", new(script).enqueued(1, "a", "off").answered(now,
			"a", 200).executed(3, "a", "misrouted", ""),
			ledger.Summary{Orders: 1, Acknowledged: 1, Pending: 1, PendingSource: 1,
				Misrouted: 1}},
		{"a 503 alone promises nothing", new(script).answered(2, "a", 503),
			ledger.Summary{Orders: 1, Rejected503: 1}},
		{"a 503 that was delivered again", new(script).answered(2, "a", 503).enqueued(3, "a",
			"off").answered(4, "a", 200).executed(5, "a", "applied", "h"),
			ledger.Summary{Orders: 1, Acknowledged: 1, Fulfilled: 1, Rejected503: 1,
				RetriedOK: 1}},
		{"an acknowledgement before the 503 is no retry", new(script).enqueued(1, "a",
			"off").answered(2, "a", 200).answered(3, "a", 503).executed(5, "a", "applied", "h"),
			ledger.Summary{Orders: 1, Acknowledged: 1, Fulfilled: 1, Rejected503: 1}},
		{"equal results are compared",
			new(script).enqueued(1, "a", "live").shadow(1, "a", true).answered(2, "a",
				200).executed(3, "a", "applied", "h").executed(4, "a", "compared", "h"),
			ledger.Summary{Orders: 1, Acknowledged: 1, Fulfilled: 1, ShadowExpected: 1,
				ShadowEnqueued: 1, ShadowCompared: 1}},
		{"results that are the digest of the data are told apart",
			new(script).enqueued(1, "a", "live").shadow(1, "a", true).answered(2, "a",
				200).executed(3, "a", "applied", "d").add(4, ledger.Event{
				Type: ledger.EventExecuted, Order: "a", Outcome: "compared", Result: "d",
				Digest: "d"}),
			ledger.Summary{Orders: 1, Acknowledged: 1, Fulfilled: 1, ShadowExpected: 1,
				ShadowEnqueued: 1, ShadowCompared: 1, OfData: 1}},
		{"different results are a mismatch",
			new(script).enqueued(1, "a", "live").shadow(1, "a", true).answered(2, "a",
				200).executed(4, "a", "compared", "x").executed(5, "a", "applied", "h"),
			ledger.Summary{Orders: 1, Acknowledged: 1, Fulfilled: 1, ShadowExpected: 1,
				ShadowEnqueued: 1, ShadowCompared: 1, Mismatches: 1,
				MismatchIDs: []string{"a"}}},
		{"a copy that was added, and was not the second time, is there",
			new(script).enqueued(1, "a", "dualwrite").shadow(1, "a", true).shadow(2, "a",
				false).answered(2, "a", 200).executed(5, "a", "applied", "h"),
			ledger.Summary{Orders: 1, Acknowledged: 1, Fulfilled: 1, ShadowExpected: 1,
				ShadowEnqueued: 1}},
		{"a failed shadow add shows", new(script).enqueued(1, "a", "dualwrite").shadow(1, "a",
			false).answered(2, "a", 200).executed(5, "a", "applied", "h"),
			ledger.Summary{Orders: 1, Acknowledged: 1, Fulfilled: 1, ShadowExpected: 1}},
		{"an acknowledgement without an add shows", new(script).answered(now, "a", 200),
			ledger.Summary{Orders: 1, Acknowledged: 1, Pending: 1, PendingSource: 1,
				NotEnqueued: 1}},
		{"canaries are not orders", new(script).add(1,
			ledger.Event{Type: "enqueued", Order: "c", Canary: true, OK: true}).add(2,
			ledger.Event{Type: ledger.EventDelivery, Order: "c", Canary: true,
				Status: 200}).executed(3, "c", "canary", "").
			executed(4, "d", "canary", ""), ledger.Summary{}},
	} {
		got := tt.j.journal().Summary(time.UnixMilli(now), grace)
		if g, w := marshal(t, got), marshal(t, tt.want); g != w {
			t.Errorf("%s:\n got %s\nwant %s", tt.rule, g, w)
		}
	}
}

// many is one job that was sent with n different data.
func many(n int) *script {
	s := new(script)
	for i := range n {
		s.sent(1, "a", fmt.Sprint("d", i), false)
	}
	return s
}

func TestDataThatDiffersIsAMismatchThatNamesBothDigests(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rule string
		j    *script
		want string // "": nothing differs
	}{
		{"the same data",
			new(script).sent(1, "a", "d1", false).sent(1, "a", "d1", true).answered(2, "a",
				200).got(3, "a", "applied", "d1").got(4, "a", "compared", "d1"), ""},
		{"an app that tells no digest of the run", new(script).sent(1, "a", "d1",
			false).answered(2, "a", 200).got(3, "a", "applied", ""), ""},
		{"an app that tells no digest of the add", new(script).sent(1, "a", "",
			false).answered(2, "a", 200).got(3, "a", "applied", "d1"), ""},
		{"the run is journalled before the add", new(script).got(1, "a", "applied",
			"d1").sent(2, "a", "d1", false).answered(2, "a", 200), ""},
		{"another delivery with other bytes, of which the first is run",
			new(script).sent(1, "a", "d1", false).sent(2, "a", "d2", false).answered(2, "a",
				200).got(3, "a", "applied", "d1"), ""},
		{"two jobs of one order have data of their own", new(script).sent(1, "a", "d1",
			false).answered(2, "a", 200).got(3, "a", "applied", "d1").
			add(4, ledger.Event{Type: ledger.EventEnqueued, Order: "a", JobID: "job-b",
				OK: true, Shadow: true, Digest: "d2"}).
			add(5, ledger.Event{Type: ledger.EventExecuted, Order: "a", JobID: "job-b",
				Outcome: "compared", Mode: "shadow", Result: "h", Digest: "d2"}), ""},
		{"the worker got other data", new(script).sent(1, "a", "d1", false).answered(2, "a",
			200).got(3, "a", "applied", "d2"),
			"the worker on source got data d2, but d1 was sent"},
		{"the worker got the data of the order's other job",
			new(script).sent(1, "a", "d1", false).answered(2, "a", 200).
				add(3, ledger.Event{Type: ledger.EventEnqueued, Order: "a", JobID: "job-b",
					OK: true, Digest: "d2"}).got(4, "a", "applied", "d2"),
			"got data d2, but d1 was sent"},
		{"the worker got nothing, and knows the job alone",
			new(script).sent(1, "a", "d1", false).answered(2, "a", 200).
				add(3, ledger.Event{Type: ledger.EventFailed, JobID: "job-a",
					Side:   ledger.Target,
					Digest: "e0"}), "the worker on target got data e0, but d1 was sent"},
		{"the shadow run got other data",
			new(script).sent(1, "a", "d1", false).sent(1, "a", "d1", true).answered(2, "a",
				200).got(3, "a", "applied", "d1").got(4, "a", "compared", "d2"),
			"the worker on target (shadow) got data d2, but d1 was sent"},
		{"the copy was sent with other data", new(script).sent(1, "a", "d1", false).sent(1,
			"a", "d2", true).answered(2, "a", 200).got(3, "a", "applied", "d1"),
			"the shadow copy was sent with data d2, the order with d1"},
		{"data that was sent twice is named once", new(script).sent(1, "a", "d1", false).sent(2, "a",
			"d1", false).answered(2, "a", 200).got(3, "a", "applied", "d2"),
			"the worker on source got data d2, but d1 was sent"},
		{"more different data than anybody can tell apart", many(17).answered(2, "a",
			200).got(3, "a", "applied", "d16"), "the worker on source got data d16, but d0 or d1"},
		{"as much different data as can be told apart", many(17).answered(2, "a",
			200).got(3, "a", "applied", "d15"), ""},
		{"workers got more different data than anybody can tell apart", func() *script {
			s := many(16)
			for i := range 17 {
				s.add(2, ledger.Event{Type: ledger.EventFailed, Order: "a", JobID: "job-a",
					Side: []string{ledger.Source, ledger.Target}[i/16], Digest: fmt.Sprint("d", i%16)})
			}
			return s
		}(), "workers got more than 16 different data"},
		{"one attempt after the other got the same data", func() *script {
			s := new(script).sent(1, "a", "d1", false)
			for range 20 {
				s.got(2, "a", "misrouted", "d1")
			}
			return s
		}(), ""},
		{"the second copy was sent with other data", new(script).sent(1, "a", "d1", false).sent(1,
			"a", "d1", true).sent(2, "a", "d2", true).answered(2, "a", 200),
			"the shadow copy was sent with data d2, the order with d1"},
		{"a copy's data was sent, and the run got other", new(script).sent(1, "a", "d1", true).
			answered(2, "a", 200).got(3, "a", "applied", "d2"),
			"the worker on source got data d2, but d1 was sent"},
		{"run and copy are of different deliveries", new(script).sent(1, "a", "d1",
			false).sent(2, "a", "d2", false).sent(2, "a", "d2", true).answered(2, "a",
			200).got(3, "a", "applied", "d1").got(4, "a", "compared", "d2"),
			"the run got data d1, the shadow run d2"},
	} {
		l := tt.j.journal()
		s, story := l.Summary(time.UnixMilli(100), time.Second), l.Job("orders", "job-a").Different
		found, _ := l.Find("a")
		if tt.want == "" {
			if s.Mismatches+s.DataMismatches+len(s.MismatchIDs) != 0 || story != "" ||
				found.Different != "" {
				t.Errorf("%s: %+v, %s, %s", tt.rule, s, story, found.Different)
			}
			continue
		}
		if s.Mismatches != 1 || s.DataMismatches != 1 || !slices.Equal(s.MismatchIDs,
			[]string{"a"}) || !strings.Contains(story, tt.want) || found.Different != story {
			t.Errorf("%s: %+v, %s", tt.rule, s, story)
		}
	}
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (s *script) kept(at int64, order string) *script {
	return s.add(at, ledger.Event{Type: ledger.EventKept, Order: order})
}

func TestOrdersInTheDurableIntakeAreNeitherLostNorForgotten(t *testing.T) {
	const grace, long = 60_000, 1_000_000
	waiting := (&script{}).kept(100, "a").answered(101, "a", 200)
	released := (&script{}).kept(100, "a").answered(101, "a", 200).enqueued(long, "a", "live")
	for rule, tc := range map[string]struct {
		j       *script
		backlog *ledger.Backlog
		now     int64
		want    ledger.Summary
	}{
		"in the intake, however long": {waiting,
			&ledger.Backlog{Orders: 1, Oldest: 100}, long,
			ledger.Summary{Pending: 1, Held: 1, HeldLate: 1}},
		"in the intake, within its time": {waiting,
			&ledger.Backlog{Orders: 1, Oldest: 100}, 10_000,
			ledger.Summary{Pending: 1, Held: 1}},
		"the intake is empty and no job was made": {waiting, &ledger.Backlog{},
			long, ledger.Summary{Lost: 1, NotEnqueued: 1}},
		"everything in the intake is younger": {waiting,
			&ledger.Backlog{Orders: 5, Oldest: 101}, long,
			ledger.Summary{Lost: 1, NotEnqueued: 1}},
		"the app does not tell of its intake": {waiting, nil, long,
			ledger.Summary{Lost: 1, NotEnqueued: 1}},
		"enqueued late: its time begins with its job": {released, &ledger.Backlog{},
			long + grace, ledger.Summary{Pending: 1}},
		"enqueued and never run is lost": {released,
			&ledger.Backlog{Orders: 9, Oldest: 1}, long + grace + 1, ledger.Summary{Lost: 1}},
		"a backlog does not vouch for what was enqueued": {(&script{}).enqueued(100, "a",
			"live").answered(101, "a", 200), &ledger.Backlog{Orders: 1, Oldest: 1}, long,
			ledger.Summary{Lost: 1}},
		"a failed try leaves it in the intake": {(&script{}).kept(100,
			"a").answered(101, "a", 200).add(200, ledger.Event{Type: ledger.EventEnqueued,
			Order: "a"}), &ledger.Backlog{Orders: 1, Oldest: 99}, long,
			ledger.Summary{Pending: 1, Held: 1, HeldLate: 1}},
		"lost once, taken in again by the provider's retry": {(&script{}).kept(100,
			"a").answered(101, "a", 200).kept(500, "a").answered(501, "a", 200),
			&ledger.Backlog{Orders: 1, Oldest: 499}, 10_000,
			ledger.Summary{Pending: 1, Held: 1}},
		"run although it is still in the intake: once is once": {(&script{}).kept(100,
			"a").answered(101, "a", 200).executed(300, "a", ledger.OutcomeApplied, "r"),
			&ledger.Backlog{Orders: 1, Oldest: 100}, long, ledger.Summary{Fulfilled: 1}},
	} {
		t.Run(rule, func(t *testing.T) {
			l := tc.j.journal()
			if tc.backlog != nil {
				l.Backlog("", *tc.backlog)
			}
			got := l.Summary(time.UnixMilli(tc.now), grace*time.Millisecond)
			tc.want.Orders, tc.want.Acknowledged = 1, 1
			got.LostIDs, got.OldestOpenMS, got.ShadowExpected = nil, 0, 0
			got.Alone, got.AloneIDs = 0, nil
			got.TargetDone = 0
			if got.PendingSource, got.OnTarget = 0, 0; !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
		})
	}
}

func TestOrdersThatAnOutageHeldUpAreToldUntilTheirJobWasAdded(t *testing.T) {
	l := (&script{}).
		kept(90, "before").enqueued(95, "before", "off").
		kept(100, "a").answered(101, "a", 200).enqueued(260, "a", "off").
		kept(150, "waits").
		kept(160, "on its way").enqueued(165, "on its way", "off").
		kept(250, "after").enqueued(255, "after", "off").journal()
	var got []string
	for _, s := range l.Kept(100, 200) {
		got = append(got, fmt.Sprint(s.Order, " ", s.RecoveredAfterMS))
	}
	if want := []string{"a 160", "waits 0"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestJournalIgnoresWhatItHasFolded(t *testing.T) {
	t.Parallel()
	j := new(script).enqueued(1, "a", "off").answered(2, "a", 200).executed(3, "a",
		"applied", "h")
	l := j.journal()
	for _, e := range j.events {
		l.Apply(e)
	}
	if s := l.Summary(time.UnixMilli(4), time.Second); s.Duplicated != 0 || s.Fulfilled != 1 {
		t.Errorf("after reading the journal twice: %+v", s)
	}
	for _, e := range j.events {
		e.Epoch = "another journal"
		l.Apply(e)
	}
	if s := l.Summary(time.UnixMilli(4), time.Second); s.Duplicated != 1 {
		t.Errorf("a run in another journal is a second run: %+v", s)
	}
}

func TestJournalWindowAndRetries(t *testing.T) {
	t.Parallel()
	j := new(script).enqueued(10, "a", "off").answered(11, "a", 200).executed(12, "a",
		"applied", "h").
		answered(20, "b", 503).enqueued(25, "b", "off").answered(30, "b", 200).executed(31, "b",
		"applied", "h").
		answered(40, "c", 503)
	l := j.journal()
	if s := l.Window(20, 40, time.UnixMilli(50), time.Second); s.Orders != 1 ||
		s.RetriedOK != 1 {
		t.Errorf("window: %+v", s)
	}
	if s := l.Window(20, 0, time.UnixMilli(50), time.Second); s.Orders != 1 {
		t.Errorf("open window: %+v", s)
	}
	got := l.Retries(15)
	if len(got) != 2 || got[0].Order != "b" || !got[0].Acknowledged || got[0].Applied != 1 ||
		len(got[0].Deliveries) != 2 || got[1].Order != "c" || got[1].Acknowledged {
		t.Errorf("retries: %+v", got)
	}
	if got := l.Retries(35); len(got) != 1 || got[0].Order != "c" {
		t.Errorf("later retries: %+v", got)
	}
}

func TestJournalReadersMayRunBesideTheWriter(t *testing.T) {
	t.Parallel()
	l := ledger.NewJournal("orders")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				l.Summary(time.Now(), time.Second)
				l.Retries(0)
			}
		})
	}
	j := new(script)
	for i := range 500 {
		j.answered(int64(i), string(rune('a'+i%26)), []int{200, 503}[i%2])
	}
	for e := range slices.Values(j.events) {
		l.Apply(e)
	}
	wg.Wait()
}

// Many orders that are in order leave nothing behind but their counters.
func TestWhatIsInOrderLeavesTheMemoryAndIsRecognisedWhenItComesAgain(t *testing.T) {
	t.Parallel()
	o := ledger.NewJournal("orders")
	seq, at := int64(0), int64(1_795_500_000_000)
	tell := func(e ledger.Event) {
		seq++
		e.Seq, e.At = seq, at
		o.Apply(e)
	}
	n := 150_000
	if testing.Short() {
		n = 1500
		o.KeepOrders(1000)
	}
	for i := range n {
		id := strconv.Itoa(i)
		at += int64(1_500_000 / n)
		tell(ledger.Event{Type: ledger.EventEnqueued, Order: id, JobID: "job-" + id,
			Side: ledger.Source, OK: true})
		tell(ledger.Event{Type: ledger.EventDelivery, Order: id, Status: 200})
		tell(ledger.Event{Type: ledger.EventExecuted, Order: id, JobID: "job-" + id,
			Outcome: ledger.OutcomeApplied})
	}
	s := o.Summary(time.UnixMilli(at), time.Minute)
	if s.Orders != n || s.Fulfilled != n || s.Acknowledged != n ||
		s.Lost+s.Duplicated+s.Pending != 0 {
		t.Fatalf("%+v", s)
	}
	story, found := o.Find("0")
	if !found || !story.Folded {
		t.Fatalf("the oldest order is still kept whole: %+v %v", story, found)
	}
	if f := o.Job("orders", "job-0"); !f.Known || f.Applied != 1 {
		t.Errorf("%+v", f)
	}
	tell(ledger.Event{Type: ledger.EventExecuted, Order: "0", JobID: "job-0",
		Outcome: ledger.OutcomeApplied})
	if s = o.Summary(time.UnixMilli(at), time.Minute); s.Orders != n || s.Duplicated != 1 ||
		!slices.Equal(s.DuplicatedIDs, []string{"0"}) {
		t.Errorf("after a second run of a folded order: %+v", s)
	}
}
