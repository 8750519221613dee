package ledger_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

func entries(at int64, events ...string) (out []ledger.Entry) {
	for i := 0; i < len(events); i += 2 {
		out = append(out, ledger.Entry{At: ledger.Position{MS: at, Seq: int64(i)},
			Event: events[i], Job: events[i+1]})
	}
	return out
}

// starts of the windows that are saved.
func starts(c ledger.Checkpoint) (out []int64) {
	for _, w := range c.Windows {
		out = append(out, w.From/60_000)
	}
	return out
}

func TestWindowsAreSavedFromWhenHistoryIsReadAndLeaveWhenTheyAreClosed(t *testing.T) {
	t.Parallel()
	l, at := ledger.NewStreams(ledger.Options{}), lane(ledger.Source, false)
	l.Read(at, ledger.Reading{At: 600_000, Entries: append(entries(60_000, "resumed", ""),
		append(entries(120_000, "resumed", ""), entries(605_000, "resumed", "")...)...)})
	if c := l.Changes(); len(c.Cursors) != 1 || len(c.Windows) != 0 {
		t.Errorf("of history, of which nothing is claimed: %+v", c)
	}
	l.Read(at, ledger.Reading{At: 610_000, End: true, Added: 3, Last: ledger.Position{MS: 605_000}})
	for _, tc := range []struct {
		minute int64
		want   []int64
	}{{11, []int64{10, 11}}, {14, []int64{10, 11, 12, 13, 14}}, {15, []int64{13, 14, 15}},
		{15, []int64{14, 15}}, {16, []int64{14, 15, 16}}} {
		l.Read(at, ledger.Reading{At: tc.minute * 60_000, End: true, Added: 3,
			Last: ledger.Position{MS: 605_000}})
		c := l.Changes()
		if got := starts(c); !slices.Equal(got, tc.want) {
			t.Errorf("minute %d: saved are %d, want %d", tc.minute, got, tc.want)
		}
		for _, w := range c.Windows {
			want := ledger.Conclusive
			switch w.From / 60_000 {
			case 10:
				want = ledger.Inconclusive
			case tc.minute:
				want = ledger.Running
			}
			if w.State != want || w.Entries != map[int64]int64{10: 1}[w.From/60_000] {
				t.Errorf("minute %d: %+v", tc.minute, w)
			}
		}
	}
	if c := l.Changes(); len(c.Cursors)+len(c.Windows) != 0 {
		t.Errorf("nothing was read since: %+v", c)
	}
}

func TestWindowsAreSavedInTheOrderOfTheirTimesAndLanes(t *testing.T) {
	t.Parallel()
	l := ledger.NewStreams(ledger.Options{})
	lanes := []ledger.Lane{{Side: ledger.Target, Queue: "b", Shadow: true},
		{Side: ledger.Source, Queue: "b"}, {Side: ledger.Target, Queue: "a"},
		{Side: ledger.Source, Queue: "a"}, {Side: ledger.Source, Queue: "a", Shadow: true}}
	for _, at := range lanes {
		l.Read(at, ledger.Reading{At: 60_000, End: true})
		l.Read(at, ledger.Reading{At: 120_000, End: true})
	}
	var got []string
	for _, w := range l.Changes().Windows {
		got = append(got, fmt.Sprint(w.From/60_000, " ", w.Lane))
	}
	want := []string{"1 source a", "1 source b", "1 source a (shadow)", "1 target a",
		"1 target b (shadow)", "2 source a", "2 source b", "2 source a (shadow)", "2 target a",
		"2 target b (shadow)"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// A row of an older version may have no events.
func TestAWindowWithoutEventsIsGoneOnFrom(t *testing.T) {
	t.Parallel()
	at := lane(ledger.Source, false)
	l := ledger.RestoreStreams(ledger.Options{}, ledger.Checkpoint{
		Cursors: []ledger.Cursor{{Lane: at, At: 60_000, Based: true}},
		Windows: []ledger.Window{{Lane: at, From: 60_000, State: ledger.Running, Entries: 3}}})
	l.Read(at, ledger.Reading{At: 70_000, End: true, Added: 1,
		Entries: entries(65_000, "resumed", ""), Last: ledger.Position{MS: 65_000}})
	c := l.Changes()
	if len(c.Windows) != 1 || c.Windows[0].Entries != 4 || c.Windows[0].Events["resumed"] != 1 {
		t.Errorf("%+v", c.Windows)
	}
}

// A finished job is recognised when it runs again as long as it is among the last; of the
// oldest that is not promised.
func TestTheLastFinishedJobsAreRecognised(t *testing.T) {
	t.Parallel()
	o := proofOptions
	o.Done = 3
	for _, restarts := range []bool{false, true} {
		s := openStage(t, 1)
		s.l, s.db = ledger.NewStreams(o), newRecorder()
		s.rounds(2)
		at := lane(ledger.Source, false)
		for i := range 10 {
			job := fmt.Sprint("evt-", i)
			s.knows(job)
			s.add(at, job)
			s.run(at, job, "r")
			s.rounds(4)
			if restarts {
				s.l = ledger.RestoreStreams(o, s.db.checkpoint(t))
			}
		}
		for i := range 10 {
			_, done := s.l.Find(fmt.Sprint("evt-", i))
			if i >= 7 && !done || i < 4 && done {
				t.Errorf("restarts: %v: whether evt-%d is recognised: %v", restarts, i, done)
			}
		}
	}
}

// The hashes of finished jobs are stored: they stay what they are.
func TestAFinishedJobsHashStaysTheSame(t *testing.T) {
	t.Parallel()
	for queue, want := range map[string]uint64{"orders": 15055346779140586874,
		strings.Repeat("q", 300): 12911193696333658698} {
		l := ledger.NewStreams(ledger.Options{})
		on := ledger.Lane{Side: ledger.Source, Queue: queue}
		l.Read(on, ledger.Reading{At: 600_000, End: true})
		l.Read(on, ledger.Reading{At: 700_000, End: true, Added: 2, Adds: 1, Entries: entries(650_000,
			"added", "42", "completed", "42"), Last: ledger.Position{MS: 650_000, Seq: 2}})
		l.Judge(700_000, 700_000, ledger.NewJournal(queue))
		if c := l.Changes(); len(c.Done) != 1 || c.Done[0] != want {
			t.Errorf("%.10s: %d, want %d", queue, c.Done, want)
		}
	}
}

// A life that is over and another that began since the last save share one row.
func TestALifeThatBeganAgainKeepsItsRow(t *testing.T) {
	t.Parallel()
	s := openStage(t, 1)
	at := lane(ledger.Source, false)
	read := func() {
		s.now += 3000
		s.world.read(s.l, at, 100)
		s.l.Judge(s.now, s.now, s.rec)
	}
	s.knows("42")
	s.add(at, "42")
	s.round(3000)
	s.run(at, "42", "r")
	for range 5 {
		for _, other := range allLanes {
			s.world.read(s.l, other, 100)
		}
		read()
	}
	s.add(at, "42")
	read()
	c := s.l.Changes()
	if len(c.Ended) != 0 || len(c.Lives) != 1 || !c.Lives[0].Before || len(c.Done) != 1 {
		t.Errorf("%+v", c)
	}
	// its second effect is none more to recognise
	s.run(at, "42", "r")
	s.rounds(5)
	if n := len(s.db.done); n != 0 {
		t.Errorf("%d more", n)
	}
}
