package ledger_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

// fill runs n orders on a lane, and has them read.
func (s *stage) fill(at ledger.Lane, from, n int) {
	for i := range n {
		job := fmt.Sprint("evt-", from+i)
		s.knows(job)
		s.add(at, job)
		s.run(at, job, "r")
		if i%20 == 0 {
			s.round(300)
		}
	}
	s.rounds(5)
}

func (s *stage) noExceptions() {
	s.t.Helper()
	for _, e := range s.db.exceptions {
		s.t.Errorf("%s of %s: %s", e.Verdict, e.Job, e.Detail)
	}
}

func (s *stage) gaps(at ledger.Lane) (all []ledger.Gap) {
	for _, c := range s.l.Changes().Cursors {
		s.db.cursors[c.Lane] = c
	}
	return s.db.cursors[at].OpenGaps()
}

// A decommission that was taken back made the ledger report 1,926 doubles.
func TestALaneThatComesBackGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	at := lane(ledger.Source, false)
	for _, restarted := range []bool{false, true} {
		t.Run(fmt.Sprintf("restarted meanwhile: %v", restarted), func(t *testing.T) {
			t.Parallel()
			s := openStage(t, 3)
			s.fill(at, 0, 300)
			was := s.lanes[at]
			s.l.Drop(at, s.now)
			delete(s.lanes, at)
			s.rounds(3)
			if restarted {
				s.restart()
			}
			s.lanes[at] = was
			s.fill(at, 300, 50) // some of it while nobody read
			s.l.Follows(at)
			s.rounds(70)
			s.noExceptions()
			if gaps := s.gaps(at); len(gaps) != 0 {
				t.Errorf("gaps: %+v", gaps)
			}
			if c := s.db.cursors[at]; c.DroppedAt != 0 || c.Adds != 350 {
				t.Errorf("%+v", c)
			}
		})
	}
}

func TestOrdersOfALaneThatComesBackAreWatchedAgain(t *testing.T) {
	t.Parallel()
	s := openStage(t, 3)
	at := lane(ledger.Source, false)
	s.knows("evt")
	s.add(at, "evt")
	s.round(500)
	was := s.lanes[at]
	s.l.Drop(at, s.now)
	s.l.Follows(at)
	s.forget(at, "evt")
	s.lanes[at] = was
	s.rounds(70) // the record has until the deadline to say that it ended
	if s.exception(ledger.Loss, "evt").Job == "" {
		t.Errorf("an order that vanished is no loss: %+v", s.db.exceptions)
	}
}

func TestALaneThatIsLetGoUnreadIsAGap(t *testing.T) {
	t.Parallel()
	at := lane(ledger.Source, false)
	for rule, unread := range map[string]func(s *stage){
		"it could not be read":   func(s *stage) { s.l.Failed(at, errors.New("no route")) },
		"it was not read lately": func(s *stage) { s.now += 60_000 },
		"it was not read to its end": func(s *stage) {
			s.add(at, "1")
			s.world.read(s.l, at, 1)
		},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			s := openStage(t, 3)
			unread(s)
			s.l.Drop(at, s.now)
			if gaps := s.gaps(at); len(gaps) != 1 || !strings.Contains(gaps[0].Why, "let go") {
				t.Errorf("gaps: %+v", gaps)
			}
		})
	}
}

// Everything that happened while Switchyard was down is read afterwards: its minutes are
// proven, also those in which nothing happened.
func TestTheMinutesOfAnAbsenceAreProvenOnceTheyAreRead(t *testing.T) {
	t.Parallel()
	s := openStage(t, 3)
	at := lane(ledger.Source, false)
	s.fill(at, 0, 10)
	from := s.now
	s.restart()
	s.now += 20 * 60_000
	s.fill(at, 10, 10)
	s.rounds(120)
	proven := 0
	for _, w := range s.db.windows {
		if w.Lane == at && w.From >= from-60_000 && w.State == ledger.Conclusive {
			proven++
		}
	}
	if proven < 20 {
		t.Errorf("%d minutes of 20 are conclusive", proven)
	}
}

// Each row changes what answers at a lane's address. What is read of it is no second run of
// what is known, and the lane says what it cannot tell.
func TestAnotherServerIsNoticed(t *testing.T) {
	t.Parallel()
	source, target := lane(ledger.Source, false), lane(ledger.Target, false)
	for rule, tc := range map[string]struct {
		change func(s *stage)
		gap    string // what the lane of the source says; "" for no gap
	}{
		"a restart loses nothing, and proves it by its stream": {func(s *stage) {
			s.lanes[source].run = "restarted"
		}, ""},
		"a failover to a replica that has everything": {func(s *stage) {
			s.lanes[source] = s.lanes[source].copy()
			s.lanes[source].run = "replica"
		}, ""},
		"two servers swap their addresses": {func(s *stage) {
			s.lanes[source], s.lanes[target] = s.lanes[target], s.lanes[source]
		}, "the server is another than was read (run id"},
		"two servers that tell no run id swap their addresses": {func(s *stage) {
			s.lanes[source].run, s.lanes[target].run = "", ""
			s.lanes[source], s.lanes[target] = s.lanes[target], s.lanes[source]
		}, "the server counts"},
		"the database of an hour ago is restored": {func(s *stage) {
			old := s.lanes[source]
			half := len(old.stream) / 2
			s.lanes[source] = old.copy()
			s.lanes[source].stream = old.stream[:half]
			s.lanes[source].written = int64(half)
			s.lanes[source].run = "restored"
		}, "the stream ends at"},
		"it is restored, and has written on": {func(s *stage) {
			old := s.lanes[source]
			half := len(old.stream) / 2
			s.lanes[source] = old.copy()
			s.lanes[source].stream = slices.Clone(old.stream[:half])
			s.lanes[source].written = int64(half)
			for range half + 10 {
				s.event(source, "resumed", "")
			}
		}, "the stream is another than was read"},
		"an empty server": {func(s *stage) {
			s.lanes[source] = newServer("empty")
		}, "the stream ends at"},
		"another server, whose stream was trimmed": {func(s *stage) {
			s.lanes[source] = s.lanes[target].copy()
			s.lanes[source].run = "another"
			s.now += 1000
			s.event(source, "resumed", "")
			s.lanes[source].trimmed = len(s.lanes[source].stream) - 1
		}, "the server is another than was read (run id another, formerly"},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			s := openStage(t, 4)
			s.fill(source, 0, 100)
			s.fill(target, 100, 120)
			tc.change(s)
			s.rounds(10)
			s.restart()
			s.rounds(3700) // an hour ends nothing
			s.noExceptions()
			gaps := s.gaps(source)
			if tc.gap == "" {
				if len(gaps) != 0 {
					t.Errorf("gaps: %+v", gaps)
				}
				return
			}
			if len(gaps) == 0 || !strings.Contains(gaps[0].Why, tc.gap) {
				t.Fatalf("want a gap because %q: %+v", tc.gap, gaps)
			}
			d := ledger.Ruling{Who: "ada", Why: "nothing ran then", At: s.now}
			if err := s.l.DecideGap(source, gaps[0].From+1, d); err == nil {
				t.Error("a gap that is not there was decided on")
			}
			if err := s.l.DecideGap(source, gaps[0].From, ledger.Ruling{}); err == nil {
				t.Error("nobody decided")
			}
			if err := s.l.DecideGap(source, gaps[0].From, d); err != nil {
				t.Error(err)
			}
			if left := s.gaps(source); len(left) != len(gaps)-1 {
				t.Errorf("left are %+v", left)
			}
		})
	}
}

// A stream that nobody wrote to has no entry that tells whose it is.
func TestAServerWithAHistoryThatTakesAnEmptyOnesPlaceIsNoticed(t *testing.T) {
	t.Parallel()
	source, target := lane(ledger.Source, false), lane(ledger.Target, false)
	s := openStage(t, 4)
	s.fill(target, 0, 50)
	s.lanes[source], s.lanes[target] = s.lanes[target], s.lanes[source]
	s.rounds(10)
	s.noExceptions()
	if gaps := s.gaps(source); len(gaps) != 1 {
		t.Errorf("gaps: %+v", gaps)
	}
}

// The history of a copied stream tells of the same runs by the same entries.
func TestACopiedHistoryIsNoSecondRun(t *testing.T) {
	t.Parallel()
	source, target := lane(ledger.Source, false), lane(ledger.Target, false)
	s := openStage(t, 5)
	delete(s.lanes, target)
	s.l = ledger.NewStreams(proofOptions)
	s.db = newRecorder()
	s.fill(source, 0, 50)
	for _, folded := range []int{0, 20} {
		s.rounds(folded)
		s.lanes[target] = s.lanes[source].copy()
		s.lanes[target].run = "copy"
		s.rounds(10)
		s.noExceptions()
	}
}

// Times of servers are compared by our own clock.
func TestAServersClockHidesNeitherALateOrderNorALostOne(t *testing.T) {
	t.Parallel()
	at := lane(ledger.Source, false)
	for _, skew := range []int64{-3_600_000, -5000, 0, 5000, 3_600_000} {
		t.Run(fmt.Sprint(skew), func(t *testing.T) {
			t.Parallel()
			s := openStage(t, 6)
			s.lanes[at].skew = skew
			s.rounds(3)
			s.knows("late")
			s.knows("lost")
			s.add(at, "late")
			s.add(at, "lost")
			s.round(10_000)
			s.forget(at, "lost")
			s.rounds(10)
			if s.exception(ledger.Loss, "lost").Job == "" {
				t.Errorf("the loss is not seen: %+v", s.db.exceptions)
			}
			if s.exception(ledger.Late, "late").Job != "" {
				t.Error("late before its deadline")
			}
			s.rounds(150)
			if s.exception(ledger.Late, "late").Job == "" {
				t.Errorf("the late order is not seen: %+v", s.db.exceptions)
			}
			if c := s.db.cursors[at]; c.Skew != skew || c.ReadAt != c.At-skew {
				t.Errorf("%+v", c)
			}
		})
	}
}

// An id that a moved job brings raises the counter, as the mover does: no doubt.
func TestAMovedJobsIdIsNoDoubt(t *testing.T) {
	t.Parallel()
	s := openStage(t, 7)
	at := lane(ledger.Target, false)
	s.fill(at, 0, 3)
	s.knows("5000")
	s.lanes[at].id = 5000
	s.lanes[at].hash["5000"], s.lanes[at].state["5000"] = true, "wait"
	s.event(at, "waiting", "5000")
	s.fill(at, 10, 3)
	s.run(at, "5000", "r")
	s.rounds(5)
	s.noExceptions()
	if gaps := s.gaps(at); len(gaps) != 0 {
		t.Errorf("%+v", gaps)
	}
	s.lanes[at].id += 3 // nobody knows why
	s.rounds(2)
	if gaps := s.gaps(at); len(gaps) != 1 || !strings.Contains(gaps[0].Why, "rose by") {
		t.Errorf("%+v", gaps)
	}
}

func TestMoreGapsThanAreKeptExtendTheLast(t *testing.T) {
	t.Parallel()
	s := openStage(t, 8)
	at := lane(ledger.Source, false)
	for range 300 {
		s.lanes[at].id++
		s.round(180_000)
		s.round(1100)
	}
	gaps := s.gaps(at)
	if len(gaps) == 0 || len(gaps) > 200 || s.now-gaps[len(gaps)-1].Until > 300_000 {
		t.Errorf("%d gaps, the last until %d at %d", len(gaps), gaps[len(gaps)-1].Until, s.now)
	}
}

// copy is a replica, or what a copy of the stream holds.
func (s *server) copy() *server {
	c := *s
	c.stream = slices.Clone(s.stream)
	c.hash, c.state, c.data = maps.Clone(s.hash), maps.Clone(s.state), maps.Clone(s.data)
	return &c
}
