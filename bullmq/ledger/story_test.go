package ledger_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

// The moments of an order are its events, in the words of the page.
func TestAnOrdersStoryIsToldInWords(t *testing.T) {
	t.Parallel()
	say := func(e ledger.Event) string {
		e.At, e.Order = 7, "a"
		j := ledger.NewJournal("orders")
		j.Apply(e)
		s, ok := j.Find("a")
		if !ok || len(s.Moments) != 1 || s.Moments[0].At != 7 {
			return fmt.Sprintf("%+v", s)
		}
		return s.Moments[0].What
	}
	for want, e := range map[string]ledger.Event{
		"a delivery was answered 503":  {Type: ledger.EventDelivery, Status: 503},
		"kept on disk, to be enqueued": {Type: ledger.EventKept},
		"added to source in stage live": {Type: added, Side: ledger.Source, Stage: "live",
			OK: true},
		"added to target (shadow) in stage unknown": {Type: added, Side: ledger.Target, Shadow: true,
			OK: true},
		"could not be added to source in stage off": {Type: added, Side: ledger.Source, Stage: "off"},
		"run on target: applied": {Type: ran, Side: ledger.Target,
			Outcome: ledger.OutcomeApplied},
		"run on an unknown side (shadow): compared": {Type: ran, Mode: ledger.ModeShadow,
			Outcome: ledger.OutcomeCompared},
		"an attempt failed on source":                   {Type: ledger.EventFailed, Side: ledger.Source},
		"an attempt failed on an unknown side (shadow)": {Type: ledger.EventFailed, Mode: ledger.ModeShadow},
	} {
		if got := say(e); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	s := new(script)
	for range 100 {
		s.answered(1, "a", 503)
	}
	if story, _ := s.journal().Find("a"); len(story.Moments) != 60 {
		t.Errorf("%d moments", len(story.Moments))
	}
}

// What is wrong with an order is said in words; a decision holds for exactly these.
func TestWhatIsWrongWithAnOrderIsSaid(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]*script{
		"lost": new(script).job(1, added, "a", "orders", "1").answered(1, "a", 200),
		"processed 2 times": new(script).whole(1, "a", "orders/1").
			job(2, ran, "a", "orders", "1"),
		"the results differ": new(script).enqueued(1, "a", "live").shadow(1, "a", true).answered(2,
			"a", 200).executed(3, "a", "compared", "x").executed(4, "a", "applied", "h"),
		"the worker on source got data e, but d was sent": new(script).sent(1, "a", "d",
			false).answered(2, "a", 200).got(3, "a", "applied", "e"),
		"an event that came later calls it a canary": new(script).whole(1, "a", "orders/1").
			job(2, ran, "a", "orders", "1", outcome(ledger.OutcomeCanary)),
		"processed 2 times; its job \"c\" is a canary's": new(script).
			job(1, added, "canary", "orders", "c", canary).whole(1, "a", "orders/c").
			job(2, ran, "a", "orders", "c"),
		"lost; the worker on an unknown side got data e, but d was sent": new(script).add(1,
			ledger.Event{Type: added, Order: "a", OK: true, Digest: "d"}).answered(1, "a", 200).add(1,
			ledger.Event{Type: ledger.EventFailed, Order: "a", Digest: "e"}),
	} {
		j := s.fold("orders")
		got := j.Findings(time.UnixMilli(1_000_000), time.Minute, 10)
		if len(got) != 1 || got["a"] != want {
			t.Errorf("%q, want %q", got, want)
		}
		j.Decided(map[string]bool{ledger.Finding("a", want): true, ledger.Finding("a", "x"): true})
		if got := j.Findings(time.UnixMilli(1_000_000), time.Minute, 10); len(got) != 0 {
			t.Errorf("decided, and said: %q", got)
		}
		sum := j.Summary(time.UnixMilli(1_000_000), time.Minute)
		if sum.Decided != 1 || sum.Red() != 0 || sum.Orders != 1 {
			t.Errorf("%s, decided: %+v", want, sum)
		}
		j.Decided(map[string]bool{ledger.Finding("a", want+"; and more"): true})
		if sum := j.Summary(time.UnixMilli(1_000_000), time.Minute); sum.Decided != 0 || sum.Red() == 0 {
			t.Errorf("%s, decided is something else: %+v", want, sum)
		}
	}
}

func TestFindingsAndNamesHaveABound(t *testing.T) {
	t.Parallel()
	s := new(script)
	for i := range 30 {
		id := fmt.Sprintf("o%02d", i)
		s.whole(1, id, "orders/"+id).job(2, ran, id, "orders", id)
	}
	j := s.fold("orders")
	if got := j.Findings(time.UnixMilli(10), time.Minute, 7); len(got) != 7 {
		t.Errorf("%d findings", len(got))
	}
	sum := j.Summary(time.UnixMilli(10), time.Minute)
	if sum.Duplicated != 30 || len(sum.DuplicatedIDs) != 20 || sum.DuplicatedIDs[0] != "o00" ||
		sum.DuplicatedIDs[19] != "o19" {
		t.Errorf("%+v", sum)
	}
}

func TestRatesAreFirstDeliveriesAMinuteFromTheWholeHourOn(t *testing.T) {
	t.Parallel()
	const hour = 3_600_000
	s := new(script)
	for i, provider := range []string{"stripe", "adyen", "stripe", "", "stripe", "stripe"} {
		order := fmt.Sprint("o", i)
		for range 2 { // the second is none
			s.add(int64(10*hour)+int64(i)*hour/2, ledger.Event{Type: ledger.EventDelivery, Order: order,
				Provider: provider, Status: 503})
		}
	}
	for _, tc := range []struct {
		since, now int64
		want       string
	}{
		{0, 13 * hour, fmt.Sprintf("adyen %.4f stripe %.4f", 1.0/180, 4.0/180)},
		{11*hour + 59*60_000, 13 * hour, fmt.Sprintf("stripe %.4f", 3.0/120)},
		{12 * hour, 12*hour + 30_000, "stripe 2.0000"},
		{12 * hour, 12 * hour, ""},
		{14 * hour, 13 * hour, ""},
		{13 * hour, 14 * hour, ""},
	} {
		got := s.journal().Rates(tc.since, tc.now)
		text := ""
		for _, p := range []string{"adyen", "stripe"} {
			if n, ok := got[p]; ok {
				text += fmt.Sprintf(" %s %.4f", p, n)
			}
		}
		if text != "" {
			text = text[1:]
		}
		if text != tc.want {
			t.Errorf("from %d to %d: %q, want %q", tc.since, tc.now, text, tc.want)
		}
	}
	long := new(script)
	for i := range int64(300) { // more hours than are kept
		long.add((10+i)*hour, ledger.Event{Type: ledger.EventDelivery, Order: fmt.Sprint(i),
			Provider: "stripe"})
	}
	if got := long.journal().Rates(0, 310*hour)["stripe"] * 60 * 300; got < 191.9 || got > 192.1 {
		t.Errorf("%f first deliveries are kept, want those of eight days", got)
	}
}

func TestARecordBeginsWithItsFirstEventThatHasATime(t *testing.T) {
	t.Parallel()
	j := ledger.NewJournal("orders")
	for _, tc := range []struct{ at, want int64 }{{0, 0}, {7, 7}, {0, 7}, {9, 7}, {5, 5}, {6, 5}} {
		j.Apply(ledger.Event{At: tc.at, Type: ledger.EventDelivery, Order: "a"})
		if got := j.Since(); got != tc.want {
			t.Errorf("after %d it begins at %d, want %d", tc.at, got, tc.want)
		}
	}
}

// A provider's event that was acknowledged before it was refused is owed nothing.
func TestAnEventIsRepeatedWhenItWasAcknowledgedBefore(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		event    string
		statuses []int
		want     bool
	}{
		{"e", []int{200, 503}, true}, {"e", []int{503, 200}, false}, {"e", []int{500, 200, 503}, true},
		{"e", []int{500, 503}, false}, {"e", []int{500}, false}, {"", []int{200, 503}, false},
	} {
		r := ledger.RetryStory{Event: tc.event}
		for _, s := range tc.statuses {
			r.Deliveries = append(r.Deliveries, ledger.Delivery{Status: s})
		}
		if r.Repeated() != tc.want {
			t.Errorf("%q %v: %v", tc.event, tc.statuses, !tc.want)
		}
	}
}

// A job is found in whichever queue has it, folded or not.
func TestAnOrderIsFoundByItsJobOfAnyQueue(t *testing.T) {
	t.Parallel()
	j := new(script).whole(start, "a", "orders/1", "refunds/2").whole(start, "b", "refunds/3").
		job(start, added, "c", "mails", "4").ticks(start+3_600_000).keep(1, "orders", "refunds")
	for id, want := range map[string]string{"a": "a", "1": "1", "2": "2", "3": "3", "4": "c", "5": ""} {
		got, ok := j.Find(id)
		if got.Order != want || ok != (want != "") || got.Folded != slices.Contains([]string{"a", "1",
			"2", "3"}, id) {
			t.Errorf("%s: %+v, %v", id, got, ok)
		}
	}
}

// ... and after a restart, when nothing has happened yet.
func TestAnOrderIsFoundByItsJobAfterARestart(t *testing.T) {
	t.Parallel()
	db := &saved{}
	j := new(script).whole(start, "a", "orders/1").whole(start, "b", "refunds/2").fold("orders",
		"refunds")
	db.save(t, keeping(t, j), start)
	j = restored(t, db)
	for _, id := range []string{"1", "2"} {
		if got, ok := j.Find(id); !ok || !got.Folded {
			t.Errorf("%s: %+v, %v", id, got, ok)
		}
	}
}

// What first made a record impossible is what is said of it: a decision holds for these words.
func TestAContradictionIsToldByItsFirstWords(t *testing.T) {
	t.Parallel()
	j := new(script).whole(1, "a", "orders/1").
		job(2, ran, "a", "orders", "1", outcome(ledger.OutcomeCanary)).
		job(3, added, "c", "orders", "1", canary).fold("orders")
	if s, _ := j.Find("a"); s.Contradiction != "an event that came later calls it a canary" {
		t.Errorf("%+v", s)
	}
}
