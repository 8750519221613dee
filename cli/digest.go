package cli

import (
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/api"
)

type digestCmd struct {
	Show digestShowCmd `cmd:"" default:"withargs" help:"Print the digest as it would be sent now."`
	Send digestSendCmd `cmd:"" help:"Send it now to the channels that take it."`
}

type digestShowCmd struct{ remote }

// Help tells what the digest is.
func (digestShowCmd) Help() string {
	return "The status report in short, since the last digest. Channels with digest: true get it " +
		"every week."
}

// Run prints the digest.
func (c digestShowCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	d, err := client.Digest(s.ctx, mid)
	if err != nil {
		return err
	}
	return c.print(s, d, func(t table) { writeDigest(t, d) })
}

func writeDigest(t table, d api.Digest) {
	t.row("%s", d.Title)
	t.row("%s", d.Lead)
	for _, p := range d.Parts {
		t.row("%s", strings.ToUpper(p.Title))
		for _, l := range p.Lines {
			t.row("- %s", l)
		}
	}
	writeDigestPlan(t, d.Plan)
}

func writeDigestPlan(t table, p api.DigestPlan) {
	if p.Next == nil {
		t.row("It is not sent: no channel has digest: true.")
		return
	}
	t.row("Sent %s to %s, next at %s.", p.When, strings.Join(p.Channels, ", "),
		p.Next.Format(time.RFC3339))
}

type digestSendCmd struct{ remote }

// Help tells that the weekly one is sent all the same.
func (digestSendCmd) Help() string {
	return "It does not stand for the weekly one. Channels get one a minute at most."
}

// Run sends the digest.
func (c digestSendCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	p, err := client.SendDigest(s.ctx, mid)
	if err != nil {
		return err
	}
	return c.print(s, p, func(t table) {
		t.row("Queued for %s. `switchyard notifications` shows whether it was taken.",
			strings.Join(p.Channels, ", "))
	})
}
