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
	Chosen      bool // somebody chose the length of the outage that is simulated
}

// ReplayTitle and ReplayText say what came of looking for lost events.
func ReplayTitle(in workflows.Replay, out workflows.ReplayResult) string {
	switch {
	case out.Missing == 0:
		return "No orders missing"
	case in.Look:
		return lostOnes(in, out.Missing) + isAre(out.Missing) + " missing"
	}
	return fmt.Sprintf("%s of %s enqueued", ui.Number(out.Enqueued), lostOnes(in, out.Missing))
}

// ReplayText gives the details.
func ReplayText(in workflows.Replay, out workflows.ReplayResult) string {
	from := "Everything " + workflows.ProviderName(in.Provider) + " has since " + ui.Stamp(in.Since)
	if len(in.Events) > 0 {
		from = "Everything in the file from " + workflows.ProviderName(in.Provider)
	}
	if out.Missing == 0 {
		return from + " is acknowledged in the order ledger: " + lostOnes(in, out.Known) + "."
	}
	text := from + " that the order ledger does not have: " + strings.Join(out.Events, ", ")
	if more := out.Missing - len(out.Events); more > 0 {
		text += " and " + ui.Number(more) + " more"
	}
	text += "."
	if len(out.Refused) > 0 {
		text += " Rejected: " + strings.Join(out.Refused, "; ") + "."
	}
	if !in.Look && out.Left > 0 {
		text += fmt.Sprintf(" %s left: run it again.", ui.Number(out.Left))
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
		return ui.Bad("Rejecting orders").As("circle-x")
	case i.Durable < i.Instances:
		return ui.Warn("Not on all instances")
	case i.Backlog > 0:
		return ui.Warn("Storing orders").As("clock")
	}
	return ui.OK("Ready")
}

func intakeWords(i *workflows.IntakeOutlook) string {
	text := fmt.Sprintf(
		"%d of %s store each order on disk before acknowledging it, and enqueue it when Redis "+
			"accepts it.",
		i.Durable,
		ui.Count(i.Instances, "instance"),
	)
	if i.Lasts > 0 {
		text += " At the current rate, there is room for an outage of " +
			"" + migration.Words(i.Lasts) + "."
	}
	if i.Guessed {
		text += fmt.Sprintf(" Assumes %s an order until some are stored.", migration.Bytes(i.PerOrder))
	}
	return text
}

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
		return "Nothing"
	case f.LosesUntil != "":
		return f.Recovery + " Orders keep being lost until " + f.LosesUntil + "."
	}
	return f.Recovery
}

// silent counts providers that do not send here.
func silent(o workflows.Outage) (n int) {
	for _, p := range o.Providers {
		if !p.Sends {
			n++
		}
	}
	return n
}

// calm counts providers that send here, and of which no order is missing.
func calm(o workflows.Outage) (n int) {
	for _, p := range o.Providers {
		if p.Sends && p.Clock == nil {
			n++
		}
	}
	return n
}

// lossNear reports whether orders of a provider are missing, so that somebody may want them now.
func lossNear(o workflows.Outage) bool {
	for _, p := range o.Providers {
		if p.Clock != nil {
			return true
		}
	}
	return false
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
		return ui.OK("API available")
	}
	return ui.Idle("Manual export needed")
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
		return ui.Bad("Losing orders")
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
		return ui.Bad("Would lose orders")
	case "uncertain":
		return ui.Warn("Loss possible")
	}
	return ui.OK("All late, none lost")
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
	if worst != "" {
		return clockStatus(worst)
	}
	return quiet(o)
}

// quiet is what is said where no clock runs. It goes by what the app rejected: nobody asked the
// provider what it could not deliver.
func quiet(o workflows.Outage) ui.Status {
	if o.Unknown != "" {
		return ui.Unknown("Unknown")
	}
	return ui.OK("No rejection outstanding")
}

func money(v float64, currency string) string {
	if currency == "" {
		return "unknown"
	}
	if v >= 1000 {
		return ui.Number(int64(v+0.5)) + " " + currency
	}
	return fmt.Sprintf("%.2f %s", v, currency)
}

// refused says what of a forecast is counted, which needs a rate.
func refused(p workflows.ProviderOutage) string {
	if p.PerMinute == 0 {
		return "unknown: no order rate measured"
	}
	return fmt.Sprintf(
		"%s rejected, %s expected lost",
		ui.Number(p.Forecast.Refused),
		ui.Number(p.Forecast.Lost),
	)
}

func rate(p workflows.ProviderOutage) string {
	if p.PerMinute == 0 {
		return "unknown"
	}
	if p.PerMinute < 1 {
		return fmt.Sprintf("%.1f orders/h, %s", p.PerMinute*60, p.RateFrom)
	}
	return fmt.Sprintf("%.1f orders/min, %s", p.PerMinute, p.RateFrom)
}

// leftWords says how long until the first order is lost for good.
func leftWords(c workflows.OutageClock) string {
	if c.Left <= 0 {
		return "The first order was permanently lost " + migration.Words(-c.Left) + " ago"
	}
	return migration.Words(c.Left) + " until the first order is permanently lost"
}

// missingWords says how many orders are not back: counted, or estimated where nobody knows.
func missingWords(o workflows.Outage, p workflows.ProviderOutage) string {
	if o.Unknown != "" {
		return fmt.Sprintf(
			"about %s, if all orders since were rejected",
			ui.Count(p.Clock.AtRisk, "order"),
		)
	}
	return ui.Count(p.Missing, "order")
}

func spaceUsed(i *workflows.IntakeOutlook) string {
	return migration.Bytes(i.Bytes) + " of " + migration.Bytes(i.MaxBytes)
}
