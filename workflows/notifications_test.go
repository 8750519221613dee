package workflows

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
)

func TestOnlyAnEngineerTestsAChannelAndHearsWhyItFailed(t *testing.T) {
	t.Parallel()
	var gone atomic.Bool
	var took atomic.Value
	slack := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if gone.Load() {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		var message struct{ Text string }
		_ = json.NewDecoder(r.Body).Decode(&message)
		title, _, _ := strings.Cut(message.Text, "\n")
		took.Store(title)
	}))
	t.Cleanup(slack.Close)
	cfg := settings(t.TempDir())
	cfg.Notifications = []config.Notification{
		{Name: "pager", Type: "pagerduty", URL: migration.Secret(slack.URL), RoutingKey: "CANARY"},
		{Name: "slack", Type: "slack", URL: migration.Secret(slack.URL + "/services/CANARY")},
	}
	b := openBench(t, cfg, planOf(false))
	_, err := b.TestNotification(t.Context(), carol, mid, "slack")
	wantKind(t, err, migration.Forbidden)
	_, err = b.TestNotification(t.Context(), ada, mid, "mail")
	wantKind(t, err, migration.NotFound, "pager, slack")
	c, err := b.TestNotification(t.Context(), ada, mid, "slack")
	ok(t, err)
	if c.Sent != 1 || c.SentAt == nil || c.Failing() {
		t.Errorf("%+v", c)
	}
	if title := took.Load(); title != "*Test of the channel slack*" {
		t.Errorf("took %q", title)
	}
	gone.Store(true)
	_, err = b.TestNotification(t.Context(), ada, mid, "slack")
	wantKind(t, err, migration.Conflict, "404", "address and key")
	_, err = b.SendDigest(t.Context(), carol, mid)
	wantKind(t, err, migration.Forbidden)
	digests, err := b.Audit(t.Context(), AuditFilter{Action: "send digest", Limit: 10})
	ok(t, err)
	if len(digests) != 1 || digests[0].Result != "refused" || digests[0].Actor != "carol" {
		t.Errorf("%+v", digests)
	}
	log, err := b.Audit(t.Context(), AuditFilter{Action: "test", Limit: 10})
	ok(t, err)
	if len(log) != 4 || log[0].Result != "refused" || log[1].Result != "ok" ||
		log[1].Subject != "notification channel slack" {
		t.Errorf("%+v", log)
	}
}

func TestAChannelThatCouldNotWorkKeepsTheServerFromStartingAndNamesItself(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]config.Notification{
		"no https": {Name: "chat", Type: "slack", URL: "http://hooks.example.com/CANARY"},
		"a key that is no key": {Name: "chat", Type: "webhook",
			URL: "https://hooks.example.com/CANARY", Secret: "CANARY"},
		"a mail server by name": {Name: "chat", Type: "email", SMTP: config.SMTP{Addr: "mail.example.com",
			Password: "CANARY", From: "a@example.com", To: []string{"b@example.com"}}},
	} {
		cfg := settings(t.TempDir())
		cfg.Notifications = []config.Notification{c}
		readers, err := NewReaders(cfg, slog.New(slog.DiscardHandler))
		ok(t, err)
		_, err = Open(t.Context(), cfg, readers, slog.New(slog.DiscardHandler))
		if migration.KindOf(err) != migration.Invalid || err == nil ||
			!strings.Contains(err.Error(), "notifications: chat: ") ||
			strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: %v", rule, err)
		}
	}
}
