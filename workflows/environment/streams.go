package environment

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
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
	// streamsFresh is how long ago a lane may have been read to its end for it to be
	// current: two waits for an entry, and something for a slow answer.
	streamsFresh = 15 * time.Second
	// skewLimit is how far a server's clock may be from ours: beyond it, times are not compared.
	skewLimit = time.Minute
	// keepWindows is for how long minutes that are in order are kept; the others are kept for good.
	keepWindows = 7 * 24 * time.Hour
	// keepDone is how many jobs that took effect are recognised when they come again; the
	// ledger holds up to twice as many.
	keepDone = 1_000_000
)

// Streams follows the events streams of the pipeline's queues on both sides into the
// ledger, and saves it. The leader alone runs it; everybody reads what it saved.
type Streams struct {
	servers   *Servers
	journal   *Journal
	store     *store.Store
	deadlines map[string]time.Duration // by queue; the journal's for the others
	log       *slog.Logger
	now       func() time.Time
	notify    func(topic string)

	live atomic.Pointer[ledger.Streams] // of who follows; nil elsewhere
}

// follower follows the streams of one migration.
type follower struct {
	*Streams
	mid string
}

// Follow follows the streams of a migration until ctx ends. When saving fails, everything
// is read again from what was saved last.
func (s *Streams) Follow(ctx context.Context, mid string) {
	f := &follower{s, mid}
	for ctx.Err() == nil {
		if err := f.once(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("the streams' ledger starts again from what was saved", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(streamsEvery):
		}
	}
}

func (s *follower) once(ctx context.Context) error {
	l, err := s.restore(ctx)
	if err != nil {
		return err
	}
	s.live.Store(l)
	defer s.live.Store(nil)
	following, cancel := context.WithCancel(ctx)
	var lanes sync.WaitGroup
	defer func() {
		cancel()
		// else nobody follows after us: what still waits for an entry at its server ends by
		// itself, and neither saves nor says anything
		if ctx.Err() == nil {
			lanes.Wait()
		}
	}()
	for at, q := range s.lanes(ledger.Source, ledger.Target) {
		lanes.Go(func() { s.follow(following, l, q, at) })
	}
	ticker := time.NewTicker(streamsEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		if err := s.rule(ctx, l); err != nil {
			return err
		}
		orders, told := s.journal.SoFar()
		l.Judge(s.now().UnixMilli(), told, orders)
		saved := l.Changes()
		change, err := LedgerState(saved)
		if err != nil {
			return err
		}
		if err := s.store.SaveLedger(ctx, s.mid, change, s.now().Add(-keepWindows).UnixMilli(), keepDone); err != nil {
			return err
		}
		s.alert(saved.Exceptions)
	}
}

// restore gives a ledger that goes on from what was saved.
func (s *follower) restore(ctx context.Context) (*ledger.Streams, error) {
	loaded, err := s.store.LoadLedger(ctx, s.mid)
	if err != nil {
		return nil, err
	}
	from, err := checkpointOf(loaded)
	if err != nil {
		return nil, err
	}
	for _, cur := range from.Cursors {
		rows, err := s.store.LedgerWindowsOf(ctx, s.mid, cur.Lane.String(), cur.Changes())
		if err != nil {
			return nil, err
		}
		some, err := bodies[ledger.Window](rows)
		if err != nil {
			return nil, err
		}
		from.Windows = append(from.Windows, some...)
	}
	return ledger.RestoreStreams(
		ledger.Options{Deadline: s.journal.deadline, Deadlines: s.deadlines, Done: keepDone / 2},
		from,
	), nil
}

// rule takes in what people decided in writing about exceptions and gaps.
func (s *follower) rule(ctx context.Context, l *ledger.Streams) error {
	now := s.now()
	waivers, err := s.store.Waivers(ctx, s.mid, &now)
	if err != nil {
		return err
	}
	for _, w := range waivers {
		ruling := ledger.Ruling{Who: w.By, Why: w.Why, At: w.At.UnixMilli()}
		for _, x := range l.Open() {
			if w.Member == exceptionKey(x) {
				_ = l.Decide(x.Queue, x.Job, x.Verdict, ruling) // it may just have been proven
			}
		}
		for _, g := range l.Gaps() {
			if w.Member == gapKey(g.Lane, g.From) {
				_ = l.DecideGap(g.Lane, g.From, ruling) // as above
			}
		}
	}
	return nil
}

// alert says once in the log that something is wrong with an order, and once that it is
// settled. A monitor may look for "order ledger" and these fields.
func (s *follower) alert(changed []ledger.Exception) {
	for _, x := range changed {
		fields := []any{
			"alert",
			"order_" + string(x.Verdict),
			"verdict",
			string(x.Verdict),
			"queue",
			x.Queue,
			"job",
			x.Job,
			"detail",
			x.Detail,
		}
		if x.SettledAt == 0 {
			s.log.Warn("order ledger", append(fields, "state", "open")...)
		} else {
			s.log.Info("order ledger", append(fields,
				"state", "settled", "settled_by", x.SettledBy, "seconds", (x.SettledAt-x.At)/1000)...)
		}
		s.notify("overview")
	}
}

// client gives the server of a side; nil, without an error, when the side is not there: not
// provisioned yet, or released.
func (s *follower) client(ctx context.Context, side string) (redis.UniversalClient, error) {
	var c redis.UniversalClient
	var err error
	if side == ledger.Source {
		c, _, err = s.servers.Source(ctx, s.mid)
	} else {
		c, _, err = s.servers.Target(ctx)
	}
	if err != nil && migration.KindOf(err) == migration.NotFound {
		return nil, nil //nolint:nilnil // there is no such server yet
	}
	return c, err
}

// begin gives the server from which a lane is to be read now; nil when there is none. The
// lane is registered before the flags are asked, so whoever takes a server away by the flags
// and then finds no lane of it (AwaitLeft) knows that nobody begins to read there any more.
func (s *follower) begin(ctx context.Context, at ledger.Lane) (redis.UniversalClient, error) {
	c, err := s.client(ctx, at.Side)
	if err != nil || c == nil {
		return nil, err
	}
	body, err := json.Marshal(ledger.Cursor{Lane: at})
	if err != nil {
		return nil, err
	}
	row := store.LedgerRow{Lane: at.String(), Body: string(body)}
	if err := s.store.RegisterLedgerCursor(ctx, s.mid, row); err != nil {
		return nil, err
	}
	return s.client(ctx, at.Side)
}

// awaitMoved returns when a side is served by another server than c, or by none, or ctx ends.
func (s *follower) awaitMoved(ctx context.Context, side string, c redis.UniversalClient) {
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

// follow reads one lane until ctx ends, on whichever server the flags name.
func (s *follower) follow(ctx context.Context, l *ledger.Streams, q bullmq.Queue, at ledger.Lane) {
	failing := false
	for ctx.Err() == nil {
		c, err := s.begin(ctx, at)
		if err == nil && c == nil {
			now := s.now().UnixMilli()
			l.Drop(at, now)
			if err := s.store.DropLedgerCursor(ctx, s.mid, at.String(), now); err != nil &&
				ctx.Err() == nil {
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
				err = l.Follow(bounded, c, q, at, func() int64 { return s.now().UnixMilli() })
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
			if now, clientErr := s.client(ctx, at.Side); clientErr == nil && c != nil && now != c {
				failing = false // its connection was closed by us, with the server let go
				continue
			}
			l.Failed(at, err)
			if !failing {
				s.notify("overview")
				s.log.Warn("a queue's events cannot be followed; the ledger is not "+
					"current", "lane", at.String(), "err", err)
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
		out.Cursors = append(out.Cursors, store.LedgerRow{
			Lane: x.Lane.String(), DroppedAt: x.DroppedAt, Body: body(x),
		})
	}
	for _, x := range c.Windows {
		out.Windows = append(
			out.Windows,
			store.LedgerRow{Lane: x.Lane.String(), Start: x.From, State: x.State, Body: body(x)},
		)
	}
	for _, x := range c.Lives {
		out.Lives = append(out.Lives, store.LedgerRow{Queue: x.Queue, Job: x.Job, Body: body(x)})
	}
	for _, x := range c.Ended {
		out.Ended = append(out.Ended, store.LedgerRow{Queue: x[0], Job: x[1]})
	}
	for _, x := range c.Exceptions {
		out.Exceptions = append(
			out.Exceptions,
			store.LedgerRow{
				Queue:     x.Queue,
				Job:       x.Job,
				Verdict:   string(x.Verdict),
				At:        x.At,
				SettledAt: x.SettledAt,
				Body:      body(x),
			},
		)
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

// cursorsOf reads cursors; whether a lane is followed is the row's to say, to whoever does not
// follow it.
func cursorsOf(rows []store.LedgerRow) ([]ledger.Cursor, error) {
	out, err := bodies[ledger.Cursor](rows)
	for i := range out {
		out[i].DroppedAt = rows[i].DroppedAt
	}
	return out, err
}

// checkpointOf reads what a ledger saved. Whether it let a lane go is its own to say: where the
// row alone says so, it was killed before it had drawn the conclusions.
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

// lanes yields the lanes of the pipeline's queues on sides, and the queue of each.
func (s *Streams) lanes(sides ...string) iter.Seq2[ledger.Lane, bullmq.Queue] {
	return func(yield func(ledger.Lane, bullmq.Queue) bool) {
		for _, q := range s.servers.Queues {
			for _, shadow := range []bool{false, true} {
				name := q
				if shadow {
					name = ShadowQueue(q)
				}
				for _, side := range sides {
					at := ledger.Lane{Side: side, Queue: q.String(), Shadow: shadow}
					if !yield(at, name) {
						return
					}
				}
			}
		}
	}
}
