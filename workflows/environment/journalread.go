package environment

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
)

// source is an address where journals are read: of one instance, or of whichever answers.
type source struct {
	name   string
	client *ingestion.Client

	// guarded by Journal.mu
	epoch    string    // that answered last
	answered time.Time // when the end of a journal was last reached here
	err      error
	page     int // events to ask for
}

func (s *source) member(now time.Time) migration.Member {
	m := migration.Member{Key: "ingestion:" + s.name, Name: s.name, Verdict: migration.Unknown}
	switch {
	case within(now, s.answered, journalFresh):
		m.Verdict = migration.Met
	case s.err != nil:
		m.Why = "cannot be read"
	default:
		m.Why = "still being read"
	}
	return m
}

// epoch is one journal: of an instance, from its first event on. It is stored as JSON.
type epoch struct {
	Epoch     string   `json:"epoch"`
	Instance  string   `json:"instance,omitempty"`
	Instances []string `json:"instances,omitempty"`
	// Next is the sequence number of the last event that was read, and Last recognises it:
	// a journal that was cut short and written again has another one there.
	Next   int64  `json:"next"`
	Last   string `json:"last,omitempty"`
	ReadAt int64  `json:"read_at,omitempty"` // when its end was last reached, unix ms
	// Closed: its app has said that it ended, and nothing came after. One that is Unnamed was
	// read while its worker was there.
	Closed bool `json:"closed,omitempty"`
	// Unnamed: it is not a journal, but stands for that of a worker that does not name one.
	Unnamed bool `json:"unnamed,omitempty"`
	// Doubts are the first things that were wrong with it, and Doubted how many there were.
	// They stay: only a person ends them.
	Doubts  []string `json:"doubts,omitempty"`
	Doubted int      `json:"doubted,omitempty"`
	// What it said, apart from every other journal.
	Acknowledged int64 `json:"acknowledged,omitempty"`
	Applied      int64 `json:"applied,omitempty"`

	current time.Time       // when its end was last reached by this process
	clocks  map[string]told // by who answered
	last    string          // doubt
	dirty   bool
}

const (
	// maxEpochs is how many journals there may be. An app that names another one with every
	// answer has none.
	maxEpochs = 10_000
	// readAtEvery is how often it is saved that a journal is still being read, ms.
	readAtEvery = 10_000
	maxDoubts   = 10
	// maxEvent and maxID bound an event and what it names, in bytes.
	maxEvent = 64 << 10
	maxID    = 512
)

// doubt notes what is wrong with a journal, once.
func (e *epoch) doubt(why string) {
	if slices.Contains(e.Doubts, why) || len(e.Doubts) == maxDoubts && why == e.last {
		return
	}
	if e.Doubted++; len(e.Doubts) < maxDoubts {
		e.Doubts = append(e.Doubts, why)
	}
	e.last, e.dirty = why, true
}

// members are what has to be known of a journal: that it was read to its end, without a
// gap, by a clock that tells something.
func (e *epoch) members(now time.Time) (out []migration.Member) {
	if e.Unnamed && !e.Closed {
		return []migration.Member{e.nowhere()}
	}
	end := migration.Member{Key: e.key(), Name: "journal " + e.Epoch, Verdict: migration.Met}
	switch fresh := within(now, e.current, journalFresh); {
	case e.Closed:
	case !fresh && e.ReadAt == 0:
		end.Verdict = migration.Unknown
		end.Why = cmp.Or(e.Instance, "an instance") + " writes it, and it was never read to its end"
	case !fresh:
		end.Verdict = migration.Unknown
		end.Why = fmt.Sprintf("%s; last read at %s, and nothing says that it ended there", e.whose(),
			time.UnixMilli(e.ReadAt).UTC().Format("2006-01-02 15:04:05 MST"))
	default:
		if why := e.timeless(now); why != "" {
			end.Verdict, end.Why = migration.Unknown, why
		}
	}
	if end.Verdict == migration.Met {
		end.Key = "journal:" + e.Epoch
	}
	if !e.Closed {
		out = append(out, end)
	}
	if e.Doubted > 0 {
		why := strings.Join(e.Doubts[:min(len(e.Doubts), 3)], ", ")
		if more := e.Doubted - min(len(e.Doubts), 3); more > 0 {
			why += fmt.Sprintf(" and %d more", more)
		}
		out = append(out, migration.Member{Key: fmt.Sprintf("journal:%s:doubts:%d", e.Epoch,
			e.Doubted), Name: "journal " + e.Epoch, Why: why})
	}
	return out
}

// nowhere is a worker of which no journal is read.
func (e *epoch) nowhere() migration.Member {
	return migration.Member{Key: "journal-" + strings.Replace(e.Epoch, " ", ":", 1),
		Name: "journal of " + e.Instance, Why: "it takes part, and no journal says that it is its"}
}

// key names the journal up to where it was read: a decision that nothing more is to come of
// it is void when something does.
func (e *epoch) key() string { return fmt.Sprintf("journal:%s:end:%d", e.Epoch, e.Next) }

// open reports whether the journal may still tell something.
func (e *epoch) open(decided []migration.Waiver, now time.Time) bool {
	return !e.Closed && !e.Unnamed && !slices.ContainsFunc(decided, func(d migration.Waiver) bool {
		return d.Member == e.key() && d.Counts(now)
	})
}

// writers are the live workers that have connections to a routed queue: each of them
// takes orders in or runs them, and writes that down.
func (t *Journal) writers() []fleet.Attestation {
	if t.workers == nil {
		return nil
	}
	var out []fleet.Attestation
	for _, w := range t.workers() {
		var a fleet.Attestation
		if !w.Live || len(w.Attestation) == 0 || json.Unmarshal(w.Attestation, &a) != nil {
			continue
		}
		if slices.ContainsFunc(a.Connections, func(c fleet.Connection) bool {
			return slices.Contains(t.queues, strings.TrimSuffix(c.Queue, "-shadow"))
		}) {
			out = append(out, a)
		}
	}
	return out
}

// discover notes the journals that live workers say they write, and the workers that do not say
// which: one of them that is never read is unknown, also when its worker is gone.
func (t *Journal) discover() {
	writers := t.writers()
	t.mu.Lock()
	defer t.mu.Unlock()
	read := t.told(writers)
	for _, a := range writers {
		name := cmp.Or(a.Journal, unnamed(a))
		e := t.epochs[name]
		switch {
		case e != nil:
			if e.Unnamed && !e.Closed && read(a) {
				e.Closed, e.dirty = true, true
			}
		case len(name) > maxID || len(t.epochs) >= maxEpochs || a.Journal == "" && read(a):
		default:
			t.epochs[name] = &epoch{Epoch: name, Instance: a.Instance, Unnamed: a.Journal == "",
				dirty: true}
		}
	}
}

// unnamed stands for the journal of a worker that does not say which one it writes.
func unnamed(a fleet.Attestation) string { return "of " + a.Service + "/" + a.Instance }

// told says which workers that do not name their journal are being read: one that a journal
// names. An app that tells neither has one journal for one instance, if there is no other.
func (t *Journal) told(writers []fleet.Attestation) func(fleet.Attestation) bool {
	now, nameless := t.now(), 0
	current := []*epoch{}
	for _, e := range t.epochs {
		if within(now, e.current, journalFresh) {
			current = append(current, e)
			if e.Instance == "" {
				nameless++
			}
		}
	}
	alone := len(writers) == 1 && len(current) == 1 && nameless == 1
	return func(a fleet.Attestation) bool {
		return alone || slices.ContainsFunc(current, func(e *epoch) bool {
			return e.names(a.Instance)
		})
	}
}

// unread are the live workers of which no journal is read now, beside those that are noted as
// such.
func (t *Journal) unread() (out []migration.Member) {
	writers := t.writers()
	read := t.told(writers)
	for _, a := range writers {
		noted := t.epochs[unnamed(a)]
		if a.Journal == "" && !read(a) && (noted == nil || noted.Closed) {
			out = append(out, (&epoch{Epoch: unnamed(a), Instance: a.Instance}).nowhere())
		}
	}
	return out
}

// Run follows the journals until ctx ends.
func (t *Journal) Run(ctx context.Context) {
	var tasks sync.WaitGroup
	for _, s := range t.sources {
		tasks.Go(func() { t.follow(ctx, s) })
	}
	for ctx.Err() == nil {
		pause(ctx, time.Second)
		t.discover()
		t.decide(ctx)
		if err := t.adopt(ctx); err != nil && ctx.Err() == nil {
			t.log.Warn("what was saved of the order journals cannot be read", "err", err)
		}
	}
	tasks.Wait()
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// decide takes in what people decided.
func (t *Journal) decide(ctx context.Context) {
	if t.waivers == nil {
		return
	}
	all, err := t.waivers(ctx)
	if err != nil {
		return // those that are known go on counting until they expire
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.decided = all
	t.ledger.Decided(decidedOrders(all, t.now()))
}

// decidedOrders are the findings about orders that waivers are about.
func decidedOrders(all []migration.Waiver, now time.Time) map[string]bool {
	out := map[string]bool{}
	for _, d := range all {
		if strings.HasPrefix(d.Member, "order:") && d.Counts(now) {
			out[d.Member] = true
		}
	}
	return out
}

func (t *Journal) follow(ctx context.Context, s *source) {
	for ctx.Err() == nil {
		more, err := t.poll(ctx, s)
		t.mu.Lock()
		if err != nil && s.err == nil && ctx.Err() == nil {
			t.log.Warn("the order journal cannot be read; the ledger is not current", "at", s.name,
				"err", err)
		}
		s.err = err
		t.mu.Unlock()
		if !more {
			pause(ctx, t.every())
		}
	}
}

// every is how long to wait before journals are asked again: where several instances answer
// in turn, each has to be heard in time.
func (t *Journal) every() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	open := 0
	for _, e := range t.epochs {
		if within(t.now(), e.current, 10*journalFresh) && !e.Closed {
			open++
		}
	}
	return max(JournalEvery/10, JournalEvery/time.Duration(max(1, open)))
}

// Poll reads a page at every address.
func (t *Journal) Poll(ctx context.Context) (more bool, err error) {
	for _, s := range t.sources {
		again, failed := t.poll(ctx, s)
		more, err = more || again, cmp.Or(err, failed)
	}
	return more, err
}

func (t *Journal) poll(ctx context.Context, s *source) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := t.begin(ctx); err != nil {
		return false, err
	}
	started := t.now()
	loads := t.loads.Load()
	asked, after, limit, cursors := t.ask(s)
	page, err := s.client.Journal(ctx, after, limit, cursors...)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		s.page = max(1, s.page/4) // an answer may be too long
		return false, err
	}
	s.page = min(JournalPage, 2*s.page)
	if t.loads.Load() != loads {
		return true, nil // it was asked for where what was saved does not begin
	}
	began := after
	for _, at := range cursors {
		if began = 0; at.Epoch == page.Epoch {
			began = at.After
			break
		}
	}
	return t.take(s, page, asked, began, started, len(page.Events) < limit)
}

// ask says what to ask an address for: the last event that was read of each journal again,
// by which it is recognised, and what comes after.
func (t *Journal) ask(s *source) (of string, after int64, limit int, at []ingestion.Cursor) {
	t.mu.Lock()
	defer t.mu.Unlock()
	again := func(next int64) int64 { return max(0, next-1) }
	if e := t.epochs[s.epoch]; e != nil {
		after = again(e.Next)
	}
	if len(t.epochs) < 2 {
		return s.epoch, after, s.page + 1, nil
	}
	var open []*epoch
	for _, e := range t.epochs {
		if !e.Closed || e.Epoch == s.epoch {
			open = append(open, e)
		}
	}
	slices.SortFunc(open, func(a, b *epoch) int {
		return cmp.Or(cmp.Compare(b.ReadAt, a.ReadAt), cmp.Compare(a.Epoch, b.Epoch))
	})
	for _, e := range open[:min(len(open), maxCursors)] {
		at = append(at, ingestion.Cursor{Epoch: e.Epoch, After: again(e.Next)})
	}
	return s.epoch, after, s.page + 1, at
}

// maxCursors is how many journals an address is asked for at once.
const maxCursors = 20

// take folds a page, which was asked for behind the event began, into the ledger. A page that
// does not go on where its journal was read to is of no use; when that journal was asked for by
// itself, events are missing.
func (t *Journal) take(
	s *source, page ingestion.Journal, asked string, began int64, started time.Time, end bool,
) (more bool, err error) {
	e := t.epochs[page.Epoch]
	if e == nil {
		if len(t.epochs) >= maxEpochs {
			return false, fmt.Errorf("the app names more than %d journals", maxEpochs)
		}
		e = &epoch{Epoch: page.Epoch, dirty: true}
		t.epochs[page.Epoch] = e
		t.log.Info("an order journal that was not known is read", "epoch", page.Epoch,
			"instance", page.Instance)
	}
	s.epoch = page.Epoch
	events, err := e.parse(page)
	events, behind := e.ahead(events, began)
	switch {
	case err != nil:
		e.doubt(migration.PlainError(err))
		return false, err
	case behind:
	case e.joins(events, page.Next):
	case asked != page.Epoch: // an older app begins where another one was read to
		return asked == "", nil
	default:
		why := e.broken(events)
		e.doubt(why)
		return false, fmt.Errorf("the journal %s was cut short or replaced: %s", e.Epoch, why)
	}
	t.fold(e, events, started)
	e.tells(page, started)
	if !end {
		return true, nil
	}
	backlog := ledger.Backlog{Orders: page.Intake.Backlog, Oldest: page.Intake.OldestAt}
	t.ledger.Backlog(e.Epoch, backlog)
	t.pulse.waits(e.Epoch, backlog)
	if s.answered = started; started.After(e.current) {
		e.current = started
	}
	if at := started.UnixMilli(); at-e.ReadAt > readAtEvery {
		e.ReadAt, e.dirty = at, true
	}
	return false, nil
}

// fold applies the events of a page that were not read before.
func (t *Journal) fold(e *epoch, events []entry, started time.Time) {
	for _, x := range events {
		if x.Seq < e.Next || x.Seq == e.Next && e.Last != "" {
			continue
		}
		if x.Seq > e.Next+1 {
			e.doubt(fmt.Sprintf("event %d is missing", e.Next+1))
		}
		if e.Next, e.Last, e.dirty = x.Seq, x.digest(), true; x.damage != "" {
			e.doubt(fmt.Sprintf("event %d cannot be told: %s", x.Seq, x.damage))
			continue
		}
		e.Closed = x.Type == ledger.EventClosed
		x.Epoch, x.Read = e.Epoch, t.now().UnixMilli()
		t.ledger.Apply(x.Event)
		t.pulse.note(x.Event, started.UnixMilli(), within(started, e.current, journalFresh))
		switch {
		case x.Type == ledger.EventDelivery && x.Status >= 200 && x.Status < 300:
			e.Acknowledged++
		case x.Outcome == ledger.OutcomeApplied:
			e.Applied++
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}

// bytesOf is a row's body.
func bytesOf(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", err
	}
	return strings.TrimSpace(b.String()), nil
}
