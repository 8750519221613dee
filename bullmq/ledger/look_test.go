package ledger_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

// open is a ledger of one lane, read at ten minutes, with jobs added a second apart, the last of
// them at ten minutes.
func openJobs(skew int64, jobs ...string) (*ledger.Streams, ledger.Lane) {
	s, on := ledger.NewStreams(ledger.Options{}), lane(ledger.Source, false)
	r := ledger.Reading{At: 600_000 + skew, ReadAt: 600_000, End: true}
	for i, job := range jobs {
		r.Last = at(600_000+skew-1000*int64(len(jobs)-1-i), 0)
		r.Entries = append(r.Entries, one(r.Last, "added", job))
	}
	n := int64(len(jobs))
	r.First, r.Added, r.Adds, r.Jobs = r.Last, n, n, n
	s.Read(on, r)
	return s, on
}

func TestJobsWithoutNewsAreLookedUpTheLongestWaitingFirst(t *testing.T) {
	t.Parallel()
	overdue := func(s *ledger.Streams, on ledger.Lane, now int64, n int, want ...string) {
		t.Helper()
		if got := s.Overdue(on, now, 3*time.Second, n); !slices.Equal(got, want) {
			t.Errorf("at %d: %q, want %q", now, got, want)
		}
	}
	for _, skew := range []int64{0, 50_000, -50_000} {
		s, on := openJobs(skew, "a", "b", "c")
		overdue(s, on, 600_999, 9)
		overdue(s, on, 601_000, 9, "a")
		overdue(s, on, 603_000, 9, "a", "b", "c")
		overdue(s, on, 603_000, 2, "a", "b")
		overdue(s, on, 603_000, 0)
	}
	s, on := openJobs(0, "a", "b", "c")
	overdue(s, ledger.Lane{Side: ledger.Source, Queue: "mails"}, 700_000, 9)
	overdue(s, lane(ledger.Target, false), 700_000, 9)
	there := ledger.Look{Hash: true, State: "wait"}
	s.Seen(on, "a", 700_000, there)
	s.Seen(on, "b", 700_001, there)
	overdue(s, on, 710_000, 9, "c", "a", "b")
	s.Seen(on, "c", 700_001, there)
	overdue(s, on, 710_000, 9, "a", "b", "c")
	s.Seen(on, "b", 710_000, ledger.Look{})
	overdue(s, on, 720_000, 9, "a", "c") // what is missing is not looked up again
	s.Read(on, ledger.Reading{At: 720_000, End: true, First: at(1, 0), Last: at(715_000, 0),
		Cursor: ptr(one(at(600_000, 0), "added", "c")), Added: 4, Adds: 3, Jobs: 2,
		Entries: []ledger.Entry{one(at(715_000, 0), "completed", "a")}})
	overdue(s, on, 720_000, 9, "c") // what ended is not
	// another queue's job of that id
	s.Read(ledger.Lane{Side: ledger.Source, Queue: "mails"}, ledger.Reading{At: 600_000, End: true,
		Entries: []ledger.Entry{one(at(599_000, 0), "added", "m")}, Last: at(599_000, 0), Added: 1,
		Adds: 1, Jobs: 1})
	overdue(s, on, 720_000, 9, "c")
	// what entries were missed of is looked up at once
	s, on = openJobs(0, "a")
	overdue(s, on, 600_500, 9)
	s.Drop(on, 600_400)
	s.Follows(on)
	overdue(s, on, 600_500, 9, "a")
	// jobs of the same age come in the order of their ids
	s, on = openJobs(0, "x")
	s.Read(on, ledger.Reading{At: 601_000, End: true, First: at(1, 0), Last: at(601_000, 2),
		Cursor: ptr(one(at(600_000, 0), "added", "x")), Added: 4, Adds: 4, Jobs: 4,
		Entries: []ledger.Entry{one(at(601_000, 0), "added", "n"), one(at(601_000, 1), "added", "l"),
			one(at(601_000, 2), "added", "m")}})
	overdue(s, on, 610_000, 9, "x", "l", "m", "n")
}

func ptr[T any](x T) *T { return &x }

// What a server holds of a job says where it is, once entries were missed, or that it is missing.
func TestALookSaysWhereAJobIsOrThatItIsMissing(t *testing.T) {
	t.Parallel()
	end := at(650_000, 0)
	for _, tc := range []struct {
		rule   string
		unsure bool // entries were missed
		look   ledger.Look
		state  string
		why    string // it is missing
		ran    int
		open   int64
	}{
		{"it is where it was", false, ledger.Look{Hash: true, State: "wait"}, "waiting", "", 0, 1},
		{"it is where it may be", true, ledger.Look{Hash: true, State: "active"}, "active", "", 0, 1},
		{"the stream has yet to tell of its end", false, ledger.Look{Hash: true, State: "completed"},
			"waiting", "", 0, 1},
		{"its end was missed: it ran", true, ledger.Look{Hash: true, State: "completed"},
			"completed", "", 1, 0},
		{"its end was missed: it failed", true, ledger.Look{Hash: true, State: "failed"},
			"failed", "", 0, 0},
		{"the stream has yet to tell of its failure", false, ledger.Look{Hash: true, State: "failed"},
			"waiting", "", 0, 1},
		{"it is in no list", false, ledger.Look{Hash: true, End: end}, "waiting",
			"its id is in no list: no worker finds it", 0, 1},
		{"its data is gone", false, ledger.Look{State: "wait", End: end}, "waiting",
			"its data is gone while its id is wait: a worker would run it with empty data", 0, 1},
		{"its data is gone, of one that has failed", true, ledger.Look{State: "failed", End: end},
			"waiting", "its data is gone while its id is failed: a worker would run it with empty data",
			0, 1},
		{"all of it is gone", true, ledger.Look{End: end}, "waiting",
			"neither its data nor its id is on the server", 0, 1},
	} {
		s, on := openJobs(0, "a")
		s.Read(on, ledger.Reading{At: 601_000, End: true, First: at(1, 0), Last: at(600_000, 1),
			Cursor: ptr(one(at(600_000, 0), "added", "a")), Added: 2, Adds: 1, Jobs: 1,
			Entries: []ledger.Entry{one(at(600_000, 1), "waiting", "a")}})
		if tc.unsure {
			s.Drop(on, 602_000)
			s.Follows(on)
		}
		s.Changes()
		s.Seen(on, "nobody's", 603_000, tc.look)
		s.Seen(lane(ledger.Target, false), "a", 603_000, tc.look)
		s.Seen(ledger.Lane{Side: ledger.Source, Queue: "mails"}, "a", 603_000, tc.look)
		s.Seen(on, "a", 603_000, tc.look)
		lives, _ := s.Find("a")
		stay := lives[0].Stays[0]
		if stay.State != tc.state || stay.Why != tc.why || stay.Completed != tc.ran ||
			(stay.Missing != nil) != (tc.why != "") || stay.Missing != nil && *stay.Missing != end {
			t.Errorf("%s: %+v", tc.rule, stay)
		}
		s.Failed(on, errors.New("to have it saved"))
		if c := s.Changes(); c.Cursors[0].Open != tc.open ||
			c.Cursors[0].Uncompared.Silent != 1-tc.open+map[bool]int64{true: 1}[tc.unsure] {
			t.Errorf("%s: %+v", tc.rule, c.Cursors[0])
		}
		// what has ended is not looked at
		if tc.open == 0 {
			s.Seen(on, "a", 604_000, ledger.Look{})
			if lives, _ := s.Find("a"); lives[0].Stays[0].Missing != nil {
				t.Errorf("%s: missing after its end", tc.rule)
			}
		}
	}
}

func TestWhatASchedulerMayHaveMadeIsAskedOfItsServer(t *testing.T) {
	t.Parallel()
	ids := []string{"repeat:tick:1", "repeat:a:b:2", "repeat:tick:x", "repeat:tick", "repeat::1", "repeat:42",
		"tick:1", "42", "repeat:tick:-1", "norepeat:a:1"}
	s, on := openJobs(0, ids...)
	unasked := func(n int, want ...string) {
		t.Helper()
		got := s.Unasked(on, n)
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	unasked(9, "repeat:a:b:2", "repeat:tick:1")
	if got := s.Unasked(on, 1); len(got) != 1 {
		t.Errorf("%q", got)
	}
	if got := s.Unasked(lane(ledger.Target, false), 9); len(got) != 0 {
		t.Errorf("of another lane: %q", got)
	}
	s.Asked(on, "repeat:tick:1", true)
	unasked(9, "repeat:a:b:2")
	s.Asked(on, "repeat:tick:1", false) // the other server does not know it
	s.Asked(on, "nobody's", true)
	lives, _ := s.Find("repeat:tick:1")
	if !lives[0].Asked || !lives[0].Scheduled {
		t.Errorf("%+v", lives)
	}
	if c := s.Changes(); len(c.Lives) != len(ids) {
		t.Errorf("%d lives", len(c.Lives))
	}
	s.Read(lane(ledger.Target, false), ledger.Reading{At: 601_000, End: true, Added: 1, Jobs: 1,
		Entries: []ledger.Entry{one(at(600_500, 0), "waiting", "repeat:moved:1")}})
	if got := s.Unasked(lane(ledger.Target, false), 9); !slices.Equal(got,
		[]string{"repeat:moved:1"}) {
		t.Errorf("of the target: %q", got)
	}
	s.Drop(on, 601_000) // nobody can be asked any more
	unasked(9)
	l := ledger.RestoreStreams(ledger.Options{}, ledger.Checkpoint{Lives: []ledger.Life{{
		Queue: queueName, Job: "repeat:tick:1", Stays: [4]*ledger.Stay{{State: "waiting"}}}}})
	l.Seen(on, "repeat:tick:1", 1, ledger.Look{})
	if got := l.Unasked(on, 9); len(got) != 0 {
		t.Errorf("of a lane that is not read: %q", got)
	}
	s.Follows(on)
	s.Asked(on, "repeat:a:b:2", false)
	unasked(9)
	if lives, _ := s.Find("repeat:a:b:2"); !lives[0].Asked || lives[0].Scheduled {
		t.Errorf("%+v", lives)
	}
}
