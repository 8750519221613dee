package workflows

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/store"
)

const (
	// streamsEvery is how often the ledger of the streams is judged and saved.
	streamsEvery = time.Second
	// streamsFresh is how long ago a lane may have been read to its end for it to be current: two waits for an entry, and something for a slow answer.
	streamsFresh = 15 * time.Second
	// keepWindows is for how long minutes that are in order are kept; the others are kept for good.
	keepWindows = 7 * 24 * time.Hour
	// keepDone is how many jobs that took effect are recognised when they come again; the ledger holds up to twice as many.
	keepDone = 1_000_000
)

// streams follows the events streams of the pipeline's queues on both sides into the ledger, and saves it. The leader alone runs it; everybody
// reads what it saved.
type streams struct {
	e   *Estate
	log *slog.Logger
	mid string
}

// run follows until ctx ends. When saving fails, everything is read again from what was saved last.
func (s *streams) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.once(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("the streams' ledger starts again from what was saved", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(streamsEvery):
		}
	}
}

func (s *streams) once(ctx context.Context) error {
	loaded, err := s.e.store.LoadLedger(ctx, s.mid)
	if err != nil {
		return err
	}
	from, err := checkpointOf(loaded)
	if err != nil {
		return err
	}
	l := ledger.RestoreStreams(ledger.Options{Deadline: s.e.cfg.Migration.OrderDeadline, Deadlines: s.e.cfg.Migration.OrderDeadlines, Done: keepDone / 2}, from)
	s.e.streams.Store(l)
	defer s.e.streams.Store(nil)
	following, cancel := context.WithCancel(ctx)
	var lanes sync.WaitGroup
	defer func() {
		cancel()
		if ctx.Err() == nil { // else nobody follows after us: what still waits for an entry at its server ends by itself, and neither saves nor says anything
			lanes.Wait()
		}
	}()
	for _, q := range s.e.queues {
		for _, shadow := range []bool{false, true} {
			name := q
			if shadow {
				name = shadowQueue(q)
			}
			for _, side := range []string{ledger.Source, ledger.Target} {
				at := ledger.Lane{Side: side, Queue: q.String(), Shadow: shadow}
				lanes.Go(func() { s.follow(following, l, name, at) })
			}
		}
	}
	ticker := time.NewTicker(streamsEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		orders, told := s.e.ledger.soFar()
		l.Judge(s.e.now().UnixMilli(), told, orders)
		saved := l.Changes()
		change, err := LedgerState(saved)
		if err != nil {
			return err
		}
		if err := s.e.store.SaveLedger(ctx, s.mid, change, s.e.now().Add(-keepWindows).UnixMilli(), keepDone); err != nil {
			return err
		}
		s.alert(saved.Exceptions)
	}
}

// alert says once in the log that something is wrong with an order, and once that it is settled. A monitor may look for "order ledger" and these fields.
func (s *streams) alert(changed []ledger.Exception) {
	for _, x := range changed {
		fields := []any{"alert", "order_" + string(x.Verdict), "verdict", string(x.Verdict), "queue", x.Queue, "job", x.Job, "detail", x.Detail}
		if x.SettledAt == 0 {
			s.log.Warn("order ledger", append(fields, "state", "open")...)
		} else {
			s.log.Info("order ledger", append(fields, "state", "settled", "settled_by", x.SettledBy, "seconds", (x.SettledAt-x.At)/1000)...)
		}
		s.e.notify("overview")
	}
}

// client gives the server of a side; nil, without an error, when the side is not there: not provisioned yet, or released.
func (s *streams) client(ctx context.Context, side string) (redis.UniversalClient, error) {
	var c redis.UniversalClient
	var err error
	if side == ledger.Source {
		c, _, err = s.e.Source(ctx, s.mid)
	} else {
		c, _, err = s.e.Target(ctx)
	}
	if err != nil && migration.KindOf(err) == migration.NotFound {
		return nil, nil
	}
	return c, err
}

// awaitMoved returns when a side is served by another server than c, or by none, or ctx ends.
func (s *streams) awaitMoved(ctx context.Context, side string, c redis.UniversalClient) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(streamsEvery):
		}
		if now, err := s.client(ctx, side); err == nil && now != c {
			return
		}
	}
}

// awaitStreamsLeft waits until nobody follows the source's streams any more, once the flags name no source: what we read is use too.
func (c *Call) awaitStreamsLeft(ctx context.Context) error {
	return await(ctx, 500*time.Millisecond, func(ctx context.Context) error {
		_, _, lanes, err := c.streamsNow(ctx, c.Run.MigrationID)
		if err != nil {
			return err
		}
		for _, l := range lanes {
			if l.Lane.Side == ledger.Source {
				return notYet("the order ledger still follows the events of %s", l.Lane)
			}
		}
		return nil
	})
}

// follow reads one lane until ctx ends, on whichever server the flags name.
func (s *streams) follow(ctx context.Context, l *ledger.Streams, q bullmq.Queue, at ledger.Lane) {
	failing := false
	for ctx.Err() == nil {
		c, err := s.client(ctx, at.Side)
		if err == nil && c == nil {
			l.Drop(at)
			if err := s.e.store.DropLedgerCursor(ctx, s.mid, at.String()); err != nil && ctx.Err() == nil {
				s.log.Warn("order ledger", "lane", at.String(), "err", err)
			}
		} else {
			if err == nil {
				bounded, cancel := context.WithCancel(ctx)
				moved := make(chan struct{})
				go func() {
					defer close(moved)
					s.awaitMoved(bounded, at.Side, c)
					cancel()
				}()
				err = l.Follow(bounded, c, q, at, func() int64 { return s.e.now().UnixMilli() })
				gone := bounded.Err() != nil
				cancel()
				<-moved
				if gone {
					failing = false
					continue
				}
			}
			if ctx.Err() != nil {
				return
			}
			l.Failed(at, err)
			if !failing {
				s.e.notify("overview")
				s.log.Warn("a queue's events cannot be followed; the ledger is not current", "lane", at.String(), "err", err)
			}
			failing = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(streamsEvery):
		}
	}
}

// LedgerState makes rows of what a ledger gives to be saved.
func LedgerState(c ledger.Checkpoint) (out store.LedgerState, err error) {
	body := func(v any) string {
		b, e := json.Marshal(v)
		if err == nil {
			err = e
		}
		return string(b)
	}
	for _, x := range c.Cursors {
		out.Cursors = append(out.Cursors, store.LedgerRow{Lane: x.Lane.String(), Body: body(x)})
	}
	for _, x := range c.Windows {
		out.Windows = append(out.Windows, store.LedgerRow{Lane: x.Lane.String(), Start: x.From, State: x.State, Body: body(x)})
	}
	for _, x := range c.Lives {
		out.Lives = append(out.Lives, store.LedgerRow{Queue: x.Queue, Job: x.Job, Body: body(x)})
	}
	for _, x := range c.Ended {
		out.Ended = append(out.Ended, store.LedgerRow{Queue: x[0], Job: x[1]})
	}
	for _, x := range c.Exceptions {
		out.Exceptions = append(out.Exceptions, store.LedgerRow{Queue: x.Queue, Job: x.Job, Verdict: string(x.Verdict), At: x.At, SettledAt: x.SettledAt, Body: body(x)})
	}
	out.Done = c.Done
	return out, err
}

func bodies[T any](rows []store.LedgerRow) ([]T, error) {
	out := make([]T, len(rows))
	for i, r := range rows {
		if err := json.Unmarshal([]byte(r.Body), &out[i]); err != nil {
			return nil, fmt.Errorf("a row of the order ledger is damaged: %w", err)
		}
	}
	return out, nil
}

func checkpointOf(s store.LedgerState) (c ledger.Checkpoint, err error) {
	if c.Cursors, err = bodies[ledger.Cursor](s.Cursors); err != nil {
		return c, err
	}
	if c.Windows, err = bodies[ledger.Window](s.Windows); err != nil {
		return c, err
	}
	if c.Lives, err = bodies[ledger.Life](s.Lives); err != nil {
		return c, err
	}
	if c.Exceptions, err = bodies[ledger.Exception](s.Exceptions); err != nil {
		return c, err
	}
	c.Done = s.Done
	return c, nil
}

// LedgerLane is how far a queue's events were read on one side.
type LedgerLane struct {
	ledger.Cursor
	Current bool  `json:"current"` // read to its end, moments ago
	LagMS   int64 `json:"lag_ms"`
}

// The verdicts on the ledger as a whole.
const (
	LedgerClean        = "clean"        // nothing is wrong, and everything that could tell was read
	LedgerBroken       = "broken"       // orders lost, run twice or with another result
	LedgerInconclusive = "inconclusive" // something could not be read: it proves nothing
)

// LedgerOverview is the order ledger at one moment: what the application recorded, and what both servers' streams say.
type LedgerOverview struct {
	At         time.Time          `json:"at"`
	Verdict    string             `json:"verdict" enum:"clean,broken,inconclusive"`
	Reasons    []string           `json:"reasons"` // for the verdict; empty when it is clean
	Journal    *ledger.Summary    `json:"journal,omitempty"`
	Lanes      []LedgerLane       `json:"lanes"`
	Open       int64              `json:"open"` // lives that have not ended or are not judged yet
	Windows    []ledger.Window    `json:"windows"`
	Counts     []LedgerCount      `json:"counts"`
	Exceptions []ledger.Exception `json:"exceptions"` // at most 100, not settled ones first
}

// Late is how many orders are over their deadline.
func (o LedgerOverview) Late() int64 {
	for _, n := range o.Counts {
		if n.Verdict == ledger.Late {
			return n.Open
		}
	}
	return 0
}

// Doubtful is how many minutes of the last hour, over all lanes, prove nothing.
func (o LedgerOverview) Doubtful() (n int) {
	for _, w := range o.Windows {
		if w.State == ledger.Inconclusive {
			n++
		}
	}
	return n
}

// LedgerCount is how many jobs have a verdict.
type LedgerCount struct {
	Verdict ledger.Verdict `json:"verdict"`
	Open    int64          `json:"open"`    // nothing shows that no order came to harm
	Settled int64          `json:"settled"` // the application's record shows it
}

// ledgerHour is how far back the overview's windows go.
const ledgerHour = time.Hour

// LedgerOverview gives the order ledger. Anybody who is signed in may read it.
func (c *Control) LedgerOverview(ctx context.Context, mid string) (LedgerOverview, error) {
	if _, err := c.store.Migration(ctx, mid); err != nil {
		return LedgerOverview{}, err
	}
	return c.estate.ledgerOverview(ctx, mid)
}

func (e *Estate) ledgerOverview(ctx context.Context, mid string) (LedgerOverview, error) {
	now := e.now()
	out := LedgerOverview{At: now, Lanes: []LedgerLane{}, Windows: []ledger.Window{}, Exceptions: []ledger.Exception{}, Reasons: []string{}}
	broken, doubt := []string{}, []string{}
	if orders, err := e.ledger.read(); err != nil {
		doubt = append(doubt, inWords(err))
	} else {
		s := orders.Summary(now, e.cfg.Migration.OrderDeadline)
		out.Journal = &s
		if s.Lost+s.Duplicated+s.Mismatches > 0 {
			broken = append(broken, fmt.Sprintf("by the application's record %d orders are lost, %d applied twice, %d different", s.Lost, s.Duplicated, s.Mismatches))
		}
	}
	red, stale, lanes, err := e.streamsNow(ctx, mid)
	if err != nil {
		return out, err
	}
	out.Lanes = lanes
	broken, doubt = append(broken, red...), append(doubt, stale...)
	rows, err := e.store.LedgerWindows(ctx, mid, now.Add(-ledgerHour).UnixMilli(), 1000)
	if err != nil {
		return out, err
	}
	if out.Windows, err = bodies[ledger.Window](rows); err != nil {
		return out, err
	}
	gaps := 0
	for _, w := range out.Windows {
		if w.State == ledger.Inconclusive && !slices.Equal(w.Reasons, []string{ledger.Began}) {
			gaps++
		}
	}
	if gaps > 0 {
		doubt = append(doubt, fmt.Sprintf("%d minutes of the last hour are inconclusive: for their orders only the application's record speaks", gaps))
	}
	if out.Counts, err = e.ledgerCounts(ctx, mid); err != nil {
		return out, err
	}
	if out.Open, err = e.store.LedgerOpen(ctx, mid); err != nil {
		return out, err
	}
	if rows, err = e.store.LedgerExceptions(ctx, mid, store.LedgerFilter{Limit: 100}); err != nil {
		return out, err
	}
	if out.Exceptions, err = bodies[ledger.Exception](rows); err != nil {
		return out, err
	}
	switch {
	case len(broken) > 0:
		out.Verdict, out.Reasons = LedgerBroken, append(broken, doubt...)
	case len(doubt) > 0:
		out.Verdict, out.Reasons = LedgerInconclusive, doubt
	default:
		out.Verdict = LedgerClean
	}
	return out, nil
}

// streamsNow says what by the streams is wrong, what of them is not current, and how far each lane is.
func (e *Estate) streamsNow(ctx context.Context, mid string) (red, stale []string, lanes []LedgerLane, err error) {
	rows, err := e.store.LedgerCursors(ctx, mid)
	if err != nil {
		return nil, nil, nil, err
	}
	cursors, err := bodies[ledger.Cursor](rows)
	if err != nil {
		return nil, nil, nil, err
	}
	lanes = []LedgerLane{}
	for _, cur := range cursors {
		l := LedgerLane{Cursor: cur, LagMS: e.now().UnixMilli() - cur.At}
		l.Current = cur.At != 0 && l.LagMS < streamsFresh.Milliseconds()+1000
		lanes = append(lanes, l)
		switch {
		case l.Current:
		case cur.Error != "":
			stale = append(stale, fmt.Sprintf("the events of %s cannot be read: %s", cur.Lane, cur.Error))
		default:
			stale = append(stale, fmt.Sprintf("the events of %s were read to their end %s ago, the limit is %s", cur.Lane, (time.Duration(l.LagMS)*time.Millisecond).Round(time.Second), streamsFresh))
		}
	}
	if len(cursors) == 0 {
		stale = append(stale, "no queue's events were read yet")
	}
	counts, err := e.ledgerCounts(ctx, mid)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, n := range counts {
		if n.Open > 0 && slices.Contains([]ledger.Verdict{ledger.Loss, ledger.Double, ledger.Mismatch}, n.Verdict) {
			jobs := "jobs are"
			if n.Open == 1 {
				jobs = "job is"
			}
			red = append(red, fmt.Sprintf("by the streams %d %s a %s that nothing settles", n.Open, jobs, n.Verdict))
		}
	}
	return red, stale, lanes, nil
}

func (e *Estate) ledgerCounts(ctx context.Context, mid string) ([]LedgerCount, error) {
	rows, err := e.store.LedgerCounts(ctx, mid)
	if err != nil {
		return nil, err
	}
	out := make([]LedgerCount, len(ledger.Verdicts))
	for i, v := range ledger.Verdicts {
		out[i].Verdict = v
		for _, r := range rows {
			switch {
			case r.Verdict != string(v):
			case r.Settled:
				out[i].Settled = r.N
			default:
				out[i].Open = r.N
			}
		}
	}
	return out, nil
}

// LedgerOrder is everything that is known of one order or job id.
type LedgerOrder struct {
	ID         string             `json:"id"`
	Journal    *ledger.Story      `json:"journal,omitempty"` // what the application recorded
	Lives      []ledger.Life      `json:"lives"`             // what the streams said: while it is open, or recent
	Done       bool               `json:"done"`              // the streams said before that it took effect
	Exceptions []ledger.Exception `json:"exceptions"`
	Note       string             `json:"note,omitempty"` // what is not known, and why
}

// LedgerOrder gives the life of one order, by its own id or its job's. NotFound when nobody has heard of it.
func (c *Control) LedgerOrder(ctx context.Context, mid, id string) (LedgerOrder, error) {
	out := LedgerOrder{ID: id, Lives: []ledger.Life{}, Exceptions: []ledger.Exception{}}
	if id == "" || len(id) > 512 {
		return out, migration.Errorf(migration.Invalid, "an order's id has 1 to 512 bytes: got %d", len(id))
	}
	if _, err := c.store.Migration(ctx, mid); err != nil {
		return out, err
	}
	orders, told := c.estate.ledger.soFar()
	jobs := []string{id}
	if story, found := orders.Find(id); found {
		out.Journal = &story
		for _, j := range story.Jobs {
			if !slices.Contains(jobs, j) {
				jobs = append(jobs, j)
			}
		}
	}
	if told == 0 {
		out.Note = "the application's journal was not read yet"
	}
	for _, job := range jobs {
		rows, err := c.store.LedgerExceptions(ctx, mid, store.LedgerFilter{Job: job, Limit: 20})
		if err != nil {
			return out, err
		}
		found, err := bodies[ledger.Exception](rows)
		if err != nil {
			return out, err
		}
		out.Exceptions = append(out.Exceptions, found...)
		if l := c.estate.streams.Load(); l != nil {
			lives, done := l.Find(job)
			out.Lives, out.Done = append(out.Lives, lives...), out.Done || done
			continue
		}
		// Another replica follows the streams: what it saved is a moment old, and holds open lives only.
		if rows, err = c.store.LedgerLives(ctx, mid, job); err != nil {
			return out, err
		}
		lives, err := bodies[ledger.Life](rows)
		if err != nil {
			return out, err
		}
		out.Lives = append(out.Lives, lives...)
		out.Note = "another replica follows the streams: of ended jobs it tells only what was wrong with them"
	}
	if out.Journal == nil && len(out.Lives)+len(out.Exceptions) == 0 && !out.Done {
		return out, migration.Errorf(migration.NotFound, "neither the application's journal nor the streams have heard of %q", id)
	}
	return out, nil
}

// LedgerFilter says which exceptions of the ledger; empty fields are any.
type LedgerFilter = store.LedgerFilter

// LedgerExceptions lists what was wrong with any order, not settled first, and says how many there are with this filter.
func (c *Control) LedgerExceptions(ctx context.Context, mid string, f LedgerFilter) (found []ledger.Exception, total int64, err error) {
	switch {
	case f.Verdict != "" && !slices.Contains(ledger.Verdicts, ledger.Verdict(f.Verdict)):
		return nil, 0, migration.Errorf(migration.Invalid, "unknown verdict %.40q: the verdicts are %v", f.Verdict, ledger.Verdicts)
	case f.State != "" && f.State != "open" && f.State != "settled":
		return nil, 0, migration.Errorf(migration.Invalid, "unknown state %.40q: an exception is open or settled", f.State)
	case f.Limit < 1 || f.Limit > 10_000:
		return nil, 0, migration.Errorf(migration.Invalid, "limit %d: 1 to 10000 exceptions are given at once", f.Limit)
	case f.Offset < 0:
		return nil, 0, migration.Errorf(migration.Invalid, "offset %d: the first exception is at 0", f.Offset)
	}
	if _, err := c.store.Migration(ctx, mid); err != nil {
		return nil, 0, err
	}
	counts, err := c.estate.ledgerCounts(ctx, mid)
	if err != nil {
		return nil, 0, err
	}
	for _, n := range counts {
		if f.Verdict == "" || f.Verdict == string(n.Verdict) {
			if f.State != "settled" {
				total += n.Open
			}
			if f.State != "open" {
				total += n.Settled
			}
		}
	}
	rows, err := c.store.LedgerExceptions(ctx, mid, f)
	if err != nil {
		return nil, 0, err
	}
	found, err = bodies[ledger.Exception](rows)
	return found, total, err
}

// streamsGate: no move forward while a side's events are not followed, or tell of a lost, doubled or different order that nothing settles. Minutes that
// are inconclusive do not block for ever: for their orders the application's record speaks, which ledgerGate asks.
func streamsGate(ctx context.Context, e *Estate, mid string) migration.Gate {
	g := migration.Gate{ID: "streams", Title: "Both servers' events", Limit: "followed to their end, no loss, double or mismatch that nothing settles"}
	red, stale, lanes, err := e.streamsNow(ctx, mid)
	switch {
	case err != nil:
		g.Measured, g.Next = inWords(err), "look again"
	case len(red) > 0:
		g.Measured, g.Next = red[0], "look at the exceptions of the ledger"
	case len(stale) > 0:
		g.Measured, g.Next = stale[0], "wait a moment and look again; if it stays, see whether the server answers"
	default:
		g.OK, g.Measured = true, fmt.Sprintf("%d queues followed, nothing open", len(lanes))
	}
	return g
}
