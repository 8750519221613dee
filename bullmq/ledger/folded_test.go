package ledger_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

const (
	start = int64(6_000_000) // of a minute
	late  = start + 3_600_009
)

// whole has an order acknowledged, and each of its jobs (queue/id) take effect.
func (s *script) whole(at int64, order string, jobs ...string) *script {
	for _, job := range jobs {
		queue, id, _ := strings.Cut(job, "/")
		s.job(at, added, order, queue, id).job(at+1, ran, order, queue, id)
	}
	return s.answered(at+2, order, 200)
}

// ticks have time pass for a journal that keeps n orders: events of an order that is never in
// order, in the last of ms.
func (s *script) ticks(at int64) *script {
	for range 40 {
		s.answered(at, "tick", 500)
	}
	return s
}

func (s *script) keep(n int, queues ...string) *ledger.Journal {
	j := ledger.NewJournal(queues...)
	j.KeepOrders(n)
	for _, e := range s.events {
		j.Apply(e)
	}
	return j
}

func folded(j *ledger.Journal, ids ...string) (out []string) {
	for _, id := range ids {
		if s, ok := j.Find(id); ok && s.Folded {
			out = append(out, id)
		}
	}
	return out
}

func TestTheOldestOrdersThatAreInOrderAreFoldedAndNoMoreThanNeedBe(t *testing.T) {
	t.Parallel()
	many := func(n int, last int64) (s *script, ids []string) {
		s = new(script)
		for i := range n {
			id := fmt.Sprintf("o%02d", i)
			s.whole(start+int64(i), id, "orders/"+id)
			ids = append(ids, id)
		}
		return s.ticks(last), ids
	}
	for _, tc := range []struct {
		rule  string
		n     int // orders; ten are kept
		later int64
		want  int
	}{
		{"fewer than are kept", 9, 3_600_000, 0},
		{"more, of which one is never in order", 11, 3_600_000, 2},
		{"they are ten minutes old", 11, 599_000, 0},
		{"twice as many are held: half a minute is enough", 25, 31_000, 16},
		{"twice as many are held, and none is half a minute old", 25, 29_000, 0},
		{"not twice as many", 19, 31_000, 0},
	} {
		s, ids := many(tc.n, start+tc.later)
		j := s.keep(10, "orders")
		if got := folded(j, ids...); !slices.Equal(got, ids[:tc.want:tc.want]) &&
			len(got)+tc.want > 0 {
			t.Errorf("%s: folded are %q, want the first %d", tc.rule, got, tc.want)
		}
		sum := j.Summary(time.UnixMilli(start+tc.later), time.Minute)
		if sum.Orders != tc.n+1 || sum.Fulfilled != tc.n || sum.Red() != 0 {
			t.Errorf("%s: %+v", tc.rule, sum)
		}
	}
}

// What is not in order is never folded, nor what was not saved.
func TestWhatIsNotInOrderOrNotSavedIsNotFolded(t *testing.T) {
	t.Parallel()
	s := new(script).whole(start, "right", "orders/1").
		job(start, added, "lost", "orders", "2").answered(start, "lost", 200).
		whole(start, "twice", "orders/3").job(start, ran, "twice", "orders", "3").
		answered(start, "refused", 503).whole(start, "refused", "orders/4").
		job(start, added, "unanswered", "orders", "5").job(start, ran, "unanswered", "orders", "5").
		kept(start-60_000, "held up").whole(start, "held up", "orders/6").
		kept(start-1000, "kept").whole(start, "kept", "orders/7").
		whole(start, "contradicted", "orders/8").
		job(start, ran, "contradicted", "orders", "8", outcome(ledger.OutcomeCanary))
	for order, result := range map[string]string{"copied": "r", "differs": "q", "not compared": ""} {
		s.enqueued(start, order, "live").shadow(start, order, true).answered(start, order, 200).
			executed(start, order, ledger.OutcomeApplied, "r")
		if result != "" {
			s.executed(start, order, ledger.OutcomeCompared, result)
		}
	}
	s.ticks(start + 3_600_000)
	ids := []string{"right", "lost", "twice", "refused", "unanswered", "held up", "kept",
		"contradicted", "copied", "differs", "not compared"}
	inOrder := []string{"right", "kept", "copied"}
	if got := folded(s.keep(1, "orders"), ids...); !slices.Equal(got, inOrder) {
		t.Errorf("folded are %q", got)
	}
	j := ledger.NewJournal("orders")
	j.KeepOrders(1)
	j.Keep(true)
	for _, e := range s.events {
		j.Apply(e)
	}
	if got := folded(j, ids...); len(got) != 0 {
		t.Errorf("folded before they were saved are %q", got)
	}
	if _, err := j.Changes(time.UnixMilli(start), time.Minute); err != nil {
		t.Fatal(err)
	}
	for range 40 {
		j.Apply(ledger.Event{Type: ledger.EventDelivery, At: start + 3_600_000, Order: "tick",
			Status: 500})
	}
	if got := folded(j, ids...); !slices.Equal(got, inOrder) {
		t.Errorf("folded after they were saved are %q", got)
	}
}

// Of a folded order each job is recognised, and when one comes again it is known what took
// effect before, by its job or by its queue.
func TestAFoldedOrderThatComesAgainHasTakenEffectBefore(t *testing.T) {
	t.Parallel()
	// two queues, of which one has two jobs that were one effect
	base := func() *script {
		return new(script).whole(start, "a", "orders/1", "refunds/1").
			job(start, added, "a", "orders", "2").
			job(start, ran, "a", "orders", "2", outcome(ledger.OutcomeSuppressed)).
			job(start, ledger.EventFailed, "a", "orders", "9"). // an attempt alone
			job(start, added, "nameless", "refunds", "").
			job(start, ran, "nameless", "refunds", "").answered(start, "nameless", 200).
			ticks(start + 3_600_000)
	}
	j := base().keep(1, "orders", "refunds")
	if got := folded(j, "a", "nameless"); len(got) != 2 {
		t.Fatalf("folded are %q", got)
	}
	// of one that comes again it is not known that it had no copy
	j.Apply(ledger.Event{Seq: 900, At: late, Type: ledger.EventDelivery, Order: "a", Status: 200})
	if sum := j.Summary(time.UnixMilli(late), time.Minute); len(sum.AloneIDs) != 0 || sum.Alone != 2 {
		t.Errorf("%+v", sum)
	}
	j = base().keep(1, "orders", "refunds")
	took := ledger.Facts{Known: true, Acknowledged: true, Applied: 1}
	for job, want := range map[string]ledger.Facts{"orders/1": took, "orders/2": took,
		"refunds/1": took, "refunds/2": {}, "orders/9": {}, "mails/1": {}} {
		queue, id, _ := strings.Cut(job, "/")
		if got := j.Job(queue, id); got != want {
			t.Errorf("%s: %+v, want %+v", job, got, want)
		}
	}
	for _, tc := range []struct {
		rule string
		then func(*script)
		want ledger.Summary // of what is told apart below
	}{
		{"it is delivered again", func(s *script) { s.answered(late, "a", 200) },
			ledger.Summary{Fulfilled: 2}},
		{"a known job runs again", func(s *script) { s.job(late, ran, "a", "orders", "1") },
			ledger.Summary{Fulfilled: 2, Duplicated: 1}},
		{"the job that was found done runs again", func(s *script) {
			s.job(late, ran, "a", "orders", "2")
		}, ledger.Summary{Fulfilled: 2, Duplicated: 1}},
		{"a new job of a queue where it took effect", func(s *script) {
			s.job(late, ran, "a", "orders", "3")
		}, ledger.Summary{Fulfilled: 2, Duplicated: 1}},
		{"a new job of another queue", func(s *script) { s.job(late, ran, "a", "mails", "3") },
			ledger.Summary{Fulfilled: 2}},
		{"a new job is added where it took effect, and found done", func(s *script) {
			s.job(late, added, "a", "orders", "3").
				job(late+1, ran, "a", "orders", "3", outcome(ledger.OutcomeSuppressed))
		}, ledger.Summary{Fulfilled: 2}},
		{"a new job of another queue is promised, and does not run", func(s *script) {
			s.job(late, added, "a", "mails", "3")
		}, ledger.Summary{Fulfilled: 1, Lost: 1}},
		{"a new job, and then a known one: once is once", func(s *script) {
			s.job(late, ledger.EventFailed, "a", "orders", "3").
				job(late, ledger.EventFailed, "a", "orders", "1")
		}, ledger.Summary{Fulfilled: 2}},
		{"a known job, and then a new one: once is once", func(s *script) {
			s.job(late, ledger.EventFailed, "a", "orders", "1").
				job(late, ledger.EventFailed, "a", "orders", "3")
		}, ledger.Summary{Fulfilled: 2}},
		{"a canary is called what was folded", func(s *script) {
			s.job(late, added, "a", "orders", "1", canary)
		}, ledger.Summary{Fulfilled: 2, Contradicted: 1}},
		{"new jobs of both queues, and then a known one, and an effect in the other",
			func(s *script) {
				s.job(late, ledger.EventFailed, "a", "orders", "3").
					job(late, ledger.EventFailed, "a", "refunds", "3").
					job(late, ledger.EventFailed, "a", "orders", "1").
					job(late, ran, "a", "refunds", "3")
			}, ledger.Summary{Fulfilled: 2, Duplicated: 1}},
		{"a job without an id, where another order's took effect", func(s *script) {
			s.job(late, added, "b", "orders", "8").job(late, ran, "b", "orders", "8").
				answered(late, "b", 200).ticks(start+7_200_000).
				job(start+7_200_001, added, "b", "refunds", "")
		}, ledger.Summary{Fulfilled: 2, Lost: 1}},
		{"another order names a folded one's job", func(s *script) {
			s.job(late, added, "b", "orders", "1").answered(late, "b", 200)
		}, ledger.Summary{Fulfilled: 2, Lost: 1}},
	} {
		s := base()
		n := len(s.events)
		tc.then(s)
		db := &saved{}
		saving := keeping(t, base().fold("orders", "refunds"))
		db.save(t, saving, start)
		again := restored(t, db)
		for _, e := range s.events[n:] {
			again.Apply(e)
		}
		for how, j := range map[string]*ledger.Journal{"folded": s.keep(1, "orders", "refunds"),
			"restored": again} {
			sum := j.Summary(time.UnixMilli(start+86_400_000), time.Minute)
			got := ledger.Summary{Fulfilled: sum.Fulfilled, Lost: sum.Lost,
				Duplicated: sum.Duplicated, Contradicted: sum.Contradicted}
			if g, w := marshal(t, got), marshal(t, tc.want); g != w {
				t.Errorf("%s, %s:\n got %s\nwant %s", how, tc.rule, g, w)
			}
		}
	}
}

// The newest that were folded are recognised; the oldest are forgotten, when there are many.
func TestTheNewestFoldedOrdersAreRecognised(t *testing.T) {
	t.Parallel()
	s := new(script)
	for i := range 12 {
		id := fmt.Sprint("o", i)
		s.whole(start+int64(i), id, "orders/"+id).ticks(start + 3_600_000*int64(i+1))
	}
	j := ledger.NewJournal("orders")
	j.KeepOrders(1)
	j.Remember(4) // marks: two of an order
	for _, e := range s.events {
		j.Apply(e)
	}
	if s, ok := j.Find("o11"); !ok || !s.Folded {
		t.Errorf("the newest: %+v, %v", s, ok)
	}
	if s, ok := j.Find("o10"); !ok || !s.Folded || s.Moments[0].At != start {
		t.Errorf("the one before: %+v, %v", s, ok)
	}
	if s, ok := j.Find("o0"); ok {
		t.Errorf("the oldest: %+v", s)
	}
	if got := j.Job("orders", "o11"); got.Applied != 1 {
		t.Errorf("its job: %+v", got)
	}
	if got := j.Job("orders", "o0"); got.Known {
		t.Errorf("the oldest one's job: %+v", got)
	}
}

// An order that names a job of another stays the one that is found by it, when the other is
// folded.
func TestAJobOfTwoOrdersIsFoundAsLongAsOneOfThemIsThere(t *testing.T) {
	t.Parallel()
	s := new(script).job(start, added, "first", "orders", "7").answered(start, "first", 200).
		whole(start, "second", "orders/7", "orders/8").ticks(start + 3_600_000)
	// two jobs are two effects, unless one of them found the other's
	for i := range s.events {
		if e := &s.events[i]; e.Type == ran && e.JobID == "8" {
			e.Outcome = ledger.OutcomeSuppressed
		}
	}
	j := s.keep(1, "orders")
	if got := folded(j, "second"); len(got) != 1 {
		t.Fatalf("folded are %q", got)
	}
	if got, ok := j.Find("7"); !ok || got.Order != "first" {
		t.Errorf("found by the job is %+v, %v", got, ok)
	}
	if got := j.Job("orders", "7"); got != (ledger.Facts{Known: true}) {
		t.Errorf("a job of two orders proves nothing: %+v", got)
	}
	if got, ok := j.Find("8"); !ok || !got.Folded {
		t.Errorf("the other job: %+v, %v", got, ok)
	}
}

// An order waits in whichever instance's intake has it.
func TestAnOrderWaitsInTheIntakeOfAnyInstance(t *testing.T) {
	t.Parallel()
	s := new(script).kept(100, "a").answered(101, "a", 200)
	for _, tc := range []struct {
		rule   string
		intake map[string]ledger.Backlog
		held   int
	}{
		{"the first has it", map[string]ledger.Backlog{"A": {Orders: 1, Oldest: 90}, "B": {}}, 1},
		{"the second has it", map[string]ledger.Backlog{"A": {}, "B": {Orders: 1, Oldest: 90}}, 1},
		{"none has", map[string]ledger.Backlog{"A": {}, "B": {}}, 0},
		{"both hold younger ones", map[string]ledger.Backlog{"A": {Orders: 1, Oldest: 101},
			"B": {Orders: 3, Oldest: 200}}, 0},
	} {
		j := s.journal()
		for epoch, b := range tc.intake {
			j.Backlog(epoch, b)
		}
		if got := j.Summary(time.UnixMilli(1_000_000), time.Second); got.Held != tc.held ||
			got.Lost != 1-tc.held {
			t.Errorf("%s: %+v", tc.rule, got)
		}
	}
	// one that was never kept does not wait there
	j := new(script).answered(101, "b", 200).journal()
	j.Backlog("A", ledger.Backlog{Orders: 1})
	if got := j.Summary(time.UnixMilli(1_000_000), time.Second); got.Held != 0 || got.Lost != 1 {
		t.Errorf("never kept: %+v", got)
	}
}

// With more jobs than an order can have, its journal is not one of orders.
func TestAnOrderOfTooManyJobsIsAContradiction(t *testing.T) {
	t.Parallel()
	s := new(script).answered(1, "a", 200)
	for i := range 150 {
		id := fmt.Sprint(i)
		s.job(2, added, "a", "orders", id).job(3, ran, "a", "orders", id).
			job(4, ledger.EventFailed, "a", "orders", id)
	}
	sum := s.fold("orders").Summary(time.UnixMilli(10), time.Minute)
	if sum.Contradicted != 1 || !slices.Equal(sum.ContradictedIDs, []string{"a"}) {
		t.Errorf("%+v", sum)
	}
	s = new(script).answered(1, "a", 200)
	for i := range 100 {
		s.job(2, added, "a", "orders", fmt.Sprint(i))
	}
	if sum := s.fold("orders").Summary(time.UnixMilli(10), time.Minute); sum.Contradicted != 0 {
		t.Errorf("a hundred: %+v", sum)
	}
}

// A minute that an older version saved without times does not get any by an order that comes
// later: it may be cut anywhere.
func TestAMinuteWithoutTimesGetsNone(t *testing.T) {
	t.Parallel()
	db := &saved{}
	db.save(t, keeping(t, new(script).whole(start+1000, "a", "orders/1").fold("orders")), start)
	for m, row := range db.Minutes {
		db.Minutes[m] = []byte(strings.ReplaceAll(string(row), "alone_", "no_"))
	}
	j := keeping(t, restored(t, db))
	for i, e := range new(script).whole(start+2000, "b", "orders/2").events {
		e.Seq = int64(90 + i)
		j.Apply(e)
	}
	db.save(t, j, start)
	got := restored(t, db).Window(start+5000, 0, time.UnixMilli(start+9000), time.Minute)
	if got.Cut != 2 {
		t.Errorf("%d may be in the window, want both", got.Cut)
	}
}
