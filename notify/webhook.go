package notify

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/switchyard-dev/switchyard/migration"
)

// webhook posts events as JSON, signed by the rules of
// https://www.standardwebhooks.com, so that receivers can use any of its libraries.
type webhook struct {
	url, secret migration.Secret
	signer      *standardwebhooks.Webhook
	now         func() time.Time
	poster
}

// NewWebhook sends to url and signs with secret: whsec_ and base64, of 24 to 64 bytes
// as the standard asks for.
func NewWebhook(url, secret migration.Secret) (Channel, error) {
	signer, err := standardwebhooks.NewWebhook(secret.Reveal())
	if err != nil || !ValidSigningSecret(secret) {
		return nil, migration.Errorf(migration.Invalid,
			"the signing secret must be whsec_ and 24 to 64 random bytes in base64")
	}
	p, err := newPoster(url)
	return webhook{url, secret, signer, time.Now, p}, err
}

type webhookBody struct {
	Type      Kind      `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      Event     `json:"data"`
}

// Send implements Channel.
func (w webhook) Send(ctx context.Context, e Event) error {
	e = e.Bounded()
	body, err := json.Marshal(webhookBody{e.Kind, e.At.UTC(), e})
	if err != nil {
		return err
	}
	id, at := "msg_"+digest(e.ID)[:32], w.now()
	signature, err := w.signer.Sign(id, at, body)
	if err != nil {
		return failure("it could not be signed")
	}
	header := http.Header{}
	header.Set(standardwebhooks.HeaderWebhookID, id)
	header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return hiding(w.post(ctx, w.url, body, header, http.StatusOK, http.StatusCreated,
		http.StatusAccepted, http.StatusNoContent), w.url, w.secret)
}

// ValidSigningSecret reports whether a webhook can be signed with it.
func ValidSigningSecret(secret migration.Secret) bool {
	text, ok := strings.CutPrefix(secret.Reveal(), "whsec_")
	key, err := base64.StdEncoding.DecodeString(text)
	return ok && err == nil && len(key) >= 24 && len(key) <= 64
}
