package ledger_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

// world is two servers, an application and its journal, in memory: what BullMQ writes
// for each thing that happens, in its order. Faults are put in by name, and each says
// which job the ledger has to name, and as what.
type world struct {
	rnd    *rand.Rand
	now    int64
	lanes  map[ledger.Lane]*server
	orders *ledger.Journal
	seq    int64
	want   map[string][]ledger.Verdict // by job: the first must be raised, the others may be
	// digests: the app tells what jobs carry; it is what was sent but where carries
	// says otherwise, by job and whether it is the copy.
	digests bool
	carries map[string]string
}

// server is one queue of one server: its lists, its stream and its counters.
type server struct {
	stream  []ledger.Entry
	written int64 // entries ever
	trimmed int
	id      int64
	seq     int64
	hash    map[string]bool
	state   map[string]string // the list that has the id
	data    map[string]bool   // runs of it took effect
}

func (s *server) jobs() (n int64) {
	for _, st := range s.state {
		if st != "completed" && st != "failed" {
			n++
		}
	}
	return n
}

const queueName = "orders"

func lane(side string, shadow bool) ledger.Lane {
	return ledger.Lane{Side: side, Queue: queueName, Shadow: shadow}
}

var allLanes = []ledger.Lane{lane("source", false), lane("source", true), lane("target", false),
	lane("target", true)}

func newWorld(seed uint64) *world {
	w := &world{rnd: rand.New(rand.NewPCG(seed, 1)), now: 1_795_500_000_000,
		lanes: map[ledger.Lane]*server{}, orders: ledger.NewJournal(),
		want: map[string][]ledger.Verdict{}, carries: map[string]string{}}
	w.digests = seed%2 == 0
	for _, l := range allLanes {
		w.lanes[l] = &server{hash: map[string]bool{}, state: map[string]string{},
			data: map[string]bool{}}
	}
	w.tell(ledger.Event{Type: ledger.EventDelivery, Order: "first", Status: 500})
	return w
}

func (w *world) tell(e ledger.Event) {
	w.seq++
	e.Seq, e.At, e.Epoch = w.seq, w.now, "e"
	w.orders.Apply(e)
}

func (w *world) event(at ledger.Lane, event, job string, more ...string) {
	s := w.lanes[at]
	w.now += int64(w.rnd.IntN(3))
	s.seq++
	e, err := ledger.ParseEntry(fmt.Sprintf("%d-%d", w.now, s.seq),
		append([]string{"event", event, "jobId", job}, more...))
	if err != nil {
		panic(err)
	}
	s.stream = append(s.stream, e)
	s.written++
}

// add is BullMQ's add: a second one with the same id, while the job is there, is a
// "duplicated".
func (w *world) add(at ledger.Lane, job string) {
	s := w.lanes[at]
	s.id++
	if s.hash[job] {
		w.event(at, "duplicated", job)
		return
	}
	s.hash[job], s.state[job] = true, "wait"
	w.event(at, "added", job, "name", "order")
	if w.rnd.IntN(10) == 0 {
		s.state[job] = "delayed"
		w.event(at, "delayed", job, "delay", strconv.FormatInt(w.now+100, 10))
		return
	}
	w.event(at, "waiting", job)
}

// intake takes a webhook: routes it, adds it, answers it.
func (w *world) intake(job, side string, shadow string) {
	// The server keeps the data of the first delivery; every other app is an older one,
	// which tells no digests.
	digest := ""
	if w.digests {
		digest = "sent-" + job
	}
	w.tell(ledger.Event{Type: ledger.EventEnqueued, Order: job, JobID: job, Side: side,
		OK: true, Stage: stageOf(shadow), Digest: digest})
	w.add(lane(side, false), job)
	if shadow != "" {
		w.tell(ledger.Event{Type: ledger.EventEnqueued, Order: job, JobID: job, Side: shadow,
			Shadow: true, OK: true, Stage: stageOf(shadow), Digest: digest})
		w.add(lane(shadow, true), job)
	}
	w.tell(ledger.Event{Type: ledger.EventDelivery, Order: job, Status: 200})
}

func stageOf(shadow string) string {
	if shadow == "" {
		return "complete"
	}
	return "live"
}

// run works one job to its end, with attempts that fail on the way.
func (w *world) run(at ledger.Lane, job, result string) {
	s := w.lanes[at]
	if s.state[job] == "delayed" {
		w.event(at, "waiting", job, "prev", "delayed")
	}
	for w.rnd.IntN(6) == 0 {
		s.state[job] = "active"
		w.event(at, "active", job, "prev", "waiting")
		if w.rnd.IntN(2) == 0 {
			w.event(at, "stalled", job)
			w.event(at, "waiting", job, "prev", "active")
		} else {
			s.state[job] = "delayed"
			w.event(at, "delayed", job, "delay", strconv.FormatInt(w.now+5, 10))
			w.event(at, "waiting", job, "prev", "delayed")
		}
	}
	s.state[job] = "active"
	w.event(at, "active", job, "prev", "waiting")
	outcome := ledger.OutcomeApplied
	if at.Shadow {
		outcome = ledger.OutcomeCompared
	}
	mode := ledger.ModeAuthoritative
	if at.Shadow {
		mode = ledger.ModeShadow
	}
	digest := ""
	if w.digests {
		digest = cmp.Or(w.carries[at.String()+job], "sent-"+job)
	}
	w.tell(ledger.Event{Type: ledger.EventExecuted, Order: job, JobID: job, Side: at.Side,
		Mode: mode, Outcome: outcome, Result: result, Digest: digest})
	value, _ := json.Marshal(map[string]string{"order": job, "outcome": outcome,
		"result": result})
	w.event(at, "completed", job, "returnvalue", string(value), "prev", "active")
	delete(s.state, job)
	delete(s.hash, job) // removeOnComplete
	if s.jobs() == 0 {
		w.event(at, "drained", "")
	}
}

// look is LookAt.
func (s *server) look(job string) ledger.Look {
	l := ledger.Look{Hash: s.hash[job], State: s.state[job]}
	if len(s.stream) > 0 {
		l.End = s.stream[len(s.stream)-1].At
	}
	return l
}

// read is ReadLane over what was not trimmed.
func (w *world) read(l *ledger.Streams, at ledger.Lane, n int) {
	s := w.lanes[at]
	after := l.After(at)
	r := ledger.Reading{At: w.now, Adds: s.id, Jobs: s.jobs(), Added: s.written}
	if len(s.stream) > 0 {
		r.Last = s.stream[len(s.stream)-1].At
	}
	kept := s.stream[s.trimmed:]
	if len(kept) > 0 {
		r.First = kept[0].At
	}
	i, _ := slices.BinarySearchFunc(kept, after, func(e ledger.Entry, p ledger.Position) int {
		switch {
		case e.At.Before(p) || e.At == p:
			return -1
		}
		return 1
	})
	kept = kept[i:]
	r.End = len(kept) < n
	r.Entries = kept[:min(n, len(kept))]
	l.Read(at, r)
}

// recorder is a database: it keeps what a ledger gives to be saved, and gives back what
// a restarted one needs.
type recorder struct {
	cursors    map[ledger.Lane]ledger.Cursor
	windows    map[string]ledger.Window
	lives      map[[2]string]ledger.Life
	done       []uint64
	exceptions map[string]ledger.Exception
}

func newRecorder() *recorder {
	return &recorder{map[ledger.Lane]ledger.Cursor{}, map[string]ledger.Window{},
		map[[2]string]ledger.Life{}, nil, map[string]ledger.Exception{}}
}

func (r *recorder) save(c ledger.Checkpoint) {
	for _, x := range c.Cursors {
		r.cursors[x.Lane] = x
	}
	for _, x := range c.Windows {
		r.windows[fmt.Sprint(x.Lane, x.From)] = x
	}
	for _, x := range c.Lives {
		r.lives[[2]string{x.Queue, x.Job}] = x
	}
	for _, x := range c.Ended {
		delete(r.lives, x)
	}
	r.done = append(r.done, c.Done...)
	for _, x := range c.Exceptions {
		r.exceptions[string(x.Verdict)+" "+x.Job] = x
	}
}

func (r *recorder) checkpoint(t *testing.T) ledger.Checkpoint {
	t.Helper()
	c := ledger.Checkpoint{Cursors: slices.Collect(maps.Values(r.cursors)),
		Lives: slices.Collect(maps.Values(r.lives)), Done: r.done}
	for _, w := range r.windows {
		if w.State != ledger.Conclusive {
			c.Windows = append(c.Windows, w)
		}
	}
	for _, e := range r.exceptions {
		if e.SettledBy == "" {
			c.Exceptions = append(c.Exceptions, e)
		}
	}
	text, err := json.Marshal(c) // as a database would keep it
	if err != nil {
		t.Fatal(err)
	}
	var back ledger.Checkpoint
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	return back
}

// faults, each put in at a random moment of a random job's life.
var faults = map[string]func(w *world, job, side, shadow string){
	"the job's hash is deleted": func(w *world, job, side, shadow string) {
		w.intake(job, side, shadow)
		s := w.lanes[lane(side, false)]
		delete(s.hash, job)
		w.want[job] = []ledger.Verdict{ledger.Loss, ledger.Late}
	},
	"the id falls out of its list": func(w *world, job, side, shadow string) {
		w.intake(job, side, shadow)
		delete(w.lanes[lane(side, false)].state, job)
		w.want[job] = []ledger.Verdict{ledger.Loss, ledger.Late}
	},
	"hash and id are deleted": func(w *world, job, side, shadow string) {
		w.intake(job, side, shadow)
		s := w.lanes[lane(side, false)]
		delete(s.hash, job)
		delete(s.state, job)
		w.want[job] = []ledger.Verdict{ledger.Loss, ledger.Late}
	},
	"it is removed before it runs": func(w *world, job, side, shadow string) {
		w.intake(job, side, shadow)
		s := w.lanes[lane(side, false)]
		delete(s.hash, job)
		delete(s.state, job)
		w.event(lane(side, false), "removed", job, "prev", "wait")
		w.want[job] = []ledger.Verdict{ledger.Loss, ledger.Late}
		if shadow != "" {
			w.run(lane(shadow, true), job, "r")
		}
	},
	"it is added on the wrong side": func(w *world, job, side, shadow string) {
		w.tell(ledger.Event{Type: ledger.EventEnqueued, Order: job, JobID: job, Side: side,
			OK: true, Stage: "complete"})
		w.tell(ledger.Event{Type: ledger.EventDelivery, Order: job, Status: 200})
		w.add(lane(other(side), false), job)
		w.run(lane(other(side), false), job, "r")
		w.want[job] = []ledger.Verdict{ledger.Stray}
	},
	"it runs on both sides": func(w *world, job, side, shadow string) {
		w.intake(job, side, "")
		w.run(lane(side, false), job, "r")
		w.add(lane(other(side), false), job)
		w.run(lane(other(side), false), job, "r")
		w.want[job] = []ledger.Verdict{ledger.Double, ledger.Stray}
	},
	"it runs twice on one side": func(w *world, job, side, shadow string) {
		w.intake(job, side, "")
		w.run(lane(side, false), job, "r")
		w.add(lane(side, false), job)
		w.run(lane(side, false), job, "r")
		w.want[job] = []ledger.Verdict{ledger.Double}
	},
	"it runs again long after": func(w *world, job, side, shadow string) {
		w.intake(job, side, "")
		w.run(lane(side, false), job, "r")
		// the second run comes in the test, after the first life was closed
		w.want[job] = []ledger.Verdict{ledger.Double, ledger.Stray}
	},
	"nobody sent it": func(w *world, job, side, shadow string) {
		w.add(lane(side, false), job)
		s := lane(side, false)
		w.lanes[s].state[job] = "active"
		w.event(s, "active", job)
		w.event(s, "completed", job, "returnvalue", "null")
		delete(w.lanes[s].state, job)
		delete(w.lanes[s].hash, job)
		w.want[job] = []ledger.Verdict{ledger.Ghost}
	},
	"the shadow run gives something else": func(w *world, job, side, shadow string) {
		w.intake(job, side, other(side))
		w.run(lane(side, false), job, "r")
		w.run(lane(other(side), true), job, "q")
		w.want[job] = []ledger.Verdict{ledger.Mismatch}
	},
	"its data is changed on the way": func(w *world, job, side, shadow string) {
		w.digests = true
		w.intake(job, side, "")
		w.carries[lane(side, false).String()+job] = "changed"
		w.run(lane(side, false), job, "r")
		w.want[job] = []ledger.Verdict{ledger.Mismatch}
	},
	"the copy's data is changed on the way": func(w *world, job, side, shadow string) {
		w.digests = true
		w.intake(job, side, other(side))
		w.carries[lane(other(side), true).String()+job] = "changed"
		w.run(lane(side, false), job, "r")
		w.run(lane(other(side), true), job, "r")
		w.want[job] = []ledger.Verdict{ledger.Mismatch}
	},
	"its data is gone when it runs": func(w *world, job, side, shadow string) {
		w.digests = true
		w.intake(job, side, "")
		at := lane(side, false)
		w.event(at, "active", job)
		w.tell(ledger.Event{Type: ledger.EventFailed, JobID: job, Side: side,
			Mode: ledger.ModeAuthoritative, Digest: "nothing"})
		w.event(at, "failed", job, "failedReason", "no data")
		w.lanes[at].state[job] = "failed"
		w.want[job] = []ledger.Verdict{ledger.Mismatch, ledger.Late}
	},
	"it never ends": func(w *world, job, side, shadow string) {
		w.intake(job, side, "")
		w.want[job] = []ledger.Verdict{ledger.Late}
	},
	"it fails for good": func(w *world, job, side, shadow string) {
		w.intake(job, side, "")
		at := lane(side, false)
		w.event(at, "active", job)
		w.event(at, "failed", job, "failedReason", "no")
		w.lanes[at].state[job] = "failed"
		w.want[job] = []ledger.Verdict{ledger.Late}
	},
}

func other(side string) string {
	if side == ledger.Source {
		return ledger.Target
	}
	return ledger.Source
}

// Every fault is found by its job's id, and nothing else is raised, whatever else goes
// on: order of events over lanes, readings of any size, restarts from what was saved at
// any moment.
func TestEveryFaultIsFoundAndNothingElseInAThousandWorlds(t *testing.T) {
	t.Parallel()
	names := slices.Sorted(maps.Keys(faults))
	seeds := uint64(1000)
	if testing.Short() {
		seeds = 100
	}
	for seed := range seeds {
		w := newWorld(seed)
		opts := ledger.Options{Deadline: time.Minute, Linger: time.Second,
			Done: 10_000, Recent: 5}
		l, db := ledger.NewStreams(opts), newRecorder()
		for _, at := range allLanes { // everything is watched from the start
			w.read(l, at, 100)
		}
		w.now += 61_000
		fault := names[w.rnd.IntN(len(names))]
		again := ""
		cut := map[ledger.Lane]int{} // for how many rounds a lane cannot be read
		type open struct{ job, side, shadow string }
		var running []open
		judge := func(advance int64) {
			w.now += advance
			w.tell(ledger.Event{Type: ledger.EventDelivery, Order: "tick", Status: 500})
			for _, at := range allLanes {
				// the connection is down: nothing is read, and nothing may be judged by
				// that
				if cut[at] > 0 {
					cut[at]--
					l.Failed(at, errors.New("connection reset by peer"))
					continue
				}
				if w.rnd.IntN(40) == 0 {
					cut[at] = 1 + w.rnd.IntN(5)
				}
				w.read(l, at, 1+w.rnd.IntN(50))
				for _, job := range l.Overdue(at, w.now, 2*time.Second, 20) {
					l.Seen(at, job, w.now, w.lanes[at].look(job))
				}
			}
			l.Judge(w.now, w.now, w.orders)
			if w.rnd.IntN(3) == 0 {
				db.save(l.Changes())
			}
			if w.rnd.IntN(10) == 0 {
				// killed: what came after the last save is read again
				l = ledger.RestoreStreams(opts, db.checkpoint(t))
			}
		}
		faultAt := w.rnd.IntN(60)
		for n := range 60 {
			side := []string{ledger.Source, ledger.Target}[w.rnd.IntN(2)]
			shadow := ""
			if w.rnd.IntN(2) == 0 {
				shadow = other(side)
			}
			if n == faultAt {
				job := fmt.Sprint("bad-", n)
				faults[fault](w, job, side, shadow)
				if fault == "it runs again long after" {
					again = job
				}
			}
			o := open{fmt.Sprint("evt-", n), side, shadow}
			w.intake(o.job, o.side, o.shadow)
			if w.rnd.IntN(8) == 0 {
				w.intake(o.job, o.side, o.shadow) // the provider delivers again
			}
			running = append(running, o)
			for len(running) > 0 && w.rnd.IntN(3) > 0 {
				i := w.rnd.IntN(len(running))
				o := running[i]
				running = slices.Delete(running, i, i+1)
				w.run(lane(o.side, false), o.job, "r")
				if o.shadow != "" {
					w.run(lane(o.shadow, true), o.job, "r")
				}
			}
			if w.rnd.IntN(4) == 0 {
				judge(int64(w.rnd.IntN(1500)))
			}
		}
		for _, o := range running {
			w.run(lane(o.side, false), o.job, "r")
			if o.shadow != "" {
				w.run(lane(o.shadow, true), o.job, "r")
			}
		}
		for range 40 {
			judge(1100)
		}
		if again != "" {
			w.add(allLanes[0], again)
			w.run(allLanes[0], again, "r")
		}
		for range 100 {
			judge(1100)
		}
		clear(cut)
		for range 5 {
			for _, at := range allLanes {
				w.read(l, at, 1000)
			}
			w.now += 1100
			l.Judge(w.now, w.now, w.orders)
		}
		db.save(l.Changes())
		db.judged(t, fmt.Sprintf("seed %d, %s", seed, fault), w.want)
		for _, win := range db.windows {
			if win.State == ledger.Inconclusive && !slices.Contains(win.Reasons,
				"reading began in this minute") && !touchesCounters(fault) {
				t.Errorf("seed %d, %s: %v of %d is inconclusive: %v", seed, fault, win.Lane,
					win.From, win.Reasons)
			}
		}
		if t.Failed() {
			return
		}
	}
}

// touchesCounters: jobs that vanish behind BullMQ's back are a disagreement of the
// counters too.
func touchesCounters(fault string) bool {
	return strings.Contains(fault, "deleted") || strings.Contains(fault, "falls out") ||
		strings.Contains(fault, "fails for good")
}

// judged holds what was raised against what was to be.
func (r *recorder) judged(t *testing.T, what string, want map[string][]ledger.Verdict) {
	t.Helper()
	found := map[string]bool{}
	for _, e := range r.exceptions {
		may := want[e.Job]
		if !slices.Contains(may, e.Verdict) {
			t.Errorf("%s: false alarm: %s %s: %s", what, e.Verdict, e.Job, e.Detail)
		}
		found[e.Job] = found[e.Job] || len(may) > 0 && may[0] == e.Verdict
	}
	for job, verdicts := range want {
		if !found[job] {
			t.Errorf("%s: %s was not found as %v", what, job, verdicts[0])
		}
	}
}

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
		l.Judge(w.now, w.now, w.orders)
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
	// The replica that takes over never heard of the run: the worker runs the job
	// again, and the application catches it.
	s.stream, s.written = s.stream[:before], written
	s.hash["again"], s.state["again"] = true, "wait"
	w.now += 2000
	w.read(l, at, 100)
	w.event(at, "active", "again")
	w.tell(ledger.Event{Type: ledger.EventExecuted, Order: "again", JobID: "again",
		Side: ledger.Source, Outcome: ledger.OutcomeSuppressed})
	// an app that does not say what a run did
	w.event(at, "completed", "again", "returnvalue", "null")
	delete(s.hash, "again")
	delete(s.state, "again")
	for range 90 {
		w.now += 1000
		w.tell(ledger.Event{Type: ledger.EventDelivery, Order: "tick", Status: 500})
		w.read(l, at, 100)
		l.Judge(w.now, w.now, w.orders)
		db.save(l.Changes())
	}
	e := db.exceptions["double again"]
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

// A window of many orders that are in order leaves nothing behind but its counters.
func TestWhatIsInOrderLeavesTheMemoryAndIsRecognisedWhenItComesAgain(t *testing.T) {
	t.Parallel()
	o := ledger.NewJournal()
	seq, at := int64(0), int64(1_795_500_000_000)
	tell := func(e ledger.Event) {
		seq++
		e.Seq, e.At = seq, at
		o.Apply(e)
	}
	const n = 150_000
	for i := range n {
		id := strconv.Itoa(i)
		at += 10
		tell(ledger.Event{Type: ledger.EventEnqueued, Order: id, JobID: "job-" + id,
			Side: ledger.Source, OK: true})
		tell(ledger.Event{Type: ledger.EventDelivery, Order: id, Status: 200})
		tell(ledger.Event{Type: ledger.EventExecuted, Order: id, JobID: "job-" + id,
			Outcome: ledger.OutcomeApplied})
	}
	s := o.Summary(time.UnixMilli(at), time.Minute)
	if s.Orders != n || s.Fulfilled != n || s.Acknowledged != n ||
		s.Lost+s.Duplicated+s.Pending != 0 {
		t.Fatalf("%+v", s)
	}
	story, found := o.Find("0")
	if !found || !story.Folded {
		t.Fatalf("the oldest order is still kept whole: %+v %v", story, found)
	}
	if f := o.Job("job-0"); !f.Known || f.Applied != 1 {
		t.Errorf("%+v", f)
	}
	tell(ledger.Event{Type: ledger.EventExecuted, Order: "0", JobID: "job-0",
		Outcome: ledger.OutcomeApplied})
	if s = o.Summary(time.UnixMilli(at), time.Minute); s.Orders != n || s.Duplicated != 1 ||
		!slices.Equal(s.DuplicatedIDs, []string{"0"}) {
		t.Errorf("after a second run of a folded order: %+v", s)
	}
}

func FuzzParseEntry(f *testing.F) {
	f.Add("1795500000000-0", "event", "completed", "jobId", "x", "returnvalue",
		`{"outcome":"applied","result":"a"}`)
	f.Add("1-1", "event", "delayed", "jobId", "repeat:a:1", "delay", "1e300")
	f.Add("-1--1", "", "", "", "", "", "")
	f.Fuzz(func(t *testing.T, id, a, b, c, d, x, y string) {
		e, err := ledger.ParseEntry(id, []string{a, b, c, d, x, y})
		if err != nil {
			return
		}
		if e.Event == "" {
			t.Error("an entry without an event was accepted")
		}
		back, err := ledger.ParsePosition(e.At.String())
		if err != nil || back != e.At {
			t.Errorf("%v became %v: %v", e.At, back, err)
		}
		if cmp.Compare(e.Due, 0) < 0 {
			t.Errorf("due at %d", e.Due)
		}
		l := ledger.NewStreams(ledger.Options{})
		at := lane(ledger.Source, false)
		l.Read(at, ledger.Reading{At: 1, End: true})
		l.Read(at, ledger.Reading{At: 2, Entries: []ledger.Entry{e}, End: true, Added: 1,
			Last: e.At})
		l.Judge(1<<60, 1<<60, ledger.NewJournal())
		l.Changes()
	})
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
	w.intake("twice", ledger.Target, ledger.Source) // the copy on the source has no worker
	w.run(target, "twice", "r")
	w.add(target, "twice")
	w.run(target, "twice", "r")
	for range 90 {
		w.now += 1000
		for _, at := range allLanes {
			w.read(l, at, 100)
		}
		l.Judge(w.now, w.now, w.orders)
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
	l.Judge(w.now, w.now, w.orders)
	db.save(l.Changes())
	if len(db.done) != 0 || len(db.lives) != 1 {
		t.Errorf("%d jobs were folded, %d are open: what the target says is not known",
			len(db.done), len(db.lives))
	}
	l.Drop(lane(ledger.Target, false))
	l.Judge(w.now, w.now, w.orders)
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

// A life that is saved, ends, and begins and ends again before the next save leaves no
// row; one that begins and ends between two saves never had one.
func TestNoLifeStaysInTheDatabaseAfterItEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(7)
	l, db := ledger.NewStreams(ledger.Options{Deadline: time.Minute, Linger: time.Second}),
		newRecorder()
	at := lane(ledger.Source, false)
	judge := func() {
		w.now += 3000
		w.read(l, at, 1000)
		l.Judge(w.now, w.now, w.orders)
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
		l.Judge(w.now, w.now, w.orders)
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
