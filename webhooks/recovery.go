package webhooks

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/httpapi"
)

// Found is an event or order that the provider has and that was not known here.
type Found struct {
	Event Event
	Body  []byte // as the provider gives it now; for an event of Stripe the same object as in the webhook, not the same bytes
	// Undelivered is how many endpoints have not taken it; 0 when the provider does not tell.
	Undelivered int
}

// Recoverer asks a provider for what was lost. Missing gives what the provider has since a time and known does not know, oldest first. It
// only reads. An error means that the list is not complete: nothing is given then.
type Recoverer interface {
	Missing(ctx context.Context, since time.Time, known func(Event) bool) ([]Found, error)
}

// mostFound bounds what one Missing reads.
const mostFound = 200_000

// StripeEvents recovers events through Stripe's API: https://docs.stripe.com/webhooks/process-undelivered-events
type StripeEvents struct {
	Base string       // empty: Stripe's
	HTTP *http.Client // nil: one of its own
	Key  migration.Secret
	// Types keeps to these types of events, at most 20; empty: all.
	Types []string
	// Acknowledged also looks at events that an endpoint answered with success: they too are missing when they were lost behind the answer,
	// as in a Redis that evicts jobs.
	Acknowledged bool
	Now          func() time.Time // nil: time.Now
}

const (
	stripeBase = "https://api.stripe.com"
	// stripeKeeps is how far back events are listed: https://docs.stripe.com/api/events/list
	stripeKeeps = 30 * 24 * time.Hour
	// stripePage keeps a page of large events within what httpapi reads. The API allows 100.
	stripePage  = 50
	stripeTypes = 20
)

// Missing implements Recoverer. Events are known by their id (Event.Key, Event.JobID).
func (s StripeEvents) Missing(ctx context.Context, since time.Time, known func(Event) bool) ([]Found, error) {
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	if age := now().Sub(since); age > stripeKeeps {
		return nil, migration.Errorf(migration.Invalid, "Stripe lists events of the last 30 days; %s is %.0f days ago: ask from a later time, and take what is older from an export of payments",
			since.UTC().Format(time.DateTime), age.Hours()/24)
	}
	if len(s.Types) > stripeTypes {
		return nil, migration.Errorf(migration.Invalid, "Stripe takes at most %d types of events in one question; these are %d: ask for fewer, or for all", stripeTypes, len(s.Types))
	}
	query := url.Values{"limit": {strconv.Itoa(stripePage)}, "created[gte]": {strconv.FormatInt(since.Unix(), 10)}}
	if !s.Acknowledged {
		query.Set("delivery_success", "false")
	}
	for _, t := range s.Types {
		query.Add("types[]", t)
	}
	api := httpapi.Client{API: "stripe", Base: stripeBase, HTTP: s.HTTP, Key: s.Key}
	if s.Base != "" {
		api.Base = s.Base
	}
	var out []Found
	for seen := 0; ; {
		var page struct {
			Data    []json.RawMessage `json:"data"`
			HasMore bool              `json:"has_more"`
		}
		if err := s.get(ctx, api, "/v1/events?"+query.Encode(), &page); err != nil {
			return nil, fmt.Errorf("list Stripe's events since %s: %w", since.UTC().Format(time.RFC3339), err)
		}
		last := ""
		for _, raw := range page.Data {
			o, err := decode(raw)
			if err != nil || o.text("id") == "" {
				return nil, fmt.Errorf("list Stripe's events: one has no id")
			}
			e := stripeEvent(nil, o)
			e.Provider, e.Key = "stripe", e.ID
			last = e.ID
			if !known(e) {
				n, _ := strconv.Atoi(o.text("pending_webhooks")) // none: 0, not told
				out = append(out, Found{Event: e, Body: raw, Undelivered: n})
			}
		}
		seen += len(page.Data)
		switch {
		case !page.HasMore:
			return oldestFirst(out), nil
		case last == "" || last == query.Get("starting_after"):
			return nil, fmt.Errorf("list Stripe's events: the API says that there is more after %q but gives none", last)
		case seen >= mostFound:
			return nil, tooMany("Stripe", seen)
		}
		query.Set("starting_after", last)
	}
}

// get is httpapi's Do for Stripe's form of errors: https://docs.stripe.com/api/errors
func (s StripeEvents) get(ctx context.Context, api httpapi.Client, path string, out any) error {
	status, body, err := api.Send(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		var refusal struct {
			Error struct{ Message string }
		}
		_ = json.Unmarshal(body, &refusal) // another form has no message
		message := refusal.Error.Message
		if key := s.Key.Reveal(); key != "" {
			message = strings.ReplaceAll(message, key, "redacted")
		}
		where, _, _ := strings.Cut(path, "?")
		return &httpapi.Error{API: "stripe", Call: "GET " + where, Status: status, Message: message}
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("stripe: the answer is not the documented JSON (%d bytes)", len(body))
	}
	return nil
}

func oldestFirst(found []Found) []Found {
	for i, j := 0, len(found)-1; i < j; i, j = i+1, j-1 {
		found[i], found[j] = found[j], found[i]
	}
	return found
}

func tooMany(name string, n int) error {
	return migration.Errorf(migration.Invalid, "%s has more than %d entries since then: ask from a later time, in parts", name, n)
}
