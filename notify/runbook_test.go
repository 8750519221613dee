package notify

import (
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
)

func TestEveryChannelLeadsToTheRunbookOfAnAlert(t *testing.T) {
	t.Parallel()
	e := alertOf("orders/ledger/lost", Critical)
	e.Runbook = "https://s.example.com/m/orders/runbooks/alert-ledger-lost"
	s, post := newStandIn(t, answers(200)), newSMTPServer(t)
	pager := newStandIn(t, (&eventsAPI{open: map[string]string{}}).answer)
	for _, c := range []Channel{
		made(t)(NewSlack(migration.Secret(s.URL + "/services/T/B/x"))),
		made(t)(NewWebhook(migration.Secret(s.URL+"/hook"), signingSecret())),
		made(t)(NewPagerDuty(pager.URL, routingKey)),
		made(t)(NewEmail(post.settings(canary))),
	} {
		if err := c.Send(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"Slack": string(s.got[0].body),
		"a webhook": string(s.got[1].body), "PagerDuty": string(pager.got[0].body),
		"a mail": strings.ReplaceAll(post.mails[0], "=\r\n", "")} {
		if !strings.Contains(text, e.Runbook) {
			t.Errorf("%s does not name it: %s", name, text)
		}
	}
}
