package ledger

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
	"unique"
)

// JournalState is what a Journal has to be saved, or goes on from: all orders that are
// not in order, whole, and the counters of those that are. What an app's journal held
// that is there no more is not forgotten, and nothing is read twice.
type JournalState struct {
	Since  int64 `json:"since"`
	Newest int64 `json:"newest"`
	// Arrivals are first deliveries, by provider and hour.
	Arrivals map[string]map[int64]int `json:"arrivals,omitempty"`

	Last    map[string]int64           `json:"-"` // highest sequence number by epoch
	Orders  map[string]json.RawMessage `json:"-"`
	Gone    []string                   `json:"-"` // orders that have no row any more
	Minutes map[int64]json.RawMessage  `json:"-"`
	// Known and KnownJobs recognise the orders that are in order, and canaries, when they
	// come again: hashes with their minutes.
	Known     [][2]int64 `json:"-"`
	KnownJobs [][2]int64 `json:"-"`
}

// saving is what was not saved yet.
type saving struct {
	dirty   map[string]*order
	open    map[string]*order   // orders that have a row of their own
	minutes map[int64]*counters // as they are stored
	marks   [][2]int64          // of canaries
}

// touch notes that an order changes.
func (j *Journal) touch(o *order) {
	if j.saving != nil {
		j.saving.dirty[o.ID] = o
	}
}

func (j *Journal) unsaved(o *order) bool {
	return j.saving != nil && j.saving.dirty[o.ID] != nil
}

// Keep begins, or ends, to note what has to be saved, for Changes.
func (j *Journal) Keep(on bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !on {
		j.saving = nil
		return
	}
	s := &saving{dirty: maps.Clone(j.orders), open: map[string]*order{},
		minutes: map[int64]*counters{}}
	for m, c := range j.folded {
		of := *c
		s.minutes[m] = &of
	}
	for id, o := range j.orders {
		if o.saved {
			s.open[id] = o
		}
	}
	j.saving = s
}

// Changes gives what has changed since the last call, to be saved in one transaction.
// Orders that are lost by now (see Summary) are so from then on, whatever the clocks say
// later. When saving fails, the Journal is of no more use than for reading: go on from
// what was saved.
func (j *Journal) Changes(now time.Time, grace time.Duration) (JournalState, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.saving
	out := JournalState{Since: j.since, Newest: j.newest,
		Arrivals: map[string]map[int64]int{},
		Last:     maps.Clone(j.last), Orders: map[string]json.RawMessage{},
		Minutes: map[int64]json.RawMessage{}}
	for p, hours := range j.arrivals {
		out.Arrivals[p] = maps.Clone(hours)
	}
	for _, o := range s.open {
		if o.Acknowledged != 0 && o.LostAt == 0 && !o.fulfilled() &&
			o.state(now.UnixMilli(), grace.Milliseconds(), j.waits(o)) == lost {
			o.LostAt = now.UnixMilli()
			s.dirty[o.ID] = o
		}
	}
	changed := map[int64]bool{}
	for id, o := range s.dirty {
		if o.counted != (unique.Handle[counters]{}) {
			count(s.minutes, o.minute(), o.counted.Value(), -1)
			changed[o.minute()] = true
			o.counted = unique.Handle[counters]{}
		}
		dropped := j.orders[id] != o
		if dropped || o.inOrder() {
			if o.saved {
				out.Gone = append(out.Gone, id)
			}
			o.saved = false
			delete(s.open, id)
		}
		switch {
		case dropped: // it was a canary's
		case o.inOrder():
			o.counted = unique.Make(o.counters())
			count(s.minutes, o.minute(), o.counted.Value(), 1)
			changed[o.minute()] = true
			orders, jobs := o.marks()
			for _, h := range orders {
				out.Known = append(out.Known, [2]int64{signed(h), o.minute()})
			}
			for _, h := range jobs {
				out.KnownJobs = append(out.KnownJobs, [2]int64{signed(h), o.minute()})
			}
		default:
			body, err := json.Marshal(o)
			if err != nil {
				return out, fmt.Errorf("order %q: %w", id, err)
			}
			out.Orders[id], o.saved, s.open[id] = body, true, o
		}
	}
	out.Known, s.marks = append(out.Known, s.marks...), nil
	s.dirty = map[string]*order{}
	for m := range changed {
		body, err := json.Marshal(s.minutes[m])
		if err != nil {
			return out, err
		}
		out.Minutes[m] = body
	}
	slices.Sort(out.Gone)
	return out, nil
}

// RestoreJournal goes on from what was saved.
func RestoreJournal(s JournalState, queues ...string) (*Journal, error) {
	j := NewJournal(queues...)
	j.since, j.newest = s.Since, s.Newest
	for p, hours := range s.Arrivals {
		j.arrivals[p] = maps.Clone(hours)
	}
	maps.Copy(j.last, s.Last)
	for m, body := range s.Minutes {
		c := &counters{}
		if err := json.Unmarshal(body, c); err != nil {
			return nil, fmt.Errorf("a minute of the order ledger is damaged: %w", err)
		}
		j.folded[m] = c
	}
	for id, body := range s.Orders {
		o := &order{}
		if err := json.Unmarshal(body, o); err != nil || o.ID != id {
			return nil, fmt.Errorf("order %q of the order ledger is damaged: %w", id, err)
		}
		o.saved = true
		j.orders[id] = o
		for _, f := range o.Jobs {
			if f.ID != "" {
				j.index(o, f.key())
			}
		}
	}
	for _, k := range s.Known {
		j.known.add(uint64(k[0]), k[1]) //nolint:gosec // as it was
	}
	for _, k := range s.KnownJobs {
		j.knownJobs.add(uint64(k[0]), k[1]) //nolint:gosec // as it was
	}
	return j, nil
}

func signed(h uint64) int64 { return int64(h) } //nolint:gosec // all 64 bits are kept
