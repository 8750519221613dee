// Package evidence holds the checks: what a kind of evidence consists of, what must hold,
// and what it amounts to. One file has everything about one check (its id, its facts, its
// judge); Evaluate turns evidence into verdicts by them.
package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Check judges one kind of evidence. Its rule is code, named from the plan, so that a
// plan can combine checks but not invent them.
type Check struct {
	// ID is how plans, stored evidence and the API name it. It never changes.
	ID string
	// Title says what is checked.
	Title string
	// Limit says what must hold.
	Limit string
	// Next says what to do when it does not.
	Next string
	// Judge says whether the facts satisfy the limit and what was measured, in words. An
	// error means that the facts are unreadable or inconclusive, which is Unknown, never
	// Met.
	Judge func(facts json.RawMessage) (met bool, measured string, err error)
	// Expires is when facts stop counting by themselves, such as a decision that was
	// taken for a time; the zero time: never. Nil where facts never expire; the age
	// limits of plans apply in any case.
	Expires func(facts json.RawMessage) time.Time
	// Outside: no step gathers this evidence; Next says who brings it.
	Outside bool
	// Watched: once it was shown the monitor observes it again by itself, at any stage.
	Watched bool
	// Told: what is judged are the app's own words, such as its journal. They are never more
	// than attested, whoever read them.
	Told bool
}

// Basis gives how well facts of this check are known that were stored as p.
func (c Check) Basis(p migration.Proof) migration.Proof {
	if c.Told && p == migration.Observed {
		return migration.Attested
	}
	return p
}

// Again says how what was shown once and does not hold any more is shown again.
func (c Check) Again() string {
	if c.Watched {
		return "correct it where it was changed; Switchyard looks again by itself"
	}
	return c.Next
}

// checks is every check there is. A new one is a file of its own and a line here.
var checks = []Check{
	policyCheck,
	readinessCheck,
	failoverCheck,
	targetPlanCheck,
	targetConnCheck,
	scanCheck,
	attestationCheck,
	drillCheck,
	intakeCheck,
	retriesCheck,
	dualWriteCheck,
	rollbackCheck,
	residueCheck,
	ledgerCheck,
	auditCheck,
	quietCheck,
	fenceCheck,
	backupCheck,
	offCheck,
}

// All returns every check.
func All() []Check { return slices.Clone(checks) }

// Of returns the check of that id.
func Of(id string) (Check, bool) {
	i := slices.IndexFunc(checks, func(c Check) bool { return c.ID == id })
	if i < 0 {
		return Check{}, false
	}
	return checks[i], true
}

// IDs lists the ids of all checks, sorted.
func IDs() []string {
	ids := make([]string, 0, len(checks))
	for _, c := range checks {
		ids = append(ids, c.ID)
	}
	slices.Sort(ids)
	return ids
}

// expired is how long ago facts stopped counting by themselves.
func (c Check) expired(facts json.RawMessage, now time.Time) (ago time.Duration, yes bool) {
	if c.Expires == nil {
		return 0, false
	}
	at := c.Expires(facts)
	return now.Sub(at), !at.IsZero() && !now.Before(at)
}

// errForm is the error of facts that are not in the form of this version.
var errForm = errors.New("it is of an older form: run again")

// Unread says why evidence could not be judged, for people.
func Unread(err error) string { return "the evidence cannot be read: " + err.Error() }

// judge adapts a rule over typed facts to Check.Judge; facts that do not decode, or hold
// fields that the type lacks, are an error.
func judge[T any](
	rule func(T) (met bool, measured string, err error),
) func(json.RawMessage) (bool, string, error) {
	return func(raw json.RawMessage) (bool, string, error) {
		var facts T
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(&facts); err != nil {
			return false, "", fmt.Errorf("%w (%v)", errForm, err) //nolint:errorlint // for people
		}
		return rule(facts)
	}
}

// list joins names for people.
func list(names []string) string { return strings.Join(names, ", ") }

// seconds writes milliseconds for people.
func seconds(ms int64) string { return fmt.Sprintf("%d.%d s", ms/1000, ms%1000/100) }
