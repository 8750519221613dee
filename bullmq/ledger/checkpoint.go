package ledger

import (
	"cmp"
	"maps"
	"slices"
)

// changes is what was touched since the last save.
type changes struct {
	Lanes      map[Lane]bool
	Done       []uint64
	lives      map[lifeKey]bool
	ended      map[lifeKey]bool // saved before, and gone since
	exceptions map[exceptionKey]bool
}

func (c *changes) life(k lifeKey) { c.lives[k] = true }

func (c *changes) exception(k exceptionKey) { c.exceptions[k] = true }

func newChanges() changes {
	return changes{
		Lanes:      map[Lane]bool{},
		lives:      map[lifeKey]bool{},
		ended:      map[lifeKey]bool{},
		exceptions: map[exceptionKey]bool{},
	}
}

// Checkpoint is a saved state of Streams, or what changed since the last one.
type Checkpoint struct {
	Cursors    []Cursor
	Windows    []Window
	Lives      []Life      // open ones
	Ended      [][2]string // queue and job of lives that are no longer open
	Done       []uint64    // hashes of jobs that took effect
	Exceptions []Exception
}

// Changes returns what changed since the last call, and forgets it. It has to be
// saved as a whole, in one transaction; if that fails, make a new Streams from what
// was saved (see RestoreStreams). Closed windows leave memory.
func (st *Streams) Changes() Checkpoint {
	st.mu.Lock()
	defer st.mu.Unlock()
	var c Checkpoint
	for at := range st.dirty.Lanes {
		ln := st.lanes[at]
		saved := ln.Cursor
		saved.Gaps = slices.Clone(ln.Gaps)
		c.Cursors = append(c.Cursors, saved)
		if !ln.Based {
			continue // history
		}
		for from, w := range ln.windows {
			saved := *w
			saved.Events, saved.Reasons = maps.Clone(w.Events), slices.Clone(w.Reasons)
			c.Windows = append(c.Windows, saved)
			if from < ln.Changes() {
				delete(ln.windows, from)
			}
		}
	}
	for k := range st.dirty.lives {
		life := st.lives[k]
		life.saved = true
		c.Lives = append(c.Lives, life.copy())
	}
	for k := range st.dirty.ended {
		if st.lives[k] == nil { // else another life of the same job is saved over it
			c.Ended = append(c.Ended, [2]string{k.queue, k.job})
		}
	}
	for k := range st.dirty.exceptions {
		e := st.exceptions[k]
		c.Exceptions = append(c.Exceptions, *e)
		if e.SettledBy != "" && st.lives[k.lifeKey] == nil {
			delete(st.exceptions, k)
		}
	}
	c.Done = st.dirty.Done
	st.dirty = newChanges()
	slices.SortFunc(c.Windows, func(a, b Window) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Lane.place(), b.Lane.place()),
			cmp.Compare(a.Lane.Queue, b.Lane.Queue))
	})
	return c
}

// Changes is since when (unix ms by the server's clock) windows that began may still change.
// They are kept in memory, and restored, whatever their state: a minute that is begun anew
// would forget what was missed in it.
func (c Cursor) Changes() int64 { return c.At - 2*minute + 1 }

// RestoreStreams rebuilds a Streams from what was saved: cursors, windows that are not closed
// or may still change (see Cursor.Changes), open lives, hashes (oldest first), exceptions that
// are not settled or of an open life.
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
		life.Began = cmp.Or(life.Began, life.added()) // one that an older version saved
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
