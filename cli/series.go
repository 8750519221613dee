package cli

import (
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/api"
)

type seriesCmd struct {
	Names []string `arg:"" optional:"" name:"name" help:"Names of series. Default: all."`
	Since string   `help:"RFC 3339, or how long ago: 15m, 1h, 6h, 24h, 7d, 30d." default:"1h"`
	remote
}

// Help tells what a row shows.
func (seriesCmd) Help() string {
	return "Shows the last value of each series, and the least, the mean and the most since then. " +
		"With --json also every step."
}

// Run prints what was measured over time.
func (c seriesCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	v, err := client.Series(s.ctx, mid, c.Since, 0, c.Names...)
	if err != nil {
		return err
	}
	return c.print(s, v, func(t table) { writeSeries(t, v) })
}

func writeSeries(t table, v api.SeriesView) {
	t.row("SERIES\tLAST\tMIN\tMEAN\tMAX\tUNIT\tPROOF")
	for _, x := range v.Series {
		if len(x.Mean) == 0 {
			t.row("%s\tnot measured\t\t\t\t%s\t%s", x.Name, x.Unit, x.Proof)
			continue
		}
		least, most, sum := x.Min[0], x.Max[0], 0.0
		for i, m := range x.Mean {
			least, most, sum = min(least, x.Min[i]), max(most, x.Max[i]), sum+m
		}
		t.row("%s\t%s\t%s\t%s\t%s\t%s\t%s", x.Name, figure(x.Mean[len(x.Mean)-1]), figure(least),
			figure(sum/float64(len(x.Mean))), figure(most), x.Unit, x.Proof)
	}
	for _, m := range v.Marks {
		until := "goes on"
		if m.Until != nil {
			until = m.Until.UTC().Format(time.TimeOnly)
		}
		t.row("%s\t%s to %s\t%s: %s", m.Kind, m.From.UTC().Format(time.DateTime), until, m.Title,
			m.State)
	}
}

func figure(v float64) string { return fmt.Sprintf("%.4g", v) }
