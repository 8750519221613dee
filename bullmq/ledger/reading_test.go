package ledger_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

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

// That a job which has ended is removed explains no other one that is gone.
func TestTheRemovalOfWhatHasEndedExplainsNothing(t *testing.T) {
	t.Parallel()
	s, on := ledger.NewStreams(ledger.Options{}), lane(ledger.Source, false)
	a := one(at(599_000, 0), "added", "1")
	s.Read(on, ledger.Reading{At: 600_000, End: true, First: a.At, Last: a.At, Added: 1, Adds: 1,
		Jobs: 2, Entries: []ledger.Entry{a}})
	s.Read(on, ledger.Reading{At: 602_000, End: true, First: a.At, Last: at(601_000, 1), Added: 3,
		Adds: 1, Cursor: &a, Entries: []ledger.Entry{one(at(601_000, 0), "completed", "1"),
			one(at(601_000, 1), "removed", "1")}})
	if gaps := s.Gaps(); len(gaps) != 1 || !strings.Contains(gaps[0].Why, "0 jobs are in the") {
		t.Errorf("%+v", gaps)
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
