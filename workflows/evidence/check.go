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
// plan can combine checks but not invent them. New makes one.
type Check struct {
	// ID is how plans, stored evidence and the API name it. It never changes.
	ID string
	// Title says what is checked.
	Title string
	// Limit says what must hold.
	Limit string
	// Next says what to do when it does not.
	Next string
	// Before is the first stage that may only be entered while this holds; "": it is no
	// precondition of a move.
	Before migration.Stage
	// Always: also where no criterion of the plan asks for it.
	Always bool
	// MaxAge is how long an observation counts where no plan says; 0: it does not age.
	MaxAge time.Duration
	// About is what the evidence is about: it is void when something else is there.
	About []migration.Aspect
	// Undone: it is void when the run that gathered it was undone or rolled back.
	Undone bool
	// Outside: no step gathers this evidence; Next says who brings it.
	Outside bool
	// Spent: it decides whether a stage up to complete is entered, and no step shows it again
	// there. Once the cutover is complete, neither age nor a change of its world voids it;
	// it does again as soon as the queue leaves complete.
	Spent bool
	// Gone: it is about servers that are to be deleted. Once the check Off says that they are,
	// it stands as it was.
	Gone bool
	// Watched: once it was shown the monitor observes it again by itself, at any stage.
	Watched bool
	// Told: what is judged are the app's own words, such as its journal. They are never more
	// than attested, whoever read them.
	Told bool

	rule    func(facts json.RawMessage) (met bool, measured string, err error)
	covers  func(facts json.RawMessage) migration.Coverage
	expires func(facts json.RawMessage) time.Time
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
		return "Switchyard looks again by itself; correct what it names"
	}
	return c.Next
}

// New makes a check of the facts of a type. covers says whom the facts are about: everybody
// who had to be asked, and what each answered. rule says whether the facts satisfy the limit
// and what was measured, in words; its error means that they are inconclusive. A check is met
// when both hold. Facts that do not decode, or hold fields that the type lacks, are unknown.
func New[T any](
	c Check,
	covers func(T) migration.Coverage,
	rule func(T) (met bool, measured string, err error),
) Check {
	c.covers = func(raw json.RawMessage) migration.Coverage {
		facts, err := decode[T](raw)
		if err != nil {
			return migration.Coverage{Of: "fact"}
		}
		return covers(facts)
	}
	c.rule = func(raw json.RawMessage) (bool, string, error) {
		facts, err := decode[T](raw)
		if err != nil {
			return false, "", err
		}
		return rule(facts)
	}
	return c
}

func decode[T any](raw json.RawMessage) (facts T, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	switch err = d.Decode(&facts); {
	case err != nil:
		err = fmt.Errorf("%w (%v)", errForm, err) //nolint:errorlint // for people
	case d.More() || bytes.Equal(bytes.TrimSpace(raw), []byte("null")):
		err = fmt.Errorf("%w (not one object)", errForm)
	}
	return facts, err
}

// Precedes reports whether it must hold before a stage is entered.
func (c Check) Precedes(s migration.Stage) bool {
	return c.Before != "" && s.Index() >= c.Before.Index()
}

// Judge says whether the facts satisfy the limit for everybody whom they cover, and what was
// measured, in words. An error means that they are unreadable, inconclusive, or leave somebody
// out, which is Unknown, never Met.
func (c Check) Judge(facts json.RawMessage) (met bool, measured string, err error) {
	return c.JudgeWaived(facts, nil, time.Time{})
}

// JudgeWaived is Judge with the waivers of people that count at a time.
func (c Check) JudgeWaived(
	facts json.RawMessage, waivers []migration.Waiver, now time.Time,
) (met bool, measured string, err error) {
	met, measured, err = c.rule(facts)
	if err != nil || !met {
		return met, measured, err
	}
	asked := c.Asked(facts, waivers, now)
	switch asked.Verdict() {
	case migration.Met:
		return true, measured, nil
	case migration.Unmet:
		return false, measured + "; " + asked.String(), nil
	}
	return false, "", fmt.Errorf("%s; %s", measured, asked)
}

// Asked is whom facts cover, with the waivers of people that count at a time.
func (c Check) Asked(
	facts json.RawMessage, waivers []migration.Waiver, now time.Time,
) migration.Coverage {
	return c.covers(facts).Waive(waivers, now)
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
	if c.expires == nil {
		return 0, false
	}
	at := c.expires(facts)
	return now.Sub(at), !at.IsZero() && !now.Before(at)
}

// errForm is the error of facts that are not in the form of this version.
var errForm = errors.New("it cannot be read, it is of an older form: run again")

// day is a day of age.
const day = 24 * time.Hour

// server is a member that is a server, by its address.
func server(address string, v migration.Verdict, why string) migration.Member {
	return migration.Member{Key: "server:" + address, Name: address, Verdict: v, Why: why}
}

// gates covers what gates covered, each a member, and whoever was waived when one was judged: that
// was a person's word, and counts for as long as the person stands by it.
func gates(of, found string, all []migration.Gate) migration.Coverage {
	c := migration.Coverage{Of: of, Found: found}
	for _, g := range all {
		c.Members = append(c.Members, migration.Member{Key: of + ":" + g.ID, Name: g.Title,
			Verdict: migration.Truth(g.OK), Why: g.Measured})
		for _, m := range g.Asked.Members {
			if m.Waiver != nil {
				c.Members = append(c.Members, m)
			}
		}
	}
	return c
}

// list joins names for people.
func list(names []string) string { return strings.Join(names, ", ") }

// seconds writes milliseconds for people.
func seconds(ms int64) string { return fmt.Sprintf("%d.%d s", ms/1000, ms%1000/100) }
