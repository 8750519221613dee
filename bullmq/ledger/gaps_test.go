package ledger_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

// doubts makes a lane that doubts at each of some times: since the id counter rose by one, and
// each time by so much more, or since there is a job more.
func doubts(rise int64, times ...int64) (*ledger.Streams, ledger.Lane) {
	s, on := ledger.NewStreams(ledger.Options{}), lane(ledger.Source, false)
	s.Read(on, ledger.Reading{At: 600_000, End: true})
	adds, jobs := int64(0), int64(0)
	for i, t := range times {
		s.Read(on, ledger.Reading{At: max(t, -t) - 1000, End: true, Adds: adds, Jobs: jobs})
		if t > 0 {
			adds += 1 + rise*int64(i)
		} else {
			jobs++
		}
		s.Read(on, ledger.Reading{At: max(t, -t), End: true, Adds: adds, Jobs: jobs})
	}
	return s, on
}

func TestGapsThatTouchAreOneUntilSomebodyDecides(t *testing.T) {
	t.Parallel()
	span := func(s *ledger.Streams) (out []string) {
		for _, g := range s.Gaps() {
			out = append(out, fmt.Sprintf("%d-%d %d", g.From/1000, g.Until/1000,
				1+strings.Count(g.Why, "; the ")+strings.Count(g.Why, "; 1 jobs")))
		}
		return out
	}
	for _, tc := range []struct {
		rule  string
		times []int64 // seconds; negative for the other reason
		want  []string
	}{
		{"one", []int64{700}, []string{"699-700 1"}},
		{"soon after, for the same reason", []int64{700, 702, 703}, []string{"699-703 1"}},
		{"soon after, for another reason", []int64{700, -702}, []string{"699-702 2"}},
		{"a minute after", []int64{700, 761}, []string{"699-761 1"}},
		{"more than a minute after", []int64{700, 762}, []string{"699-700 1", "761-762 1"}},
	} {
		for i := range tc.times {
			tc.times[i] *= 1000
		}
		s, _ := doubts(0, tc.times...)
		if got := span(s); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q: %+v", tc.rule, got, tc.want, s.Gaps())
		}
	}
	s, on := doubts(0, 700_000)
	if err := s.DecideGap(on, 699_000, ledger.Ruling{Who: "a", Why: "b", At: 1}); err != nil {
		t.Fatal(err)
	}
	s.Read(on, ledger.Reading{At: 701_000, End: true, Adds: 5})
	if got := span(s); !slices.Equal(got, []string{"700-701 1"}) {
		t.Errorf("after a decision: %q", got)
	}
}

// A gap's text has a bound, and so has the number of gaps: those that come later extend the last.
func TestWhatIsKeptOfGapsHasABound(t *testing.T) {
	t.Parallel()
	var close, far []int64
	for i := range int64(100) {
		close = append(close, (700+2*i)*1000)
	}
	for i := range int64(250) {
		far = append(far, (700+200*i)*1000)
	}
	s, _ := doubts(1, close...)
	if gaps := s.Gaps(); len(gaps) != 1 || len(gaps[0].Why) < 1000 || len(gaps[0].Why) > 1100 ||
		gaps[0].Until != close[99] {
		t.Errorf("%+v", gaps)
	}
	s, _ = doubts(0, far...)
	gaps := s.Gaps()
	if len(gaps) != 200 || gaps[199].From != far[199]-1000 || gaps[199].Until != far[249] {
		t.Errorf("%d gaps, the last %+v", len(gaps), gaps[len(gaps)-1])
	}
	// the same reason is said once
	s, _ = doubts(0, 700_000, 702_000)
	for _, w := range s.Changes().Windows {
		if w.From == 660_000 && len(w.Reasons) != 1 {
			t.Errorf("%+v", w)
		}
	}
	s, on := ledger.NewStreams(ledger.Options{}), lane(ledger.Source, false)
	s.Read(on, ledger.Reading{At: 600_000, End: true, Last: at(1, 1), Added: -1})
	for i := range int64(3) {
		s.Read(on, ledger.Reading{At: 601_000 + i, End: true, Last: at(1, 1), Added: -1,
			First: at(1, 1)})
	}
	for i := range int64(3) {
		s.Drop(on, 700_000+i*100_000)
		s.Follows(on)
	}
	if gaps := s.Gaps(); len(gaps) != 1 || strings.Count(gaps[0].Why, "let go") != 1 {
		t.Errorf("%+v", gaps)
	}
}

// A doubt is about each minute that it touches; of a long time those of a week.
func TestADoubtIsAboutEachMinuteThatItTouches(t *testing.T) {
	t.Parallel()
	s, on := ledger.NewStreams(ledger.Options{}), lane(ledger.Source, false)
	s.Read(on, ledger.Reading{At: 600_000, End: true})
	s.Read(on, ledger.Reading{At: 690_000, End: true})
	s.Changes()
	for i := range int64(7) { // more reasons than are kept
		s.Read(on, ledger.Reading{At: 850_000, End: true, Adds: i + 1, Jobs: 3 * i})
	}
	states := map[int64]string{}
	for _, w := range s.Changes().Windows {
		states[w.From/60_000] = fmt.Sprint(w.State, " ", len(w.Reasons))
	}
	for m, want := range map[int64]string{10: "inconclusive 1", 11: "inconclusive 1",
		12: "inconclusive 1", 13: "inconclusive 1", 14: "inconclusive 5"} {
		if states[m] != want {
			t.Errorf("minute %d is %s, want %s", m, states[m], want)
		}
	}
	s.Read(on, ledger.Reading{At: 850_000 + 30*day, End: true, Adds: 99})
	if n := len(s.Changes().Windows); n < 7*24*60 || n > 7*24*60+20 {
		t.Errorf("%d minutes of a month", n)
	}
}

// How a lane is let go and read again.
func TestALaneThatIsLetGoReleasesItsJobsOnce(t *testing.T) {
	t.Parallel()
	s, on := ledger.NewStreams(ledger.Options{}), lane(ledger.Source, false)
	s.Drop(on, 1) // nobody reads it
	if c := s.Changes(); len(c.Cursors) != 0 {
		t.Fatalf("%+v", c)
	}
	a, b := one(at(599_000, 0), "added", "1"), one(at(599_000, 1), "added", "2")
	other := ledger.Lane{Side: ledger.Source, Queue: "refunds"}
	for _, l := range []ledger.Lane{on, other} {
		s.Read(l, ledger.Reading{At: 600_000, End: true, First: a.At, Last: b.At, Added: 2, Adds: 2,
			Jobs: 2, Entries: []ledger.Entry{a, b}})
	}
	s.Changes()
	state := func() (out []string) {
		lives, _ := s.Find("1")
		for _, l := range lives {
			out = append(out, fmt.Sprint(l.Queue, " ", l.Stays[0].State, " ", l.Stays[0].Unsure))
		}
		slices.Sort(out)
		return out
	}
	for _, unsure := range []bool{false, true} { // what was there then may have ended since
		s.Drop(on, 601_000)
		s.Drop(on, 605_000)
		if got := state(); !slices.Equal(got, []string{fmt.Sprint("orders released ", unsure),
			"refunds waiting false"}) {
			t.Errorf("let go: %q", got)
		}
		c := s.Changes()
		if len(c.Cursors) != 1 || c.Cursors[0].DroppedAt != 601_000 || c.Cursors[0].Open != 0 ||
			len(c.Lives) != 2 {
			t.Errorf("%+v", c)
		}
		if c := s.Changes(); len(c.Cursors)+len(c.Lives) != 0 {
			t.Errorf("saved again: %+v", c)
		}
		s.Follows(on)
		s.Follows(on)
		if got := state(); !slices.Equal(got, []string{"orders waiting true",
			"refunds waiting false"}) {
			t.Errorf("read again: %q", got)
		}
		if c := s.Changes(); len(c.Cursors) != 1 || c.Cursors[0].DroppedAt != 0 ||
			c.Cursors[0].Open != 2 || len(c.Lives) != 2 {
			t.Errorf("%+v", c)
		}
		if s.Follows(on); len(s.Changes().Cursors) != 0 {
			t.Error("saved although nothing changed")
		}
		s.Read(on, ledger.Reading{At: 602_000, End: true, First: a.At, Last: b.At, Added: 2, Adds: 2,
			Jobs: 2, Cursor: &b})
		if gaps := s.Gaps(); len(gaps) != 0 {
			t.Errorf("%+v", gaps)
		}
	}
	// what has ended before stays so
	s = ledger.NewStreams(ledger.Options{})
	s.Read(on, ledger.Reading{At: 600_000, End: true})
	s.Read(on, ledger.Reading{At: 600_500, End: true, Added: 1, Entries: []ledger.Entry{
		one(at(600_100, 0), "completed", "1")}, Last: at(600_100, 0)})
	s.Drop(on, 601_000)
	s.Follows(on)
	if got := state(); !slices.Equal(got, []string{"orders completed false"}) {
		t.Errorf("%q", got)
	}
	for rule, tc := range map[string]struct {
		after int64
		err   error
		want  string
	}{
		"in time":         {20_000, nil, ""},
		"not in time":     {20_001, nil, "while it could not be read"},
		"it has an error": {1, errors.New("no route"), "while it could not be read"},
	} {
		s := ledger.NewStreams(ledger.Options{})
		s.Read(on, ledger.Reading{At: 600_000, ReadAt: 590_000, End: true})
		if tc.err != nil {
			s.Failed(on, tc.err)
		}
		s.Drop(on, 590_000+tc.after)
		gaps := s.Gaps()
		if tc.want == "" && len(gaps) == 0 {
			continue
		}
		if len(gaps) != 1 || !strings.Contains(gaps[0].Why, tc.want) || gaps[0].From != 600_000 ||
			gaps[0].Until != 600_000+tc.after {
			t.Errorf("%s: %+v", rule, gaps)
		}
	}
	s = ledger.NewStreams(ledger.Options{})
	s.Failed(on, errors.New("no route"))
	s.Drop(on, int64(time.Hour/time.Millisecond))
	if gaps := s.Gaps(); len(gaps) != 0 {
		t.Errorf("of a lane that was never read nothing is claimed: %+v", gaps)
	}
}
