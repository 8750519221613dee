package outagepages

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows"
)

// Outage is the page of the outage clock.
type Outage struct {
	MigrationID string
	Outage      workflows.Outage
	Now         time.Time
	Who         ui.Who
}

// ReplayTitle and ReplayText say what came of looking for lost events.
func ReplayTitle(in workflows.Replay, out workflows.ReplayResult) string {
	switch {
	case out.Missing == 0:
		return "Nothing is missing"
	case in.Look:
		return lostOnes(in, out.Missing) + isAre(out.Missing) + " missing"
	}
	return fmt.Sprintf("%s of %s enqueued", ui.Number(out.Enqueued), lostOnes(in, out.Missing))
}

// ReplayText gives the details.
func ReplayText(in workflows.Replay, out workflows.ReplayResult) string {
	from := "What " + workflows.ProviderName(in.Provider) + " has since " + ui.Stamp(in.Since)
	if len(in.Events) > 0 {
		from = "What the file holds of " + workflows.ProviderName(in.Provider)
	}
	if out.Missing == 0 {
		return from + " is acknowledged in the order ledger: " + lostOnes(in, out.Known) + "."
	}
	text := from + " and the order ledger does not know: " + strings.Join(out.Events, ", ")
	if more := out.Missing - len(out.Events); more > 0 {
		text += " and " + ui.Number(more) + " more"
	}
	text += "."
	if len(out.Refused) > 0 {
		text += " Not taken: " + strings.Join(out.Refused, "; ") + "."
	}
	if !in.Look && out.Left > 0 {
		text += fmt.Sprintf(" %s%s left: ask again.", ui.Number(out.Left), isAre(out.Left))
	}
	return text
}

// lostOnes counts what a replay is about: events of Stripe, orders of the others.
func lostOnes(in workflows.Replay, n int) string {
	what := "order"
	if in.Provider == "stripe" {
		what = "event"
	}
	if n != 1 {
		what += "s"
	}
	return ui.Number(n) + " " + what
}

func isAre(n int) string {
	if n == 1 {
		return " is"
	}
	return " are"
}

func intakeStatus(i *workflows.IntakeOutlook) ui.Status {
	switch {
	case i.Refused > 0:
		return ui.Bad("Refuses orders").As("circle-x")
	case i.Durable < i.Instances:
		return ui.Warn("Not everywhere")
	case i.Backlog > 0:
		return ui.Warn("Holds orders").As("clock")
	}
	return ui.OK("Ready")
}

func intakeWords(i *workflows.IntakeOutlook) string {
	text := fmt.Sprintf(
		"%d of %d instances keep each order on disk before they acknowledge it, and enqueue it "+
			"when Redis takes it.",
		i.Durable,
		i.Instances,
	)
	if i.Lasts > 0 {
		text += " At the rate of now the room is enough for an outage of " + migration.Words(i.Lasts) + "."
	}
	if i.Guessed {
		text += fmt.Sprintf(" An order is taken for %d KiB until some wait.", i.PerOrder>>10)
	}
	return text
}

func mebi(n int64) float64 { return float64(n) / (1 << 20) }

func sendsAny(o workflows.Outage) bool {
	for _, p := range o.Providers {
		if p.Sends {
			return true
		}
	}
	return false
}

func forecastTodo(f workflows.Forecast) string {
	switch {
	case f.Verdict == "late":
		return "nothing"
	case f.LosesUntil != "":
		return f.Recovery + " Orders go on being lost until " + f.LosesUntil + "."
	}
	return f.Recovery
}

// asked is the provider that is chosen before somebody chooses: the first that can be asked.
func asked(o workflows.Outage) string {
	for _, p := range o.Providers {
		if p.CanAsk {
			return p.Provider.ID
		}
	}
	return ""
}

func askStatus(p workflows.ProviderOutage) ui.Status {
	if p.CanAsk {
		return ui.OK("Can be asked")
	}
	return ui.Idle("Needs a file")
}

// Lengths are what the slider of the what-if offers.
var Lengths = []time.Duration{
	10 * time.Second,
	25 * time.Second,
	time.Minute,
	5 * time.Minute,
	15 * time.Minute,
	30 * time.Minute,
	time.Hour,
	90 * time.Minute,
	2 * time.Hour,
	3 * time.Hour,
	4 * time.Hour,
	5 * time.Hour,
	8 * time.Hour,
	12 * time.Hour,
	24 * time.Hour,
	36 * time.Hour,
	72 * time.Hour,
}

// lengthAt gives the place on the slider of the length asked about, or of the next longer one.
func lengthAt(d time.Duration) string {
	for i, l := range Lengths {
		if d <= l {
			return strconv.Itoa(i)
		}
	}
	return strconv.Itoa(len(Lengths) - 1)
}

func length(d time.Duration) string {
	if d < 2*time.Minute && d%time.Second == 0 || d < time.Second {
		return fmt.Sprintf("%d s", d/time.Second)
	}
	if d%time.Hour == 0 {
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return migration.Words(d)
}

// flagLength writes a length as the command takes it.
func flagLength(d time.Duration) string {
	switch {
	case d > 0 && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d > 0 && d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}

func clockStatus(s string) ui.Status {
	switch s {
	case "losing":
		return ui.Bad("Orders are lost")
	case "critical":
		return ui.Bad("Critical").As("triangle-alert")
	case "warning":
		return ui.Warn("Warning")
	}
	return ui.Waiting("Late")
}

func forecastStatus(f workflows.Forecast) ui.Status {
	switch f.Verdict {
	case "lost":
		return ui.Bad("Orders are lost")
	case "uncertain":
		return ui.Warn("Cannot be excluded")
	}
	return ui.OK("All come late")
}

// outageStatus is how it stands as a whole.
func outageStatus(o workflows.Outage) ui.Status {
	worst := ""
	rank := map[string]int{"late": 1, "warning": 2, "critical": 3, "losing": 4}
	for _, p := range o.Providers {
		if p.Clock != nil && rank[p.Clock.Severity] > rank[worst] {
			worst = p.Clock.Severity
		}
	}
	switch {
	case worst != "":
		return clockStatus(worst)
	case o.Unknown != "":
		return ui.Unknown("Not known")
	}
	return ui.OK("No order is missing")
}

func money(v float64, currency string) string {
	if currency == "" {
		return "not known"
	}
	if v >= 1000 {
		return ui.Number(int64(v+0.5)) + " " + currency
	}
	return fmt.Sprintf("%.2f %s", v, currency)
}

// refused says what of a forecast is counted, which needs a rate.
func refused(p workflows.ProviderOutage) string {
	if p.PerMinute == 0 {
		return "not known: no rate of orders"
	}
	return fmt.Sprintf(
		"%s orders, %s of them lost",
		ui.Number(p.Forecast.Refused),
		ui.Number(p.Forecast.Lost),
	)
}

func rate(p workflows.ProviderOutage) string {
	if p.PerMinute == 0 {
		return "not known"
	}
	if p.PerMinute < 1 {
		return fmt.Sprintf("%.1f orders an hour, %s", p.PerMinute*60, p.RateFrom)
	}
	return fmt.Sprintf("%.1f orders a minute, %s", p.PerMinute, p.RateFrom)
}

// leftWords says how long until the first order is lost for good.
func leftWords(c workflows.OutageClock) string {
	if c.Left <= 0 {
		return "the first order was lost " + migration.Words(-c.Left) + " ago"
	}
	return length(c.Left.Round(time.Second)) + " until the first order is lost for good"
}

// missingWords says how many orders are not back: counted, or estimated where nobody knows.
func missingWords(o workflows.Outage, p workflows.ProviderOutage) string {
	if o.Unknown != "" {
		return fmt.Sprintf(
			"about %s orders, if every one since was refused",
			ui.Number(p.Clock.AtRisk),
		)
	}
	return ui.Number(p.Missing) + " orders"
}
