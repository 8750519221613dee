package ledger_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

// world is two servers, an application and its journal, in memory: for each thing
// that happens, what BullMQ would write, in its order. Faults are injected by name;
// each says which job the ledger has to name, and with which verdict.
type world struct {
	rnd     *rand.Rand
	now     int64
	lanes   map[ledger.Lane]*server
	journal *ledger.Journal
	seq     int64
	want    map[string][]ledger.Verdict // by job: the first must be raised, the others may be
	// digests means that the app reports digests of what jobs carry: what was sent,
	// unless carries says otherwise, by job and whether it is the copy.
	digests bool
	carries map[string]string
	// scheduled are the jobs that a scheduler made, as the servers know them.
	scheduled map[string]bool
}

func (w *world) tell(e ledger.Event) {
	w.seq++
	e.Seq, e.At, e.Epoch = w.seq, w.now, "e"
	w.journal.Apply(e)
}

func (w *world) event(at ledger.Lane, event, job string, more ...string) {
	s := w.lanes[at]
	w.now += int64(w.rnd.IntN(3))
	s.seq++
	e, err := ledger.ParseEntry(fmt.Sprintf("%d-%d", w.now+s.skew, s.seq),
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
	// The server keeps the data of the first delivery. Every other app is an older
	// one, which reports no digests.
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

// backoff has a job wait for ms.
func (w *world) backoff(at ledger.Lane, job string, ms int64) {
	w.lanes[at].state[job] = "delayed"
	w.event(at, "delayed", job, "delay", strconv.FormatInt(w.now+ms, 10))
}

// run processes one job to its end, with attempts that fail on the way.
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

// read stands in for ReadLane, over what has not been trimmed.
func (w *world) read(l *ledger.Streams, at ledger.Lane, n int) {
	s := w.lanes[at]
	after := l.After(at)
	r := ledger.Reading{At: w.now + s.skew, ReadAt: w.now, Server: s.run, Adds: s.id, Jobs: s.jobs(), Added: s.written}
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
	if i > 0 && kept[i-1].At == after {
		r.Cursor = &kept[i-1]
	}
	kept = kept[i:]
	r.End = len(kept) < n
	r.Entries = kept[:min(n, len(kept))]
	l.Read(at, r)
}

// server is one queue of one server: its lists, its stream and its counters.
type server struct {
	stream  []ledger.Entry
	written int64 // entries ever
	trimmed int
	run     string // id
	skew    int64  // ms that its clock is ahead
	id      int64
	seq     int64
	hash    map[string]bool
	state   map[string]string // the list that has the id
	data    map[string]bool   // whether a run of it took effect
}

func newServer(run string) *server {
	return &server{run: run, hash: map[string]bool{}, state: map[string]string{},
		data: map[string]bool{}}
}

func (s *server) jobs() (n int64) {
	for _, st := range s.state {
		if st != "completed" && st != "failed" {
			n++
		}
	}
	return n
}

func (s *server) last() (p ledger.Position) {
	if n := len(s.stream); n > 0 {
		p = s.stream[n-1].At
	}
	return p
}

// look stands in for LookAt.
func (s *server) look(job string) ledger.Look {
	l := ledger.Look{Hash: s.hash[job], State: s.state[job]}
	if len(s.stream) > 0 {
		l.End = s.stream[len(s.stream)-1].At
	}
	return l
}

// worlds is how many of them a property is tried in: a tenth, and not many, when time is short.
func worlds(n uint64) uint64 {
	if testing.Short() {
		return min(n/10, 300)
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
		lanes: map[ledger.Lane]*server{}, journal: ledger.NewJournal("orders"),
		want: map[string][]ledger.Verdict{}, carries: map[string]string{},
		scheduled: map[string]bool{}}
	w.digests = seed%2 == 0
	for _, l := range allLanes {
		w.lanes[l] = newServer(l.String())
	}
	w.tell(ledger.Event{Type: ledger.EventDelivery, Order: "first", Status: 500})
	return w
}

func stageOf(shadow string) string {
	if shadow == "" {
		return "complete"
	}
	return "live"
}

// recorder stands in for the database: it keeps what is to be saved, and returns
// what a restart needs.
type recorder struct {
	cursors    map[ledger.Lane]ledger.Cursor
	windows    map[string]ledger.Window
	lives      map[[2]string]ledger.Life
	done       []uint64
	exceptions map[string]ledger.Exception
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
		r.exceptions[string(x.Verdict)+" "+x.Queue+" "+x.Job] = x
	}
}

func (r *recorder) checkpoint(t *testing.T) ledger.Checkpoint {
	t.Helper()
	c := ledger.Checkpoint{Cursors: slices.Collect(maps.Values(r.cursors)),
		Lives: slices.Collect(maps.Values(r.lives)), Done: r.done}
	for _, w := range r.windows {
		if w.State == ledger.Running || w.From >= r.cursors[w.Lane].Changes() {
			c.Windows = append(c.Windows, w)
		}
	}
	for _, e := range r.exceptions {
		if _, open := r.lives[[2]string{e.Queue, e.Job}]; open || e.SettledBy == "" {
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

// judged compares what was raised with what should have been.
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

func newRecorder() *recorder {
	return &recorder{map[ledger.Lane]ledger.Cursor{}, map[string]ledger.Window{},
		map[[2]string]ledger.Life{}, nil, map[string]ledger.Exception{}}
}

func other(side string) string {
	if side == ledger.Source {
		return ledger.Target
	}
	return ledger.Source
}

// touchesCounters: jobs that vanish behind BullMQ's back also make the counters
// disagree.
func touchesCounters(fault string) bool {
	return strings.Contains(fault, "deleted") || strings.Contains(fault, "falls out") ||
		strings.Contains(fault, "fails for good")
}
