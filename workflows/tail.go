package workflows

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
)

// tail follows the ingestion app's journal into the order ledger. The ledger is rebuilt from the journal's first event at every start, so
// it never depends on what an earlier process saw.
type tail struct {
	client *ingestion.Client
	log    *slog.Logger
	now    func() time.Time

	mu      sync.Mutex
	ledger  *ledger.Journal
	epoch   string
	next    int64
	current time.Time // when the end of the journal was last reached
	err     error
}

const (
	tailEvery = 250 * time.Millisecond
	tailPage  = 2000
	// tailFresh is how long ago the end of the journal may have been reached for the ledger to count as current.
	tailFresh = 3 * time.Second
)

func newTail(c *ingestion.Client, log *slog.Logger, now func() time.Time) *tail {
	return &tail{client: c, log: log, now: now, ledger: ledger.NewJournal()}
}

// run follows the journal until ctx ends.
func (t *tail) run(ctx context.Context) {
	for ctx.Err() == nil {
		more, err := t.poll(ctx)
		t.mu.Lock()
		if err != nil && t.err == nil && ctx.Err() == nil {
			t.log.Warn("the order journal cannot be read; the ledger is not current", "err", err)
		}
		t.err = err
		t.mu.Unlock()
		if more {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(tailEvery):
		}
	}
}

func (t *tail) poll(ctx context.Context) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	started := t.now()
	page, err := t.client.Journal(ctx, t.next, tailPage)
	if err != nil {
		return false, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if page.Epoch != t.epoch {
		if t.epoch != "" {
			t.log.Warn("the app's journal was replaced; the ledger starts again", "epoch", page.Epoch)
		}
		first := t.epoch == "" && t.next == 0
		t.epoch = page.Epoch
		if !first {
			t.next, t.ledger, t.current = 0, ledger.NewJournal(), time.Time{}
			return true, nil
		}
	}
	for _, raw := range page.Events {
		var e ledger.Event
		if err := json.Unmarshal(raw, &e); err != nil {
			return false, fmt.Errorf("journal event: %w", err)
		}
		e.Epoch = page.Epoch
		t.ledger.Apply(e)
	}
	t.next = page.Next
	if len(page.Events) < tailPage {
		t.ledger.Backlog(ledger.Backlog{Orders: page.Intake.Backlog, Oldest: page.Intake.OldestAt})
		t.current = started
		return false, nil
	}
	return true, nil
}

// read gives the ledger, or Unavailable when it is not current: a ledger with a gap proves nothing.
func (t *tail) read() (*ledger.Journal, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if age := t.now().Sub(t.current); age > tailFresh {
		if t.err != nil { // said in the log
			return nil, migration.Errorf(migration.Unavailable, "the order ledger is not current, because the ingestion app's journal cannot be read")
		}
		return nil, migration.Errorf(migration.Unavailable, "the order ledger is still being read")
	}
	return t.ledger, nil
}

// position is how far the journal was read: what it gets from now on comes after.
func (t *tail) position() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.next
}

// soFar gives the ledger as it is, and up to when it is known (unix ms; 0: not at all).
func (t *tail) soFar() (*ledger.Journal, int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current.IsZero() {
		return t.ledger, 0
	}
	return t.ledger, t.current.UnixMilli()
}

// asOf gives the ledger once it holds everything that was journalled before moment.
func (t *tail) asOf(ctx context.Context, moment time.Time) (*ledger.Journal, error) {
	err := await(ctx, tailEvery, func(context.Context) error {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.current.Before(moment) {
			return notYet("the order ledger has not caught up with %s", moment.Format(time.TimeOnly))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return t.read()
}

// facts gives the ledger as evidence. Orders that were acknowledged less than deadline ago and are not applied yet are pending.
func (t *tail) facts(deadline time.Duration) (migration.LedgerFacts, error) {
	l, err := t.read()
	if err != nil {
		return migration.LedgerFacts{}, err
	}
	s := l.Summary(t.now(), deadline)
	return migration.LedgerFacts{Orders: s.Orders, Acknowledged: s.Acknowledged, Fulfilled: s.Fulfilled, Pending: s.Pending, PendingSource: s.PendingSource, Held: s.Held, HeldLate: s.HeldLate, Lost: s.Lost,
		Duplicated: s.Duplicated, Examples: slices.Concat(s.LostIDs, s.DuplicatedIDs)}, nil
}
