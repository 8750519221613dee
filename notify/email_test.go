package notify

import (
	"context"
	"net/http"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

func TestMailGoesEncryptedSignedInAndInOneThread(t *testing.T) {
	t.Parallel()
	s := newSMTPServer(t)
	c := made(t)(NewEmail(s.settings(canary)))
	e := alertOf("orders/outage/stripe", Critical)
	for _, e := range []Event{e, e, end(e)} {
		if err := c.Send(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.mails) != 3 || s.auth[0] != "\x00switchyard\x00"+canary {
		t.Fatalf("%d mails, %q", len(s.mails), s.auth)
	}
	var got []*mail.Message
	for _, m := range s.mails {
		msg, err := mail.ReadMessage(strings.NewReader(m))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, msg)
	}
	first, again, last := got[0].Header, got[1].Header, got[2].Header
	if first.Get("Message-ID") != again.Get("Message-ID") ||
		first.Get("Message-ID") == last.Get("Message-ID") ||
		first.Get("References") != last.Get("References") || first.Get("Bcc") != "" {
		t.Errorf("%v\n%v\n%v", first, again, last)
	}
	if s := first.Get("Subject"); !strings.HasPrefix(s,
		"[Switchyard] CRITICAL: Stripe: 2 orders") {
		t.Errorf("subject %q", s)
	}
	if to := first.Get("To"); !strings.Contains(to, "oncall@example.com") ||
		!strings.Contains(to, "lead@example.com") {
		t.Errorf("to %q", to)
	}
}

func TestAMailServersRefusalIsToldWithoutItsWords(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct {
		change func(*smtpServer, *SMTP)
		says   string
	}{
		"no STARTTLS is no way to send": {func(s *smtpServer, _ *SMTP) {
			s.plain = true
		}, "TLS"},
		"a wrong password asks to look at it": {func(_ *smtpServer, c *SMTP) {
			c.Password = canary + "-wrong"
		}, "535"},
		"a message that is refused gives the code": {func(s *smtpServer, _ *SMTP) {
			s.full = true
		}, "452"},
		"a certificate that nobody vouches for": {func(_ *smtpServer, c *SMTP) {
			c.TLSConfig = nil
		}, "certificate"},
		"a server that is not there": {func(_ *smtpServer, c *SMTP) {
			c.Addr = "127.0.0.1:1"
		}, "refused"},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			s := newSMTPServer(t)
			settings := s.settings(canary)
			c.change(s, &settings)
			err := made(t)(NewEmail(settings)).Send(t.Context(), alertOf("orders/x", Error))
			if err == nil || !strings.Contains(err.Error(), c.says) ||
				strings.Contains(err.Error(), "CANARY") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAReceiverThatHangsIsGivenUpOn(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, answers(200))
	release := make(chan struct{})
	s.answer = func(http.ResponseWriter, request) { <-release }
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := made(t)(NewSlack(migration.Secret(s.URL+"/"+canary))).Send(ctx,
		alertOf("orders/x", Error))
	if err == nil || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("%v", err)
	}
}
