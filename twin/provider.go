package twin

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/webhooks"
	"github.com/switchyard-dev/switchyard/webhooks/webhookstest"
)

// Order is one payment as its provider sees it.
type Order struct {
	ID           string    `json:"id"` // as the app's journal names it, see webhooks.Event.OrderID
	Provider     string    `json:"provider"`
	Event        string    `json:"event,omitempty"` // empty: made of the id
	Sent         time.Time `json:"sent"`            // first delivery
	Acknowledged time.Time `json:"acknowledged"`    // first success; zero: none yet
	// Delay is how much later it is to be fulfilled; 0: what its id has, see payment.
	Delay      time.Duration `json:"delay,omitempty"`
	GivenUp    bool          `json:"given_up"`
	Deliveries []Delivery    `json:"deliveries"`
}

// Delivery is one attempt to deliver a webhook.
type Delivery struct {
	At     time.Time `json:"at"`
	Status int       `json:"status"` // 0: no answer
	MS     int64     `json:"ms"`
	Error  string    `json:"error,omitempty"` // why no answer came, or why a 2xx was no success
}

// Success reports whether the provider took the answer for one.
func (d Delivery) Success() bool { return d.Status >= 200 && d.Status <= 299 && d.Error == "" }

// Stats sums the orders up.
type Stats struct {
	Sent, Acknowledged, Pending, GivenUp, Deliveries, Refused int
}

// schedule is how long every provider waits before each further try. It is Stripe's
// exponential back-off over 72 hours scaled down, so that a rehearsal of minutes sees
// many steps of it: after the listed waits every 5 s, giveUpAfter tries in all. What each
// does in truth is in webhooks.
var schedule = []time.Duration{
	500 * time.Millisecond,
	time.Second,
	2 * time.Second,
	3 * time.Second,
	5 * time.Second,
}

const (
	giveUpAfter     = 60
	deliveryTimeout = 4 * time.Second
	inFlight        = 256
	// idleTimeout is shorter than the 5 s after which Node closes an idle connection: the
	// client must not send on one that is just closing.
	idleTimeout = 3 * time.Second
)

// mix is who sends each ten orders: mostly Stripe.
var mix = []string{
	"stripe",
	"stripe",
	"shopify",
	"stripe",
	"clickfunnels",
	"stripe",
	"copecart",
	"stripe",
	"cope",
	"stripe",
}

// Provider is the payment providers of a shop: they send a signed webhook for each order,
// try again on anything that is no success to the one that sends it, send about one in a
// hundred twice as real providers do, and keep the list of every order and every answer.
type Provider struct {
	door    func(webhooks.Sender) string // where the app takes a sender's webhooks
	secrets map[string]migration.Secret  // by provider
	limit   int                          // 0: none
	client  *http.Client
	slots   chan struct{}
	cancel  context.CancelFunc
	tasks   sync.WaitGroup

	mu      sync.Mutex
	rate    float64
	allowed int           // how many orders may have been sent by now; with limit only
	delay   time.Duration // of the next order
	orders  map[string]*Order
	ids     []string
	journal *os.File
	writer  *bufio.Writer
	events  *webhookstest.Stripe // what Stripe's API lists; nil: it has none
	wake    chan struct{}
}

// newProvider goes on with the list in file. With a limit, Offer says how many further
// orders may be sent; without, sending goes on for ever.
//
//nolint:contextcheck // orders come until close
func newProvider(
	file string,
	door func(webhooks.Sender) string,
	secrets map[string]migration.Secret,
	limit int,
	rate float64,
	events *webhookstest.Stripe,
) (*Provider, error) {
	p := &Provider{
		events:  events,
		door:    door,
		secrets: secrets,
		limit:   limit,
		rate:    rate,
		orders:  map[string]*Order{},
		slots:   make(chan struct{}, inFlight),
		wake:    make(chan struct{}, 1),
		client: &http.Client{
			Timeout: deliveryTimeout,
			Transport: &http.Transport{
				MaxIdleConnsPerHost: inFlight, IdleConnTimeout: idleTimeout,
			},
			CheckRedirect: noRedirect,
		},
	}
	var err error
	if p.journal, err = os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	if err := p.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", file, err), p.journal.Close())
	}
	for _, id := range p.ids {
		p.list(p.orders[id])
	}
	p.allowed = len(p.ids)
	p.writer = bufio.NewWriter(p.journal)
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	for _, id := range p.ids {
		if o := p.orders[id]; o.Acknowledged.IsZero() && !o.GivenUp {
			p.tasks.Go(func() { p.deliver(ctx, o.ID) })
		}
	}
	p.tasks.Go(func() { p.send(ctx) })
	p.tasks.Go(func() { p.flushOften(ctx) })
	return p, nil
}

// list has Stripe's API tell of an event of Stripe's.
func (p *Provider) list(o *Order) {
	if sender := o.sender(); p.events != nil && sender.ID == "stripe" {
		_, body := sender.Request(o.payment(), 0, nil, o.Sent)
		_ = p.events.Add(body, !o.Acknowledged.IsZero()) // what it makes itself is JSON
	}
}

// entry is one line of the list's file.
type entry struct {
	ID string `json:"id"`
	// These four come with the first line of an order. Without a provider it is of an older twin,
	// which had Stripe alone.
	Provider string        `json:"provider,omitempty"`
	Event    string        `json:"event,omitempty"`
	Sent     *time.Time    `json:"sent,omitempty"`
	Delay    time.Duration `json:"delay,omitempty"`
	Delivery *Delivery     `json:"delivery,omitempty"`
	GivenUp  bool          `json:"given_up,omitempty"`
}

// load reads the list. A last line that a killed run did not write to its end is cut off,
// so that the next one does not continue it.
func (p *Provider) load() error {
	lines := bufio.NewReader(p.journal)
	for whole := int64(0); ; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return p.journal.Truncate(whole)
		}
		if err != nil {
			return err
		}
		whole += int64(len(line))
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("the line that ends at byte %d: %w", whole, err)
		}
		o := p.orders[e.ID]
		if o == nil {
			o = &Order{ID: e.ID, Provider: cmp.Or(e.Provider, "stripe"), Event: e.Event, Delay: e.Delay}
			if _, ok := webhooks.ByID(o.Provider); !ok {
				return fmt.Errorf("the line that ends at byte %d: nobody knows the provider %q",
					whole, o.Provider)
			}
			p.orders[e.ID] = o
			p.ids = append(p.ids, e.ID)
		}
		if e.Sent != nil {
			o.Sent = *e.Sent
		}
		if e.Delivery != nil {
			o.add(*e.Delivery)
		}
		o.GivenUp = o.GivenUp || e.GivenUp
	}
}

func (o *Order) add(d Delivery) {
	o.Deliveries = append(o.Deliveries, d)
	if d.Success() && o.Acknowledged.IsZero() {
		o.Acknowledged = d.At.Add(time.Duration(d.MS) * time.Millisecond)
	}
}

func (p *Provider) note(e entry) {
	b, err := json.Marshal(e)
	if err == nil {
		_, _ = p.writer.Write(append(b, '\n')) // bufio keeps the first error; close reports it
	}
}

func (p *Provider) flushOften(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
			p.mu.Lock()
			_ = p.writer.Flush() // bufio keeps the first error; close reports it
			p.mu.Unlock()
		}
	}
}

// SetRate changes how many orders a second are sent; 0 pauses.
func (p *Provider) SetRate(rate float64) {
	p.mu.Lock()
	p.rate = rate
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Offer allows n more orders to be sent, within the limit.
func (p *Provider) Offer(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.allowed = min(p.allowed+n, p.limit)
}

// Delay has the next order be one that is to be fulfilled that much later.
func (p *Provider) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// send starts new orders, evenly, at the rate.
func (p *Provider) send(ctx context.Context) {
	const tick = 5 * time.Millisecond
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	last, owed := time.Now(), 0.0
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
			last, owed = time.Now(), 0
			continue
		case <-ticker.C:
		}
		now := time.Now()
		p.mu.Lock()
		// A machine that stood still does not make up for it in one burst.
		owed = min(owed+p.rate*now.Sub(last).Seconds(), max(p.rate/4, 1))
		last = now
		n := int(owed)
		if left := max(p.allowed-len(p.ids), 0); p.limit > 0 && n > left {
			n, owed = left, float64(left) // what was not offered is not owed
		}
		var ids []string
		for range n {
			ids = append(ids, p.create(now).ID)
		}
		if n > 0 {
			// On the list before it is sent: a killed run's orders are known to the next.
			_ = p.writer.Flush()
		}
		p.mu.Unlock()
		owed -= float64(n)
		for _, id := range ids {
			p.tasks.Go(func() { p.deliver(ctx, id) })
		}
	}
}

// create makes the next order; the caller holds mu. Of each ten the four that are not
// Stripe's have the same id, each at its own provider.
func (p *Provider) create(now time.Time) *Order {
	n := len(p.ids)
	o := &Order{Provider: mix[n%len(mix)], Sent: now, Delay: p.delay}
	p.delay = 0
	object := strconv.Itoa(1000 + n/len(mix))
	if o.Provider == "stripe" {
		object, o.Event = fmt.Sprintf("ord_%06d", n+1), fmt.Sprintf("evt_%06d", n+1)
	}
	o.ID = webhooks.Event{Sender: o.Provider, Object: object}.OrderID()
	p.orders[o.ID] = o
	p.ids = append(p.ids, o.ID)
	p.note(entry{ID: o.ID, Provider: o.Provider, Event: o.Event, Sent: &now, Delay: o.Delay})
	p.list(o)
	return o
}

// sender is whose order it is.
func (o *Order) sender() webhooks.Sender {
	sender, _ := webhooks.ByID(o.Provider) // known since load or create
	return sender
}

// Orders lists every order, oldest first.
func (p *Provider) Orders() []Order {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Order, 0, len(p.ids))
	for _, id := range p.ids {
		o := *p.orders[id]
		o.Deliveries = slices.Clone(o.Deliveries)
		out = append(out, o)
	}
	return out
}

// Stats sums the orders up.
func (p *Provider) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	var s Stats
	for _, o := range p.orders {
		s.Sent++
		s.Deliveries += len(o.Deliveries)
		switch {
		case !o.Acknowledged.IsZero():
			s.Acknowledged++
		case o.GivenUp:
			s.GivenUp++
		default:
			s.Pending++
		}
		for _, d := range o.Deliveries {
			if d.Status == http.StatusServiceUnavailable {
				s.Refused++
			}
		}
	}
	return s
}

// Settled waits until every order that was sent is acknowledged or given up.
func (p *Provider) Settled(ctx context.Context) error {
	for {
		s := p.Stats()
		if s.Pending == 0 {
			return nil
		}
		if !sleep(ctx, 100*time.Millisecond) {
			return fmt.Errorf("%d orders are still being delivered: %w", s.Pending, ctx.Err())
		}
	}
}

func (p *Provider) close() error {
	p.cancel()
	p.tasks.Wait()
	return errors.Join(p.writer.Flush(), p.journal.Close())
}
