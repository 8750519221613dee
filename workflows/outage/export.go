package outage

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/webhooks"
)

// provider finds a provider by its id.
func provider(id string) (webhooks.Sender, error) {
	p, known := webhooks.ByID(id)
	if !known {
		return p, migration.Errorf(
			migration.Invalid,
			"%.40q is no payment provider that Switchyard knows; it knows %s",
			id,
			strings.Join(Providers(), ", "),
		)
	}
	return p, nil
}

// Providers lists the ids of the payment providers.
func Providers() []string { return webhooks.SenderIDs() }

// ProviderName is the name of a provider, for people; of one that is none, its id.
func ProviderName(id string) string {
	if p, known := webhooks.ByID(id); known {
		return p.Name
	}
	return id
}

// export is what a caller has of a provider, in the place of its API.
type export struct {
	provider webhooks.Sender
	events   []json.RawMessage
}

// Missing implements webhooks.Recoverer: all of it, whatever its time, in its order. The
// same event twice counts once.
func (x export) Missing(
	_ context.Context,
	_ time.Time,
	known func(webhooks.Event) bool,
) ([]webhooks.Found, error) {
	if len(x.events) > ReplayMost {
		return nil, migration.Errorf(
			migration.Invalid,
			"events holds %d, and one request may hold %d: hand over the rest with another, as "+
				"switchyard replay --file does",
			len(x.events),
			ReplayMost,
		)
	}
	var out []webhooks.Found
	given := map[string]bool{}
	for i, body := range x.events {
		e, err := x.provider.Identify(nil, body)
		if err != nil {
			return nil, migration.Errorf(
				migration.Invalid,
				"nothing was handed over: event %d of %d %w",
				i+1,
				len(x.events),
				err,
			)
		}
		if !given[e.Key] && !known(e) {
			out = append(out, webhooks.Found{Event: e, Body: body})
		}
		given[e.Key] = true
	}
	return out, nil
}

// Body implements webhooks.Recoverer.
func (x export) Body(_ context.Context, f webhooks.Found) ([]byte, error) { return f.Body, nil }

// ReadEvents reads a file of a provider's events, as webhooks.Sender.ReadEvents does.
func ReadEvents(id string, file []byte) ([]json.RawMessage, error) {
	p, err := provider(id)
	if err != nil {
		return nil, err
	}
	return p.ReadEvents(file)
}
