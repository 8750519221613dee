package environment

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
	"github.com/switchyard-dev/switchyard/workflows/engine"
)

// Journal follows the ingestion app's journal into the order ledger. The ledger is rebuilt
// from the journal's first event at every start, so it never depends on what an earlier
// process saw.
type Journal struct {
	client *ingestion.Client
	log    *slog.Logger
	now    func() time.Time
	// deadline is how long an acknowledged order may take before it counts as lost.
	deadline time.Duration

	mu      sync.Mutex
	ledger  *ledger.Journal
	epoch   string
	next    int64
	current time.Time // when the end of the journal was last reached
	err     error
	pulse   pulse
}

const (
	JournalEvery = 250 * time.Millisecond
	JournalPage  = 2000
	// journalFresh is how long ago the end of the journal may have been reached for the
	// ledger to count as current.
	journalFresh = 3 * time.Second
)

func newJournal(
	c *ingestion.Client,
	deadline time.Duration,
	log *slog.Logger,
	now func() time.Time,
) *Journal {
	return &Journal{client: c, deadline: deadline, log: log, now: now, ledger: ledger.NewJournal()}
}

// Run follows the journal until ctx ends.
func (t *Journal) Run(ctx context.Context) {
	for ctx.Err() == nil {
		more, err := t.Poll(ctx)
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
		case <-time.After(JournalEvery):
		}
	}
}

func (t *Journal) Poll(ctx context.Context) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	started := t.now()
	page, err := t.client.Journal(ctx, t.next, JournalPage)
	if err != nil {
		return false, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if page.Epoch != t.epoch {
		if t.epoch != "" {
			t.log.Warn(
				"the app's journal was replaced; the ledger starts again",
				"epoch",
				page.Epoch,
			)
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
		t.pulse.note(e, started.UnixMilli(), started.Sub(t.current) <= journalFresh)
	}
	t.next = page.Next
	if len(page.Events) < JournalPage {
		t.pulse.intake(page.Intake)
		t.ledger.Backlog(ledger.Backlog{Orders: page.Intake.Backlog, Oldest: page.Intake.OldestAt})
		t.current = started
		return false, nil
	}
	return true, nil
}

// Read gives the ledger, or Unavailable when it is not current: a ledger with a gap proves nothing.
func (t *Journal) Read() (*ledger.Journal, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if age := t.now().Sub(t.current); age > journalFresh {
		if t.err != nil { // said in the log
			return nil, migration.Errorf(
				migration.Unavailable,
				"the order ledger is not up to date because the ingestion app's journal cannot "+
					"be read",
			)
		}
		return nil, migration.Errorf(migration.Unavailable, "the order ledger is still being read")
	}
	return t.ledger, nil
}

// startedWithin is how long an action waits for what a process that has just started does not
// know yet. After that its gates say what is missing.
const startedWithin = 30 * time.Second

// AwaitRead waits until the journal is read, as after a start. One that stays unread is no error
// here: the gates say so.
func (t *Journal) AwaitRead(ctx context.Context) error {
	return settled(ctx, func(context.Context) error {
		_, err := t.Read()
		return err
	})
}

// settled waits until known gives nil, for startedWithin at most. An error is ctx's end.
func settled(ctx context.Context, known func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, startedWithin)
	defer cancel()
	_ = engine.Await(bounded, 100*time.Millisecond, func(ctx context.Context) error {
		if err := known(ctx); err != nil {
			return engine.NotYet("%v", err)
		}
		return nil
	})
	return context.Cause(ctx)
}

// Position is how far the journal was read: what it gets from now on comes after.
func (t *Journal) Position() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.next
}

// SoFar gives the ledger as it is, and up to when it is known (unix ms; 0: not at all).
func (t *Journal) SoFar() (*ledger.Journal, int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current.IsZero() {
		return t.ledger, 0
	}
	return t.ledger, t.current.UnixMilli()
}

// Facts gives the ledger as evidence. Orders that were acknowledged less than deadline ago
// and are not applied yet are pending.
func (t *Journal) Facts() (migration.LedgerFacts, error) {
	l, err := t.Read()
	if err != nil {
		return migration.LedgerFacts{}, err
	}
	s := l.Summary(t.now(), t.deadline)
	return migration.LedgerFacts{
		Orders:        s.Orders,
		Acknowledged:  s.Acknowledged,
		Fulfilled:     s.Fulfilled,
		Pending:       s.Pending,
		PendingSource: s.PendingSource,
		Held:          s.Held,
		HeldLate:      s.HeldLate,
		Lost:          s.Lost,
		Duplicated:    s.Duplicated,
		Examples:      slices.Concat(s.LostIDs, s.DuplicatedIDs),
	}, nil
}

// Gate: no move while orders are missing or doubled, or while nobody knows.
func (t *Journal) Gate() migration.Gate {
	g := migration.Gate{
		ID:    "ledger",
		Title: "Order ledger",
		Limit: "up to date, 0 lost, 0 processed twice, 0 mismatches",
	}
	ledger, err := t.Read()
	if err != nil {
		g.Measured, g.Next = err.Error(), "make sure the ingestion app is up, then look again"
		return g
	}
	s := ledger.Summary(t.now(), t.deadline)
	g.OK = s.Lost == 0 && s.Duplicated == 0 && s.Mismatches == 0
	g.Measured = fmt.Sprintf(
		"%s, %d lost, %d processed twice, %s",
		migration.Count(s.Orders, "order"),
		s.Lost,
		s.Duplicated,
		migration.Count(s.Mismatches, "mismatch"),
	)
	// they go where the flags say when they are enqueued: no reason to keep the flags, and
	// maybe one to change them
	if s.Held > 0 {
		g.Measured += fmt.Sprintf("; %d in the app's durable intake", s.Held)
	}
	if !g.OK {
		g.Next = "check the orders listed in the ledger"
	}
	return g
}

// Deadline is how long an acknowledged order may take before it counts as lost.
func (t *Journal) Deadline() time.Duration { return t.deadline }

// ClosedGate: every acknowledged order must have been applied once, and none be under way.
func (t *Journal) ClosedGate() migration.Gate {
	g := migration.Gate{
		ID:    "ledger-closed",
		Title: "Order ledger is closed",
		Limit: "orders acknowledged, 0 lost, 0 processed twice",
	}
	ledger, err := t.Read()
	if err != nil {
		g.Measured, g.Next = err.Error(), "make sure the ingestion app is up, then look again"
		return g
	}
	s := ledger.Summary(t.now(), t.deadline)
	g.OK = s.Lost == 0 && s.Duplicated == 0 && s.Acknowledged > 0
	g.Measured = fmt.Sprintf(
		"%d acknowledged, %d processed, %d in flight, %d lost, %d processed twice",
		s.Acknowledged,
		s.Fulfilled,
		s.Pending,
		s.Lost,
		s.Duplicated,
	)
	if !g.OK {
		g.Next = "check the orders listed in the ledger"
	}
	return g
}
