package ledger_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

// missed has a lane miss an entry, so that nothing that is open there is certain any more.
func (s *stage) missed(at ledger.Lane) {
	s.round(1100)
	s.event(at, "resumed", "")
	s.lanes[at].trimmed = len(s.lanes[at].stream)
	s.now += 1100
	s.world.read(s.l, at, 1000)
}

// facts has the record tell this of a job.
func (s *stage) facts(job string, f ledger.Facts) { s.rec.jobs[[2]string{queueName, job}] = f }

var everywhere = [4]bool{true, true, true, true}

// sentences are what befalls job 7, and every verdict on it with its words.
var sentences = []struct {
	rule    string
	befalls func(s *stage)
	want    []string // verdict: the words, or the end of them after "...", without the time
}{
	{"a canary that ran twice is no order", func(s *stage) {
		s.facts("7", ledger.Facts{Known: true, Canary: true})
		s.ran("7", lane(ledger.Source, false), lane(ledger.Target, false))
	}, nil},
	{"what nobody knows and was removed did not run", func(s *stage) {
		at := lane(ledger.Source, false)
		s.add(at, "7")
		s.forget(at, "7")
		s.event(at, "removed", "7")
	}, []string{"loss: removed before it ran: removed on source"}},
	{"what was there before anybody looked may be anybody's", func(s *stage) {
		s.completes(lane(ledger.Source, false), "7", "")
	}, nil},
	{"a job that was moved there was not added there", func(s *stage) {
		s.facts("7", ledger.Facts{Known: true, Sent: [4]bool{true}})
		s.completes(lane(ledger.Target, false), "7", "")
	}, nil},
	{"a job was added where it was not sent", func(s *stage) {
		s.facts("7", ledger.Facts{Known: true, Sent: [4]bool{true}})
		s.ran("7", lane(ledger.Target, false))
	}, []string{"stray: added on target, to which the application did not send it"}},
	{"a copy was added where it was not sent", func(s *stage) {
		s.facts("7", ledger.Facts{Known: true, Sent: [4]bool{true}})
		s.ran("7", lane(ledger.Source, false), lane(ledger.Target, true))
	}, []string{"stray: added on target (shadow), to which the application did not send it"}},
	{"nobody remembers where it was sent", func(s *stage) {
		s.facts("7", ledger.Facts{Known: true})
		s.ran("7", lane(ledger.Target, false))
	}, nil},
	{"data and results differ", func(s *stage) {
		s.facts("7", ledger.Facts{Known: true, Sent: everywhere, Different: "the data"})
		s.add(lane(ledger.Source, false), "7")
		s.add(lane(ledger.Target, true), "7")
		s.run(lane(ledger.Source, false), "7", "one")
		s.run(lane(ledger.Target, true), "7", "two")
	}, []string{`mismatch: the data; the run gave "one", the shadow run "two"`}},
	{"results differ", func(s *stage) {
		s.facts("7", ledger.Facts{Known: true, Sent: everywhere})
		s.add(lane(ledger.Target, false), "7")
		s.add(lane(ledger.Source, true), "7")
		s.run(lane(ledger.Source, true), "7", "two")
		s.run(lane(ledger.Target, false), "7", "one")
	}, []string{`mismatch: the run gave "one", the shadow run "two"`}},
	{"a copy alone has no effect to take", func(s *stage) {
		s.facts("7", ledger.Facts{Known: true, Sent: everywhere})
		s.ran("7", lane(ledger.Target, true))
	}, nil},
	{"it ran on both sides", func(s *stage) {
		s.facts("7", ledger.Facts{Known: true, Sent: everywhere})
		s.ran("7", lane(ledger.Source, false), lane(ledger.Target, false))
	}, []string{"double: completed 2 times: 1 on source; 1 on target"}},
	{"it ran in an earlier life", func(s *stage) {
		s.facts("7", ledger.Facts{Known: true, Sent: everywhere})
		s.ran("7", lane(ledger.Source, false))
		s.rounds(5)
		s.ran("7", lane(ledger.Source, false))
	}, []string{"double: completed 1 times: 1 on source; and once before that"}},
	{"it ran in an earlier life, and is removed in this", func(s *stage) {
		s.facts("7", ledger.Facts{Known: true, Sent: everywhere})
		at := lane(ledger.Source, false)
		s.ran("7", at)
		s.rounds(5)
		s.add(at, "7")
		s.forget(at, "7")
		s.event(at, "removed", "7")
	}, nil},
	{"it was removed in an earlier life, and runs in this", func(s *stage) {
		s.facts("7", ledger.Facts{Known: true, Sent: everywhere, Applied: 1})
		at := lane(ledger.Source, false)
		s.add(at, "7")
		s.forget(at, "7")
		s.event(at, "removed", "7")
		s.rounds(5)
		s.ran("7", at)
	}, []string{"loss: removed before it ran: removed on source"}},
	{"it failed on one side and is gone from the other: that is one loss", func(s *stage) {
		s.facts("7", ledger.Facts{Known: true, Sent: everywhere})
		s.add(lane(ledger.Source, false), "7")
		s.add(lane(ledger.Target, false), "7")
		s.event(lane(ledger.Target, false), "failed", "7")
		s.lanes[lane(ledger.Target, false)].state["7"] = "failed"
		s.round(1100)
		s.forget(lane(ledger.Source, false), "7")
	}, []string{"loss: ...on source, then neither its data nor its id is on the server"}},
	{"it failed on one side and ran on the other", func(s *stage) {
		s.facts("7", ledger.Facts{Known: true, Sent: everywhere})
		s.add(lane(ledger.Source, false), "7")
		s.event(lane(ledger.Source, false), "failed", "7")
		s.lanes[lane(ledger.Source, false)].state["7"] = "failed"
		s.ran("7", lane(ledger.Target, false))
	}, nil},
	{"a scheduler's job fails for good: its next one comes", func(s *stage) {
		at, job := lane(ledger.Source, false), "repeat:tick:1"
		s.scheduled[job] = true
		s.add(at, job)
		s.event(at, "failed", job)
		s.lanes[at].state[job] = "failed"
	}, nil},
	{"it fails for good", func(s *stage) {
		at := lane(ledger.Source, false)
		s.facts("7", ledger.Facts{Known: true, Sent: everywhere})
		s.add(at, "7")
		s.event(at, "failed", "7")
		s.lanes[at].state["7"] = "failed"
	}, []string{"late: failed permanently: failed on source; it runs again only if somebody retries " +
		"it"}},
	{"its worker's side was not primary", func(s *stage) {
		s.facts("7", ledger.Facts{Known: true, Sent: everywhere})
		s.add(lane(ledger.Target, false), "7")
		s.completes(lane(ledger.Target, false), "7", ledger.OutcomeMisrouted)
	}, []string{"late: ended without an effect, since its worker's side was not primary: completed " +
		"on target"}},
	{"its data is gone while its id waits", func(s *stage) {
		s.facts("7", ledger.Facts{Known: true, Sent: everywhere})
		s.add(lane(ledger.Source, false), "7")
		delete(s.lanes[lane(ledger.Source, false)].hash, "7")
	}, []string{"loss: ...on source, then its data is gone while its id is wait: a worker would run " +
		"it with empty data"}},
	{"its id is in no list", func(s *stage) {
		s.facts("7", ledger.Facts{Known: true, Sent: everywhere})
		s.add(lane(ledger.Source, false), "7")
		delete(s.lanes[lane(ledger.Source, false)].state, "7")
	}, []string{"loss: ...on source, then its id is in no list: no worker finds it"}},
	{"the copy is gone without having run", func(s *stage) {
		s.facts("7", ledger.Facts{Known: true, Sent: everywhere})
		s.add(lane(ledger.Target, true), "7")
		s.ran("7", lane(ledger.Source, false))
		s.round(1100)
		s.forget(lane(ledger.Target, true), "7")
	}, []string{"mismatch: the shadow copy on target (shadow) is gone without having run: neither " +
		"its data nor its id is on the server"}},
	{"the copy is gone after entries were missed", func(s *stage) {
		s.facts("7", ledger.Facts{Known: true, Sent: everywhere})
		s.add(lane(ledger.Target, true), "7")
		s.ran("7", lane(ledger.Source, false))
		s.missed(lane(ledger.Target, true))
		s.forget(lane(ledger.Target, true), "7")
		s.rounds(70)
	}, nil},
	{"it is gone, for certain, although the record tells of an effect", func(s *stage) {
		s.facts("7", ledger.Facts{Known: true, Sent: everywhere, Applied: 1})
		s.add(lane(ledger.Source, false), "7")
		s.round(100)
		s.forget(lane(ledger.Source, false), "7")
	}, []string{"loss: ...on source, then neither its data nor its id is on the server"}},
	{"an older app's copy, which does not say that it is one", func(s *stage) {
		s.facts("7", ledger.Facts{Known: true, Sent: everywhere})
		s.add(lane(ledger.Source, false), "7")
		s.add(lane(ledger.Target, true), "7")
		s.completes(lane(ledger.Source, false), "7", "")
		s.completes(lane(ledger.Target, true), "7", "")
	}, nil},
	{"its copy too, and twice itself", func(s *stage) {
		s.facts("7", ledger.Facts{Known: true, Sent: everywhere})
		s.add(lane(ledger.Source, false), "7")
		s.add(lane(ledger.Target, true), "7")
		s.completes(lane(ledger.Source, false), "7", "")
		s.completes(lane(ledger.Source, false), "7", "")
		s.completes(lane(ledger.Target, true), "7", "")
	}, []string{"double: completed 2 times: 2 on source"}},
	{"nobody knows it: it ran on one side and failed on the other", func(s *stage) {
		s.add(lane(ledger.Target, false), "7")
		s.event(lane(ledger.Target, false), "failed", "7")
		s.lanes[lane(ledger.Target, false)].state["7"] = "failed"
		s.ran("7", lane(ledger.Source, false))
	}, []string{"ghost: ran (1 on source), although the application has no record of it"}},
	{"it waits on both sides", func(s *stage) {
		s.facts("7", ledger.Facts{Known: true, Sent: everywhere})
		for _, side := range []string{ledger.Source, ledger.Target} {
			s.event(lane(side, false), "added", "7")
			s.lanes[lane(side, false)].hash["7"], s.lanes[lane(side, false)].state["7"] = true, "wait"
			s.lanes[lane(side, false)].id++
		}
		s.round(70_000)
	}, []string{"late: ...the limit is 1m0s: waiting on source; waiting on target"}},
	{"it ran on one side and waits on the other", func(s *stage) {
		s.facts("7", ledger.Facts{Known: true, Sent: everywhere})
		s.ran("7", lane(ledger.Source, false))
		s.event(lane(ledger.Target, false), "added", "7")
		s.lanes[lane(ledger.Target, false)].hash["7"] = true
		s.lanes[lane(ledger.Target, false)].state["7"] = "wait"
		s.lanes[lane(ledger.Target, false)].id++
		s.round(70_000)
		if _, open := s.db.lives[[2]string{queueName, "7"}]; !open {
			s.t.Errorf("what waits is closed: %+v", s.db.lives)
		}
	}, []string{"late: ...the limit is 1m0s: waiting on target"}},
	{"the copy of what nobody knows is gone after entries were missed", func(s *stage) {
		s.add(lane(ledger.Target, true), "7")
		s.missed(lane(ledger.Target, true))
		s.forget(lane(ledger.Target, true), "7")
	}, nil},
	{"it is gone after entries were missed, and took effect", func(s *stage) {
		s.vanished(ledger.Facts{Known: true, Sent: everywhere, Applied: 1})
	}, nil},
	{"it is gone after entries were missed, and nobody knows it", func(s *stage) {
		s.vanished(ledger.Facts{})
	}, []string{"loss: ...on source, then neither its data nor its id is on the server"}},
	{"it is gone after entries were missed, and a record that began later tells of an effect",
		func(s *stage) {
			s.vanished(ledger.Facts{Known: true, Sent: everywhere, Applied: 1})
			s.rec.since = s.now
			s.rounds(70)
		}, []string{"late: ...", "loss: ...on source, then neither its data nor its id is on the server"}},
	{"it is gone after entries were missed, and the effect was an earlier life's", func(s *stage) {
		at := lane(ledger.Source, false)
		s.facts("7", ledger.Facts{Known: true, Sent: everywhere, Applied: 1})
		s.ran("7", at)
		s.rounds(5)
		s.vanished(ledger.Facts{Known: true, Sent: everywhere, Applied: 1})
		s.rounds(70)
	}, []string{"late: ...", "loss: ...on source, then neither its data nor its id is on the server"}},
	{"it is gone after entries were missed, and the record has its time to say how it ended",
		func(s *stage) {
			s.vanished(ledger.Facts{Known: true, Sent: everywhere})
			s.rounds(30)
			s.facts("7", ledger.Facts{Known: true, Sent: everywhere, Applied: 1})
			s.rounds(60)
		}, nil},
	{"... and does not", func(s *stage) {
		s.vanished(ledger.Facts{Known: true, Sent: everywhere})
		s.rounds(70)
	}, []string{"late: ...", "loss: ...on source, then neither its data nor its id is on the server"}},
}

// vanished is a job that was there before entries were missed, and is not afterwards.
func (s *stage) vanished(f ledger.Facts) {
	at := lane(ledger.Source, false)
	s.facts("7", f)
	s.add(at, "7")
	s.missed(at)
	s.forget(at, "7")
}

// ran is added and run on each of some lanes.
func (s *stage) ran(job string, lanes ...ledger.Lane) {
	for _, at := range lanes {
		s.add(at, job)
	}
	for _, at := range lanes {
		s.run(at, job, "r")
	}
}

func TestEachVerdictSaysInItsWordsWhatItIsAbout(t *testing.T) {
	t.Parallel()
	for _, tc := range sentences {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			s := openStage(t, 3)
			tc.befalls(s)
			s.rounds(20)
			var got []string
			for _, e := range s.db.exceptions {
				got = append(got, string(e.Verdict)+": "+e.Detail)
			}
			slices.Sort(got)
			ok := len(got) == len(tc.want)
			for i := 0; ok && i < len(got); i++ {
				begin, end, _ := strings.Cut(tc.want[i], "...")
				ok = strings.HasPrefix(got[i], begin) && strings.HasSuffix(got[i], end) &&
					(strings.Contains(tc.want[i], "...") || got[i] == tc.want[i])
			}
			if !ok {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
