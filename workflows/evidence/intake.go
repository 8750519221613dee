package evidence

import (
	"errors"
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Intake is the id of the check of the durable intake of the apps that take orders.
const Intake = "durable-intake"

var intakeCheck = New(Check{
	ID:    Intake,
	Title: "Durable intake",
	Limit: "every app that takes orders keeps them on disk before it acknowledges them, " +
		"and none was refused or damaged",
	Next:    "start the app with DurableIntake of @switchyard/bullmq",
	Before:  migration.StageDualWrite,
	MaxAge:  5 * time.Minute,
	Watched: true,
	Told:    true,
}, coverIntake, judgeIntake)

// IntakeFacts is the evidence of Intake: what running apps that take orders attest.
type IntakeFacts struct {
	Instances []IntakeInstance `json:"instances"`
	// Asked is every worker that should attest. Facts of earlier versions have none.
	Asked migration.Coverage `json:"asked,omitzero"`
}

// IntakeInstance is the durable intake of one process.
type IntakeInstance struct {
	Instance string `json:"instance"`
	Durable  bool   `json:"durable"` // it has one
	Backlog  int    `json:"backlog"`
	OldestMS int64  `json:"oldest_ms"` // how long the oldest of the backlog has waited
	Bytes    int64  `json:"bytes"`
	MaxBytes int64  `json:"max_bytes"`
	Accepted int64  `json:"accepted"` // since the process began
	Refused  int64  `json:"refused"`
	Damaged  int64  `json:"damaged"` // lines on its disk that cannot be read
}

// Totals sums the intakes up. all is whether every instance has one; then an order is
// acknowledged without Redis, whoever gets it.
func (f IntakeFacts) Totals() (sum IntakeInstance, all bool) {
	all = len(f.Instances) > 0
	for _, i := range f.Instances {
		all = all && i.Durable
		sum.Backlog += i.Backlog
		sum.OldestMS = max(sum.OldestMS, i.OldestMS)
		sum.Bytes += i.Bytes
		sum.MaxBytes += i.MaxBytes
		sum.Accepted += i.Accepted
		sum.Refused += i.Refused
		sum.Damaged += i.Damaged
	}
	sum.Durable = all
	return sum, all
}

func coverIntake(f IntakeFacts) migration.Coverage {
	c := migration.Coverage{Of: "instance", Found: "the attestations of live apps"}
	c.Members = append(c.Members, f.Asked.Members...)
	for _, i := range f.Instances {
		c.Members = append(c.Members, migration.Member{Key: "instance:" + i.Instance,
			Name: i.Instance, Verdict: migration.Truth(i.Durable)})
	}
	return c
}

func judgeIntake(f IntakeFacts) (bool, string, error) {
	if len(f.Instances) == 0 {
		return false, "", errors.New("no live app that accepts orders reports")
	}
	for _, i := range f.Instances {
		switch {
		case !i.Durable:
			return false, i.Instance + " acknowledges an order only once it is in Redis: an " +
				"outage that is longer than a provider's retries loses orders", nil
		case i.MaxBytes <= 0:
			return false, "", fmt.Errorf("%s does not say how much its intake may hold",
				i.Instance)
		case i.Damaged > 0:
			return false, fmt.Sprintf("%d kept orders of %s cannot be read any more: their "+
				"files are kept, look at its log",
				i.Damaged, i.Instance), nil
		case i.Refused > 0:
			return false, fmt.Sprintf("%s has refused %d orders since it started: its disk is "+
				"full or fails",
				i.Instance, i.Refused), nil
		}
	}
	sum, _ := f.Totals()
	return true, fmt.Sprintf("%d of %d instances keep orders on disk before they are "+
		"acknowledged; %d wait there, %s of %s used",
		len(f.Instances), len(f.Instances), sum.Backlog, migration.Bytes(sum.Bytes),
		migration.Bytes(sum.MaxBytes)), nil
}
