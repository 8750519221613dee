package twin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/webhooks"
)

// deliver tries until a success, or gives up.
func (p *Provider) deliver(ctx context.Context, id string) {
	p.mu.Lock()
	o := p.orders[id]
	tries, sender, payment := len(o.Deliveries), o.sender(), o.payment()
	p.mu.Unlock()
	for {
		d, ok := p.attempt(ctx, sender, payment, tries)
		if !ok {
			return
		}
		p.mu.Lock()
		o.add(d)
		p.note(entry{ID: id, Delivery: &d})
		acknowledged := !o.Acknowledged.IsZero()
		if acknowledged && p.events != nil {
			p.events.Delivered(o.Event)
		}
		tries++
		if !acknowledged && (tries >= giveUpAfter || !sender.Retryable(d.Status)) {
			o.GivenUp = true
			p.note(entry{ID: id, GivenUp: true})
		}
		gone := o.GivenUp
		p.mu.Unlock()
		if acknowledged {
			break
		}
		if gone || !sleep(ctx, schedule[min(tries-1, len(schedule)-1)]) {
			return
		}
	}
	if pick(id).IntN(100) == 0 && sleep(ctx, 1500*time.Millisecond) {
		if d, ok := p.attempt(ctx, sender, payment, tries); ok {
			p.mu.Lock()
			o.add(d)
			p.note(entry{ID: id, Delivery: &d})
			p.mu.Unlock()
		}
	}
}

// attempt makes one delivery, signed anew; not ok when the provider is closing.
func (p *Provider) attempt(
	ctx context.Context,
	sender webhooks.Sender,
	payment webhooks.Order,
	try int,
) (Delivery, bool) {
	select {
	case <-ctx.Done():
		return Delivery{}, false
	case p.slots <- struct{}{}:
	}
	defer func() { <-p.slots }()
	d := Delivery{At: time.Now()}
	header, body := sender.Request(payment, try, []migration.Secret{p.secrets[sender.ID]}, d.At)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.door(sender)+"/webhooks/"+sender.ID,
		bytes.NewReader(body))
	if err != nil {
		return d, false
	}
	req.Header = header
	if d.Status, body, err = p.answer(req); err != nil {
		d.Status, d.Error = 0, err.Error()
	} else if d.Status >= 200 && d.Status <= 299 && !sender.Success(d.Status, body) {
		d.Error = "not a success: " + sender.SuccessRule
	}
	d.MS = time.Since(d.At).Milliseconds()
	return d, ctx.Err() == nil
}

// answer sends a request and reads its answer to the end, so that the connection is used
// again.
func (p *Provider) answer(req *http.Request) (int, []byte, error) {
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, body, errors.Join(err, resp.Body.Close())
}

// pick gives an order's own random numbers: the same order is the same at every try and
// in every run.
func pick(id string) *rand.Rand {
	sum := sha256.Sum256([]byte(id))
	return rand.New(rand.NewChaCha8(sum)) //nolint:gosec // nothing here is secret
}

// payment is what the webhook tells, the same at every try and after a restart. About one
// order in twenty fails once or twice in the worker, two in a hundred are to be fulfilled
// some seconds later and two in a hundred half a minute later, so that retries and
// delayed jobs are always under way.
func (o *Order) payment() webhooks.Order {
	r := pick("body " + o.ID)
	out := webhooks.Order{ID: strings.TrimPrefix(o.ID, o.Provider+":"), At: o.Sent, Event: o.Event}
	for range 1 + r.IntN(3) {
		item := webhooks.Item{
			SKU:   fmt.Sprintf("SKU-%03d", r.IntN(200)),
			Qty:   1 + r.Int64N(3),
			Price: 100 * (1 + r.Int64N(50)),
		}
		out.Value += item.Qty * item.Price
		out.Items = append(out.Items, item)
	}
	fail, delay := 0, 0
	if r.IntN(20) == 0 {
		fail = 1 + r.IntN(2)
	}
	switch r.IntN(100) {
	case 0, 1:
		delay = 500 + r.IntN(7500)
	case 2, 3:
		delay = 20_000 + r.IntN(25_000)
	}
	if o.Delay > 0 {
		delay = int(o.Delay.Milliseconds())
	}
	out.Customer = fmt.Sprintf("cus_%04d", r.IntN(5000))
	out.Extra = map[string]any{"switchyard_delay_ms": delay, "switchyard_fail_times": fail}
	return out
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// noRedirect has a client take a redirect for the answer, as payment providers do.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
