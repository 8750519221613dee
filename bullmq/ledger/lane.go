package ledger

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Cursor is how far a lane has been read, and what was counted up to there. It is
// saved in one transaction with the lives it led to, so that a restart resumes
// exactly where it stopped.
type Cursor struct {
	Lane Lane     `json:"lane"`
	Upto Position `json:"upto"` // the last entry read
	// unix ms, the server's clock: everything that happened before has been read
	At int64 `json:"at"`
	// ReadAt is the same moment by our own clock, and Skew by how many ms the server's is
	// ahead of it.
	ReadAt int64 `json:"read_at"`
	Skew   int64 `json:"skew,omitempty"`
	// Since is when reading first reached the end, unix ms by the server's clock: what came
	// before is history, of which nothing is claimed.
	Since int64  `json:"since,omitempty"`
	Error string `json:"error,omitempty"`
	// Server is the run id of the server that was read last; "" if it does not tell. Mark
	// recognises the entry at Upto; 0 when that entry itself was not read.
	Server string `json:"server,omitempty"`
	Mark   uint64 `json:"mark,omitempty"`
	// DroppedAt is since when (unix ms) nobody reads the lane because its server was let go.
	DroppedAt int64 `json:"dropped_at,omitempty"`
	// Gaps are the times of which nothing is proven, in order. They end by a person's
	// decision alone.
	Gaps []Gap `json:"gaps,omitempty"`

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

	Uncompared Uncompared `json:"uncompared,omitzero"`
}

// Uncompared is what was seen since the counters were last compared, and explains what they
// say the next time.
type Uncompared struct {
	Arrivals int64 `json:"arrivals,omitempty"` // jobs that appeared without an "added"
	Silent   int64 `json:"silent,omitempty"`   // jobs that ended without an entry
	Overflow int64 `json:"overflow,omitempty"` // jobs there was no room for
	// Forked: what is read is of another history than what was counted.
	Forked bool `json:"forked,omitempty"`
	// Behind: the last reading did not reach the end.
	Behind bool `json:"behind,omitempty"`
}

// Gap is a time in which entries were missed, or the server's counters disagree with what
// was read.
type Gap struct {
	From     int64   `json:"from"`  // unix ms by the server's clock
	Until    int64   `json:"until"` // the same
	Why      string  `json:"why"`
	Decision *Ruling `json:"decision,omitempty"`
}

// OpenGaps returns the gaps on which nobody decided.
func (c Cursor) OpenGaps() (out []Gap) {
	for _, g := range c.Gaps {
		if g.Decision == nil {
			out = append(out, g)
		}
	}
	return out
}

// Bounds of what a cursor holds of its gaps; those that come later extend the last one.
const (
	keepGaps    = 200
	keepGapText = 1000
)

// missed adds a gap, or extends the last one when they touch.
func (c *Cursor) missed(from, until int64, why string) {
	n := len(c.Gaps)
	if n == 0 || c.Gaps[n-1].Decision != nil ||
		from > c.Gaps[n-1].Until+minute && n < keepGaps {
		c.Gaps = append(c.Gaps, Gap{From: from, Until: until, Why: why})
		return
	}
	last := &c.Gaps[n-1]
	last.Until = max(last.Until, until)
	if !strings.Contains(last.Why, why) && len(last.Why) < keepGapText {
		last.Why += "; " + why
	}
}

// lane is a cursor and the state that only the running process needs.
type lane struct {
	Cursor
	windows map[int64]*Window
	listed  int64            // jobs in lists at the last reading
	looked  map[string]int64 // when a job was last looked up on the server
	gauge   gauge
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

// keepMinutes bounds how many minutes one reading closes: those of a week.
const keepMinutes = 7 * 24 * 60

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
	ln.Upto, ln.Mark = e.At, e.mark()
	ln.Entries++
	switch e.Event {
	case "added", "duplicated", "deduplicated", "debounced":
		ln.Adds++
	}
}

// mark recognises an entry among those of other histories.
func (e Entry) mark() uint64 { return hash(lifeKey{e.Event, e.Job}) | 1 }

// Reading is the result of one transaction on a lane's server: entries after the
// cursor, and the server's own counters at that moment.
type Reading struct {
	Entries []Entry
	// Cursor is the entry at the cursor itself; nil when the stream has none there.
	Cursor *Entry
	End    bool     // there are no more
	At     int64    // unix ms, the server's clock
	ReadAt int64    // the same by our clock; 0: the server's is ours
	Server string   // its run id; "" if it does not tell
	First  Position // of the stream; zero when it is empty
	Last   Position // the stream's last id ever
	Added  int64    // entries ever written; -1 when the server does not say (before Redis 7)
	Adds   int64    // the queue's id counter
	Jobs   int64    // in wait, paused, active, delayed, prioritized, waiting-children
	Listed int64    // of those, in lists: looking one up costs O(this)
	// Waits are those that a worker could take now, and Next is the one that is next in line;
	// "" where that is not told by the waiting list alone.
	Waits int64
	Next  string
	Took  time.Duration // how long the reading took; set by who follows the lane
}

// foreign says why a reading is not of the history that was read so far; "" if it is, or
// if only the counters can tell. A run id changes with each start and each failover: what
// tells is the entry at the cursor. Where that cannot be there any more, another run id is
// reason enough; and where nothing was there to read, whatever is older than the reading.
func (ln *lane) foreign(r Reading) string {
	who := ""
	if r.Server != "" && ln.Server != "" && r.Server != ln.Server {
		who = fmt.Sprintf(" (run id %.8s, formerly %.8s)", r.Server, ln.Server)
	}
	trimmed := r.First == Position{} || ln.Upto.Before(r.First)
	switch {
	case r.Last.Before(ln.Upto), r.Last == ln.Upto && r.Cursor == nil:
		return "" // entries were lost, which is said elsewhere; or nothing came
	case ln.Upto == Position{}:
		if r.First.MS < ln.At {
			return "the stream is another than the empty one that was read" + who + ": it " +
				"begins at " + r.First.String()
		}
	case r.Cursor == nil && !trimmed || r.Cursor != nil && ln.Mark != 0 &&
		r.Cursor.mark() != ln.Mark:
		return fmt.Sprintf("the stream is another than was read%s: its entry %s is missing or "+
			"different, after a failover, a restore, or with another server", who, ln.Upto)
	case r.Cursor == nil && who != "":
		return "the server is another than was read" + who + ", and its stream does not " +
			"reach back to " + ln.Upto.String()
	case r.Cursor == nil && r.End && r.Added >= 0 && ln.uncounted(r) < 0:
		return ln.fewer(r)
	}
	return ""
}

// uncounted returns how many entries the server counts that were not read, with those of a
// reading that is not folded yet.
func (ln *lane) uncounted(r Reading) int64 {
	return r.Added - ln.BaseEntries - ln.Entries - int64(len(r.Entries))
}

func (ln *lane) fewer(r Reading) string {
	return fmt.Sprintf("the server counts %d entries fewer than were read: a failover or "+
		"restore lost them", -ln.uncounted(r))
}

// Read folds a reading. If the stream's history was replaced, or trimmed before it
// was read, every window since the last complete reading becomes inconclusive and
// every open job of the lane unsure. Of another history nothing is folded that is older
// than that reading: it may tell of the same runs again.
func (st *Streams) Read(at Lane, r Reading) {
	st.mu.Lock()
	defer st.mu.Unlock()
	ln := st.follow(at)
	// what is read before the end is first reached is history, which may be
	// incomplete
	first := !ln.Based
	before := ln.At
	if first {
		before = r.At
	}
	ln.Error, ln.listed, ln.Skew = "", r.Listed, r.At-cmp.Or(r.ReadAt, r.At)
	st.dirty.Lanes[at] = true
	why := ""
	if !first && !ln.Uncompared.Forked {
		why = ln.missing(r)
	}
	ln.Server = cmp.Or(r.Server, ln.Server)
	for _, e := range r.Entries {
		switch {
		case !ln.Upto.Before(e.At):
		case ln.Uncompared.Forked && e.At.MS <= before:
			ln.Upto, ln.Mark = e.At, e.mark()
		default:
			st.fold(at, ln, e)
			ln.gauge.count(e, r.At)
		}
	}
	ln.gauge.took(r.Took)
	if !r.End {
		ln.Uncompared.Behind = true
		if why != "" {
			st.gap(ln, before, r.At, why)
		}
		return
	}
	if why == "" && ln.Uncompared.Overflow > 0 {
		why = fmt.Sprintf("%d jobs were not followed: %d are open already", ln.Uncompared.Overflow,
			len(st.lives))
	}
	switch {
	case why != "":
		st.gap(ln, before, r.At, why)
	case !first && !ln.Uncompared.Forked:
		st.compare(ln, before, r)
	}
	ln.base(r)
	ln.At, ln.ReadAt, ln.Since = r.At, r.At-ln.Skew, cmp.Or(ln.Since, r.At)
	if ln.Upto.Before(r.Last) {
		ln.Upto, ln.Mark = r.Last, 0 // what lay between is gone: trimmed or deleted
	}
	ln.closeWindows(before, r.At, first)
	st.measure(at, ln, r)
}

// missing says why a reading does not go on where the last one ended; "" if it does.
func (ln *lane) missing(r Reading) string {
	if why := ln.foreign(r); why != "" {
		ln.Uncompared.Forked = true
		return why
	}
	switch {
	case r.Last.Before(ln.Upto):
		why := fmt.Sprintf("the stream ends at %s, before what was read (%s): a failover or "+
			"restore lost entries, or it was deleted", r.Last, ln.Upto)
		ln.Upto, ln.Mark, ln.Uncompared.Forked = r.Last, 0, true
		return why
	case r.Added < 0 && ln.Upto.Before(r.First):
		return fmt.Sprintf("the stream begins at %s, after what was read (%s), and this "+
			"server does not count its entries: some may have been trimmed", r.First, ln.Upto)
	case !r.End || r.Added < 0:
		return "" // told at the end, or not at all
	case ln.uncounted(r) > 0:
		return fmt.Sprintf("%d entries were trimmed before they were read: raise "+
			"streams.events.maxLen in the application", ln.uncounted(r))
	case ln.uncounted(r) < 0:
		return ln.fewer(r)
	}
	return ""
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
	if unknown := r.Jobs - ln.Open; unknown < ln.BaseJobs-ln.Uncompared.Arrivals ||
		unknown > ln.BaseJobs+ln.Uncompared.Silent {
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
	ln.Uncompared = Uncompared{}
}

// raise follows the id counter when a job arrives that was moved here: an id that BullMQ
// would give out again raises it.
func (ln *lane) raise(job string) {
	id, _ := strconv.ParseInt(job, 10, 64) // what is no number raises nothing
	if len(job) <= 15 && id > ln.BaseAdds+ln.Adds {
		ln.BaseAdds = id - ln.Adds
	}
}

// silent notes that a job of a lane ended without an entry.
func (st *Streams) silent(ln *lane) {
	ln.Open--
	ln.Uncompared.Silent++
	st.dirty.Lanes[ln.Lane] = true
}

// gap handles missing entries: nothing that is open is certain any more.
func (st *Streams) gap(ln *lane, from, until int64, why string) {
	st.doubt(ln, from, until, why)
	st.eachStay(ln.Lane, func(k lifeKey, s *Stay) {
		if s.open() {
			s.Unsure = true
			st.dirty.life(k)
		}
	})
}

func (st *Streams) doubt(ln *lane, from, until int64, why string) {
	ln.missed(from, until, why)
	for at := firstMinute(from, until); at <= until; at += minute {
		w := ln.window(at)
		w.State = Inconclusive
		if len(w.Reasons) < 5 && !slices.Contains(w.Reasons, why) {
			w.Reasons = append(w.Reasons, why)
		}
	}
}

// firstMinute returns the minute in which from lies, or the oldest that is still kept.
func firstMinute(from, until int64) int64 {
	from = max(from, until-keepMinutes*minute)
	return from - from%minute
}

// closeWindows closes the minutes that are over, given that everything up to at has
// been read, and that everything up to before had been. A minute without events counts
// too. The minute in which reading began is incomplete.
func (ln *lane) closeWindows(before, at int64, first bool) {
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
	for from := firstMinute(before, at); from <= at; from += minute {
		ln.window(from)
	}
	for from, w := range ln.windows {
		if w.State == Running && from+minute <= at {
			w.State = Conclusive
		}
	}
}
