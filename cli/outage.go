package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
)

type outageCmd struct {
	remote
	For time.Duration `default:"25s" help:"Length of the outage that is asked about, such as 25s or 5h."`
}

// Run prints the outage clock and what an outage of a length would do. It fails while orders are lost, or a loss cannot be excluded any more.
func (c outageCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	o, err := client.Outage(s.ctx, mid, c.For)
	if err != nil {
		return err
	}
	if err := c.print(s.stdout, o, func(w io.Writer) { writeOutage(w, o) }); err != nil {
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
		return migration.Errorf(migration.Unavailable, "it is not known whether orders are refused: %s", o.Unknown)
	}
	return nil
}

func writeOutage(w io.Writer, o api.Outage) {
	if o.Since == nil {
		_, _ = fmt.Fprintln(w, "now\tno order is missing")
	} else {
		_, _ = fmt.Fprintf(w, "now\torders are missing since %s\n", o.Since.UTC().Format(time.RFC3339))
	}
	for _, p := range o.Providers {
		if c := p.Clock; c != nil {
			_, _ = fmt.Fprintf(w, "  %s\t%s, %d orders not back, first loss %s (%s)\t%s\n", p.Provider.Name, strings.ToUpper(c.Severity), p.Missing, c.FirstLoss.UTC().Format(time.RFC3339), c.Confidence, p.Provider.Recovery.Text)
		}
	}
	_, _ = fmt.Fprintf(w, "%s\t%s\n", o.WhatIf, o.Prospect.Advice)
	for _, p := range o.Providers {
		counted := "how many is not known"
		if p.PerMinute > 0 {
			counted = fmt.Sprintf("%d refused, %d lost", p.Forecast.Refused, p.Forecast.Lost)
		}
		_, _ = fmt.Fprintf(w, "  %s\t%s, %s (%s)\t%s\n", p.Provider.Name, strings.ToUpper(p.Forecast.Verdict), counted, p.Forecast.Confidence, p.Forecast.Recovery)
	}
}
