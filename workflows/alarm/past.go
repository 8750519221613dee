package alarm

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/notify"
)

// PastAlert is an alert that is over, as it was told. What no channel was told of is not kept.
type PastAlert struct {
	Key      string
	Severity string
	Title    string
	Since    time.Time // of the first message about it; zero: that one is no longer kept
	Until    time.Time
}

// pastRead is among how many messages, the newest, past alerts are looked for.
const pastRead = 1000

// Past gives alerts that are over, the newest end first, from the messages that are still kept.
func (n *Notifier) Past(ctx context.Context, mid string, limit int) ([]PastAlert, error) {
	messages, err := n.Store.Notifications(ctx, mid, "", pastRead)
	if err != nil {
		return nil, err
	}
	var out []*PastAlert
	ended := map[string]*PastAlert{} // whose begin is still looked for
	for _, m := range messages {     // the newest first: an end comes before its begin
		switch notify.Kind(m.Kind) {
		case notify.Resolve:
			if p := ended[m.Key]; p != nil && (p.Since.IsZero() || p.Since.Equal(m.CreatedAt)) {
				continue // the same end, told to another channel
			}
			var e notify.Event
			if err := json.Unmarshal(m.Event, &e); err != nil {
				return nil, fmt.Errorf("notification %d: %w", m.ID, err)
			}
			p := &PastAlert{
				Key: m.Key, Severity: string(e.Severity), Title: e.Title, Until: m.CreatedAt,
			}
			ended[m.Key], out = p, append(out, p)
		case notify.Alert:
			p := ended[m.Key]
			if p == nil {
				continue // still open
			}
			var e notify.Event
			if err := json.Unmarshal(m.Event, &e); err != nil {
				return nil, fmt.Errorf("notification %d: %w", m.ID, err)
			}
			if p.Since.IsZero() { // the last that was told of it
				p.Severity, p.Title = string(e.Severity), e.Title
			}
			p.Since = m.CreatedAt
		case notify.Approval, notify.Change:
		}
	}
	past := make([]PastAlert, 0, min(len(out), limit))
	for _, p := range out[:min(len(out), limit)] {
		past = append(past, *p)
	}
	return past, nil
}
