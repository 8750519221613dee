package digest

import (
	"fmt"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/forecast"
)

// most is how many lines a list of a message has.
const most = 5

// Title is the digest in one line.
func (d Digest) Title() string {
	what := "Weekly digest"
	if d.By != "" {
		what = "Digest"
	}
	return fmt.Sprintf("%s: %d of %d criteria met, %s", what, d.Met, d.Total, d.Forecast.State)
}

// Part is a paragraph of the digest.
type Part struct {
	Title string   `json:"title"`
	Lines []string `json:"lines"`
}

// Parts is the digest as its page and its message have it. Times are in the given zone.
func (d Digest) Parts(zone *time.Location) []Part {
	parts := []Part{
		{"Criteria", d.criteria()},
		{"Forecast", d.outlook(zone)},
		{"Orders", d.orders()},
		{"Alerts", d.alerts(zone)},
		{"Runs", bounded(len(d.Runs), "Nothing was changed.", func(i int) string {
			r := d.Runs[i]
			return fmt.Sprintf("%s, %s, %s by %s", moment(r.At, zone), r.Title, stateWords(r.State),
				r.By)
		})},
		{"Decisions", bounded(len(d.Decisions), "None.", func(i int) string {
			x := d.Decisions[i]
			return fmt.Sprintf("%s, %s %s", moment(x.At, zone), x.By, x.What)
		})},
		{"Next", bounded(len(d.Next), "Nothing can be started now.", func(i int) string {
			n := d.Next[i]
			owner := "no owner in the plan"
			if n.Owner != "" {
				owner = "owner: " + n.Owner
			}
			return fmt.Sprintf("%s (%s). %s", strings.TrimSuffix(n.Title, "."), owner, n.Why)
		})},
	}
	if len(d.Unknown) > 0 {
		return append([]Part{{"Unknown", d.Unknown}}, parts...)
	}
	return parts
}

// Text is the message.
func (d Digest) Text(zone *time.Location) string {
	out := []string{d.Lead(zone)}
	for _, p := range d.Parts(zone) {
		out = append(out, "", strings.ToUpper(p.Title))
		for _, l := range p.Lines {
			out = append(out, "- "+l)
		}
	}
	return strings.Join(out, "\n")
}

// Lead says what time it tells of, that it is late, and who asked for it.
func (d Digest) Lead(zone *time.Location) string {
	at, since := stamp(d.At, zone), stamp(d.Since, zone)
	out := fmt.Sprintf("As of %s, since the last digest on %s.", at, since)
	if d.First {
		out = fmt.Sprintf("As of %s, since %s. It is the first digest, so criteria and orders are "+
			"not compared.", at, since)
	}
	if d.Due != nil {
		out += fmt.Sprintf(" It is late: it was due on %s, and Switchyard could not send it then. "+
			"It stands for every digest missed until now.", stamp(*d.Due, zone))
	}
	if d.By != "" {
		out += " " + d.By + " asked for it."
	}
	return out
}

func (d Digest) criteria() []string {
	out := []string{fmt.Sprintf("%d of %d met", d.Met, d.Total)}
	for _, c := range d.Changed {
		out = append(out, fmt.Sprintf("%s: %s, was %s", c.Title, c.To, c.From))
	}
	if !d.First && len(d.Changed) == 0 {
		out = append(out, "no change since the last digest")
	}
	return out
}

func (d Digest) outlook(zone *time.Location) []string {
	first := string(d.Forecast.State)
	if d.Before != "" && d.Before != d.Forecast.State {
		first += ", was " + string(d.Before)
	}
	if f := d.Forecast.Finish; f != nil && d.Forecast.State != forecast.Done {
		first += ", at the present pace done on " + f.In(zone).Format("2 Jan 2006")
	}
	out := []string{first}
	if d.Forecast.State != forecast.Done {
		out = append(out, d.Forecast.Reasons...)
	}
	return out
}

func (d Digest) orders() []string {
	if d.Orders.Unknown != "" {
		return []string{"unknown: " + d.Orders.Unknown}
	}
	o := d.Orders
	out := []string{fmt.Sprintf("since the migration began: %d acknowledged, %d lost, %d processed "+
		"twice, %d pending", o.Acknowledged, o.Lost, o.Twice, o.Pending)}
	switch w := o.Week; {
	case w != nil:
		out = append(out, fmt.Sprintf("since the last digest: %d acknowledged, %s lost, %s processed "+
			"twice", w.Acknowledged, more(w.Lost), more(w.Twice)))
	case !d.First:
		out = append(out, "since the last digest: unknown, as the figures of one of the two are")
	}
	return out
}

// more writes a difference: fewer lost than before means that some were found again.
func more(n int) string {
	if n < 0 {
		return fmt.Sprintf("%d fewer", -n)
	}
	return fmt.Sprint(n)
}

func (d Digest) alerts(zone *time.Location) []string {
	out := []string{fmt.Sprintf("%d opened, %d closed, %d open now", d.Alerts.Opened,
		d.Alerts.Closed, len(d.Alerts.Open))}
	if d.Alerts.Unknown != "" {
		out = []string{"unknown: " + d.Alerts.Unknown}
	}
	return append(out, bounded(len(d.Alerts.Open), "", func(i int) string {
		a := d.Alerts.Open[i]
		return fmt.Sprintf("open since %s, %s: %s", moment(a.Since, zone), a.Severity, a.Title)
	})...)
}

// bounded gives the last lines of a list, and how many are before them.
func bounded(n int, none string, line func(i int) string) []string {
	if n == 0 {
		if none == "" {
			return nil
		}
		return []string{none}
	}
	var out []string
	first := max(0, n-most)
	if first > 0 {
		out = append(out, migration.Count(first, "earlier one")+" in the report")
	}
	for i := first; i < n; i++ {
		out = append(out, line(i))
	}
	return out
}

func stateWords(s migration.RunState) string {
	switch s {
	case migration.RunSucceeded:
		return "done, started"
	case migration.RunAwaitingApproval:
		return "waiting for approval, requested"
	case migration.RunQueued, migration.RunRunning:
		return "under way, started"
	case migration.RunUndoing:
		return "being undone, started"
	case migration.RunFailed, migration.RunCancelled, migration.RunRejected:
	}
	return string(s) + ", started"
}

func moment(t time.Time, zone *time.Location) string { return t.In(zone).Format("Mon 2 Jan 15:04") }

func stamp(t time.Time, zone *time.Location) string {
	return t.In(zone).Format("Monday 2 Jan 2006, 15:04 MST")
}
