package evidence

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// promise is what docs/guarantees.md says of evidence of one check: what is there must be what
// it is about, for how long it counts where no plan says, and whether it goes with its run
// (undone), or stands once the cutover is complete (spent) or the old servers are off (gone).
type promise struct {
	about         []migration.Aspect
	age           time.Duration
	undone, spent bool
	gone          bool
}

const (
	source    = migration.AspectSource
	nodes     = migration.AspectNodes
	target    = migration.AspectTarget
	managedDB = migration.AspectDatabase
	app       = migration.AspectApp
	producers = migration.AspectProducers
	setup     = migration.AspectSetup
)

var promised = map[string]promise{
	Policy:      {about: []migration.Aspect{nodes}, age: 15 * time.Minute},
	Audit:       {about: []migration.Aspect{nodes}, age: 15 * time.Minute},
	Readiness:   {about: []migration.Aspect{nodes}, age: 15 * time.Minute},
	Failover:    {about: []migration.Aspect{nodes}, age: 30 * day, spent: true},
	TargetPlan:  {about: []migration.Aspect{managedDB}, age: day},
	TargetConn:  {about: []migration.Aspect{target}, age: time.Hour},
	Scan:        {about: []migration.Aspect{app}, age: 30 * day},
	Attestation: {age: 5 * time.Minute},
	Intake:      {age: 5 * time.Minute},
	Drill:       {about: []migration.Aspect{app, producers, setup}, age: 30 * day, spent: true},
	Retries:     {about: []migration.Aspect{app, setup}, age: 30 * day, spent: true},
	DualWrite: {about: []migration.Aspect{source, target, app, setup}, age: 7 * day,
		spent: true},
	Rollback: {about: []migration.Aspect{target, app, setup}, age: 30 * day, spent: true},
	Ledger:   {age: 15 * time.Minute},
	Residue:  {about: []migration.Aspect{source}, age: day, undone: true, gone: true},
	Quiet:    {about: []migration.Aspect{source}, age: 7 * day, undone: true, gone: true},
	Fence:    {about: []migration.Aspect{source}, age: 7 * day, undone: true, gone: true},
	Backup:   {about: []migration.Aspect{source}, age: 7 * day, undone: true, gone: true},
	Off:      {age: day, undone: true},
}

// What a piece of evidence does for a row of them.
type worth int

const (
	says   worth = iota // it holds now
	mute                // it cannot be judged now
	broken              // it does not hold, or not any more
)

// worth says whether evidence speaks for what is there now, under a limit of age.
func (w *truth) worth(t told, age time.Duration, settled bool) worth {
	p := promised[t.Check]
	settled = settled || p.spent && w.complete || p.gone && w.off()
	switch {
	case t.says == unmet:
		return broken
	case t.says != met || slices.ContainsFunc(t.doubts, func(member string) bool {
		return w.doubted(member, t.ObservedAt, settled)
	}) ||
		t.ObservedAt.Sub(w.now) > time.Minute:
		return mute
	case p.undone && w.undone[t.RunID]:
		return broken
	case settled:
		return says
	case age > 0 && w.now.Sub(t.ObservedAt) > age,
		!t.until.IsZero() && !w.now.Before(t.until):
		return broken
	}
	for _, a := range p.about {
		last, ok := w.saw[a]
		if !slices.Contains(t.knows, a) || ok && !aspects[a].held(t.of, last.of) {
			return broken
		}
		if ago := w.now.Sub(last.at); !ok || ago > 15*time.Minute || ago < -time.Minute {
			return mute
		}
	}
	return says
}

// doubted: nobody waives that member now, or has, of what is settled, since it was seen.
func (w *truth) doubted(member string, seen time.Time, settled bool) bool {
	return !slices.ContainsFunc(w.waivers, func(d migration.Waiver) bool {
		return d.Member == member && d.RevokedAt == nil && d.At.Sub(w.now) <= time.Minute &&
			(d.Until.After(w.now) || settled && d.Until.After(seen))
	})
}

// off: the old servers are.
func (w *truth) off() bool {
	return w.allows(migration.Requirement{Check: Off, MaxAge: promised[Off].age}, nil)
}

// allows says whether a requirement may be green, where settled are the criteria that are.
func (w *truth) allows(r migration.Requirement, settled map[string]bool) bool {
	all := w.told[r.Check]
	gone := settled[r.Until]
	if _, known := promised[r.Check]; !known || len(all) == 0 ||
		w.worth(all[len(all)-1], r.MaxAge, gone) != says {
		return false
	}
	count, runs := 0, map[string]bool{"": false}
	for _, t := range slices.Backward(all) {
		switch w.worth(t, r.MaxAge, gone) {
		case broken:
			return count >= r.MinCount
		case says:
			if !runs[t.RunID] {
				count++
			}
			runs[t.RunID] = t.RunID != ""
		}
	}
	return count >= r.MinCount
}

// green are the criteria of a plan that may be green. What waits for one that is does not age,
// which may make it green too.
func (w *truth) green(p migration.Plan) map[string]bool {
	green := map[string]bool{}
	for more := true; more; {
		more = false
		for _, c := range p.Criteria {
			if !green[c.ID] && len(c.Requires) > 0 &&
				!slices.ContainsFunc(c.Requires, func(r migration.Requirement) bool {
					return !w.allows(r, green)
				}) {
				green[c.ID], more = true, true
			}
		}
	}
	return green
}

// Whatever is there, was seen and was told: nothing is green that the guarantees do not allow,
// and what they allow is green.
func TestNothingIsGreenThatTheGuaranteesDoNotAllow(t *testing.T) {
	t.Parallel()
	worlds := uint64(10_000)
	if testing.Short() {
		worlds = 200
	}
	judged, allowed, wrongReds := 0, 0, 0
	for seed := range worlds {
		w := openTruth(seed)
		w.live()
		b, p := w.basis(), w.plan()
		compare := func(what string, may bool, got migration.Verdict, why string) {
			judged++
			if may {
				allowed++
			}
			if got == met && !may {
				t.Fatalf("world %d: %s is green, which nothing allows: %s", seed, what, why)
			}
			if got != met && may {
				wrongReds++
				t.Errorf("world %d: %s is allowed, but %s: %s", seed, what, got, why)
			}
		}
		green := w.green(p)
		list := Evaluate(p, b)
		if len(list) != len(p.Criteria) {
			t.Fatalf("world %d: %d criteria, %d judged", seed, len(p.Criteria), len(list))
		}
		for _, item := range list {
			compare(fmt.Sprintf("%+v", item.Criterion), green[item.Criterion.ID], item.Verdict,
				item.Why)
		}
		for _, check := range w.checks {
			f := Find(check, b)
			r := migration.Requirement{Check: check, MaxAge: promised[check].age}
			compare(check, w.allows(r, nil), f.Verdict, f.Measured)
		}
	}
	t.Logf("%d worlds, %d verdicts, %d may be green, %d of these are not", worlds, judged, allowed,
		wrongReds)
	if allowed*5 < judged {
		t.Errorf("%d of %d may be green, too few to say anything", allowed, judged)
	}
}
