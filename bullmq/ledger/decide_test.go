package ledger_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

// What is open is given until somebody decides on it, and nothing else is decided with it.
func TestWhatIsOpenIsGivenUntilSomebodyDecidesOnIt(t *testing.T) {
	t.Parallel()
	s := openStage(t, 1)
	source, target := lane(ledger.Source, false), lane(ledger.Target, false)
	for _, job := range []string{"1", "2", "3"} { // nobody sent them
		s.add(source, job)
		s.run(source, job, "r")
	}
	s.rounds(5)
	for range 3 {
		for _, at := range []ledger.Lane{source, target} {
			s.lanes[at].id++ // nobody knows why
			s.round(200_000)
			s.round(1100)
		}
	}
	open := func() (out []string) {
		for _, e := range s.l.Open() {
			out = append(out, e.Job)
		}
		for _, g := range s.l.Gaps() {
			out = append(out, fmt.Sprint(g.Lane, " ", g.From))
		}
		slices.Sort(out)
		return out
	}
	all := open()
	if len(all) != 9 {
		t.Fatalf("three jobs and three gaps on each side: %q", all)
	}
	d := ledger.Ruling{Who: "ada", Why: "a test", At: s.now}
	for _, bad := range []error{
		s.l.DecideGap(lane(ledger.Source, true), s.l.Gaps()[0].From, d),
		s.l.DecideGap(ledger.Lane{Side: ledger.Source, Queue: "mails"}, 0, d),
		s.l.DecideGap(source, 1, d),
	} {
		if !errors.Is(bad, ledger.ErrNotOpen) {
			t.Errorf("what is not there: %v", bad)
		}
	}
	gaps := s.l.Gaps()
	slices.SortFunc(gaps, func(a, b ledger.LaneGap) int { return int(a.From - b.From) })
	for i := range gaps { // from the middle on
		g := gaps[(i+2)%len(gaps)]
		if err := s.l.DecideGap(g.Lane, g.From, d); err != nil {
			t.Fatal(err)
		}
		if err := s.l.DecideGap(g.Lane, g.From, d); !errors.Is(err, ledger.ErrNotOpen) {
			t.Errorf("decided twice: %v", err)
		}
		key := fmt.Sprint(g.Lane, " ", g.From)
		all = slices.DeleteFunc(all, func(k string) bool { return k == key })
		if got := open(); !slices.Equal(got, all) {
			t.Fatalf("after a decision on %s: %q, want %q", key, got, all)
		}
	}
	for _, job := range []string{"2", "1", "3"} {
		if err := s.l.Decide(queueName, job, ledger.Ghost, d); err != nil {
			t.Fatal(err)
		}
		all = slices.DeleteFunc(all, func(k string) bool { return k == job })
		if got := open(); !slices.Equal(got, all) {
			t.Fatalf("after a decision on job %s: %q, want %q", job, got, all)
		}
	}
}
