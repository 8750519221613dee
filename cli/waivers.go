package cli

import (
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
)

type waiversCmd struct {
	List   waiversListCmd   `cmd:"" default:"withargs" help:"List the waivers."`
	Sign   waiversSignCmd   `cmd:"" help:"Waive somebody or something that is unknown."`
	Revoke waiversRevokeCmd `cmd:"" help:"Take a waiver back."`
}

type waiversListCmd struct{ remote }

// Run lists every waiver, the newest first.
func (c waiversListCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	all, err := client.Waivers(s.ctx, mid)
	if err != nil {
		return err
	}
	return c.print(s, all, func(t table) {
		for _, w := range all {
			writeWaiver(t, w)
		}
	})
}

func writeWaiver(t table, w migration.Waiver) {
	state := "until " + w.Until.UTC().Format(time.RFC3339)
	if w.RevokedAt != nil {
		state = "revoked by " + w.RevokedBy
	}
	t.row("%d\t%s\t%s\tby %s\t%s", w.ID, w.Member, state, w.By, w.Why)
}

type waiversSignCmd struct {
	remote
	Member string        `arg:"" help:"Key of who is unknown, such as worker:ingestion/web-2."`
	Why    string        `help:"Why it is safe to go on." required:""`
	For    time.Duration `help:"For how long it counts, at most 720h." default:"24h"`
}

// Help tells what a waiver cannot do.
func (waiversSignCmd) Help() string {
	return "A waiver is signed by the account that is signed in. It cannot overrule what was " +
		"measured."
}

// Run signs a waiver.
func (c waiversSignCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	w, err := client.Waive(s.ctx, mid, api.WaiverRequest{Member: c.Member, Why: c.Why,
		Until: time.Now().Add(c.For)})
	if err != nil {
		return err
	}
	return c.print(s, w, func(t table) { writeWaiver(t, w) })
}

type waiversRevokeCmd struct {
	remote
	ID int64 `arg:"" help:"Number of the waiver."`
}

// Run takes a waiver back.
func (c waiversRevokeCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	return client.Revoke(s.ctx, mid, c.ID)
}
