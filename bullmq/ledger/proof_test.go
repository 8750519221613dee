package ledger_test

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

// record is an application's record that tells what a case says, by queue and job.
type record struct {
	jobs  map[[2]string]ledger.Facts
	since int64
}

func (r *record) Job(queue, id string) ledger.Facts { return r.jobs[[2]string{queue, id}] }
func (r *record) Since() int64                      { return r.since }

// stage is one ledger over a world, and what has become of it.
type stage struct {
	*world
	t      *testing.T
	l      *ledger.Streams
	db     *recorder
	rec    *record
	behind int64 // how far the record is behind now
	// away lanes are let go, unreadable ones are not
	away, unreadable map[ledger.Lane]bool
	// beside is a second ledger over the same world, which is never restarted; nil for none.
	beside   *ledger.Streams
	besideDB *recorder
	pages    bool // it is read in small pages
	restless bool // it is restarted all the time
}

var proofOptions = ledger.Options{Deadline: time.Minute, Linger: time.Second}

// openStage follows every lane of a world from its beginning.
func openStage(t *testing.T, seed uint64) *stage {
	t.Helper()
	w := newWorld(seed)
	s := &stage{world: w, t: t, l: ledger.NewStreams(proofOptions), db: newRecorder(),
		rec: &record{jobs: map[[2]string]ledger.Facts{}, since: w.now}}
	s.round(0)
	s.round(61_000)
	return s
}

// round lets ms pass, and then reads, looks, judges and saves.
func (s *stage) round(ms int64) {
	s.now += ms
	page := 1000
	if s.pages {
		page = 1 + s.rnd.IntN(8)
	}
	s.pass(s.l, s.db, page)
	if s.beside != nil {
		s.pass(s.beside, s.besideDB, page)
	}
	if s.restless && s.rnd.IntN(2) == 0 {
		s.restart()
	}
}

func (s *stage) pass(l *ledger.Streams, db *recorder, page int) {
	for _, at := range s.order() {
		switch {
		case s.away[at]: // said again until it is saved
			l.Drop(at, s.now)
			continue
		case s.unreadable[at]:
			l.Failed(at, errors.New("connection reset by peer"))
			continue
		}
		s.world.read(l, at, page)
		for _, job := range l.Overdue(at, s.now, 0, 100) {
			l.Seen(at, job, s.now, s.lanes[at].look(job))
		}
		for _, job := range l.Unasked(at, 100) {
			l.Asked(at, job, s.scheduled[job])
		}
	}
	l.Judge(s.now, s.now-s.behind, s.rec)
	db.save(l.Changes())
}

// order returns the lanes, in an order that a seed repeats.
func (s *stage) order() []ledger.Lane {
	return slices.SortedFunc(maps.Keys(s.lanes), func(a, b ledger.Lane) int {
		return cmp.Compare(a.String(), b.String())
	})
}

func (s *stage) rounds(n int) {
	for range n {
		s.round(1100)
	}
}

// restart goes on from what was saved.
func (s *stage) restart() { s.l = ledger.RestoreStreams(proofOptions, s.db.checkpoint(s.t)) }

func (s *stage) exception(v ledger.Verdict, job string) ledger.Exception {
	return s.db.exceptions[string(v)+" "+queueName+" "+job]
}

// fault makes one exception of a verdict, of job 42 of the queue.
func (s *stage) fault(v ledger.Verdict) {
	s.t.Helper()
	source, target := lane(ledger.Source, false), lane(ledger.Target, false)
	run := func(at ledger.Lane) { s.add(at, "42"); s.run(at, "42", "r") }
	switch v {
	case ledger.Loss:
		s.add(source, "42")
		delete(s.lanes[source].hash, "42")
		delete(s.lanes[source].state, "42")
	case ledger.Double:
		run(source)
		run(target)
	case ledger.Ghost:
		run(source)
	case ledger.Stray:
		s.rec.jobs[key42] = ledger.Facts{Known: true, Sent: [4]bool{true}}
		run(target)
	case ledger.Mismatch:
		s.rec.jobs[key42] = ledger.Facts{Known: true, Applied: 1, Different: "other data"}
		run(source)
	case ledger.Late:
		s.add(source, "42")
		s.round(125_000)
	}
	s.rounds(5)
	if s.exception(v, "42").Job == "" {
		s.t.Fatalf("no %s was raised: %+v", v, s.db.exceptions)
	}
}

var key42 = [2]string{queueName, "42"}

// A verdict ends by a proof with the whole key, about that life, or by a person. Each row says
// what the record tells after the exception was raised, and what that proves.
func TestAVerdictEndsByAProofWithTheWholeKeyAlone(t *testing.T) {
	t.Parallel()
	facts := func(f ledger.Facts) func(*stage) {
		return func(s *stage) { s.rec.jobs[key42] = f }
	}
	once := ledger.Facts{Known: true, Acknowledged: true, Applied: 1}
	caught := once
	caught.Caught = 1
	canary, twice, never, unknown := once, once, once, once
	canary.Canary, twice.Applied, never.Applied, unknown.Known = true, 2, 0, false
	for rule, tc := range map[string]struct {
		verdict ledger.Verdict
		then    func(*stage)
		settles bool
	}{
		"a loss: it took effect once": {ledger.Loss, facts(once), true},
		"a loss: it took effect twice, which is no less": {
			ledger.Loss, facts(twice), false},
		"a loss: it is known, and never took effect":  {ledger.Loss, facts(never), false},
		"a loss: a canary's mark is no proof":         {ledger.Loss, facts(canary), false},
		"a loss: a record without the job":            {ledger.Loss, facts(unknown), false},
		"a loss: nothing is told at all":              {ledger.Loss, func(*stage) {}, false},
		"a loss: the job of that id of another queue": {ledger.Loss, func(s *stage) { s.rec.jobs[[2]string{"refunds", "42"}] = once }, false},
		"a loss: another job of the queue":            {ledger.Loss, func(s *stage) { s.rec.jobs[[2]string{queueName, "43"}] = once }, false},
		"a loss: a record that began after it": {ledger.Loss, func(s *stage) {
			s.rec.jobs[key42], s.rec.since = once, s.now
		}, false},
		"a loss: a record of which nothing is known": {ledger.Loss, func(s *stage) {
			s.rec.jobs[key42], s.rec.since = once, 0
		}, false},
		"a loss: what is told is older than the loss": {ledger.Loss, func(s *stage) {
			s.rec.jobs[key42], s.behind = once, 3_600_000
		}, false},
		"a loss: an hour went by": {ledger.Loss, func(s *stage) { s.round(3_700_000) }, false},
		"a loss: a restart":       {ledger.Loss, func(s *stage) { s.restart() }, false},
		"late: it took effect after all, says the record": {
			ledger.Late, facts(once), true},
		"late: it ended after all, says the stream": {ledger.Late, func(s *stage) {
			s.run(lane(ledger.Source, false), "42", "r")
		}, true},
		"late: the record was replaced and knows nothing": {ledger.Late, func(s *stage) {
			clear(s.rec.jobs)
			s.rec.since = s.now
		}, false},
		"late: it was removed, which is no end": {ledger.Late, func(s *stage) {
			at := lane(ledger.Source, false)
			delete(s.lanes[at].hash, "42")
			delete(s.lanes[at].state, "42")
			s.event(at, "removed", "42")
		}, false},
		"late: its server was let go, which is no end": {ledger.Late, func(s *stage) {
			s.l.Drop(lane(ledger.Source, false), s.now)
			delete(s.lanes, lane(ledger.Source, false))
		}, false},
		"late: another job ended": {ledger.Late, func(s *stage) {
			s.add(lane(ledger.Source, false), "43")
			s.run(lane(ledger.Source, false), "43", "r")
		}, false},
		"a double: one run was caught":                  {ledger.Double, facts(caught), true},
		"a double: the record missed a run":             {ledger.Double, facts(once), false},
		"a double: both took effect":                    {ledger.Double, facts(twice), false},
		"a double: a canary's mark is no proof":         {ledger.Double, facts(canary), false},
		"a ghost: the record knows it now, once":        {ledger.Ghost, facts(once), true},
		"a ghost: the record knows it, without a run":   {ledger.Ghost, facts(never), false},
		"a ghost: the job of that id of another queue":  {ledger.Ghost, func(s *stage) { s.rec.jobs[[2]string{"refunds", "42"}] = once }, false},
		"a stray: it took effect once":                  {ledger.Stray, facts(once), true},
		"a stray: it did not":                           {ledger.Stray, facts(never), false},
		"a stray: it took effect twice":                 {ledger.Stray, facts(twice), false},
		"other data: no count of effects says anything": {ledger.Mismatch, facts(once), false},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			s := openStage(t, 1)
			s.fault(tc.verdict)
			if by := s.exception(tc.verdict, "42").SettledBy; by != "" {
				t.Fatalf("settled at once, by %s", by)
			}
			tc.then(s)
			s.rounds(20)
			e := s.exception(tc.verdict, "42")
			if (e.SettledBy != "") != tc.settles || (e.SettledAt != 0) != tc.settles ||
				e.Decision != nil {
				t.Errorf("settled by %q, want that: %v", e.SettledBy, tc.settles)
			}
		})
	}
}

// The order took effect in an earlier life: that is no proof about the one that was lost.
func TestAnEarlierLifesEffectSettlesNoLoss(t *testing.T) {
	t.Parallel()
	s := openStage(t, 1)
	at := lane(ledger.Source, false)
	s.rec.jobs[key42] = ledger.Facts{Known: true, Acknowledged: true, Applied: 1}
	s.add(at, "42")
	s.run(at, "42", "r")
	s.rounds(5)
	s.fault(ledger.Loss)
	s.rounds(5)
	if e := s.exception(ledger.Loss, "42"); e.SettledBy != "" {
		t.Errorf("settled by %s", e.SettledBy)
	}
}

func TestAPersonDecidesInWritingOrNotAtAll(t *testing.T) {
	t.Parallel()
	for _, v := range ledger.Verdicts {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			s := openStage(t, 1)
			s.fault(v)
			d := ledger.Ruling{Who: "ada", Why: "asked the customer", At: s.now}
			for _, bad := range []ledger.Ruling{{}, {Why: d.Why, At: d.At},
				{Who: d.Who, At: d.At}, {Who: d.Who, Why: d.Why}, {Who: " ", Why: d.Why, At: d.At}} {
				if err := s.l.Decide(queueName, "42", v, bad); !errors.Is(err, ledger.ErrUnsigned) {
					t.Errorf("%+v: %v", bad, err)
				}
			}
			for _, k := range [][2]string{{"refunds", "42"}, {queueName, "43"}} {
				if err := s.l.Decide(k[0], k[1], v, d); !errors.Is(err, ledger.ErrNotOpen) {
					t.Errorf("%v: %v", k, err)
				}
			}
			s.restart() // what is open is open after a restart
			if err := s.l.Decide(queueName, "42", v, d); err != nil {
				t.Fatal(err)
			}
			if err := s.l.Decide(queueName, "42", v, d); !errors.Is(err, ledger.ErrNotOpen) {
				t.Errorf("decided twice: %v", err)
			}
			s.rounds(2)
			e := s.exception(v, "42")
			if e.Decision == nil || *e.Decision != d || e.SettledAt != d.At ||
				!strings.Contains(e.SettledBy, "ada") ||
				!strings.Contains(e.SettledBy, "asked the customer") {
				t.Errorf("%+v", e)
			}
		})
	}
}

// cases are what befalls a job, and the verdict on it; "" is none.
var cases = []struct {
	what, why string
	job       string
	befalls   func(s *stage, at ledger.Lane, job string)
	verdict   ledger.Verdict
}{
	{"a scheduler's job runs", "BullMQ made it: no application can know it", "repeat:tick:1",
		func(s *stage, at ledger.Lane, job string) {
			s.scheduled[job] = true
			s.add(at, job)
			s.run(at, job, "r")
		}, ""},
	{"a job that only looks like a scheduler's runs", "the server knows no such scheduler",
		"repeat:tick:1", func(s *stage, at ledger.Lane, job string) {
			s.add(at, job)
			s.run(at, job, "r")
		}, ledger.Ghost},
	{"a scheduler's pending job is removed", "it is replaced when the scheduler changes",
		"repeat:tick:1", func(s *stage, at ledger.Lane, job string) {
			s.scheduled[job] = true
			s.delay(at, job, 3_600_000)
			s.round(1100)
			s.forget(at, job)
			s.event(at, "removed", job)
		}, ""},
	{"a scheduler's pending job is gone", "BullMQ replaces it without an entry", "repeat:tick:1",
		func(s *stage, at ledger.Lane, job string) {
			s.scheduled[job] = true
			s.delay(at, job, 3_600_000)
			s.round(1100)
			s.forget(at, job)
		}, ""},
	{"a scheduler's job that is due is gone", "nothing replaces one that waits", "repeat:tick:1",
		func(s *stage, at ledger.Lane, job string) {
			s.scheduled[job] = true
			s.lanes[at].hash[job], s.lanes[at].state[job] = true, "wait"
			s.event(at, "added", job)
			s.event(at, "waiting", job)
			s.round(1100)
			s.forget(at, job)
		}, ledger.Loss},
	{"a scheduler's job runs on both sides", "the scheduler is alive on both", "repeat:tick:1",
		func(s *stage, at ledger.Lane, job string) {
			s.scheduled[job] = true
			for _, side := range []string{ledger.Source, ledger.Target} {
				s.add(lane(side, false), job)
				s.run(lane(side, false), job, "r")
			}
		}, ledger.Double},
	{"a tool's job runs", "nobody can say which order it is for", "7",
		func(s *stage, at ledger.Lane, job string) {
			s.add(at, job)
			s.run(at, job, "r")
		}, ledger.Ghost},
	{"a delay beyond every window", "it is due, not overdue", "evt_delayed",
		func(s *stage, at ledger.Lane, job string) {
			s.knows(job)
			s.delay(at, job, 3*24*3_600_000)
			s.round(2 * 24 * 3_600_000)
		}, ""},
	{"a delay that is over for long", "its deadline counts from when it was due", "evt_due",
		func(s *stage, at ledger.Lane, job string) {
			s.knows(job)
			s.delay(at, job, 3_600_000)
			s.round(2 * 3_600_000)
		}, ledger.Late},
	{"retries that each wait longer", "a retry is due when its backoff is over", "evt_retried",
		func(s *stage, at ledger.Lane, job string) {
			s.knows(job)
			s.add(at, job)
			for backoff := int64(20_000); backoff < 1_000_000; backoff *= 2 {
				s.event(at, "active", job)
				s.backoff(at, job, backoff)
				s.round(backoff)
				s.event(at, "waiting", job, "prev", "delayed")
			}
			s.run(at, job, "r")
		}, ""},
	{"a parent whose children do not end", "its order was promised, whatever it waits for",
		"evt_parent", func(s *stage, at ledger.Lane, job string) {
			s.knows(job)
			s.lanes[at].hash[job], s.lanes[at].state[job] = true, "waiting-children"
			s.event(at, "added", job)
			s.event(at, "waiting-children", job)
			s.round(125_000)
		}, ledger.Late},
	{"a parent that runs after its children", "it ended in time", "evt_parent",
		func(s *stage, at ledger.Lane, job string) {
			s.knows(job)
			s.lanes[at].hash[job], s.lanes[at].state[job] = true, "waiting-children"
			s.event(at, "added", job)
			s.event(at, "waiting-children", job)
			s.round(30_000)
			s.event(at, "waiting", job, "prev", "waiting-children")
			s.run(at, job, "r")
		}, ""},
	{"a child that the record knows", "the application recorded whose it is", "child-1",
		func(s *stage, at ledger.Lane, job string) {
			s.knows(job)
			s.add(at, job)
			s.run(at, job, "r")
		}, ""},
	{"a child that the record does not know", "only the application knows whose it is",
		"child-1", func(s *stage, at ledger.Lane, job string) {
			s.add(at, job)
			s.run(at, job, "r")
		}, ledger.Ghost},
	{"an order that was in durable intake for an hour", "its life begins when it is added",
		"evt_kept", func(s *stage, at ledger.Lane, job string) {
			s.knows(job)
			s.round(3_600_000)
			s.add(at, job)
			s.run(at, job, "r")
		}, ""},
	{"an order runs where nobody may run it", "the worker did nothing, and nobody else will",
		"evt_misrouted", func(s *stage, at ledger.Lane, job string) {
			s.knows(job)
			s.add(at, job)
			s.completes(at, job, ledger.OutcomeMisrouted)
		}, ledger.Late},
	{"a misrouted order is run by the other side", "it took effect, once", "evt_misrouted",
		func(s *stage, at ledger.Lane, job string) {
			s.knows(job)
			s.add(at, job)
			s.completes(at, job, ledger.OutcomeMisrouted)
			s.add(lane(ledger.Target, false), job)
			s.run(lane(ledger.Target, false), job, "r")
		}, ""},
	{"a second delivery after the first took effect", "the application caught it", "evt_again",
		func(s *stage, at ledger.Lane, job string) {
			s.knows(job)
			s.add(at, job)
			s.run(at, job, "r")
			s.rounds(5)
			s.add(at, job)
			s.completes(at, job, ledger.OutcomeSuppressed)
		}, ""},
	{"its server is let go before it ran", "nobody sees it end any more", "evt_left",
		func(s *stage, at ledger.Lane, job string) {
			s.knows(job)
			s.add(at, job)
			s.round(1100)
			s.l.Drop(at, s.now)
			delete(s.lanes, at)
		}, ledger.Loss},
	{"its server is let go while a copy waits there", "the copy has no effect to take",
		"evt_copy", func(s *stage, at ledger.Lane, job string) {
			s.knows(job)
			s.add(lane(ledger.Source, true), job)
			s.add(lane(ledger.Target, false), job)
			s.run(lane(ledger.Target, false), job, "r")
			s.round(500)
			s.l.Drop(lane(ledger.Source, true), s.now)
			delete(s.lanes, lane(ledger.Source, true))
		}, ""},
	{"a job whose queue restarts its ids", "id 42 took effect before: a second effect of it", "42",
		func(s *stage, at ledger.Lane, job string) {
			s.knows(job)
			s.add(at, job)
			s.run(at, job, "r")
			s.rounds(5)
			s.lanes[at].id = 41
			s.add(at, job)
			s.run(at, job, "r")
		}, ledger.Double},
}

func TestEachCaseHasTheRightVerdictForItsReason(t *testing.T) {
	t.Parallel()
	for _, tc := range cases {
		t.Run(tc.what+": "+tc.why, func(t *testing.T) {
			t.Parallel()
			s := openStage(t, 2)
			tc.befalls(s, lane(ledger.Source, false), tc.job)
			s.rounds(20)
			found := map[ledger.Verdict]string{}
			for _, e := range s.db.exceptions {
				found[e.Verdict] = e.Detail
			}
			if _, ok := found[tc.verdict]; ok != (tc.verdict != "") || len(found) > 1 ||
				tc.verdict == "" && len(found) > 0 {
				t.Errorf("want %s, got %v", cmp.Or(tc.verdict, "none"), found)
			}
		})
	}
}

// knows has the record know of an order's job, as sent to both sides.
func (s *stage) knows(job string) {
	s.rec.jobs[[2]string{queueName, job}] = ledger.Facts{Known: true, Acknowledged: true,
		Sent: [4]bool{true, true, true, true}}
}

func (s *stage) forget(at ledger.Lane, job string) {
	delete(s.lanes[at].hash, job)
	delete(s.lanes[at].state, job)
}

func (s *stage) delay(at ledger.Lane, job string, ms int64) {
	s.lanes[at].id++
	s.lanes[at].hash[job] = true
	s.event(at, "added", job)
	s.backoff(at, job, ms)
}

func (s *stage) completes(at ledger.Lane, job, outcome string) {
	s.event(at, "active", job)
	s.event(at, "completed", job, "returnvalue", `{"outcome":"`+outcome+`"}`)
	s.forget(at, job)
}
