// Package ledger accounts for every order, by ID, on both sides. It draws on two
// sources: what the application promised and did (its journal, see Journal), and
// what BullMQ itself says happened (the events streams of both servers, see
// Streams). Neither is trusted alone: the journal misses what a crashed application
// never wrote, and the streams do not know what a payment provider was promised.
//
// Everything is folded as it arrives. Orders that have finished and are in order
// become counters, a digest and eight bytes that recognise the job if it ever runs
// again; orders that are not in order keep their ID for good.
package ledger

import (
	"cmp"
	"encoding/binary"
	"sync"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Options of Streams. A zero field takes the default in brackets.
type Options struct {
	Deadline time.Duration // time within which an order has to finish [5 min]
	// Deadlines override Deadline for single queues, by Lane.Queue.
	Deadlines map[string]time.Duration
	// how long after its last event a life stays open for late events before it is
	// judged and folded [10 s]
	Linger time.Duration
	// lives that may be open at once; beyond that, windows become inconclusive
	// [200,000]
	Open int
	// finished lives that are recognised when they come back: at least this many,
	// at most twice as many [500,000]
	Done   int
	Recent int // finished lives that are kept whole [20,000]
}

func (o Options) withDefaults() Options {
	o.Deadline = cmp.Or(o.Deadline, 5*time.Minute)
	o.Linger = cmp.Or(o.Linger, 10*time.Second)
	o.Open = cmp.Or(o.Open, 200_000)
	o.Done = cmp.Or(o.Done, 500_000)
	o.Recent = cmp.Or(o.Recent, 20_000)
	return o
}

type lifeKey struct{ queue, job string }

// Streams folds the events streams of both sides. It is safe for concurrent use.
type Streams struct {
	mu    sync.Mutex
	o     Options
	lives map[lifeKey]*Life
	lanes map[Lane]*lane
	// done holds hashes of finished jobs that took effect, in two generations: when
	// the younger is full, the older is dropped.
	done, older map[uint64]struct{}
	recent      []*Life // ring buffer
	recentAt    int
	exceptions  map[exceptionKey]*Exception // not settled, of an open life, or not saved yet
	dirty       changes
}

// NewStreams returns an empty Streams.
func NewStreams(o Options) *Streams {
	return &Streams{o: o.withDefaults(), lives: map[lifeKey]*Life{}, lanes: map[Lane]*lane{},
		done: map[uint64]struct{}{}, older: map[uint64]struct{}{},
		exceptions: map[exceptionKey]*Exception{}, dirty: newChanges()}
}

// hash identifies a job. It has to stay the same across restarts, since it is
// stored in the database.
func hash(k lifeKey) uint64 {
	// 64-bit FNV-1a over length, queue and job: the length keeps two pairs from
	// hashing the same bytes.
	const prime = 1099511628211
	h := uint64(14695981039346656037)
	for _, s := range [2]string{k.queue, k.job} {
		var n [4]byte
		binary.LittleEndian.PutUint32(n[:], uint32(len(s))) //nolint:gosec // any 32 bits do for a hash
		for _, b := range n {
			h = (h ^ uint64(b)) * prime
		}
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * prime
		}
	}
	return h
}

func (st *Streams) wasDone(k lifeKey) bool {
	h := hash(k)
	if _, ok := st.done[h]; ok {
		return true
	}
	_, ok := st.older[h]
	return ok
}

func (st *Streams) markDone(k lifeKey) {
	if len(st.done) >= st.o.Done {
		st.done, st.older = map[uint64]struct{}{}, st.done
	}
	h := hash(k)
	st.done[h] = struct{}{}
	st.dirty.Done = append(st.dirty.Done, h)
}

// fold applies one entry of a lane. The caller holds the lock.
func (st *Streams) fold(at Lane, ln *lane, e Entry) {
	ln.note(e)
	if e.Job == "" {
		return
	}
	state := e.Event
	switch e.Event {
	case "added":
		state = "waiting"
	case "waiting", "active", "delayed", "waiting-children", "completed", "failed", "removed",
		"stalled", "prioritized":
	default:
		// progress, duplicated, deduplicated, debounced, retries-exhausted: the job
		// stays where it is
		return
	}
	k := lifeKey{at.Queue, e.Job}
	life := st.lives[k]
	if life == nil {
		if e.Event == "removed" || e.Event == "stalled" {
			// mostly of a job that finished earlier: completed jobs are removed by
			// hand or by the app
			return
		}
		if len(st.lives) >= st.o.Open {
			ln.Uncompared.Overflow++
			return
		}
		life = &Life{
			Queue: at.Queue, Job: e.Job, Began: e.At.MS - ln.Skew, Before: st.wasDone(k),
		}
		st.lives[k] = life
	}
	st.dirty.life(k)
	place := at.place()
	s := life.Stays[place]
	fresh := s == nil
	if fresh {
		s = &Stay{}
		life.Stays[place] = s
	}
	was := !fresh && s.open()
	if !ln.Based && e.Event == "completed" && life.knows(place, e.At) {
		// History that a stream brought with it when it was copied: the run that it
		// tells of is one we know. Nothing is claimed of what came before we read.
		e.Outcome = OutcomeSuppressed
	}
	s.step(e, state)
	life.Partial = life.Partial || fresh && e.Event != "added"
	switch is := s.open(); {
	case is && !was:
		ln.Open++
		if e.Event != "added" {
			// it entered the queue before we watched, was moved here, or was
			// retried by hand
			ln.Uncompared.Arrivals++
			ln.raise(e.Job)
		}
	case was && !is:
		ln.Open--
	case fresh:
		ln.Uncompared.Arrivals++ // it was there without our knowing, and has finished
	}
}

// Find returns what is known of a job in any queue: its lives that are open or
// recent, and whether a job of that ID is known to have taken effect.
func (st *Streams) Find(job string) (lives []Life, done bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	queues := map[string]bool{}
	for at := range st.lanes {
		queues[at.Queue] = true
	}
	for q := range queues {
		k := lifeKey{q, job}
		done = done || st.wasDone(k)
		if life := st.lives[k]; life != nil {
			lives = append(lives, life.copy())
		}
	}
	for _, life := range st.recent {
		if life.Job == job {
			lives = append(lives, life.copy())
		}
	}
	return lives, done
}

func (st *Streams) lane(at Lane) *lane {
	ln := st.lanes[at]
	if ln == nil {
		ln = &lane{
			Cursor:  Cursor{Lane: at},
			windows: map[int64]*Window{},
			looked:  map[string]int64{},
		}
		st.lanes[at] = ln
	}
	return ln
}

// Failed records that a lane could not be read.
func (st *Streams) Failed(at Lane, err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.follow(at).Error = migration.PlainError(err)
	st.dirty.Lanes[at] = true
}

// unreadFor is how long ago a lane may have been read for nothing to be missing when its
// server is let go: a few waits for an entry.
const unreadFor = 4 * readIdle

// Drop says that nobody reads a lane from now (unix ms) on, because its server was let go.
// What its jobs did there stays in their lives, and nothing more is expected from it. How
// far it was read stays, too: should it be read again, it goes on from there.
func (st *Streams) Drop(at Lane, now int64) {
	st.mu.Lock()
	defer st.mu.Unlock()
	ln := st.lanes[at]
	if ln == nil || ln.DroppedAt != 0 {
		return
	}
	switch {
	case !ln.Based:
	case ln.Error != "" || now-ln.ReadAt > unreadFor.Milliseconds():
		ln.missed(ln.At, now+ln.Skew, "its server was let go while it could not be read")
	case ln.Uncompared.Behind:
		ln.missed(ln.At, now+ln.Skew, "its server was let go before all of it was read")
	}
	ln.DroppedAt = now
	st.dirty.Lanes[at] = true
	st.eachStay(at, func(k lifeKey, s *Stay) {
		if s.open() {
			s.State, s.Was = "released", s.State
			st.silent(ln)
			st.dirty.life(k)
		}
	})
}

// Follows says that a lane is read from now on, also if it was dropped.
func (st *Streams) Follows(at Lane) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.follow(at)
}

// follow returns a lane that is read, from now on again if it was dropped. What was there
// then may have ended since.
func (st *Streams) follow(at Lane) *lane {
	ln := st.lane(at)
	if ln.DroppedAt == 0 {
		return ln
	}
	ln.DroppedAt = 0
	st.dirty.Lanes[at] = true
	st.eachStay(at, func(k lifeKey, s *Stay) {
		if s.State == "released" {
			s.State, s.Was, s.Unsure = s.Was, "", true
			ln.Open++
			ln.Uncompared.Arrivals++
			st.dirty.life(k)
		}
	})
	return ln
}

// eachStay calls f for what a lane saw of each life that is not folded.
func (st *Streams) eachStay(at Lane, f func(lifeKey, *Stay)) {
	for k, life := range st.lives {
		if s := life.Stays[at.place()]; k.queue == at.Queue && s != nil {
			f(k, s)
		}
	}
}

// After returns the position after which a lane is to be read.
func (st *Streams) After(at Lane) Position {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.lane(at).Upto
}

func (st *Streams) listed(at Lane) int64 {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.lane(at).listed
}
