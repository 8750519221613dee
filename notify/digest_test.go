package notify

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// digestOf is as long as a digest is: longer than an alert may be.
func digestOf() Event {
	return Event{ID: "orders/digest/2026-W49", Key: "orders/digest", Kind: Digest, Severity: Info,
		Source: "Orders", Title: "Weekly digest: 4 of 7 criteria met, at risk",
		Text: "CRITERIA\n- 4 of 7 met\n" + strings.Repeat("- one more line\n", 150) + "LAST LINE",
		URL:  "https://switchyard.example.com/m/orders/report",
		At:   time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)}
}

func TestADigestKeepsItsLinesAndLeadsToTheReport(t *testing.T) {
	t.Parallel()
	e := digestOf()
	chat := newStandIn(t, answers(200))
	if err := made(t)(NewSlack(migration.Secret(chat.URL+"/services/x"))).
		Send(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	var message struct{ Text string }
	if err := json.Unmarshal(chat.got[0].body, &message); err != nil {
		t.Fatal(err)
	}
	hook := newStandIn(t, answers(204))
	if err := made(t)(NewWebhook(migration.Secret(hook.URL+"/hook"), signingSecret())).
		Send(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	var body webhookBody
	if err := json.Unmarshal(hook.got[0].body, &body); err != nil || body.Type != "digest" {
		t.Errorf("%s %v", hook.got[0].body, err)
	}
	smtp := newSMTPServer(t)
	if err := made(t)(NewEmail(smtp.settings(canary))).Send(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string]string{
		"Slack":   message.Text,
		"webhook": body.Data.Title + "\n" + body.Data.Text + body.Data.URL,
		"mail":    strings.ReplaceAll(smtp.mails[0], "\r\n", "\n"),
	} {
		for _, part := range []string{"4 of 7 criteria met, at risk", "CRITERIA\n- 4 of 7 met\n",
			"LAST LINE", "switchyard.example.com/m/orders/report"} {
			if !strings.Contains(text, part) {
				t.Errorf("%s: %q is missing in %s", where, part, text)
			}
		}
	}
}

func TestAPagerRefusesADigest(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, answers(202))
	err := made(t)(NewPagerDuty(s.URL, canary)).Send(t.Context(), digestOf())
	if err == nil || !strings.Contains(err.Error(), "pager") || len(s.got) != 0 {
		t.Errorf("%v, %d requests", err, len(s.got))
	}
}
