package outage

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// intakeOutlook gives nil where no instance has an intake.
func intakeOutlook(f evidence.IntakeFacts, perMinute float64) *IntakeOutlook {
	sum, _ := f.Totals()
	o := IntakeOutlook{
		Instances: len(f.Instances),
		Backlog:   sum.Backlog,
		OldestMS:  sum.OldestMS,
		Bytes:     sum.Bytes,
		MaxBytes:  sum.MaxBytes,
		Refused:   sum.Refused,
		PerOrder:  orderBytes,
		Guessed:   true,
	}
	for _, i := range f.Instances {
		o.Durable += one(i.Durable)
	}
	if o.Durable == 0 {
		return nil
	}
	// files hold delivered orders too, so this is rather too much
	if o.Backlog >= measuredBacklog && o.Bytes > 0 {
		o.PerOrder, o.Guessed = max(o.Bytes/int64(o.Backlog), 1), false
	}
	if perMinute > 0 {
		minutes := float64(max(o.MaxBytes-o.Bytes, 0)) / float64(o.PerOrder) / perMinute
		o.Lasts = time.Duration(min(minutes, 366*24*60) * float64(time.Minute))
	}
	return &o
}

// advice says what an outage of a length comes to with the intake, given the advice
// without, and the providers whose orders may be lost without.
func (o *IntakeOutlook) advice(
	whatIf time.Duration,
	perMinute float64,
	without string,
	losing []string,
) string {
	switch {
	case o == nil:
		return without
	case o.Durable < o.Instances:
		return fmt.Sprintf(
			"Only %d of %s have durable intake: orders to the others depend on the providers' "+
				"retries. %s",
			o.Durable,
			migration.Count(o.Instances, "instance"),
			without,
		)
	case perMinute <= 0:
		return without
	case whatIf > o.Lasts && len(losing) > 0:
		return fmt.Sprintf(
			"The durable intake has room for about %s of orders. After that they are rejected, "+
				"and those from %s may be lost. Give it more space (maxBytes).",
			migration.Words(o.Lasts),
			strings.Join(losing, ", "),
		)
	case whatIf > o.Lasts:
		return fmt.Sprintf(
			"The durable intake has room for about %s of orders. After that they are rejected "+
				"and arrive late.",
			migration.Words(o.Lasts),
		)
	}
	return fmt.Sprintf(
		"No orders are rejected: about %.0f would be stored in the durable intake, which has "+
			"room for about %s, and enqueued afterwards.",
		math.Ceil(whatIf.Minutes()*perMinute),
		migration.Words(o.Lasts),
	)
}
