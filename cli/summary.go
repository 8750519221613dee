package cli

import (
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/workflows"
)

type summaryCmd struct {
	Show   summaryShowCmd   `cmd:"" default:"withargs" help:"Print the status or closing report."`
	Links  summaryLinksCmd  `cmd:"" help:"List the links to it that need no account."`
	Share  summaryShareCmd  `cmd:"" help:"Make such a link."`
	Revoke summaryRevokeCmd `cmd:"" help:"Make such a link lead nowhere."`
}

type summaryShowCmd struct{ remote }

// Help tells what the report is.
func (summaryShowCmd) Help() string {
	return "The closing report once every criterion is met, a status report until then. --json " +
		"prints it with its digest, which is of the canonical JSON without the digest: " +
		"jq -cSj 'del(.digest)' FILE | sha256sum."
}

// Run prints the report.
func (c summaryShowCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	r, err := client.Report(s.ctx, mid)
	if err != nil {
		return err
	}
	return c.print(s, r, func(t table) { writeSummary(t, r) })
}

func writeSummary(t table, r api.Report) {
	t.row("%s: %s report as of %s", r.Name, r.Kind, r.At.UTC().Format(time.RFC3339))
	t.row("%d of %d criteria are met. %s.", r.Met, r.Total, r.Phase)
	if r.Orders.Unknown == "" {
		t.row("Orders: %d acknowledged, %d processed, %d lost, %d processed twice.",
			r.Orders.Acknowledged, r.Orders.Processed, r.Orders.Lost, r.Orders.Twice)
	} else {
		t.row("Orders: no figures: %s.", r.Orders.Unknown)
	}
	t.row("Forecast: %s: %s.", r.Forecast.State, strings.Join(r.Forecast.Reasons, "; "))
	for _, n := range r.Next {
		t.row("Next: %s", n.Title)
	}
	t.row("Rollbacks carried out: %d. Incidents: %d. Waivers: %d.", len(r.Rollbacks),
		len(r.Incidents), len(r.Waivers))
	t.row("Digest (SHA-256, not a signature): %s", r.Digest)
}

type summaryLinksCmd struct{ remote }

// Run lists the links.
func (c summaryLinksCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	all, err := client.ReportLinks(s.ctx, mid)
	if err != nil {
		return err
	}
	return c.print(s, all, func(t table) {
		for _, l := range all {
			writeLink(t, l)
		}
	})
}

func writeLink(t table, l workflows.ReportLink) {
	state := "until " + l.Until.UTC().Format(time.RFC3339)
	if l.RevokedAt != nil {
		state = "revoked by " + l.RevokedBy
	}
	t.row("%d\t%s\tby %s\t%s", l.ID, state, l.By, l.Note)
}

type summaryShareCmd struct {
	remote
	For  time.Duration `help:"For how long it counts, 1h to 720h." default:"168h"`
	Note string        `help:"Whom it is for."`
}

// Run makes a link and prints its address, this once.
func (c summaryShareCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	made, err := client.ShareReport(s.ctx, mid, api.NewReportLink{Note: c.Note,
		Hours: int(c.For / time.Hour)})
	if err != nil {
		return err
	}
	return c.print(s, made, func(t table) { t.row("%s", made.Address) })
}

type summaryRevokeCmd struct {
	remote
	ID int64 `arg:"" help:"Number of the link."`
}

// Run revokes a link.
func (c summaryRevokeCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	return client.RevokeReportLink(s.ctx, mid, c.ID)
}
