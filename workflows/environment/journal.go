package environment

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/engine"
)

// Journal follows the journals of the ingestion app into the order ledger: that of every
// instance, and those of the disks that there were before. What was read is saved by the
// leader (Keep), and every replica goes on from it: a journal that is replaced takes
// nothing with it.
type Journal struct {
	sources []*source
	store   *store.Store // nil: nothing is saved
	log     *slog.Logger
	now     func() time.Time
	// deadline is how long an acknowledged order may take before it counts as lost.
	deadline time.Duration
	queues   []string // that are routed
	workers  func() []migration.Worker
	// waivers are what people decided in writing.
	waivers func(context.Context) ([]migration.Waiver, error)

	mu         sync.Mutex
	ledger     *ledger.Journal
	epochs     map[string]*epoch
	loaded     bool // what was saved
	generation int64
	loads      atomic.Int64 // how often everything was replaced by what was saved
	decided    []migration.Waiver
	pulse      pulse
}

// JournalOptions is what a Journal is made of.
type JournalOptions struct {
	// Clients are the addresses where journals are read, by their names.
	Clients  map[string]*ingestion.Client
	Store    *store.Store // nil: nothing is saved
	Deadline time.Duration
	Queues   []string // that are routed, as bullmq.Queue.String names them
	// Workers are those that attest: a journal that one of them writes has to be read. nil:
	// nobody attests.
	Workers func() []migration.Worker
	// Waivers are what people decided in writing; nil: nobody did.
	Waivers func(context.Context) ([]migration.Waiver, error)
	Log     *slog.Logger
	Now     func() time.Time
}

const (
	JournalEvery = 250 * time.Millisecond
	JournalPage  = 2000
	// journalFresh is how long ago the end of the journal may have been reached for the
	// ledger to count as current.
	journalFresh = 3 * time.Second
	// clockWarn and clockLimit are how far the app's clock may be off ours before that is
	// said, and before nothing that it dates can be told.
	clockWarn  = 5 * time.Second
	clockLimit = time.Minute
	// shownFindings is how many orders that are wrong a gate names.
	shownFindings = 20
)

func newJournal(o JournalOptions) *Journal {
	t := &Journal{store: o.Store, deadline: o.Deadline, queues: o.Queues, workers: o.Workers,
		waivers: o.Waivers, log: o.Log, now: o.Now, epochs: map[string]*epoch{},
		ledger: ledger.NewJournal(o.Queues...), loaded: o.Store == nil}
	for name, c := range o.Clients {
		t.sources = append(t.sources, &source{name: name, client: c, page: JournalPage})
	}
	slices.SortFunc(t.sources, func(a, b *source) int { return strings.Compare(a.name, b.name) })
	return t
}

// Read gives the ledger, or Unavailable when anything of it is unknown: a ledger with a gap
// proves nothing.
func (t *Journal) Read() (*ledger.Journal, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.loaded {
		return nil, migration.Errorf(migration.Unavailable, "the order ledger is still being read")
	}
	for _, s := range t.sources {
		switch fresh := within(t.now(), s.answered, journalFresh); {
		case fresh:
		case s.err != nil: // said in the log
			return nil, migration.Errorf(
				migration.Unavailable,
				"the order ledger is not up to date because the ingestion app's journal cannot "+
					"be read",
			)
		default:
			return nil, migration.Errorf(
				migration.Unavailable,
				"the order ledger is still being read",
			)
		}
	}
	if c := t.coverage(); c.Verdict() != migration.Met {
		return nil, migration.Errorf(migration.Unavailable, "the order ledger is incomplete: %s", c)
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

// Coverage is whose journals the ledger is made of, and what of them is unknown.
func (t *Journal) Coverage() migration.Coverage {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.coverage()
}

func (t *Journal) coverage() migration.Coverage {
	now := t.now()
	c := migration.Coverage{
		Of:    "journal",
		Found: "the app's addresses, its attestations and what was read before",
	}
	for _, s := range t.sources {
		c.Members = append(c.Members, s.member(now))
	}
	attested := t.attested()
	for _, name := range sortedKeys(t.epochs) {
		c.Members = append(c.Members, t.epochs[name].members(now)...)
		c.Members = append(c.Members, t.epochs[name].absent(attested)...)
	}
	c.Members = append(c.Members, t.unread()...)
	return c.Waive(t.decided, now)
}

// within reports whether something was at most a limit ago. What is yet to come was not.
func within(now, at time.Time, limit time.Duration) bool {
	age := now.Sub(at)
	return !at.IsZero() && age <= limit && age >= -time.Second
}

// Head is an address at which a journal is read, and how far that was.
type Head struct {
	Client *ingestion.Client
	After  int64
}

// Heads are those of every instance: what each journal gets from now on comes after.
func (t *Journal) Heads() []Head {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []Head
	for _, s := range t.sources {
		h := Head{Client: s.client}
		if e := t.epochs[s.epoch]; e != nil {
			h.After = e.Next
		}
		out = append(out, h)
	}
	return out
}

// SoFar gives the ledger as it is, and up to when it is known (unix ms; 0: not at all), which
// is as far as the journal that was read the least.
func (t *Journal) SoFar() (*ledger.Journal, int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	told := int64(0)
	for _, name := range sortedKeys(t.epochs) {
		e := t.epochs[name]
		if !e.open(t.decided, t.now()) {
			continue
		}
		if e.current.IsZero() {
			return t.ledger, 0
		}
		if at := e.current.UnixMilli(); told == 0 || at < told {
			told = at
		}
	}
	return t.ledger, told
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
		Future:        s.Future,
		Lost:          s.Lost,
		Duplicated:    s.Duplicated,
		Mismatches:    s.Mismatches,
		Contradicted:  s.Contradicted,
		Examples: slices.Concat(s.LostIDs, s.DuplicatedIDs, s.MismatchIDs,
			s.ContradictedIDs),
	}, nil
}

// claim begins a claim about orders: it covers every journal, and every order that is wrong
// by its finding. Nothing is claimed of orders, for good or bad, while a journal is unknown;
// the orders that are wrong are named all the same.
func (t *Journal) claim(c migration.Claim) (migration.Claim, ledger.Summary) {
	now := t.now()
	t.mu.Lock()
	c.Asked = t.coverage()
	l := t.ledger
	t.mu.Unlock()
	findings := l.Findings(now, t.deadline, shownFindings)
	for _, id := range sortedKeys(findings) {
		c.Asked.Members = append(c.Asked.Members, migration.Member{
			Key: ledger.Finding(id, findings[id]), Name: "order " + id,
			Verdict: migration.Unmet, Why: findings[id],
		})
	}
	c.Next = "check the orders listed in the ledger"
	if _, err := t.Read(); err != nil {
		c.Next = "make sure the ingestion app is up, then look again; decide in writing about a " +
			"journal that is gone"
		c.Measured = migration.PlainError(err)
	}
	return c, l.Summary(now, t.deadline)
}

// orders adds what is asked of all orders together.
func orders(c *migration.Claim, verdict migration.Verdict, why string) {
	c.Asked.Members = append(c.Asked.Members, migration.Member{
		Key: "orders:all", Name: "the orders", Verdict: verdict, Why: why,
	})
}

// Gate: no move while orders are missing or doubled, or while nobody knows. Before the first
// copy there may have been no order yet: a journal that was read to its end says so, and
// nothing is claimed of orders. needed asks for one: what an order has shown is not shown by
// none.
func (t *Journal) Gate(needed bool) migration.Gate {
	c, s := t.claim(migration.Claim{
		ID:    "ledger",
		Title: "Order ledger",
		Limit: "up to date, 0 lost, 0 processed twice, 0 mismatches",
	})
	switch {
	case s.Future > 0:
		orders(&c, migration.Unknown, future(s))
	case needed && s.Acknowledged == 0:
		orders(&c, migration.Unknown, "no order was acknowledged yet")
		if c.Measured == "" {
			c.Next = "wait until an order has gone through"
		}
	default:
		orders(&c, migration.Truth(s.Red() == 0), "")
	}
	if c.Measured != "" {
		return c.Gate()
	}
	c.Measured = fmt.Sprintf(
		"%s, %d lost, %d processed twice, %s",
		migration.Count(s.Orders, "order"),
		s.Lost,
		s.Duplicated,
		migration.Count(s.Mismatches, "mismatch"),
	)
	if s.Orders == 0 {
		c.Measured = "no orders yet: the journal was read to its end"
	}
	// they go where the flags say when they are enqueued: no reason to keep the flags, and
	// maybe one to change them
	if s.Held > 0 {
		c.Measured += fmt.Sprintf("; %d in the app's durable intake", s.Held)
	}
	c.Measured += t.besides(s)
	return c.Gate()
}

func future(s ledger.Summary) string {
	return fmt.Sprintf("%s dated in the future",
		migration.Count(s.Future, "order is", "orders are"))
}

// besides tells what is rare.
func (t *Journal) besides(s ledger.Summary) (text string) {
	if s.Contradicted > 0 {
		text += fmt.Sprintf("; %s contradictory",
			migration.Count(s.Contradicted, "order is", "orders are"))
	}
	if s.Future > 0 {
		text += "; " + future(s)
	}
	if s.Decided > 0 {
		text += fmt.Sprintf("; %d decided by a person", s.Decided)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range sortedKeys(t.epochs) {
		text += t.epochs[name].warned(t.now())
	}
	return text
}

// Deadline is how long an acknowledged order may take before it counts as lost.
func (t *Journal) Deadline() time.Duration { return t.deadline }

// ClosedGate: every acknowledged order was applied once, and none is under way but on the
// target, for which the source owes nothing. Orders there must have been: with none, nothing
// shows that the source was ever used as we think.
func (t *Journal) ClosedGate() migration.Gate {
	c, s := t.claim(migration.Claim{
		ID:    "ledger-closed",
		Title: "All orders on the source are settled",
		Limit: "orders acknowledged, 0 lost, 0 processed twice, none in flight on the source",
	})
	switch {
	case s.Red() > 0:
		orders(&c, migration.Unmet, "")
	case s.PendingSource > 0:
		orders(&c, migration.Unmet, fmt.Sprintf("%d in flight on the source", s.PendingSource))
	case s.HeldLate > 0:
		orders(&c, migration.Unmet, fmt.Sprintf("%d too long in the durable intake", s.HeldLate))
	case s.Future > 0:
		orders(&c, migration.Unknown, future(s))
	case s.Acknowledged == 0:
		orders(&c, migration.Unknown, "no order was acknowledged yet")
	default:
		orders(&c, migration.Met, "")
	}
	if c.Measured == "" {
		c.Measured = fmt.Sprintf(
			"%d acknowledged, %d processed, %d in flight (%d on the source), %d lost, %d "+
				"processed twice",
			s.Acknowledged,
			s.Fulfilled,
			s.Pending,
			s.PendingSource,
			s.Lost,
			s.Duplicated,
		) + t.besides(s)
	}
	return c.Gate()
}
