package webhooks

import (
	"net/http"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Level says how sure a figure is.
type Level string

// From the surest to the least sure.
const (
	// Documented: stated by the provider.
	Documented Level = "documented"
	// Observed: seen in the provider's own code or samples.
	Observed Level = "observed"
	// Community: told by third parties, or read in a library that the provider seems to
	// be built on.
	Community Level = "community"
	// Assumed: nothing was found; a cautious figure for planning.
	Assumed Level = "assumed"
)

// Source is where a figure comes from.
type Source struct {
	Level Level
	URL   string // empty with Assumed
	Read  string // when it was looked up, as 2026-11-26
	Note  string // what the source does not say
}

// Schedule is when a provider tries again. Tries are counted from the first one,
// whatever the answers took.
type Schedule struct {
	Source                // of Retries and Window
	Retries int           // tries after the first; 0: not stated
	Window  time.Duration // from the first try to the end of the last; 0: not stated
	Waits   []time.Duration
	Spacing Source // of Waits, what is modelled between one try and the next
	// an outage up to this long loses nothing by what is stated; longer ones may, since
	// the spacing is not
	NoLoss   time.Duration
	Terminal string // answers that end the retries at once, for people; empty: none
}

// Offsets gives the time of each retry since the first try.
func (s Schedule) Offsets() []time.Duration {
	out := make([]time.Duration, len(s.Waits))
	var sum time.Duration
	for i, w := range s.Waits {
		sum += w
		out[i] = sum
	}
	return out
}

// Last gives the time of the last retry since the first try, as modelled: an order that
// fails then is lost. 0: it is tried once.
func (s Schedule) Last() time.Duration {
	var sum time.Duration
	for _, w := range s.Waits {
		sum += w
	}
	return sum
}

// Deadline is how long a provider waits for an answer.
type Deadline struct {
	Source
	Connect time.Duration // for the connection alone; 0: not stated
	Total   time.Duration
}

// Trait is a yes or no about a provider.
type Trait struct {
	Source
	Holds bool
}

// Removal is what a provider does to the endpoint itself when deliveries keep failing.
type Removal struct {
	Source
	What string // such as "the subscription is deleted"; empty: nothing is known to happen
	// AfterLastTry: it happens when the first order has failed for the last time. The
	// simulator does it. Without, the time is not stated.
	AfterLastTry bool
	// StopsPending: orders that were still to be tried again are dropped with it.
	StopsPending bool
}

// Recovery is how to get back what was lost.
type Recovery struct {
	Source
	Action string
	For    time.Duration // how far back the provider keeps it; 0: not stated
}

// Event is what a verified delivery is about.
type Event struct {
	Sender  string
	ID      string // the provider's id of the event; empty where it has none
	Type    string
	Object  string // the order or payment it is about, as far as known
	Created time.Time
	Key     string // dedupe key: the same at every try of the same event, within the provider
}

// Sender is a payment provider as the sender of webhooks. It is a value: change a copy
// to model another plan of the same one.
type Sender struct {
	ID      string // stable: stripe, shopify, clickfunnels, copecart, cope
	Name    string
	Variant string // which of several setups of the provider; for people

	Signature Source // of the scheme
	Header    string // that carries the signature
	// accepted age of a signature, both ways; 0: the signature carries no time, so a
	// captured delivery stays valid
	Tolerance time.Duration
	Dedupe    Source
	DedupeBy  string // for people

	SuccessRule string // for people; Success decides
	SuccessOf   Source
	Reply       string // the body that an app should answer with

	Deadline  Deadline
	Schedule  Schedule
	Redirects Trait // follows them
	// retries go to the address that was configured when the event was triggered
	Pinned   Trait
	Removal  Removal
	Recovery Recovery
	Trap     string // what surprises

	object     string // where a body has the id of its order, for people
	scheme     scheme
	identify   func(http.Header, object) Event
	request    func(http.Header, Order, int) []byte
	exactly    string // a 2xx answer must have exactly this body; empty: any
	terminal4x bool
}

// Success reports whether the provider takes the answer for a delivery that arrived.
func (p Sender) Success(status int, body []byte) bool {
	return status >= 200 && status <= 299 && (p.exactly == "" || string(body) == p.exactly)
}

// Retryable reports whether the provider tries again after an answer that is no
// success. Status 0 is no answer.
func (p Sender) Retryable(status int) bool {
	return !(p.terminal4x && status >= 400 && status <= 499)
}

// Verify checks that a delivery comes from the provider, over the raw body as it was
// received, with any one of the secrets: two are valid while one is being replaced. An
// error has the kind Unauthenticated when the signature does not prove the body or its
// time is further from now than Tolerance, and Invalid when the body is signed but is
// no event.
func (p Sender) Verify(
	h http.Header, rawBody []byte, secrets []migration.Secret, now time.Time,
) (Event, error) {
	if err := p.scheme.verify(p, h, rawBody, usable(secrets), now); err != nil {
		return Event{}, err
	}
	e, err := p.event(h, rawBody)
	if err != nil {
		return Event{}, migration.Errorf(migration.Invalid,
			"the body of this signed webhook of %s is not a JSON object: %w", p.Name, err)
	}
	return e, nil
}

// Identify says what a body is about that comes without a signature, as from an export:
// what Verify says of a delivery. h may be nil. An error has the kind Invalid: the body
// is no JSON object, or names no order.
func (p Sender) Identify(h http.Header, body []byte) (Event, error) {
	e, err := p.event(h, body)
	if err != nil {
		return Event{}, migration.Errorf(migration.Invalid, "is no JSON object")
	}
	if e.Object == "" {
		return Event{}, migration.Errorf(migration.Invalid,
			"names no order: %s has its id in %s", p.Name, p.object)
	}
	return e, nil
}

func (p Sender) event(h http.Header, rawBody []byte) (Event, error) {
	o, err := decode(rawBody)
	if err != nil {
		return Event{}, err
	}
	e := p.identify(h, o)
	e.Sender = p.ID
	if e.Key == "" {
		e.Key = e.ID
	}
	if e.Key == "" {
		// a signed order is never refused for want of an id; a retry has the same body
		e.Key = digest(rawBody)
	}
	return e, nil
}

// Sign sets the headers that prove body at a time, as the provider does: with each
// secret where the scheme has room for several, else with the first.
func (p Sender) Sign(h http.Header, body []byte, secrets []migration.Secret, at time.Time) {
	p.scheme.sign(p, h, body, usable(secrets), at)
}

// Order is one payment as a provider sees it.
type Order struct {
	ID    string
	At    time.Time // triggered
	Value int64     // in minor units of the currency, such as cents

	Event    string         // the event's id, at CopeCart the transaction's; empty: made of ID
	Customer string         // the provider's id of them; may be empty
	Items    []Item         // may be none
	Extra    map[string]any // further fields beside the amount, for test traffic
}

// Item is a line of an order. Price is of one, in minor units.
type Item struct {
	SKU        string
	Qty, Price int64
}

// Request makes the delivery of an order's event: the same body at every try, signed
// anew at each.
func (p Sender) Request(
	o Order, try int, secrets []migration.Secret, at time.Time,
) (http.Header, []byte) {
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	body := p.request(h, o, try)
	p.Sign(h, body, secrets, at)
	return h, body
}
