package ledger_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

func TestATrimmedStreamIsInconclusiveAndTheJournalSaysHowItEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	l, db := ledger.NewStreams(ledger.Options{Deadline: time.Minute, Linger: time.Second}),
		newRecorder()
	at := lane(ledger.Source, false)
	w.read(l, at, 100)
	w.now += 61_000
	w.intake("seen", ledger.Source, "")
	w.intake("lost", ledger.Source, "")
	w.read(l, at, 100)
	w.now += 61_000
	trimFrom := w.now
	w.run(at, "seen", "r")
	delete(w.lanes[at].hash, "lost")
	delete(w.lanes[at].state, "lost")
	w.intake("unseen", ledger.Source, "")
	w.run(at, "unseen", "r")
	w.lanes[at].trimmed = len(w.lanes[at].stream)
	w.now += 1000
	w.read(l, at, 100)
	for range 200 {
		w.now += 1000
		w.tell(ledger.Event{Type: ledger.EventDelivery, Order: "tick", Status: 500})
		w.read(l, at, 100)
		for _, job := range l.Overdue(at, w.now, 0, 20) {
			l.Seen(at, job, w.now, w.lanes[at].look(job))
		}
		l.Judge(w.now, w.now, w.journal)
		db.save(l.Changes())
	}
	db.judged(t, "trimmed", map[string][]ledger.Verdict{"lost": {ledger.Loss, ledger.Late}})
	gap := db.windows[fmt.Sprint(at, trimFrom-trimFrom%60_000)]
	if gap.State != ledger.Inconclusive ||
		!strings.Contains(strings.Join(gap.Reasons, " "), "trimmed before they were read") {
		t.Errorf("the minute of the gap is %s: %v", gap.State, gap.Reasons)
	}
	if last := db.windows[fmt.Sprint(at,
		(w.now-60_000)-(w.now-60_000)%60_000)]; last.State != ledger.Conclusive {
		t.Errorf("a minute after it is %s: %v", last.State, last.Reasons)
	}
}

func TestAFailoverThatLosesEntriesIsAGapAndSecondRunsAreSettledByTheJournal(t *testing.T) {
	t.Parallel()
	w := newWorld(2)
	l, db := ledger.NewStreams(ledger.Options{Deadline: time.Minute, Linger: time.Second}),
		newRecorder()
	at := lane(ledger.Source, false)
	w.read(l, at, 100)
	w.now += 61_000
	w.intake("again", ledger.Source, "")
	s := w.lanes[at]
	before, written := len(s.stream), s.written
	w.run(at, "again", "r")
	w.read(l, at, 100)
	// The replica that takes over never learned of the run: the worker runs the job
	// again, and the application catches it.
	s.stream, s.written = s.stream[:before], written
	s.hash["again"], s.state["again"] = true, "wait"
	w.now += 2000
	w.read(l, at, 100)
	w.event(at, "active", "again")
	w.tell(ledger.Event{Type: ledger.EventExecuted, Order: "again", JobID: "again",
		Side: ledger.Source, Outcome: ledger.OutcomeSuppressed})
	// an app that does not report what a run did
	w.event(at, "completed", "again", "returnvalue", "null")
	delete(s.hash, "again")
	delete(s.state, "again")
	for range 90 {
		w.now += 1000
		w.tell(ledger.Event{Type: ledger.EventDelivery, Order: "tick", Status: 500})
		w.read(l, at, 100)
		l.Judge(w.now, w.now, w.journal)
		db.save(l.Changes())
	}
	e := db.exceptions["double orders again"]
	if e.Job != "again" || !strings.Contains(e.SettledBy, "once") {
		t.Errorf("exceptions: %+v", db.exceptions)
	}
	inconclusive := slices.ContainsFunc(slices.Collect(maps.Values(db.windows)),
		func(win ledger.Window) bool {
			return strings.Contains(strings.Join(win.Reasons, " "), "lost entries")
		})
	if !inconclusive {
		t.Errorf("no window tells of the lost entries: %+v", db.windows)
	}
}

func TestMoreOpenJobsThanAreFollowedMakeTheMinuteInconclusive(t *testing.T) {
	t.Parallel()
	w := newWorld(3)
	l, db := ledger.NewStreams(ledger.Options{Open: 10}), newRecorder()
	at := lane(ledger.Target, false)
	w.read(l, at, 100)
	w.now += 61_000
	for n := range 11 {
		w.intake(fmt.Sprint(n), ledger.Target, "")
	}
	w.read(l, at, 1000)
	db.save(l.Changes())
	if got := db.windows[fmt.Sprint(at,
		w.now-w.now%60_000)]; got.State != ledger.Inconclusive ||
		!strings.Contains(strings.Join(got.Reasons, " "), "not followed") {
		t.Errorf("%+v", got)
	}
	if n := len(db.lives); n != 10 {
		t.Errorf("%d lives are kept, want 10", n)
	}
}

func TestHistoryOfSeveralPagesIsNotConclusive(t *testing.T) {
	t.Parallel()
	w := newWorld(4)
	at := lane(ledger.Source, false)
	for n := range 30 {
		w.intake(fmt.Sprint(n), ledger.Source, "")
		w.run(at, fmt.Sprint(n), "r")
		w.now += 10_000
	}
	l, db := ledger.NewStreams(ledger.Options{}), newRecorder()
	for range 60 {
		w.read(l, at, 5)
		db.save(l.Changes())
	}
	for _, win := range db.windows {
		if win.State == ledger.Conclusive {
			t.Errorf("the minute %d, before reading began, is conclusive", win.From)
		}
	}
}

func TestACopyThatWaitsForEverDoesNotKeepItsOrderFromBeingJudged(t *testing.T) {
	t.Parallel()
	w := newWorld(5)
	l, db := ledger.NewStreams(ledger.Options{Deadline: time.Minute, Linger: time.Second}),
		newRecorder()
	for _, at := range allLanes {
		w.read(l, at, 100)
	}
	w.now += 61_000
	target := lane(ledger.Target, false)
	w.intake("twice", ledger.Target, ledger.Source) // no worker runs the copy on the source
	w.run(target, "twice", "r")
	w.add(target, "twice")
	w.run(target, "twice", "r")
	for range 90 {
		w.now += 1000
		for _, at := range allLanes {
			w.read(l, at, 100)
		}
		l.Judge(w.now, w.now, w.journal)
		db.save(l.Changes())
	}
	db.judged(t, "a waiting copy", map[string][]ledger.Verdict{"twice": {ledger.Double}})
	for _, win := range db.windows {
		for _, r := range win.Reasons {
			if r != ledger.Began {
				t.Errorf("%v of %d: %s", win.Lane, win.From, r)
			}
		}
	}
	if len(db.lives) != 0 {
		t.Errorf("still open: %+v", db.lives)
	}
}

func TestNothingIsJudgedWhileASideWasNeverRead(t *testing.T) {
	t.Parallel()
	w := newWorld(6)
	l, db := ledger.NewStreams(ledger.Options{Linger: time.Second}), newRecorder()
	at := lane(ledger.Source, false)
	w.read(l, at, 100)
	l.Failed(lane(ledger.Target, false), errors.New("no route"))
	w.intake("a", ledger.Source, "")
	w.run(at, "a", "r")
	w.now += 60_000
	w.read(l, at, 100)
	l.Judge(w.now, w.now, w.journal)
	db.save(l.Changes())
	if len(db.done) != 0 || len(db.lives) != 1 {
		t.Errorf("%d jobs were folded, %d are open: what the target says is not known",
			len(db.done), len(db.lives))
	}
	l.Drop(lane(ledger.Target, false), w.now)
	l.Judge(w.now, w.now, w.journal)
	db.save(l.Changes())
	if len(db.done) != 1 || len(db.lives) != 0 {
		t.Errorf("%d jobs were folded, %d are open, with the target gone", len(db.done),
			len(db.lives))
	}
}

func TestALaneThatCannotBeReadSaysSo(t *testing.T) {
	t.Parallel()
	l := ledger.NewStreams(ledger.Options{})
	l.Failed(lane(ledger.Target, false), errors.New("no route"))
	c := l.Changes()
	if len(c.Cursors) != 1 || c.Cursors[0].Error != "no route" || c.Cursors[0].At != 0 {
		t.Errorf("%+v", c.Cursors)
	}
}

// A life that was saved, ends, and begins and ends again before the next save
// leaves no row; one that begins and ends between two saves never has one.
func TestNoLifeStaysInTheDatabaseAfterItEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(7)
	l, db := ledger.NewStreams(ledger.Options{Deadline: time.Minute, Linger: time.Second}),
		newRecorder()
	at := lane(ledger.Source, false)
	judge := func() {
		w.now += 3000
		w.read(l, at, 1000)
		l.Judge(w.now, w.now, w.journal)
	}
	w.read(l, at, 100)
	w.now += 61_000
	w.intake("again", ledger.Source, "")
	judge()
	db.save(l.Changes())
	if len(db.lives) != 1 {
		t.Fatalf("an open life is not saved: %v", db.lives)
	}
	for range 2 {
		w.run(at, "again", "r")
		judge()
		w.intake("again", ledger.Source, "")
		judge()
	}
	w.run(at, "again", "r")
	w.intake("short", ledger.Source, "")
	w.run(at, "short", "r")
	judge()
	c := l.Changes()
	db.save(c)
	if len(db.lives) != 0 || len(c.Lives) != 0 ||
		!slices.Equal(c.Ended, [][2]string{{queueName, "again"}}) {
		t.Errorf("left in the database: %v; saved: %d lives, %v ended", db.lives,
			len(c.Lives), c.Ended)
	}
}

func TestAQueuesOwnDeadlineCountsInsteadOfTheGeneralOneAndItsEndIsToldOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(8)
	l := ledger.NewStreams(ledger.Options{Deadline: time.Hour,
		Deadlines: map[string]time.Duration{queueName: time.Minute}, Linger: time.Second})
	at := lane(ledger.Source, false)
	w.read(l, at, 100)
	w.now += 61_000
	w.intake("slow", ledger.Source, "")
	var told []ledger.Exception
	step := func(ms int64) {
		w.now += ms
		w.tell(ledger.Event{Type: ledger.EventDelivery, Order: "tick", Status: 500})
		w.read(l, at, 1000)
		l.Judge(w.now, w.now, w.journal)
		told = append(told, l.Changes().Exceptions...)
	}
	step(59_000)
	if len(told) != 0 {
		t.Fatalf("within the deadline: %+v", told)
	}
	for range 10 {
		step(2000)
	}
	if len(told) != 1 || told[0].Verdict != ledger.Late || told[0].SettledAt != 0 ||
		!strings.Contains(told[0].Detail, "the limit is 1m0s") {
		t.Fatalf("over the deadline: %+v", told)
	}
	w.run(at, "slow", "r")
	for range 10 {
		step(2000)
	}
	if len(told) != 2 || told[1].SettledAt == 0 || told[1].SettledBy == "" {
		t.Errorf("at its end: %+v", told)
	}
}
