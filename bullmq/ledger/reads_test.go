package ledger_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

// A ledger that is stopped and goes on from what was saved, at any time in any world, says what
// one says that never was.
func TestAnyLedgerThatIsSavedAndRestoredTellsTheSame(t *testing.T) {
	t.Parallel()
	names := slices.Sorted(maps.Keys(evils))
	for seed := range worlds(300) {
		s := openTruth(t, seed)
		s.l, s.db = ledger.NewStreams(proofOptions), newRecorder()
		s.beside, s.besideDB = ledger.NewStreams(proofOptions), newRecorder()
		s.pages, s.restless = true, true
		s.round(0)
		s.round(61_000)
		pick := rand.New(rand.NewPCG(seed, 8))
		s.fault = names[pick.IntN(len(names))]
		s.live(30, evils[s.fault])
		for what, of := range map[string]func(*recorder) []string{
			"exceptions": exceptionsOf, "cursors": cursorsOf, "windows": windowsOf, "lives": livesOf,
		} {
			got, want := of(s.db), of(s.besideDB)
			if !slices.Equal(got, want) {
				t.Fatalf("world %d, %s, %s:\n got %s\nwant %s", seed, s.fault, what,
					without(got, want), without(want, got))
			}
		}
	}
}

// minutes are what a server wrote of a queue, by whole minute of its clock, up to a time.
func (s *server) minutes(at ledger.Lane, began, upto int64) map[int64]ledger.Window {
	out := map[int64]ledger.Window{}
	for from := began - began%60_000; from <= upto; from += 60_000 {
		w := ledger.Window{Lane: at, From: from, State: ledger.Conclusive,
			Events: map[string]int64{}, Digest: 14695981039346656037}
		switch {
		case from <= began:
			w.State, w.Reasons = ledger.Inconclusive, []string{ledger.Began}
		case from+60_000 > upto:
			w.State = ledger.Running
		}
		for _, e := range s.stream {
			if e.At.MS < from || e.At.MS >= from+60_000 {
				continue
			}
			w.Entries++
			w.Events[e.Event]++
			for _, n := range []uint64{uint64(e.At.MS), uint64(e.At.Seq)} {
				w.Digest = (w.Digest ^ n) * 1099511628211
			}
			for _, b := range []byte(e.Event + "\xff" + e.Job + "\xff") {
				w.Digest = (w.Digest ^ uint64(b)) * 1099511628211
			}
		}
		out[from] = w
	}
	return out
}

// In worlds that are in order, each lane's counters and minutes are what its server wrote,
// however it was read: in small pages, with restarts and times when it could not be.
func TestWhatIsReadIsWhatTheServersWrote(t *testing.T) {
	t.Parallel()
	for seed := range worlds(300) {
		s := openTruth(t, seed)
		s.pages, s.restless = true, seed%2 == 0
		s.live(30, nil)
		for at, srv := range s.lanes {
			c := s.db.cursors[at]
			retries, active := 0, map[string]bool{}
			adds := int64(0)
			for _, e := range srv.stream {
				if e.Event == "active" && active[e.Job] {
					retries++
				}
				active[e.Job] = active[e.Job] || e.Event == "active"
				if e.Event == "added" || e.Event == "duplicated" {
					adds++
				}
			}
			closed := int64(0)
			for _, f := range s.fates {
				if f.at == at {
					closed++
				}
			}
			want := ledger.Cursor{Lane: at, Upto: srv.last(), At: c.ReadAt + srv.skew, ReadAt: s.now,
				Skew: srv.skew, Since: c.Since, Server: srv.run, Mark: c.Mark, Based: true,
				Entries: srv.written, Adds: adds, Closed: closed, Retries: retries}
			if s.away[at] {
				want.DroppedAt, want.ReadAt = c.DroppedAt, c.ReadAt
			}
			got, expected := fmt.Sprintf("%+v", c), fmt.Sprintf("%+v", want)
			if got != expected || c.DroppedAt != 0 != s.away[at] || c.Since != 1_795_500_000_000+srv.skew {
				t.Fatalf("world %d, away: %v\n got %s\nwant %s", seed, s.away[at], got, expected)
			}
			for from, w := range srv.minutes(at, c.Since, c.At) {
				if got, want := fmt.Sprintf("%+v", s.db.windows[fmt.Sprint(at, from)]),
					fmt.Sprintf("%+v", w); got != want {
					t.Fatalf("world %d:\n got %s\nwant %s", seed, got, want)
				}
			}
		}
		if len(s.db.lives) > 0 {
			t.Fatalf("world %d: still open are %v", seed, livesOf(s.db))
		}
	}
}

// without are the lines of one that the other does not have.
func without(a, b []string) (out []string) {
	for _, line := range a {
		if !slices.Contains(b, line) {
			out = append(out, "\n"+line)
		}
	}
	return out
}

func exceptionsOf(r *recorder) (out []string) {
	for _, e := range r.exceptions {
		out = append(out, fmt.Sprintf("%+v", e))
	}
	slices.Sort(out)
	return out
}

func cursorsOf(r *recorder) (out []string) {
	for _, c := range r.cursors {
		c.DroppedAt = min(c.DroppedAt, 1) // a drop that was not saved is said again
		out = append(out, fmt.Sprintf("%+v", c))
	}
	slices.Sort(out)
	return out
}

func windowsOf(r *recorder) (out []string) {
	for _, w := range r.windows {
		out = append(out, fmt.Sprintf("%+v", w))
	}
	slices.Sort(out)
	return out
}

func livesOf(r *recorder) (out []string) {
	for _, l := range r.lives {
		out = append(out, l.Queue+" "+l.Job)
	}
	slices.Sort(out)
	return out
}

// A person decided on an order that was late. That stays so for its life, over a restart, and
// says nothing of a later life of the same id.
func TestADecisionHoldsForItsLifeAndForNoLaterOne(t *testing.T) {
	t.Parallel()
	for _, restarts := range []bool{false, true} {
		t.Run(fmt.Sprintf("restarts: %v", restarts), func(t *testing.T) {
			t.Parallel()
			s := openStage(t, 1)
			s.restless = restarts
			s.fault(ledger.Late)
			d := ledger.Ruling{Who: "ada", Why: "asked the customer", At: s.now}
			if err := s.l.Decide(queueName, "42", ledger.Late, d); err != nil {
				t.Fatal(err)
			}
			for range 20 {
				s.round(20_000)
				if e := s.exception(ledger.Late, "42"); e.Decision == nil {
					t.Fatalf("the decision is forgotten: %+v", e)
				}
			}
			at := lane(ledger.Source, false)
			s.run(at, "42", "r")
			s.rounds(5)
			s.add(at, "42")
			s.round(125_000)
			s.rounds(5)
			if e := s.exception(ledger.Late, "42"); e.SettledBy != "" || e.Decision != nil {
				t.Errorf("a later life's is settled by %s", e.SettledBy)
			}
		})
	}
}

// A minute in which something was missed stays inconclusive, with all that was read in it,
// whenever the ledger is restarted.
func TestARestartMakesNoMinuteConclusive(t *testing.T) {
	t.Parallel()
	at := lane(ledger.Source, false)
	for seconds := range 8 {
		s := openStage(t, 1)
		s.now -= s.now % 60_000
		s.round(65_000)
		s.fill(at, 0, 5)
		s.round(1000)
		minute := s.now - s.now%60_000
		s.lanes[at].id++ // nobody knows why
		s.rounds(2)
		s.round(int64(seconds) * 10_000)
		s.restart()
		s.fill(at, 10, 5)
		s.rounds(120)
		n := int64(0)
		for _, e := range s.lanes[at].stream {
			if e.At.MS-e.At.MS%60_000 == minute {
				n++
			}
		}
		w := s.db.windows[fmt.Sprint(at, minute)]
		if w.State != ledger.Inconclusive || w.Entries != n ||
			!strings.Contains(strings.Join(w.Reasons, ""), "rose by") {
			t.Errorf("restarted %d s later: %+v, want %d entries", seconds*10, w, n)
		}
	}
}
