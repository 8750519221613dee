package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// PagerDutyURL is the Events API of accounts in the US service region; in the EU it is
// https://events.eu.pagerduty.com.
const PagerDutyURL = "https://events.pagerduty.com"

// pagerDuty sends alerts to the Events API v2 and everything else as change events,
// which wake nobody (https://developer.pagerduty.com/docs/events-api-v2/overview).
type pagerDuty struct {
	base string
	key  migration.Secret
	poster
}

// NewPagerDuty sends to the integration that a routing key belongs to. base is
// PagerDutyURL when empty.
func NewPagerDuty(base string, routingKey migration.Secret) (Channel, error) {
	base = strings.TrimSuffix(cmp.Or(base, PagerDutyURL), "/")
	p, err := newPoster(migration.Secret(base))
	return pagerDuty{base, routingKey, p}, err
}

type pdEvent struct {
	RoutingKey string `json:"routing_key"`
	// trigger, resolve; a change event has none
	Action    string     `json:"event_action,omitempty"`
	DedupKey  string     `json:"dedup_key,omitempty"`
	Client    string     `json:"client,omitempty"`
	ClientURL string     `json:"client_url,omitempty"`
	Payload   *pdPayload `json:"payload,omitempty"`
	Links     []pdLink   `json:"links,omitempty"`
}

type pdPayload struct {
	Summary   string         `json:"summary"`
	Source    string         `json:"source"`
	Severity  string         `json:"severity,omitempty"`
	Timestamp string         `json:"timestamp"`
	Details   map[string]any `json:"custom_details,omitempty"`
}

type pdLink struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

// Send implements Channel.
func (p pagerDuty) Send(ctx context.Context, e Event) error {
	e = e.Bounded()
	out, path := pdEvent{RoutingKey: p.key.Reveal()}, "/v2/enqueue"
	if e.URL != "" {
		out.Links = []pdLink{{e.URL, "Open in Switchyard"}}
	}
	if e.Runbook != "" {
		out.Links = append(out.Links, pdLink{e.Runbook, "Runbook"})
	}
	payload := &pdPayload{
		Summary:   e.Title,
		Source:    e.Source,
		Timestamp: e.At.UTC().Format(time.RFC3339Nano),
		Details:   map[string]any{"event": e.ID, "key": e.Key},
	}
	if e.Text != "" {
		payload.Details["text"] = e.Text
	}
	switch e.Kind {
	case Alert:
		payload.Severity = string(e.Severity)
		out.Action, out.DedupKey, out.Payload, out.Client, out.ClientURL = "trigger", e.Key,
			payload, "Switchyard", e.URL
	case Resolve:
		out.Action, out.DedupKey, out.Links = "resolve", e.Key, nil
	case Digest:
		return failure("a digest is for reading: it is not sent to a pager")
	case Approval, Change, Test:
		out.Payload, path = payload, "/v2/change/enqueue"
	}
	body, err := json.Marshal(out)
	if err != nil {
		return err
	}
	return hiding(p.post(ctx, migration.Secret(p.base+path), body, nil,
		http.StatusAccepted), p.key)
}
