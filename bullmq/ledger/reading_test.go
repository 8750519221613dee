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

const day = 24 * 3_600_000

// one is an entry of one event of one job.
func one(at ledger.Position, event, job string) ledger.Entry {
	return ledger.Entry{At: at, Event: event, Job: job}
}

// Each row is what a lane's server says the next time, and what of it cannot be told. Before
// that an entry was read, at ten minutes: job 1 was added, and server A has it.
func TestAReadingSaysWhatItCannotTell(t *testing.T) {
	t.Parallel()
	first := one(at(599_000, 1), "added", "1")
	other := one(at(599_000, 1), "completed", "1")
	later := one(at(601_000, 0), "resumed", "")
	// what a server says that nothing happened to
	still := func() ledger.Reading {
		return ledger.Reading{At: 602_000, End: true, Server: "A", First: first.At, Last: first.At,
			Cursor: &first, Added: 1, Adds: 1, Jobs: 1}
	}
	for _, tc := range []struct {
		rule   string
		change func(*ledger.Reading)
		want   string // "" for nothing
	}{
		{"nothing happened", func(*ledger.Reading) {}, ""},
		{"an entry more", func(r *ledger.Reading) {
			r.Entries, r.Added, r.Last = []ledger.Entry{later}, 2, later.At
		}, ""},
		{"a restart", func(r *ledger.Reading) { r.Server = "B" }, ""},
		{"a server that tells no run id", func(r *ledger.Reading) { r.Server = "" }, ""},
		{"the entry is missing, though the stream reaches back", func(r *ledger.Reading) {
			r.Cursor, r.First, r.Last = nil, at(598_000, 0), later.At
			r.Entries, r.Added = []ledger.Entry{later}, 2
		}, "another than was read: its entry 599000-1 is missing"},
		{"the entry is missing, and so is what came before it", func(r *ledger.Reading) {
			r.Cursor, r.First, r.Last = nil, later.At, later.At
			r.Entries, r.Added = []ledger.Entry{later}, 2
		}, ""},
		{"the entry is another", func(r *ledger.Reading) { r.Cursor = &other },
			"another than was read: its entry 599000-1 is missing or different"},
		{"the entry is another's, of another server", func(r *ledger.Reading) {
			r.Cursor, r.Server = &other, "B"
		}, "(run id B, formerly A): its entry"},
		{"another server whose stream does not reach back", func(r *ledger.Reading) {
			r.Cursor, r.First, r.Last, r.Server = nil, later.At, later.At, "B"
			r.Entries, r.Added = []ledger.Entry{later}, 2
		}, "the server is another than was read (run id B, formerly A), and its stream"},
		{"a server that tells no run id and does not reach back", func(r *ledger.Reading) {
			r.Cursor, r.First, r.Last, r.Server = nil, later.At, later.At, ""
			r.Entries, r.Added = []ledger.Entry{later}, 2
		}, ""},
		{"fewer entries than were read, and it does not reach back", func(r *ledger.Reading) {
			r.Cursor, r.First, r.Last = nil, later.At, later.At
			r.Entries, r.Added = []ledger.Entry{later}, 1
		}, "the server counts 1 entries fewer"},
		{"fewer entries than were read", func(r *ledger.Reading) { r.Added = 0 },
			"the server counts 1 entries fewer"},
		{"more than were read", func(r *ledger.Reading) {
			r.Cursor, r.First, r.Last = nil, later.At, later.At
			r.Entries, r.Added = []ledger.Entry{later}, 5
		}, "3 entries were trimmed before they were read"},
		{"more than were read, so far", func(r *ledger.Reading) {
			r.Entries, r.Added, r.Last, r.End = []ledger.Entry{later}, 5, at(602_000, 0), false
		}, ""},
		{"a foreign page, which is not the last", func(r *ledger.Reading) {
			r.Cursor, r.Added, r.Last, r.End = &other, 5, at(602_000, 0), false
		}, "its entry 599000-1 is missing or different"},
		{"the stream ends before", func(r *ledger.Reading) {
			r.Cursor, r.First, r.Last, r.Added = nil, at(1, 1), at(599_000, 0), 1
		}, "the stream ends at 599000-0, before what was read (599000-1)"},
		{"the stream was deleted", func(r *ledger.Reading) {
			r.Cursor, r.First, r.Last, r.Added = nil, at(0, 0), at(0, 0), 0
		}, "the stream ends at 0-0"},
		{"the stream was emptied", func(r *ledger.Reading) { r.Cursor, r.First = nil, at(0, 0) }, ""},
		{"a server that does not count, and reaches back", func(r *ledger.Reading) { r.Added = -1 }, ""},
		{"a server that does not count, and does not reach back", func(r *ledger.Reading) {
			r.Cursor, r.First, r.Last = nil, later.At, later.At
			r.Entries, r.Added = []ledger.Entry{later}, -1
		}, "does not count its entries: some may have been trimmed"},
		{"an id was given out", func(r *ledger.Reading) { r.Adds = 2 },
			"the id counter rose by 2, the stream reports 1 adds"},
		{"an id was taken back", func(r *ledger.Reading) { r.Adds = 0 }, "the id counter rose by 0"},
		{"a job more", func(r *ledger.Reading) { r.Jobs = 2 },
			"2 jobs are in the queue's lists; 1 are open according to the stream, and 0 were there"},
		{"a job fewer", func(r *ledger.Reading) { r.Jobs = 0 }, "0 jobs are in the queue's lists"},
		{"a job was moved there", func(r *ledger.Reading) {
			r.Entries = []ledger.Entry{one(later.At, "waiting", "x")}
			r.Added, r.Last, r.Jobs = 2, later.At, 2
		}, ""},
		{"a job that was in the lists shows up", func(r *ledger.Reading) {
			r.Entries = []ledger.Entry{one(later.At, "waiting", "x")}
			r.Added, r.Last = 2, later.At
		}, ""},
		{"a job that was in the lists shows up, and one more is gone", func(r *ledger.Reading) {
			r.Entries = []ledger.Entry{one(later.At, "waiting", "x")}
			r.Added, r.Last, r.Jobs = 2, later.At, 0
		}, "0 jobs are in the queue's lists"},
		{"a moved job's number raises the counter", func(r *ledger.Reading) {
			r.Entries = []ledger.Entry{one(later.At, "waiting", "500")}
			r.Added, r.Last, r.Jobs, r.Adds = 2, later.At, 2, 500
		}, ""},
		{"a moved job's number is one that was given out", func(r *ledger.Reading) {
			r.Entries = []ledger.Entry{one(later.At, "waiting", "1")}
			r.Added, r.Last = 2, later.At
		}, ""},
		{"a moved job's number is older than what was given out", func(r *ledger.Reading) {
			r.Entries = []ledger.Entry{one(later.At, "waiting", "0")}
			r.Added, r.Last, r.Jobs = 2, later.At, 2
		}, ""},
		{"a moved job's id is no number that BullMQ gives out", func(r *ledger.Reading) {
			r.Entries = []ledger.Entry{one(later.At, "waiting", "9999999999999999")}
			r.Added, r.Last, r.Jobs, r.Adds = 2, later.At, 2, 9999999999999999
		}, "the id counter rose by"},
		{"a moved job's id is no number", func(r *ledger.Reading) {
			r.Entries = []ledger.Entry{one(later.At, "waiting", "x7")}
			r.Added, r.Last, r.Jobs, r.Adds = 2, later.At, 2, 7
		}, "the id counter rose by"},
	} {
		s := ledger.NewStreams(ledger.Options{})
		on := lane(ledger.Source, false)
		s.Read(on, ledger.Reading{At: 600_000, End: true, Server: "A", First: first.At,
			Last: first.At, Entries: []ledger.Entry{first}, Added: 1, Adds: 1, Jobs: 1})
		r := still()
		tc.change(&r)
		s.Read(on, r)
		var got []string
		for _, g := range s.Gaps() {
			if got = append(got, g.Why); g.From != 600_000 || g.Until != 602_000 {
				t.Errorf("%s: the gap is from %d until %d", tc.rule, g.From, g.Until)
			}
		}
		if tc.want == "" && len(got) != 0 || tc.want != "" &&
			(len(got) != 1 || !strings.Contains(got[0], tc.want)) {
			t.Errorf("%s: %q, want %q", tc.rule, got, tc.want)
		}
		// nothing is told twice: the counters are believed from then on
		if r.End {
			r.At, r.Cursor = 800_000, nil
			if n := len(r.Entries); n > 0 {
				r.Cursor = &r.Entries[n-1]
			} else if r.First != at(0, 0) && !r.Last.Before(first.At) {
				r.Cursor = &first
			}
			r.Entries = nil
			if s.Read(on, r); len(s.Gaps()) != len(got) {
				t.Errorf("%s: told again: %+v", tc.rule, s.Gaps())
			}
		}
	}
}

// A stream that nobody has written to has no entry to recognise it by, but a time.
func TestAnEmptyLaneIsRecognisedByTheAgeOfWhatComes(t *testing.T) {
	t.Parallel()
	for age, want := range map[int64]int{599_999: 1, 600_000: 0, 601_000: 0} {
		s := ledger.NewStreams(ledger.Options{})
		on := lane(ledger.Source, false)
		s.Read(on, ledger.Reading{At: 600_000, End: true, Server: "A"})
		e := one(at(age, 0), "added", "1")
		s.Read(on, ledger.Reading{At: 602_000, End: true, Server: "A", First: e.At, Last: e.At,
			Entries: []ledger.Entry{e}, Added: 1, Adds: 1, Jobs: 1})
		gaps := s.Gaps()
		if len(gaps) != want || want == 1 && !strings.Contains(gaps[0].Why, "than the empty one") {
			t.Errorf("an entry of %d: %+v", age, gaps)
		}
	}
}

// The entry at the place where reading went on over trimmed ones was never read: whatever is
// there is no sign of another history.
func TestTheEntryThatWasSkippedIsNotRecognised(t *testing.T) {
	t.Parallel()
	s := ledger.NewStreams(ledger.Options{})
	on := lane(ledger.Source, false)
	s.Read(on, ledger.Reading{At: 600_000, End: true, Last: at(599_000, 0), Added: 5})
	if got := s.After(on); got != at(599_000, 0) {
		t.Fatalf("it goes on after %s", got)
	}
	e := one(at(599_000, 0), "active", "9")
	s.Read(on, ledger.Reading{At: 602_000, End: true, First: e.At, Last: e.At, Cursor: &e, Added: 5})
	if gaps := s.Gaps(); len(gaps) != 0 {
		t.Errorf("%+v", gaps)
	}
}

// Of another history what is older than the last reading is not counted, nor told as runs; what
// came since is. That holds over pages, and over a restart between them.
func TestOfAnotherHistoryOnlyWhatIsNewIsRead(t *testing.T) {
	t.Parallel()
	for _, restarts := range []bool{false, true} {
		o := ledger.Options{}
		s, db := ledger.NewStreams(o), newRecorder()
		on := lane(ledger.Source, false)
		read := func(r ledger.Reading) {
			s.Read(on, r)
			if db.save(s.Changes()); restarts {
				s = ledger.RestoreStreams(o, db.checkpoint(t))
			}
		}
		first := one(at(590_000, 0), "added", "1")
		read(ledger.Reading{At: 600_000, End: true, Server: "A", First: first.At, Last: first.At,
			Entries: []ledger.Entry{first}, Added: 1, Adds: 1, Jobs: 1})
		other := one(at(590_000, 0), "completed", "7")
		pages := [][]ledger.Entry{
			{one(at(595_000, 0), "added", "8"), one(at(596_000, 0), "completed", "8")},
			{one(at(600_000, 0), "added", "9"), one(at(600_001, 0), "added", "10")},
		}
		read(ledger.Reading{At: 602_000, Server: "B", First: at(1, 0), Last: at(600_001, 0),
			Cursor: &other, Entries: pages[0], Added: 50, Adds: 20})
		read(ledger.Reading{At: 602_000, End: true, Server: "B", First: at(1, 0),
			Last: at(600_001, 0), Cursor: &pages[0][1], Entries: pages[1], Added: 50, Adds: 20})
		c := db.cursors[on]
		if c.Entries != 2 || c.Adds != 2 || c.Upto != at(600_001, 0) || c.Server != "B" ||
			c.Uncompared != (ledger.Uncompared{}) || len(c.Gaps) != 1 {
			t.Errorf("restarts: %v: %+v", restarts, c)
		}
		if strings.Contains(c.Gaps[0].Why, "trimmed") || strings.Contains(c.Gaps[0].Why, "rose") {
			t.Errorf("restarts: %v: what is of another history was compared: %+v", restarts, c.Gaps)
		}
		if lives := livesOf(db); !slices.Equal(lives, []string{"orders 1", "orders 10"}) {
			t.Errorf("restarts: %v: %q", restarts, lives)
		}
		last := pages[1][1]
		read(ledger.Reading{At: 610_000, End: true, Server: "B", First: at(1, 0), Last: last.At,
			Cursor: &last, Added: 50, Adds: 20})
		if c := db.cursors[on]; len(c.Gaps) != 1 {
			t.Errorf("restarts: %v, told again: %+v", restarts, c.Gaps)
		}
	}
}

// A job that was in the lists before anybody read, and ends, is one fewer there, and none of
// those that are followed. What names no job is none.
func TestAJobThatNobodyKnewEnds(t *testing.T) {
	t.Parallel()
	s, on := ledger.NewStreams(ledger.Options{}), lane(ledger.Source, false)
	s.Read(on, ledger.Reading{At: 600_000, End: true, Jobs: 2})
	for i, jobs := range []int64{1, 0} {
		e := []ledger.Entry{one(at(601_000+int64(i), 0), "completed", fmt.Sprint("x", i)),
			one(at(601_000+int64(i), 1), "waiting", "")}
		s.Read(on, ledger.Reading{At: 602_000 + int64(i), End: true, Jobs: jobs, Entries: e,
			Added: 2 + 2*int64(i), First: at(601_000, 0), Last: e[1].At, Cursor: ptr(one(at(601_000, 1),
				"waiting", ""))})
	}
	c := s.Changes()
	if len(c.Cursors[0].Gaps) != 0 || c.Cursors[0].Open != 0 || len(c.Lives) != 2 {
		t.Errorf("%+v", c)
	}
}

// What was there before anybody read is no doubt.
func TestWhatWasThereBeforeIsNoDoubt(t *testing.T) {
	t.Parallel()
	s, on := ledger.NewStreams(ledger.Options{}), lane(ledger.Source, false)
	for ms := range int64(3) {
		s.Read(on, ledger.Reading{At: 600_000 + ms, End: true, Adds: 500, Jobs: 9, Added: 700,
			Last: at(599_000, 0)})
	}
	if gaps := s.Gaps(); len(gaps) != 0 {
		t.Errorf("%+v", gaps)
	}
}

// A server whose run id nobody knew before is no other.
func TestAServerThatTellsItsRunIdLaterIsNoOther(t *testing.T) {
	t.Parallel()
	s, on := ledger.NewStreams(ledger.Options{}), lane(ledger.Source, false)
	a, b := one(at(599_000, 0), "added", "1"), one(at(601_000, 1), "active", "1")
	s.Read(on, ledger.Reading{At: 600_000, End: true, First: a.At, Last: a.At, Added: 1, Adds: 1,
		Jobs: 1, Entries: []ledger.Entry{a}})
	s.Read(on, ledger.Reading{At: 602_000, End: true, First: b.At, Last: b.At, Added: 2, Adds: 1,
		Jobs: 1, Server: "B", Entries: []ledger.Entry{b}})
	if gaps := s.Gaps(); len(gaps) != 0 {
		t.Errorf("%+v", gaps)
	}
}

// Jobs that were not followed are a doubt, from when they came on, whatever else is.
func TestJobsThatAreNotFollowedAreADoubt(t *testing.T) {
	t.Parallel()
	s, on := ledger.NewStreams(ledger.Options{Open: 1}), lane(ledger.Source, false)
	three := []ledger.Entry{one(at(599_000, 0), "added", "1"), one(at(599_000, 1), "added", "2"),
		one(at(599_000, 2), "added", "3")}
	s.Read(on, ledger.Reading{At: 600_000, End: true, First: three[0].At, Last: three[2].At, Added: 3,
		Adds: 3, Jobs: 3, Entries: three})
	gaps := s.Gaps()
	if len(gaps) != 1 || gaps[0].From != 600_000 ||
		gaps[0].Why != "2 jobs were not followed: 1 are open already" {
		t.Errorf("%+v", gaps)
	}
	other := one(at(599_000, 2), "failed", "9")
	s.Read(on, ledger.Reading{At: 800_000, End: true, First: at(1, 0), Last: at(700_000, 0), Added: 9,
		Cursor: &other, Entries: []ledger.Entry{one(at(700_000, 0), "added", "5")}})
	if gaps = s.Gaps(); len(gaps) != 1 || !strings.Contains(gaps[0].Why, "; the stream is another") {
		t.Errorf("%+v", gaps)
	}
}

// Fewer entries than were read, with the one that was read last: what comes is of this history.
func TestFewerEntriesAreADoubtOfTheSameHistory(t *testing.T) {
	t.Parallel()
	s, on := ledger.NewStreams(ledger.Options{}), lane(ledger.Source, false)
	a, b := one(at(590_000, 0), "added", "1"), one(at(599_000, 0), "completed", "1")
	s.Read(on, ledger.Reading{At: 600_000, End: true, First: a.At, Last: a.At, Added: 1, Adds: 1,
		Jobs: 1, Entries: []ledger.Entry{a}})
	s.Read(on, ledger.Reading{At: 602_000, End: true, First: a.At, Last: b.At, Added: 1, Adds: 1,
		Cursor: &a, Entries: []ledger.Entry{b}})
	lives, _ := s.Find("1")
	if gaps := s.Gaps(); len(gaps) != 1 || lives[0].Stays[0].Completed != 1 ||
		lives[0].Stays[0].Unsure {
		t.Errorf("%+v, %+v", gaps, lives[0].Stays[0])
	}
}

// Entries that were read are not read again.
func TestAnEntryIsReadOnce(t *testing.T) {
	t.Parallel()
	s, on := ledger.NewStreams(ledger.Options{}), lane(ledger.Source, false)
	a, b := one(at(599_000, 0), "added", "1"), one(at(599_000, 1), "active", "1")
	s.Read(on, ledger.Reading{At: 600_000, End: true, First: a.At, Last: a.At, Added: 1, Adds: 1,
		Jobs: 1, Entries: []ledger.Entry{a}})
	s.Read(on, ledger.Reading{At: 600_000, End: true, First: a.At, Last: b.At, Added: 3, Adds: 1,
		Jobs: 1, Cursor: &a, Entries: []ledger.Entry{a, b}})
	c := s.Changes()
	if got := c.Cursors[0]; got.Entries != 2 || got.Adds != 1 || len(got.Gaps) != 0 ||
		c.Lives[0].Stays[0].Added != 1 {
		t.Errorf("%+v", c)
	}
}

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
