package environment

import (
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
)

// restarts is a ledger whose state goes through the database between any two readings.
type restarts struct {
	*follower
	t *testing.T
	l *ledger.Streams
}

func openRestarts(t *testing.T) (*restarts, *rig) {
	t.Helper()
	r := openRig(t, config.Config{Queues: []string{"orders"}})
	s := &restarts{&follower{Streams: r.Streams, mid: mid}, t, nil}
	s.restart()
	return s, r
}

func (s *restarts) restart() {
	s.t.Helper()
	var err error
	s.l, err = s.restore(s.t.Context())
	ok(s.t, err)
}

func (s *restarts) save() ledger.Checkpoint {
	s.t.Helper()
	c := s.l.Changes()
	rows, err := LedgerState(c)
	ok(s.t, err)
	ok(s.t, s.store.SaveLedger(s.t.Context(), mid, rows, 0, 100))
	return c
}

// read is a reading that reaches the end, of entries if there are any.
func (s *restarts) read(at, adds, jobs int64, entries ...ledger.Entry) {
	r := ledger.Reading{At: at, End: true, Adds: adds, Jobs: jobs, Added: adds, Entries: entries}
	for _, e := range entries {
		r.Last = e.At
	}
	s.l.Read(sourceOrders, r)
}

const minuteMS = int64(time.Minute / time.Millisecond)

func TestARestartedLedgerGoesOnWithTheMinuteThatIsInDoubt(t *testing.T) {
	t.Parallel()
	s, _ := openRestarts(t)
	s.read(10*minuteMS, 0, 0)
	s.read(12*minuteMS+1000, 0, 0)
	s.read(12*minuteMS+2000, 7, 0) // nobody knows what was added
	s.save()
	for range 3 {
		s.restart()
		s.read(12*minuteMS+30_000, 7, 0)
		s.save()
	}
	s.read(14*minuteMS, 7, 0)
	s.save()
	rows, err := s.store.LedgerWindows(t.Context(), mid, 12*minuteMS)
	ok(t, err)
	windows, err := bodies[ledger.Window](rows)
	ok(t, err)
	for _, w := range windows {
		if w.From == 12*minuteMS && (w.State != ledger.Inconclusive || len(w.Reasons) != 1) {
			t.Errorf("after restarts: %+v", w)
		}
	}
}

// It was killed when the row was written and nothing else: the lane is let go once more.
func TestALaneWhoseLettingGoWasCutOffIsLetGoAgain(t *testing.T) {
	t.Parallel()
	s, _ := openRestarts(t)
	s.read(10*minuteMS, 0, 0)
	s.read(11*minuteMS, 1, 1, ledger.Entry{At: ledger.Position{MS: 11*minuteMS - 1},
		Event: "added", Job: "42"})
	s.save()
	ok(t, s.store.DropLedgerCursor(t.Context(), mid, sourceOrders.String(), 11*minuteMS+1))
	s.restart()
	s.l.Drop(sourceOrders, 11*minuteMS+500)
	c := s.save()
	if len(c.Lives) != 1 || c.Lives[0].Stays[0].State != "released" || c.Cursors[0].Open != 0 {
		t.Errorf("a job of a lane that was let go: %+v", c)
	}
}

// A decision is about one life of a job: BullMQ gives ids out again.
func TestAWaiverOfOneLifesExceptionDecidesNoLaterOnes(t *testing.T) {
	t.Parallel()
	s, r := openRestarts(t)
	now := r.clk.now().UnixMilli()
	s.read(now-30*minuteMS, 0, 0)
	life := func(added int64, n int64) ledger.Exception {
		t.Helper()
		s.read(added, n, 1, ledger.Entry{At: ledger.Position{MS: added, Seq: n}, Event: "added",
			Job: "42"})
		late := added + 10*minuteMS
		s.read(late, n, 1)
		s.l.Judge(late, late, ledger.NewJournal("orders"))
		open := s.l.Open()
		if s.save(); len(open) != 1 || open[0].Verdict != ledger.Late {
			t.Fatalf("no order is late: %+v", open)
		}
		return open[0]
	}
	first := life(now-29*minuteMS, 1)
	_, err := s.store.AddWaiver(t.Context(), mid, migration.Waiver{Member: exceptionKey(first),
		By: "ada", Why: "asked the customer", At: r.clk.now(), Until: r.clk.now().Add(time.Hour)})
	ok(t, err)
	ok(t, s.rule(t.Context(), s.l))
	if open := s.l.Open(); len(open) != 0 {
		t.Fatalf("the decision is not taken in: %+v", open)
	}
	s.save()
	ended := now - 15*minuteMS
	s.read(ended, 1, 0, ledger.Entry{At: ledger.Position{MS: ended}, Event: "completed", Job: "42"})
	s.l.Judge(ended+minuteMS, ended+minuteMS, ledger.NewJournal("orders"))
	s.read(ended+minuteMS, 1, 0)
	s.l.Judge(ended+minuteMS, ended+minuteMS, ledger.NewJournal("orders"))
	s.save()
	life(now-12*minuteMS, 2)
	ok(t, s.rule(t.Context(), s.l))
	if open := s.l.Open(); len(open) != 1 {
		t.Errorf("a decision about an earlier life settled a later one: %+v", open)
	}
}
