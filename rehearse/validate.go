package rehearse

import (
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/twin"
)

// Validate names the first option that a rehearsal cannot run with, before anything is started.
func (o Options) Validate() error {
	invalid := func(format string, args ...any) error {
		return migration.Errorf(migration.Invalid, format, args...)
	}
	if o.Orders < 500 {
		return invalid("orders %d: at least 500, so that each step has some to work with", o.Orders)
	}
	if o.Rate < 10 || o.Rate > 2000 {
		return invalid("rate %g: from 10 to 2000 orders per second", o.Rate)
	}
	if o.LateOrder < 0 || o.LateOrder > time.Hour {
		return invalid("late-order %s: from 0 to 1h", o.LateOrder)
	}
	kills := 0
	for _, f := range o.Faults {
		if !slices.Contains(twin.Faults(), f) {
			return invalid("faults: unknown fault %q; there are %s",
				f, strings.Join(twin.Faults(), ", "))
		}
		if f == twin.KillServe {
			kills++
		}
	}
	if kills > 3 {
		return invalid("faults: kill-serve at most three times")
	}
	return nil
}
