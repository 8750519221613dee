package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
)

type outageCmd struct {
	remote
	For time.Duration `default:"25s" help:"Length of the outage to simulate, such as 25s or 5h."`
}

// Help tells when the command fails.
func (outageCmd) Help() string {
	return "Fails while orders are being lost, or when a loss cannot be excluded any more."
}

// Run prints the retry deadlines and what an outage of a length would do.
func (c outageCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	o, err := client.Outage(s.ctx, mid, c.For)
	if err != nil {
		return err
	}
	if err := c.print(s, o, func(t table) { writeOutage(t, o) }); err != nil {
		return err
	}
	var urgent []string
	for _, p := range o.Providers {
		if p.Clock != nil && (p.Clock.Severity == "critical" || p.Clock.Severity == "losing") {
			urgent = append(urgent, p.Provider.Name+" is "+p.Clock.Severity)
		}
	}
	switch {
	case len(urgent) > 0:
		return migration.Errorf(migration.Blocked, "%s", strings.Join(urgent, ", "))
	case o.Unknown != "":
		return migration.Errorf(migration.Unavailable,
			"unknown whether orders are being rejected: %s", o.Unknown)
	}
	return nil
}

func writeOutage(t table, o api.Outage) {
	if o.Since == nil {
		t.row("now\tno order is missing")
	} else {
		t.row("now\torders are missing since %s", o.Since.UTC().Format(time.RFC3339))
	}
	for _, p := range o.Providers {
		if c := p.Clock; c != nil {
			t.row("  %s\t%s, %s missing, first loss %s (%s)\t%s", p.Provider.Name,
				strings.ToUpper(c.Severity), count(p.Missing, "order"),
				c.FirstLoss.UTC().Format(time.RFC3339), c.Confidence, p.Provider.Recovery.Text)
		}
	}
	t.row("%s\t%s", migration.Words(o.WhatIf), o.Prospect.Advice)
	for _, p := range o.Providers {
		counted := "unknown how many"
		if f := p.Forecast; p.PerMinute > 0 {
			counted = fmt.Sprintf("%d rejected, %d lost", f.Refused, f.Lost)
		}
		t.row("  %s\t%s, %s (%s)\t%s", p.Provider.Name, strings.ToUpper(p.Forecast.Verdict),
			counted, p.Forecast.Confidence, p.Forecast.Recovery)
	}
}
