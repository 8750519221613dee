package ledger

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Cursor is how far a lane was read, and what was counted up to there. It is kept with
// the lives it led to, in one transaction, so that a restart goes on as if nothing had
// been.
type Cursor struct {
	Lane Lane     `json:"lane"`
	Upto Position `json:"upto"` // the last entry that was read
	// unix ms, the server's clock: everything that happened before is read
	At    int64  `json:"at"`
	Error string `json:"error,omitempty"`

	Entries int64 `json:"entries"` // read
	Adds    int64 `json:"adds"`    // added, duplicated, deduplicated
	Open    int64 `json:"open"`    // jobs that have not ended
	Closed  int64 `json:"closed"`
	Retries int   `json:"retries"`

	// The bases are what the server's own counters stood at when Entries, Adds and Open
	// were 0, set at the first reading that reached the end and again after a gap.
	// Based is false before.
	Based       bool  `json:"based"`
	BaseEntries int64 `json:"base_entries"`
	BaseAdds    int64 `json:"base_adds"`
	BaseJobs    int64 `json:"base_jobs"` // jobs in the queue's lists that no entry told of
}

// lane is a cursor and what only the running process needs.
type lane struct {
	Cursor
	windows map[int64]*Window
	listed  int64            // jobs in lists at the last reading
	looked  map[string]int64 // when a job was looked at on the server
	// since the last reading that reached the end: jobs that came without an "added",
	// those that ended without an entry, and those there was no room for.
	arrivals, silent, overflow int64
}

// Window is one minute of one lane. Conclusive is the only good verdict.
type Window struct {
	Lane    Lane             `json:"lane"`
	From    int64            `json:"from"` // unix ms, a whole minute of the server's clock
	State   string           `json:"state"`
	Entries int64            `json:"entries"`
	Events  map[string]int64 `json:"events"` // by BullMQ's name
	Digest  uint64           `json:"digest"` // over every entry's id, event and job, in order
	// Reasons say why it is inconclusive.
	Reasons []string `json:"reasons,omitempty"`
}

// The states of a window.
const (
	Running    = "running"    // not over, or not read to its end
	Conclusive = "conclusive" // every entry was read and the server's counters agree
	// entries were missed or the counters disagree: it proves nothing
	Inconclusive = "inconclusive"
)

// Began is the reason of the minute in which reading began.
const Began = "reading began in this minute"

const minute = int64(time.Minute / time.Millisecond)

func (l *lane) window(ms int64) *Window {
	from := ms - ms%minute
	w := l.windows[from]
	if w == nil {
		w = &Window{
			Lane:   l.Lane,
			From:   from,
			State:  Running,
			Events: map[string]int64{},
			Digest: 14695981039346656037,
		}
		l.windows[from] = w
	}
	return w
}

func (l *lane) note(e Entry) {
	w := l.window(e.At.MS)
	w.Entries++
	w.Events[e.Event]++
	const prime = 1099511628211
	mix := func(s string) {
		for i := range len(s) {
			w.Digest = (w.Digest ^ uint64(s[i])) * prime
		}
		w.Digest = (w.Digest ^ 0xff) * prime // an end that no text has
	}
	w.Digest = (w.Digest ^ uint64(e.At.MS)) * prime
	w.Digest = (w.Digest ^ uint64(e.At.Seq)) * prime
	mix(e.Event)
	mix(e.Job)
	l.Upto = e.At
	l.Entries++
	switch e.Event {
	case "added", "duplicated", "deduplicated", "debounced":
		l.Adds++
	}
}

// Reading is what one transaction on a lane's server gave: entries after the cursor,
// and the server's own counters at that moment.
type Reading struct {
	Entries []Entry
	End     bool     // there are no more
	At      int64    // unix ms, the server's clock
	First   Position // of the stream; zero when it is empty
	Last    Position // the stream's last id ever
	Added   int64    // entries ever written; -1 when the server does not tell (before Redis 7)
	Adds    int64    // the queue's id counter
	Jobs    int64    // in wait, paused, active, delayed, prioritized, waiting-children
	Listed  int64    // of those, in lists: to look for one takes as long as they are
}

// Read folds a reading in. A history that is not the one that was read before, or that
// was trimmed before it was read, makes every window since the last complete reading
// inconclusive, and every open job of the lane unsure.
func (l *Streams) Read(at Lane, r Reading) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln := l.lane(at)
	// what is read before the first end is history: nobody knows whether it is whole
	first := !ln.Based
	before := ln.At
	if first {
		before = r.At
	}
	ln.Error, ln.listed = "", r.Listed
	var why string
	switch {
	case first:
	case r.Last.Before(ln.Upto):
		why = fmt.Sprintf("the stream ends at %s, before what was read (%s): a failover or a "+
			"restore has lost entries, or it was deleted", r.Last, ln.Upto)
		ln.Upto = r.Last
	case r.Added < 0 && ln.Upto.Before(r.First):
		why = fmt.Sprintf("the stream begins at %s, after what was read (%s), and this "+
			"server does not count its entries: some may have been trimmed", r.First, ln.Upto)
	}
	for _, e := range r.Entries {
		if e.At.Before(ln.Upto) || e.At == ln.Upto {
			continue
		}
		l.fold(at, ln, e)
	}
	l.dirty.Lanes[at] = true
	if !r.End {
		if why != "" {
			l.gap(ln, before, r.At, why)
		}
		return
	}
	if !first && r.Added >= 0 && why == "" {
		switch missed := r.Added - ln.BaseEntries - ln.Entries; {
		case missed > 0:
			why = fmt.Sprintf("%d entries were trimmed before they were read: raise "+
				"streams.events.maxLen in the application", missed)
		case missed < 0:
			why = fmt.Sprintf("the server counts %d entries fewer than were read: a failover "+
				"or a restore has lost them", -missed)
		}
	}
	if why == "" && ln.overflow > 0 {
		why = fmt.Sprintf("%d jobs were not followed, because %d are open", ln.overflow,
			len(l.lives))
	}
	if why != "" {
		l.gap(ln, before, r.At, why)
	} else if !first {
		l.compare(ln, before, r)
	}
	ln.base(r)
	ln.At = r.At
	if ln.Upto.Before(r.Last) {
		ln.Upto = r.Last // what was between is gone: trimmed or deleted
	}
	ln.closeWindows(r.At, first)
}

// compare holds the server's counters against what was read. The base of jobs may only
// change by jobs that came without an "added".
func (l *Streams) compare(ln *lane, before int64, r Reading) {
	if adds := r.Adds - ln.BaseAdds; adds != ln.Adds {
		l.doubt(ln, before, r.At, fmt.Sprintf(
			"the id counter rose by %d, the stream tells of %d adds", adds, ln.Adds))
	}
	// Jobs in the lists that the stream does not tell of: fewer when one shows itself,
	// more when one is given up on whose id is still listed.
	if unknown := r.Jobs - ln.Open; unknown < ln.BaseJobs-ln.arrivals ||
		unknown > ln.BaseJobs+ln.silent {
		l.doubt(ln, before, r.At, fmt.Sprintf("%d jobs are in the queue's lists; %d are open "+
			"by the stream, and %d were there unknown", r.Jobs, ln.Open, ln.BaseJobs))
	}
}

// base sets what the counters are compared with from now on, so that one disagreement
// is told once.
func (l *lane) base(r Reading) {
	l.Based = true
	l.BaseEntries, l.BaseAdds, l.BaseJobs = r.Added-l.Entries, r.Adds-l.Adds, r.Jobs-l.Open
	l.arrivals, l.silent, l.overflow = 0, 0, 0
}

// gap: entries are missing, so nothing that is open is known for sure.
func (l *Streams) gap(ln *lane, from, until int64, why string) {
	l.doubt(ln, from, until, why)
	place := ln.Lane.place()
	for k, life := range l.lives {
		if s := life.Stays[place]; k.queue == ln.Lane.Queue && s.open() {
			s.Unsure = true
			l.dirty.life(k)
		}
	}
}

func (l *Streams) doubt(ln *lane, from, until int64, why string) {
	// windows before were closed, and are marked in the store if they were not
	from = max(from, until-60*minute)
	for at := from - from%minute; at <= until; at += minute {
		w := ln.window(at)
		w.State = Inconclusive
		if len(w.Reasons) < 5 && !slices.Contains(w.Reasons, why) {
			w.Reasons = append(w.Reasons, why)
		}
	}
}

// closeWindows closes the minutes that are over at a moment up to which everything was
// read. The minute in which reading began is not whole.
func (l *lane) closeWindows(at int64, first bool) {
	if first {
		for from := range l.windows {
			if from+minute <= at {
				delete(l.windows, from)
			}
		}
		w := l.window(at)
		w.State, w.Reasons = Inconclusive, []string{Began}
		return
	}
	l.window(at) // a minute in which nothing happened is one too
	for from, w := range l.windows {
		if w.State == Running && from+minute <= at {
			w.State = Conclusive
		}
	}
}

func (l *Streams) lane(at Lane) *lane {
	ln := l.lanes[at]
	if ln == nil {
		ln = &lane{
			Cursor:  Cursor{Lane: at},
			windows: map[int64]*Window{},
			looked:  map[string]int64{},
		}
		l.lanes[at] = ln
	}
	return ln
}

// Failed tells that a lane could not be read.
func (l *Streams) Failed(at Lane, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lane(at).Error = err.Error()
	l.dirty.Lanes[at] = true
}

// Drop forgets a lane whose server is there no more. What its jobs did there stays in
// their lives, and nothing more is expected of it.
func (l *Streams) Drop(at Lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lanes[at] == nil {
		return
	}
	for k, life := range l.lives {
		if s := life.Stays[at.place()]; k.queue == at.Queue && s.open() {
			s.State = "released"
			l.dirty.life(k)
		}
	}
	delete(l.lanes, at)
	delete(l.dirty.Lanes, at)
}

// After gives the position after which a lane is to be read.
func (l *Streams) After(at Lane) Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lane(at).Upto
}

func (l *Streams) listed(at Lane) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lane(at).listed
}

// changes are what was touched since it was last saved.
type changes struct {
	Lanes      map[Lane]bool
	Done       []uint64
	lives      map[lifeKey]bool
	ended      map[lifeKey]bool // saved before, and gone since
	exceptions map[exceptionKey]bool
}

func newChanges() changes {
	return changes{
		Lanes:      map[Lane]bool{},
		lives:      map[lifeKey]bool{},
		ended:      map[lifeKey]bool{},
		exceptions: map[exceptionKey]bool{},
	}
}

func (c *changes) life(k lifeKey)           { c.lives[k] = true }
func (c *changes) exception(k exceptionKey) { c.exceptions[k] = true }

// Checkpoint is a state of a ledger, or what changed since the last one.
type Checkpoint struct {
	Cursors    []Cursor
	Windows    []Window
	Lives      []Life      // open ones
	Ended      [][2]string // queue and job of lives that are open no more
	Done       []uint64    // hashes of jobs that took effect
	Exceptions []Exception
}

// Changes gives what changed since the last call, and forgets it: it has to be saved
// whole, in one transaction, or the ledger has to be made anew from what was saved (see
// Restore). Closed windows leave the memory.
func (l *Streams) Changes() Checkpoint {
	l.mu.Lock()
	defer l.mu.Unlock()
	var c Checkpoint
	for at := range l.dirty.Lanes {
		ln := l.lanes[at]
		c.Cursors = append(c.Cursors, ln.Cursor)
		if !ln.Based {
			continue // history
		}
		for from, w := range ln.windows {
			saved := *w
			saved.Events, saved.Reasons = maps.Clone(w.Events), slices.Clone(w.Reasons)
			c.Windows = append(c.Windows, saved)
			if from+2*minute <= ln.At {
				delete(ln.windows, from)
			}
		}
	}
	for k := range l.dirty.lives {
		life := l.lives[k]
		life.saved = true
		c.Lives = append(c.Lives, life.copy())
	}
	for k := range l.dirty.ended {
		if l.lives[k] == nil { // else another life of the job is saved over it
			c.Ended = append(c.Ended, [2]string{k.queue, k.job})
		}
	}
	for k := range l.dirty.exceptions {
		e := l.exceptions[k]
		c.Exceptions = append(c.Exceptions, *e)
		if e.SettledBy != "" && l.lives[k.lifeKey] == nil {
			delete(l.exceptions, k)
		}
	}
	c.Done = l.dirty.Done
	l.dirty = newChanges()
	slices.SortFunc(c.Windows, func(a, b Window) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Lane.place(), b.Lane.place()),
			cmp.Compare(a.Lane.Queue, b.Lane.Queue))
	})
	return c
}

// RestoreStreams makes a ledger of what was saved: cursors, windows that are not
// closed, open lives, hashes (the oldest first), exceptions not settled.
func RestoreStreams(o Options, c Checkpoint) *Streams {
	l := NewStreams(o)
	for _, cur := range c.Cursors {
		l.lane(cur.Lane).Cursor = cur
	}
	for _, w := range c.Windows {
		ln := l.lane(w.Lane)
		saved := w
		if saved.Events == nil {
			saved.Events = map[string]int64{}
		}
		ln.windows[w.From] = &saved
	}
	for _, life := range c.Lives {
		life.saved = true
		l.lives[lifeKey{life.Queue, life.Job}] = &life
	}
	for _, h := range c.Done {
		if len(l.done) >= l.o.Done {
			l.done, l.older = map[uint64]struct{}{}, l.done
		}
		l.done[h] = struct{}{}
	}
	for _, e := range c.Exceptions {
		l.exceptions[exceptionKey{lifeKey{e.Queue, e.Job}, e.Verdict}] = &e
	}
	return l
}
