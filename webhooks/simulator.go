package webhooks

import (
	"bytes"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Timeline is virtual time: what is to happen is done in order of its time, at once. It
// is used from one goroutine, except Now.
type Timeline struct {
	mu    sync.Mutex
	now   time.Time
	queue entries
	count int
}

// NewTimeline starts at a time.
func NewTimeline(start time.Time) *Timeline { return &Timeline{now: start} }

// Now gives the virtual time; safe for concurrent use, as by the app that receives
// deliveries.
func (t *Timeline) Now() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now
}

// At does something at a time, after what was planned before for the same time. A time
// that is past is now.
func (t *Timeline) At(when time.Time, do func(context.Context) error) {
	if now := t.Now(); when.Before(now) {
		when = now
	}
	t.count++
	heap.Push(&t.queue, entry{when, t.count, do})
}

// Run does everything up to and including until, which is then the time. It stops at
// the first error.
func (t *Timeline) Run(ctx context.Context, until time.Time) error {
	for len(t.queue) > 0 && !t.queue[0].when.After(until) {
		if err := ctx.Err(); err != nil {
			return err
		}
		e, _ := heap.Pop(&t.queue).(entry)
		t.set(e.when)
		if err := e.do(ctx); err != nil {
			return err
		}
	}
	t.set(until)
	return nil
}

func (t *Timeline) set(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now = now
}

type entry struct {
	when  time.Time
	count int
	do    func(context.Context) error
}

type entries []entry

func (e entries) Len() int { return len(e) }
func (e entries) Less(i, j int) bool {
	if e[i].when.Equal(e[j].when) {
		return e[i].count < e[j].count
	}
	return e[i].when.Before(e[j].when)
}
func (e entries) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *entries) Push(x any)   { *e = append(*e, x.(entry)) }
func (e *entries) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// Outcome is where an order stands.
type Outcome string

const (
	// Pending: it will be tried again.
	Pending Outcome = "pending"
	// Delivered: the provider took an answer for a success.
	Delivered Outcome = "delivered"
	// Dropped: the provider will not try again.
	Dropped Outcome = "dropped"
)

// Attempt is one try to deliver.
type Attempt struct {
	At      time.Time
	Address string
	Status  int    // 0: no answer
	Error   string // why there was none, or why it did not count
	Success bool
}

// Trace is what became of one order.
type Trace struct {
	Order    Order
	Attempts []Attempt
	Outcome  Outcome
	At       time.Time // when it came to that; zero while Pending
	Reason   string    // with Dropped
	address  string    // configured when it was triggered
	first    time.Time
}

// Simulator sends orders as a provider does.
type Simulator struct {
	Sender   Sender
	Timeline *Timeline
	// Secrets gives what deliveries are signed with at a time.
	Secrets func(time.Time) []migration.Secret
	// Address gives the URL that is configured at a time.
	Address func(time.Time) string
	// Transport carries requests; nil: http.DefaultTransport.
	Transport http.RoundTripper
	// Took gives the virtual time that an answer took, to be held against the deadline;
	// nil: none. Real time counts against it too.
	Took func(*http.Response) time.Duration
	// Seed makes what is random the same in every run.
	Seed uint64
	// Duplicates is the share of orders that come a second time although the first time
	// was a success, as every provider warns of.
	Duplicates float64
	// Scatter spreads first tries over this long, so that orders do not come in their
	// order.
	Scatter time.Duration

	random  *rand.Rand
	client  *http.Client
	removed time.Time
	traces  []*Trace
}

// Send plans the delivery of orders. Call it once, before the timeline runs.
func (s *Simulator) Send(orders []Order) {
	s.random = rand.New(rand.NewPCG(s.Seed, 0)) //nolint:gosec // nothing here is secret
	s.client = &http.Client{Transport: s.Transport}
	if !s.Sender.Redirects.Holds {
		s.client.CheckRedirect = func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}
	}
	for _, o := range orders {
		t := &Trace{Order: o, Outcome: Pending}
		s.traces = append(s.traces, t)
		first := o.At
		if s.Scatter > 0 {
			first = first.Add(time.Duration(s.random.Int64N(int64(s.Scatter))))
		}
		// Drawn now: what happens later must not change what is drawn for others.
		again := time.Duration(0)
		if s.random.Float64() < s.Duplicates {
			again = time.Second + time.Duration(s.random.Int64N(int64(5*time.Minute)))
		}
		s.Timeline.At(first, func(ctx context.Context) error {
			if !s.removed.IsZero() {
				t.drop(s.Timeline.Now(), "never sent: "+s.Sender.Removal.What)
				return nil
			}
			t.address, t.first = s.Address(o.At), s.Timeline.Now()
			return s.try(ctx, t, 0, again)
		})
	}
}

// try makes the n-th retry, or the first try.
func (s *Simulator) try(ctx context.Context, t *Trace, n int, again time.Duration) error {
	if t.Outcome == Dropped {
		return nil
	}
	now := s.Timeline.Now()
	a, err := s.attempt(ctx, t, n)
	if err != nil {
		return err
	}
	t.Attempts = append(t.Attempts, a)
	offsets := s.Sender.Schedule.Offsets()
	switch {
	case t.Outcome == Delivered: // a duplicate
	case a.Success:
		t.Outcome, t.At = Delivered, now
		if again > 0 {
			s.Timeline.At(now.Add(again), func(ctx context.Context) error {
				return s.try(ctx, t, n+1, 0)
			})
		}
	case !s.Sender.Retryable(a.Status):
		t.drop(now, fmt.Sprintf("a %d ends the retries", a.Status))
	case n < len(offsets):
		s.Timeline.At(t.first.Add(offsets[n]), func(ctx context.Context) error {
			return s.try(ctx, t, n+1, again)
		})
	default:
		t.drop(now, "the last try failed")
		s.remove(now)
	}
	return nil
}

// remove does to the endpoint what the provider does when an order has failed for the
// last time.
func (s *Simulator) remove(now time.Time) {
	if r := s.Sender.Removal; r.AfterLastTry && s.removed.IsZero() {
		s.removed = now
		for _, t := range s.traces {
			if r.StopsPending && t.Outcome == Pending && !t.first.IsZero() {
				t.drop(now, r.What)
			}
		}
	}
}

func (t *Trace) drop(at time.Time, why string) { t.Outcome, t.At, t.Reason = Dropped, at, why }

// attempt makes one request. Only the end of ctx is an error; everything else is what
// the provider sees.
func (s *Simulator) attempt(ctx context.Context, t *Trace, n int) (Attempt, error) {
	now, p := s.Timeline.Now(), s.Sender
	a := Attempt{At: now, Address: t.address}
	if !p.Pinned.Holds {
		a.Address = s.Address(now)
	}
	header, body := p.Request(t.Order, n, s.Secrets(now), now)
	bounded, cancel := context.WithTimeoutCause(ctx, p.Deadline.Total, errDeadline)
	defer cancel()
	req, err := http.NewRequestWithContext(bounded, http.MethodPost, a.Address,
		bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	req.Header = header
	resp, err := s.client.Do(req)
	if err == nil {
		var answer []byte
		answer, err = io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		err = errors.Join(err, resp.Body.Close())
		a.Status = resp.StatusCode
		a.Success = err == nil && p.Success(resp.StatusCode, answer)
		switch {
		case err != nil:
			a.Status = 0
		case s.Took != nil && s.Took(resp) > p.Deadline.Total:
			a.Status, a.Success, err = 0, false, errDeadline
		case !a.Success:
			a.Error = "not a success: " + p.SuccessRule
		}
	}
	if ctx.Err() != nil {
		return a, ctx.Err()
	}
	if err != nil {
		if errors.Is(context.Cause(bounded), errDeadline) {
			err = errDeadline
		}
		a.Error = err.Error()
	}
	return a, nil
}

var errDeadline = errors.New("no answer within the deadline")

// Resubscribe makes a new endpoint after the provider removed the old one. What was
// dropped stays dropped.
func (s *Simulator) Resubscribe() { s.removed = time.Time{} }

// Removed gives when the provider removed the endpoint; zero while it has not, or after
// Resubscribe.
func (s *Simulator) Removed() time.Time { return s.removed }

// Traces gives every order, in the order of Send.
func (s *Simulator) Traces() []Trace {
	out := make([]Trace, len(s.traces))
	for i, t := range s.traces {
		out[i] = *t
		out[i].Attempts = slices.Clone(t.Attempts)
	}
	return out
}

// Dropped gives the ids of the orders that the provider will not send again, in the
// order of Send.
func (s *Simulator) Dropped() []string { return s.with(Dropped) }

// Pending gives the ids of the orders that will still be tried, in the order of Send.
func (s *Simulator) Pending() []string { return s.with(Pending) }

func (s *Simulator) with(o Outcome) []string {
	var ids []string
	for _, t := range s.traces {
		if t.Outcome == o {
			ids = append(ids, t.Order.ID)
		}
	}
	return ids
}
