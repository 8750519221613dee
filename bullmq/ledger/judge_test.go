package ledger_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

// A life is judged when every lane, the record and the server have had their say.
func TestNothingIsJudgedBeforeEverybodyHasHadTheirSay(t *testing.T) {
	t.Parallel()
	source, target := lane(ledger.Source, false), lane(ledger.Target, false)
	judge := func(s *stage, told int64) int {
		s.l.Judge(s.now, told, s.rec)
		s.db.save(s.l.Changes())
		return len(s.db.lives)
	}
	read := func(s *stage, lanes ...ledger.Lane) {
		for _, at := range lanes {
			s.world.read(s.l, at, 1000)
		}
	}
	s := openStage(t, 1)
	s.knows("7")
	s.ran("7", source)
	ended := s.lanes[source].stream[len(s.lanes[source].stream)-2].At.MS // before "drained"
	s.now = ended + 999
	read(s, allLanes...)
	if judge(s, s.now) != 1 {
		t.Error("judged before it lingered")
	}
	s.now += 2
	read(s, source)
	if judge(s, s.now) != 1 {
		t.Error("judged before the target was read")
	}
	read(s, allLanes...)
	if judge(s, ended+499) != 1 {
		t.Error("judged before the record had told")
	}
	if judge(s, ended+500) != 0 {
		t.Error("not judged")
	}
	// a copy that waits keeps its order from being judged for the deadline, and no longer
	s.knows("8")
	s.add(lane(ledger.Source, true), "8")
	s.ran("8", target)
	ended = s.now
	s.now = ended + 59_000
	read(s, allLanes...)
	if judge(s, s.now) != 1 {
		t.Error("judged while its copy may still run")
	}
	s.now = ended + 60_001
	read(s, allLanes...)
	if judge(s, s.now) != 0 {
		t.Error("its copy keeps it from being judged")
	}
	if c := s.db.cursors[lane(ledger.Source, true)]; c.Open != 0 || c.Closed != 1 {
		t.Errorf("the lane of the copy: %+v", c)
	}
	// what a scheduler may have made is judged when its server was asked
	s.ran("repeat:tick:1", source)
	s.now += 5000
	read(s, allLanes...)
	if judge(s, s.now) != 1 {
		t.Error("judged before its server was asked")
	}
	s.l.Asked(source, "repeat:tick:1", true)
	if judge(s, s.now) != 0 || len(s.db.exceptions) != 0 {
		t.Errorf("not judged, or wrongly: %+v", s.db.exceptions)
	}
	// a life whose lanes nobody knows is kept
	l := ledger.RestoreStreams(proofOptions, ledger.Checkpoint{Lives: []ledger.Life{{Queue: "mails",
		Job: "1", Stays: [4]*ledger.Stay{{State: "waiting", At: s.now, Missing: &ledger.Position{},
			Why: "it is gone"}, {State: "completed", At: s.now}}}}})
	l.Judge(s.now+3_600_000, s.now+3_600_000, s.rec)
	if lives, _ := l.Find("1"); len(lives) != 0 {
		t.Errorf("found without a lane: %+v", lives)
	}
	if c := l.Changes(); len(c.Ended) != 0 || len(c.Exceptions) != 1 ||
		c.Exceptions[0].Verdict != ledger.Late {
		t.Errorf("%+v", c)
	}
	// one of whose lanes somebody knows is judged by it; an older version did not save when it began
	for _, added := range [][3]int64{{5000, 3000, 0}, {3000, 5000, 0}, {0, 4000, 3000}} {
		l = ledger.RestoreStreams(proofOptions, ledger.Checkpoint{
			Cursors: []ledger.Cursor{{Lane: source, At: s.now, ReadAt: s.now, Based: true}},
			Lives: []ledger.Life{{Queue: queueName, Job: "1", Stays: [4]*ledger.Stay{
				{State: "removed", At: s.now - 9000, AddedAt: added[0]},
				{State: "completed", At: s.now - 9000, AddedAt: added[1]},
				{State: "failed", At: s.now - 9000, AddedAt: added[2]}}}}})
		l.Judge(s.now, s.now, s.rec)
		if c := l.Changes(); len(c.Ended) != 1 || len(c.Exceptions) != 1 ||
			c.Exceptions[0].Began != 3000 {
			t.Errorf("%+v", c)
		}
	}
}

// The history that a lane brings with it, when its stream was copied, tells of known runs by
// the same entries; another entry is another run.
func TestACopiedEntryIsTheSameRunWhileTheJobIsStillOpen(t *testing.T) {
	t.Parallel()
	add, end := one(at(599_000, 0), "added", "7"), one(at(599_500, 3), "completed", "7")
	again := one(at(599_500, 4), "completed", "7")
	caught := end
	caught.Outcome = ledger.OutcomeSuppressed
	source, target := lane(ledger.Source, false), lane(ledger.Target, false)
	for _, tc := range []struct {
		rule        string
		first, copy ledger.Lane
		is, copied  []ledger.Entry
		runs        int
	}{
		{"the same entry", source, target, []ledger.Entry{add, end}, []ledger.Entry{add, end}, 1},
		{"the same entry, the other way", target, source, []ledger.Entry{add, end},
			[]ledger.Entry{add, end}, 1},
		{"another entry", source, target, []ledger.Entry{add, end}, []ledger.Entry{add, again}, 2},
		{"two entries, of which one is known", source, target, []ledger.Entry{add, end},
			[]ledger.Entry{add, end, again}, 2},
		{"it has not ended where it is", source, target, []ledger.Entry{add},
			[]ledger.Entry{add, end}, 1},
		{"the entry is of a run that did nothing", source, target, []ledger.Entry{add, caught},
			[]ledger.Entry{add, end}, 1},
		{"a copy's lane knows nothing of runs", lane(ledger.Source, true), target,
			[]ledger.Entry{add, end}, []ledger.Entry{add, end}, 1},
	} {
		s := ledger.NewStreams(ledger.Options{})
		s.Read(tc.first, ledger.Reading{At: 500_000, End: true})
		s.Read(tc.first, ledger.Reading{At: 600_000, End: true, Entries: tc.is,
			First: add.At, Last: tc.is[len(tc.is)-1].At, Added: int64(len(tc.is)), Adds: 1})
		s.Read(tc.copy, ledger.Reading{At: 600_000, End: true, Entries: tc.copied, First: add.At,
			Last: tc.copied[len(tc.copied)-1].At, Added: int64(len(tc.copied)), Adds: 1})
		lives, _ := s.Find("7")
		runs := 0
		for i, stay := range lives[0].Stays {
			if stay != nil && i%2 == 0 {
				runs += stay.Completed
			}
		}
		if runs != tc.runs {
			t.Errorf("%s: %d runs, want %d", tc.rule, runs, tc.runs)
		}
	}
}

// What was late has ended when it ran on either side; that its copy did says nothing.
func TestOnlyAnOrdersOwnEndSettlesThatItWasLate(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule string
		on   ledger.Lane
		ends func(*stage, ledger.Lane)
		want bool
	}{
		{"it ran on the source", lane(ledger.Source, false), func(s *stage, at ledger.Lane) {
			s.run(at, "7", "r")
		}, true},
		{"it ran on the target", lane(ledger.Target, false), func(s *stage, at ledger.Lane) {
			s.run(at, "7", "r")
		}, true},
		{"its copy ran, and it was removed", lane(ledger.Source, false),
			func(s *stage, at ledger.Lane) {
				s.run(lane(ledger.Target, true), "7", "r")
				s.forget(at, "7")
				s.event(at, "removed", "7")
			}, false},
		{"its worker's side was not primary", lane(ledger.Source, false),
			func(s *stage, at ledger.Lane) { s.completes(at, "7", ledger.OutcomeMisrouted) }, false},
	} {
		s := openStage(t, 1)
		s.knows("7")
		s.add(tc.on, "7")
		s.add(lane(ledger.Target, true), "7")
		s.round(70_000)
		tc.ends(s, tc.on)
		s.rounds(70)
		if e := s.exception(ledger.Late, "7"); e.Job == "" || (e.SettledBy != "") != tc.want {
			t.Errorf("%s: %+v", tc.rule, e)
		}
	}
}

// What the record proves is settled once.
func TestWhatIsSettledIsSettledOnce(t *testing.T) {
	t.Parallel()
	s := openStage(t, 1)
	s.fault(ledger.Late)
	s.facts("42", ledger.Facts{Known: true, Acknowledged: true, Applied: 1})
	s.rounds(2)
	since := s.exception(ledger.Late, "42").SettledAt
	s.rounds(5)
	if e := s.exception(ledger.Late, "42"); since == 0 || e.SettledAt != since {
		t.Errorf("settled at %d, then: %+v", since, e)
	}
}

// Each lane that a job was on counts its end, and its retries.
func TestEachLaneOfALifeCountsItsEnd(t *testing.T) {
	t.Parallel()
	s := openStage(t, 3)
	s.knows("7")
	retries := map[ledger.Lane]int{}
	for i, at := range allLanes {
		s.add(at, "7")
		for range i + 1 {
			s.event(at, "active", "7")
		}
		retries[at] = i + 1
		s.event(at, "completed", "7", "returnvalue", `{"outcome":"suppressed"}`)
		s.forget(at, "7")
	}
	retries[allLanes[0]] = 1
	s.rounds(5)
	for i, at := range allLanes {
		if c := s.db.cursors[at]; c.Closed != 1 || c.Open != 0 || c.Retries != i {
			t.Errorf("%s: %+v", at, c)
		}
	}
	s.noExceptions()
}

// One thing wrong with one job is told once, by what was found first, however long it stays so.
func TestWhatIsWrongIsToldOnceUntilItIsSettled(t *testing.T) {
	t.Parallel()
	s := openStage(t, 1)
	for _, job := range []string{"a", "b", "c"} {
		s.add(lane(ledger.Source, false), job)
		s.run(lane(ledger.Source, false), job, "r")
	}
	s.rounds(5)
	found := map[string]int64{}
	for _, e := range s.l.Open() {
		found[e.Job] = e.At
	}
	if len(found) != 3 {
		t.Fatalf("%v", found)
	}
	// again, each in a life of its own
	for _, job := range []string{"a", "b", "c"} {
		s.l.Asked(lane(ledger.Source, false), job, false)
		s.event(lane(ledger.Source, false), "added", job)
		s.event(lane(ledger.Source, false), "completed", job)
	}
	s.rounds(5)
	for _, e := range s.l.Open() {
		if e.Verdict == ledger.Ghost && (e.At != found[e.Job] || e.Runs != 1 || e.Before) ||
			e.Verdict == ledger.Double && (e.Runs != 2 || !e.Before) {
			t.Errorf("told again: %+v", e)
		}
	}
	for _, job := range []string{"a", "b", "c"} {
		s.facts(job, ledger.Facts{Known: true, Acknowledged: true, Applied: 1, Caught: 1,
			Sent: everywhere})
	}
	s.rounds(1)
	settled := map[string]int64{}
	for _, e := range s.db.exceptions {
		settled[e.Job] = e.SettledAt
	}
	if len(settled) != 3 || settled["a"] != s.now || settled["b"] != s.now || settled["c"] != s.now {
		t.Errorf("settled are %v at %d", settled, s.now)
	}
	s.rounds(5)
	for _, e := range s.db.exceptions {
		if e.SettledAt != settled[e.Job] {
			t.Errorf("settled once more: %+v", e)
		}
	}
}

// A later life is late although the earlier one's lateness was settled in the same second.
func TestALaterLifeIsJudgedByItself(t *testing.T) {
	t.Parallel()
	s := openStage(t, 1)
	source := lane(ledger.Source, false)
	s.knows("7")
	s.add(source, "7")
	s.round(70_000)
	if s.exception(ledger.Late, "7").Job == "" {
		t.Fatal("it is not late")
	}
	s.event(source, "active", "7")
	s.event(source, "failed", "7")
	s.forget(source, "7")
	s.event(source, "completed", "7", "returnvalue", `{"outcome":"suppressed"}`)
	s.now += 2000
	for _, at := range allLanes {
		s.world.read(s.l, at, 1000)
	}
	s.l.Judge(s.now, s.now, s.rec)
	s.add(source, "7")
	s.world.read(s.l, source, 1000)
	s.db.save(s.l.Changes())
	if s.exception(ledger.Late, "7").SettledBy == "" {
		t.Fatal("it ended")
	}
	s.round(70_000)
	if e := s.exception(ledger.Late, "7"); e.SettledBy != "" {
		t.Errorf("its next life is not late: %+v", e)
	}
}

// What a person decided stays theirs, whatever the stream says later.
func TestADecisionIsNotOverwrittenByTheEnd(t *testing.T) {
	t.Parallel()
	s := openStage(t, 1)
	s.fault(ledger.Late)
	d := ledger.Ruling{Who: "ada", Why: "asked the customer", At: s.now}
	if err := s.l.Decide(queueName, "42", ledger.Late, d); err != nil {
		t.Fatal(err)
	}
	s.run(lane(ledger.Source, false), "42", "r")
	s.rounds(5)
	if e := s.exception(ledger.Late, "42"); !strings.Contains(e.SettledBy, "ada") ||
		e.SettledAt != d.At {
		t.Errorf("%+v", e)
	}
}

// What is not settled can be decided on after its job has ended.
func TestWhatIsOpenOutlivesItsJob(t *testing.T) {
	t.Parallel()
	s := openStage(t, 1)
	at := lane(ledger.Source, false)
	s.knows("7")
	s.add(at, "7")
	s.round(70_000) // late, and saved
	s.event(at, "removed", "7")
	s.forget(at, "7")
	s.rounds(10)
	var open []string
	for _, e := range s.l.Open() {
		open = append(open, fmt.Sprint(e.Verdict, e.Runs))
	}
	slices.Sort(open)
	if !slices.Equal(open, []string{"late0", "loss0"}) {
		t.Errorf("open are %q", open)
	}
}

// The last finished jobs are kept whole.
func TestTheLastFinishedJobsAreKeptWhole(t *testing.T) {
	t.Parallel()
	s := openStage(t, 1)
	o := proofOptions
	o.Recent = 2
	s.l = ledger.NewStreams(o)
	s.rounds(2)
	for i := range 5 {
		job := fmt.Sprint("evt-", i)
		s.knows(job)
		s.ran(job, lane(ledger.Source, false))
		s.rounds(4)
	}
	for i := range 5 {
		lives, done := s.l.Find(fmt.Sprint("evt-", i))
		if want := max(0, min(1, i-2)); len(lives) != want || !done ||
			want == 1 && lives[0].Stays[0].State != "completed" {
			t.Errorf("evt-%d: %+v, %v", i, lives, done)
		}
	}
	s.add(lane(ledger.Source, false), "evt-4")
	s.round(100)
	if lives, done := s.l.Find("evt-4"); len(lives) != 2 || !done || !lives[0].Open() {
		t.Errorf("open again: %+v", lives)
	}
	if lives, done := s.l.Find("nobody's"); len(lives) != 0 || done {
		t.Errorf("%+v, %v", lives, done)
	}
	for i := range 9 { // whichever queue it is of
		s.l.Follows(ledger.Lane{Side: ledger.Source, Queue: fmt.Sprint("other-", i)})
	}
	for range 20 {
		if _, done := s.l.Find("evt-1"); !done {
			t.Fatal("it is not recognised")
		}
	}
}
