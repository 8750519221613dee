package notify

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/switchyard-dev/switchyard/migration"
)

// slack posts to an incoming webhook
// (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks).
type slack struct {
	url migration.Secret
	poster
}

// NewSlack sends to a Slack incoming webhook. Its URL is the credential.
func NewSlack(url migration.Secret) (Channel, error) {
	p, err := newPoster(url)
	return slack{url, p}, err
}

// mrkdwn escapes what would be a link, a mention or an entity
// (https://docs.slack.dev/messaging/formatting-message-text).
var mrkdwn = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// Send implements Channel.
func (s slack) Send(ctx context.Context, e Event) error {
	e = e.Bounded()
	text := "*" + mrkdwn.Replace(e.heading()) + "*\n" + mrkdwn.Replace(e.Source)
	if e.Text != "" {
		text += "\n" + mrkdwn.Replace(e.Text)
	}
	if e.URL != "" {
		text += "\n<" + mrkdwn.Replace(e.URL) + "|Open in Switchyard>"
	}
	if e.Runbook != "" {
		text += "\n<" + mrkdwn.Replace(e.Runbook) + "|Runbook>"
	}
	body, err := json.Marshal(map[string]any{"text": text, "unfurl_links": false})
	if err != nil {
		return err
	}
	return hiding(s.post(ctx, s.url, body, nil, http.StatusOK), s.url)
}
