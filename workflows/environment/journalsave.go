package environment

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/store"
)

const (
	// journalSave is how often the record of orders is saved.
	journalSave = time.Second
	// keepKnown is how many hashes of orders in order, and of their jobs, are kept.
	keepKnown = 1_000_000
)

// Keep saves what is read, until ctx ends. The leader alone does: everybody else goes on
// from it. When saving fails, everything goes on from what was saved last.
func (t *Journal) Keep(ctx context.Context) {
	if t.store == nil {
		return
	}
	failing := true // the record of a replica that follows is not saved: the leader's is
	for ctx.Err() == nil {
		err := t.save(ctx, failing)
		if err != nil && !failing && ctx.Err() == nil {
			t.log.Warn("the record of orders cannot be saved; it goes on from what was saved",
				"err", err)
		}
		failing = err != nil
		pause(ctx, journalSave)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ledger.Keep(false)
}

// save saves what has changed; anew, it begins with what was saved.
func (t *Journal) save(ctx context.Context, anew bool) error {
	state, err := t.changes(ctx, anew)
	if err != nil || state == nil {
		return err
	}
	generation, err := t.store.SaveJournal(ctx, *state, keepKnown)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.generation = generation
	return nil
}

// changes is what there is to save; nil: nothing.
func (t *Journal) changes(ctx context.Context, anew bool) (*store.JournalState, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if anew {
		if err := t.load(ctx); err != nil {
			return nil, err
		}
		t.ledger.Keep(true)
	}
	changes, err := t.ledger.Changes(t.now(), t.deadline)
	if err != nil {
		return nil, err
	}
	state, err := rowsOf(changes)
	if err != nil {
		return nil, err
	}
	state.Generation = t.generation
	for _, name := range sortedKeys(t.epochs) {
		e := t.epochs[name]
		if !e.dirty {
			continue
		}
		e.dirty = false
		body, err := bytesOf(e)
		if err != nil {
			return nil, err
		}
		state.Epochs = append(state.Epochs, store.JournalRow{Key: name, Body: body})
	}
	if len(state.Epochs)+len(state.Orders)+len(state.Gone)+len(state.Minutes) == 0 {
		return nil, nil //nolint:nilnil // nothing has changed
	}
	return &state, nil
}

// begin goes on from what was saved, unless it has already.
func (t *Journal) begin(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.loaded {
		return nil
	}
	return t.load(ctx)
}

// adopt goes on from what the leader saved, when this process has not read as much: it has
// just begun, or an instance answers only the leader.
func (t *Journal) adopt(ctx context.Context) error {
	if t.store == nil {
		return nil
	}
	if err := t.begin(ctx); err != nil {
		return err
	}
	heads, err := t.store.JournalEpochs(ctx)
	if err != nil {
		return err
	}
	if behind, err := t.behind(heads); err != nil || !behind {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.load(ctx)
}

func (t *Journal) behind(heads store.JournalState) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range heads.Epochs {
		var saved epoch
		if err := json.Unmarshal([]byte(r.Body), &saved); err != nil {
			return false, fmt.Errorf("a row of the order journals is damaged: %w", err)
		}
		e := t.epochs[saved.Epoch]
		if e == nil || e.Next < saved.Next && !within(t.now(), e.current, journalFresh) ||
			e.Doubted < saved.Doubted {
			return true, nil
		}
	}
	return false, nil
}

// load replaces everything by what was saved.
func (t *Journal) load(ctx context.Context) error {
	t.loads.Add(1)
	s, err := t.store.LoadJournal(ctx)
	if err != nil {
		return err
	}
	from := ledger.JournalState{Last: map[string]int64{}, Orders: map[string]json.RawMessage{},
		Minutes: map[int64]json.RawMessage{}, Known: s.Known, KnownJobs: s.KnownJobs}
	if err := json.Unmarshal([]byte(s.Body), &from); err != nil {
		return fmt.Errorf("the record of orders is damaged: %w", err)
	}
	epochs := map[string]*epoch{}
	for _, r := range s.Epochs {
		e := &epoch{}
		if err := json.Unmarshal([]byte(r.Body), e); err != nil {
			return fmt.Errorf("a row of the order journals is damaged: %w", err)
		}
		if was := t.epochs[e.Epoch]; was != nil && was.Next == e.Next {
			e.current, e.clocks = was.current, was.clocks
		}
		epochs[e.Epoch] = e
		from.Last[e.Epoch] = e.Next
	}
	for _, r := range s.Orders {
		from.Orders[r.Key] = json.RawMessage(r.Body)
	}
	for _, m := range s.Minutes {
		from.Minutes[m.Start] = json.RawMessage(m.Body)
	}
	l, err := ledger.RestoreJournal(from, t.queues...)
	if err != nil {
		return err
	}
	for _, src := range t.sources {
		src.answered = time.Time{}
	}
	t.ledger, t.epochs, t.generation, t.loaded = l, epochs, s.Generation, true
	t.ledger.Decided(decidedOrders(t.decided, t.now()))
	return nil
}

func rowsOf(c ledger.JournalState) (out store.JournalState, err error) {
	if out.Body, err = bytesOf(c); err != nil {
		return out, err
	}
	for _, id := range sortedKeys(c.Orders) {
		out.Orders = append(out.Orders, store.JournalRow{Key: id, Body: string(c.Orders[id])})
	}
	for m, body := range c.Minutes {
		out.Minutes = append(out.Minutes, store.JournalMinute{Start: m, Body: string(body)})
	}
	out.Gone, out.Known, out.KnownJobs = c.Gone, c.Known, c.KnownJobs
	return out, nil
}
