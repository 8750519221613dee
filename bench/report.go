package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"
)

// report is what test-results/bench.json holds.
type report struct {
	At         time.Time `json:"at"`
	Seconds    int       `json:"seconds_per_row"`
	ServerCore string    `json:"server_core"`
	ClientCore string    `json:"client_core"`
	Spans      int64     `json:"trace_batches"` // how often the server sent traces
	Rows       []row     `json:"rows"`
	FanOut     []fanOut  `json:"fan_out"`
}

func (r *report) print(to io.Writer) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	// Flush returns what failed
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
	p("\nServer on core %s (GOMAXPROCS=1; authentication, metrics and tracing on: %d batches "+
		"of traces), load on core %s: wrk with %d connections, %d s a row.\n",
		r.ServerCore, r.Spans, r.ClientCore, connections, r.Seconds)
	p("request\tserver\tper second\tbusy %%\tCPU µs\tlimit\tp50 ms\tp99 ms\tRSS " +
		"MB\tlimit\tCPU peer/ours\tp99 peer/ours\t\n")
	for _, row := range r.Rows {
		if row.Skipped != "" {
			p("%s\t%s\tskipped: %s\t\n", row.Name, row.Server, row.Skipped)
			continue
		}
		p("%s\t%s\t%.0f\t%.0f\t%.1f\t%s\t%.2f\t%.2f\t%.0f\t%s\t%s\t%s\t\n", row.Name,
			row.Server, row.PerSec, row.Busy, row.CPU, within(row.CPU, row.Limit), row.P50,
			row.P99, row.RSS,
			within(row.RSS, limitRSS*min(1, row.Limit)), ratio(row.CPURatio),
			ratio(row.P99Ratio))
	}
	p("\nOne change of a flag to idle subscribers, in ms from the start of the API's answer " +
		"(told before it: 0), and to the last one from the request.\n")
	p("stream\tsubscribers\tconnections\tp50\tp99\tmax\tmax from request\tRSS MB idle\tRSS " +
		"MB after\t\n")
	for _, f := range r.FanOut {
		p("%s\t%d\t%d\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%s\n", f.Kind, f.Subscribers,
			f.Connections, f.P50, f.P99, f.Max, f.MaxAsked, f.IdleRSS, f.RSS, f.Note)
	}
	return w.Flush()
}

// within shows a limit and whether it is kept; 0 is none.
func within(v, limit float64) string {
	switch {
	case limit == 0:
		return "-"
	case v > limit:
		return fmt.Sprintf("OVER %.0f", limit)
	}
	return fmt.Sprintf("≤ %.0f", limit)
}

func ratio(v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", v)
}

func (r *report) write(file string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o600)
}
