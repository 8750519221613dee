package ledger

import (
	"fmt"
	"slices"
	"time"
)

// Cursor is how far a lane has been read, and what was counted up to there. It is
// saved in one transaction with the lives it led to, so that a restart resumes
// exactly where it stopped.
type Cursor struct {
	Lane Lane     `json:"lane"`
	Upto Position `json:"upto"` // the last entry read
	// unix ms, the server's clock: everything that happened before has been read
	At    int64  `json:"at"`
	Error string `json:"error,omitempty"`

	Entries int64 `json:"entries"` // read
	Adds    int64 `json:"adds"`    // added, duplicated, deduplicated
	Open    int64 `json:"open"`    // jobs that have not ended
	Closed  int64 `json:"closed"`
	Retries int   `json:"retries"`

	// The bases are what the server's own counters stood at when Entries, Adds and
	// Open were 0. They are set by the first reading that reaches the end, and
	// again after a gap; Based is false until then.
	Based       bool  `json:"based"`
	BaseEntries int64 `json:"base_entries"`
	BaseAdds    int64 `json:"base_adds"`
	BaseJobs    int64 `json:"base_jobs"` // jobs in the queue's lists that no entry told of
}

// lane is a cursor and the state that only the running process needs.
type lane struct {
	Cursor
	windows map[int64]*Window
	listed  int64            // jobs in lists at the last reading
	looked  map[string]int64 // when a job was last looked up on the server
	// since the last reading that reached the end: jobs that arrived without an
	// "added", jobs that ended without an entry, and jobs there was no room for
	arrivals, silent, overflow int64
}

// Window is one minute of one lane. Only Conclusive proves anything.
type Window struct {
	Lane    Lane             `json:"lane"`
	From    int64            `json:"from"` // unix ms, a whole minute by the server's clock
	State   string           `json:"state"`
	Entries int64            `json:"entries"`
	Events  map[string]int64 `json:"events"` // by BullMQ's name
	Digest  uint64           `json:"digest"` // of every entry's id, event and job, in order
	// Reasons say why the window is inconclusive.
	Reasons []string `json:"reasons,omitempty"`
}

// The states of a window.
const (
	Running    = "running"    // not over, or not read to its end
	Conclusive = "conclusive" // every entry was read and the server's counters agree
	// entries were missed or the counters disagree: it proves nothing
	Inconclusive = "inconclusive"
)

// Began is the reason given for the minute in which reading began.
const Began = "reading began in this minute"

const minute = int64(time.Minute / time.Millisecond)

func (ln *lane) window(ms int64) *Window {
	from := ms - ms%minute
	w := ln.windows[from]
	if w == nil {
		w = &Window{
			Lane:   ln.Lane,
			From:   from,
			State:  Running,
			Events: map[string]int64{},
			Digest: 14695981039346656037,
		}
		ln.windows[from] = w
	}
	return w
}

func (ln *lane) note(e Entry) {
	w := ln.window(e.At.MS)
	w.Entries++
	w.Events[e.Event]++
	const prime = 1099511628211
	mix := func(s string) {
		for i := range len(s) {
			w.Digest = (w.Digest ^ uint64(s[i])) * prime
		}
		w.Digest = (w.Digest ^ 0xff) * prime // a separator that no text contains
	}
	w.Digest = (w.Digest ^ uint64(e.At.MS)) * prime  //nolint:gosec // any 64 bits do for a digest
	w.Digest = (w.Digest ^ uint64(e.At.Seq)) * prime //nolint:gosec // as above
	mix(e.Event)
	mix(e.Job)
	ln.Upto = e.At
	ln.Entries++
	switch e.Event {
	case "added", "duplicated", "deduplicated", "debounced":
		ln.Adds++
	}
}

// Reading is the result of one transaction on a lane's server: entries after the
// cursor, and the server's own counters at that moment.
type Reading struct {
	Entries []Entry
	End     bool     // there are no more
	At      int64    // unix ms, the server's clock
	First   Position // of the stream; zero when it is empty
	Last    Position // the stream's last id ever
	Added   int64    // entries ever written; -1 when the server does not say (before Redis 7)
	Adds    int64    // the queue's id counter
	Jobs    int64    // in wait, paused, active, delayed, prioritized, waiting-children
	Listed  int64    // of those, in lists: looking one up costs O(this)
}

// Read folds a reading. If the stream's history was replaced, or trimmed before it
// was read, every window since the last complete reading becomes inconclusive and
// every open job of the lane unsure.
func (st *Streams) Read(at Lane, r Reading) {
	st.mu.Lock()
	defer st.mu.Unlock()
	ln := st.lane(at)
	// what is read before the end is first reached is history, which may be
	// incomplete
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
		why = fmt.Sprintf("the stream ends at %s, before what was read (%s): a failover or "+
			"restore lost entries, or it was deleted", r.Last, ln.Upto)
		ln.Upto = r.Last
	case r.Added < 0 && ln.Upto.Before(r.First):
		why = fmt.Sprintf("the stream begins at %s, after what was read (%s), and this "+
			"server does not count its entries: some may have been trimmed", r.First, ln.Upto)
	}
	for _, e := range r.Entries {
		if e.At.Before(ln.Upto) || e.At == ln.Upto {
			continue
		}
		st.fold(at, ln, e)
	}
	st.dirty.Lanes[at] = true
	if !r.End {
		if why != "" {
			st.gap(ln, before, r.At, why)
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
				"or restore lost them", -missed)
		}
	}
	if why == "" && ln.overflow > 0 {
		why = fmt.Sprintf("%d jobs were not followed: %d are open already", ln.overflow,
			len(st.lives))
	}
	if why != "" {
		st.gap(ln, before, r.At, why)
	} else if !first {
		st.compare(ln, before, r)
	}
	ln.base(r)
	ln.At = r.At
	if ln.Upto.Before(r.Last) {
		ln.Upto = r.Last // what lay between is gone: trimmed or deleted
	}
	ln.closeWindows(r.At, first)
}

// compare checks the server's counters against what was read. The base of jobs may
// only change by jobs that arrived without an "added".
func (st *Streams) compare(ln *lane, before int64, r Reading) {
	if adds := r.Adds - ln.BaseAdds; adds != ln.Adds {
		st.doubt(ln, before, r.At, fmt.Sprintf(
			"the id counter rose by %d, the stream reports %d adds", adds, ln.Adds))
	}
	// Jobs in the lists that the stream does not know of: fewer when one of them
	// shows up, more when we gave up on one whose id is still listed.
	if unknown := r.Jobs - ln.Open; unknown < ln.BaseJobs-ln.arrivals ||
		unknown > ln.BaseJobs+ln.silent {
		st.doubt(ln, before, r.At, fmt.Sprintf("%d jobs are in the queue's lists; %d are "+
			"open according to the stream, and %d were there without an entry", r.Jobs, ln.Open,
			ln.BaseJobs))
	}
}

// base resets what the counters are compared with, so that one disagreement is
// reported once.
func (ln *lane) base(r Reading) {
	ln.Based = true
	ln.BaseEntries, ln.BaseAdds, ln.BaseJobs = r.Added-ln.Entries, r.Adds-ln.Adds,
		r.Jobs-ln.Open
	ln.arrivals, ln.silent, ln.overflow = 0, 0, 0
}

// gap handles missing entries: nothing that is open is certain any more.
func (st *Streams) gap(ln *lane, from, until int64, why string) {
	st.doubt(ln, from, until, why)
	place := ln.Lane.place()
	for k, life := range st.lives {
		if s := life.Stays[place]; k.queue == ln.Lane.Queue && s.open() {
			s.Unsure = true
			st.dirty.life(k)
		}
	}
}

func (st *Streams) doubt(ln *lane, from, until int64, why string) {
	// earlier windows are closed; the store marks them if they were not
	from = max(from, until-60*minute)
	for at := from - from%minute; at <= until; at += minute {
		w := ln.window(at)
		w.State = Inconclusive
		if len(w.Reasons) < 5 && !slices.Contains(w.Reasons, why) {
			w.Reasons = append(w.Reasons, why)
		}
	}
}

// closeWindows closes the minutes that are over, given that everything up to at has
// been read. The minute in which reading began is incomplete.
func (ln *lane) closeWindows(at int64, first bool) {
	if first {
		for from := range ln.windows {
			if from+minute <= at {
				delete(ln.windows, from)
			}
		}
		w := ln.window(at)
		w.State, w.Reasons = Inconclusive, []string{Began}
		return
	}
	ln.window(at) // a minute without events counts too
	for from, w := range ln.windows {
		if w.State == Running && from+minute <= at {
			w.State = Conclusive
		}
	}
}
