package workflows

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/plan"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/evidence/evidencetest"
	"github.com/switchyard-dev/switchyard/workflows/progress"
	"github.com/switchyard-dev/switchyard/workflows/steps"
)

// known is what there may be of a check.
type known int

const (
	holds    known = iota
	absent         // nothing was ever measured
	refuted        // measured, and it does not hold
	old            // it held long ago
	undated        // it is dated in the future
	older          // it is in a form that this version cannot read
	anything       // how many there are
)

// refuting are facts of checks that do not hold, for those that the way forward hangs on.
var refuting = map[string]string{
	evidence.Policy:     `{"nodes":[{"node":"a:1","policy":"allkeys-lru"}]}`,
	evidence.TargetPlan: `{"fixed_1gb":true,"tls":true,"state":"active","eviction":true}`,
	evidence.TargetConn: `{"tls_verified":false}`,
	evidence.Ledger:     `{"acknowledged":2,"fulfilled":1,"lost":1}`,
	evidence.Rollback:   `{"workers":0}`,
}

// of gives the evidence of a check that is known like this; false: there is none.
func (k known) of(check string, now time.Time) (migration.Evidence, bool) {
	facts, at := evidencetest.Holding[check], now.Add(-time.Minute)
	switch k {
	case absent:
		return migration.Evidence{}, false
	case refuted:
		if facts = refuting[check]; facts == "" {
			return migration.Evidence{}, false
		}
	case old:
		at = now.AddDate(-1, 0, 0)
	case undated:
		at = now.Add(time.Hour)
	case older:
		facts = `{"of another version":1}`
	case holds, anything:
	}
	return migration.Evidence{Check: check, Proof: migration.Observed, ObservedAt: at,
		Subject: migration.Empty(), Facts: json.RawMessage(facts)}, true
}

// knowledge are combinations of what there may be of each check: all alike, one unlike the
// others, and any.
func knowledge() []map[string]known {
	checks := evidence.IDs()
	var out []map[string]known
	combine := func(of func(check string) known) {
		one := map[string]known{}
		for _, c := range checks {
			one[c] = of(c)
		}
		out = append(out, one)
	}
	for k := range anything {
		combine(func(string) known { return k })
		for _, odd := range checks {
			combine(func(c string) known {
				if c == odd {
					return k
				}
				return holds
			})
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		combine(func(string) known { return known(random.IntN(int(anything))) })
	}
	return out
}

// place is where the queue stands.
type place struct {
	stage migration.Stage
	ramp  int
}

// moves are all moves that the protocol knows from a place.
func (p place) moves(ramps []int) []migration.StageMove {
	r := migration.Routing{Stage: p.stage, Ramp: p.ramp}
	var out []migration.StageMove
	for _, to := range migration.Stages() {
		shares := []int{0}
		if to == migration.StageLive {
			shares = ramps
		}
		for _, ramp := range shares {
			if m := (migration.StageMove{To: to, Ramp: ramp}); r.Check(m) == nil {
				out = append(out, m)
			}
		}
	}
	return out
}

// A search over where the queue may stand and what may be known: wherever a forward move has
// ever led, while the source is there a move back is offered, and it is not refused whatever
// became of the evidence since. So everything leads back to off, where every step that shows
// something is offered again.
func TestFromEveryStateWithASourceThereIsAWayBack(t *testing.T) {
	t.Parallel()
	p, err := plan.Read("", steps.IDs())
	ok(t, err)
	var catalogue []engine.Step
	for _, id := range steps.IDs() {
		catalogue = append(catalogue, engine.Step{ID: id})
	}
	b := openBench(t, settings(t.TempDir()), p, catalogue...)
	ramps, worlds := []int{10, 50, 100}, knowledge()
	seen := map[place]bool{{stage: migration.StageOff}: true}
	for queue := []place{{stage: migration.StageOff}}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		for _, m := range at.moves(ramps) {
			if next := (place{m.To, m.Ramp}); !seen[next] {
				seen[next] = true
				queue = append(queue, next)
			}
		}
		for _, source := range []migration.SourceEndpoint{migration.SourceStandalone,
			migration.SourceSentinel, migration.SourceNone} {
			for _, world := range worlds {
				b.wantWayBack(t, b.viewOf(t, p, at, source, world), world)
			}
		}
	}
	if len(seen) != 5+len(ramps) {
		t.Errorf("the search reached %d places: %v", len(seen), seen)
	}
}

func (b *bench) viewOf(
	t *testing.T, p migration.Plan, at place, source migration.SourceEndpoint,
	world map[string]known,
) progress.View {
	t.Helper()
	now := b.now()
	v := progress.View{
		Migration: migration.Migration{ID: mid, Name: name, Plan: p, EventDate: now},
		Routing:   migration.Routing{Stage: at.stage, Ramp: at.ramp, Source: source},
		Latest:    map[string]migration.Evidence{},
		Ramp:      []int{10, 50, 100},
		At:        now,
		World:     migration.World(nil).Look(now, migration.Empty()),
	}
	for check, k := range world {
		if e, there := k.of(check, now); there {
			v.Latest[check] = e
		}
	}
	for _, s := range p.Steps { // each was done once, or the queue would not stand there
		v.Runs = append(v.Runs, migration.Run{ID: s.ID, Step: s.ID,
			State: migration.RunSucceeded})
	}
	v.Checklist = evidence.Evaluate(p, v.Basis())
	return v
}

func (b *bench) wantWayBack(t *testing.T, v progress.View, world map[string]known) {
	t.Helper()
	var back []migration.StageMove
	for _, n := range v.NextSteps() {
		m := n.Params.Move()
		if n.Verb == migration.VerbStart && n.Step == migration.StepCutover &&
			!v.Routing.Forward(m) {
			back = append(back, m)
		}
	}
	where := fmt.Sprintf("at %s with source %s, knowing %v", v.Routing, v.Routing.Source, world)
	switch {
	case v.Routing.Source == migration.SourceNone || v.Routing.Stage == migration.StageOff:
		if len(back) > 0 {
			t.Fatalf("%s a move back is offered: %v", where, back)
		}
		return
	case len(back) == 0:
		t.Fatalf("%s no move back is offered", where)
	}
	for _, m := range back {
		sp, err := b.plan(t.Context(), v, migration.StepCutover, migration.ParamsOf(m))
		if err != nil {
			t.Fatalf("%s the move to %s cannot be planned: %v", where, m, err)
		} else if red := migration.Failing(sp.Gates); len(red) > 0 ||
			sp.Approval != migration.ApprovalNone {
			t.Fatalf("%s the move to %s wants approval %s and is refused by %+v",
				where, m, sp.Approval, red)
		}
	}
}

// What the way forward hangs on can be shown again from off: while anything is missing,
// something is offered there that is neither a move nor refused for the stage.
func TestAtOffWhateverIsMissingCanBeShownAgain(t *testing.T) {
	t.Parallel()
	p, err := plan.Read("", steps.IDs())
	ok(t, err)
	b := openBench(t, settings(t.TempDir()), p)
	for _, world := range knowledge() {
		v := b.viewOf(t, p, place{stage: migration.StageOff}, migration.SourceSentinel, world)
		if len(migration.Failing(v.Needs(migration.StepCutover, migration.Params{}))) == 0 {
			continue
		}
		offered := 0
		for _, n := range v.NextSteps() {
			if n.Step != migration.StepCutover {
				offered++
			}
		}
		if offered == 0 {
			t.Errorf("nothing is offered, knowing %v", world)
		}
	}
}

// What is of an older form says so, and who shows it again: the monitor by itself, at any
// stage, or a step.
func TestEvidenceOfAnOlderFormSaysHowItIsShownAgain(t *testing.T) {
	t.Parallel()
	watched := map[string]bool{}
	for _, w := range watches {
		watched[w.check] = true
	}
	for _, c := range evidence.All() {
		if c.Watched != watched[c.ID] {
			t.Errorf("%s: watched %v, the monitor watches it: %v", c.ID, c.Watched,
				watched[c.ID])
		}
	}
	p, err := plan.Read("", steps.IDs())
	ok(t, err)
	b := openBench(t, settings(t.TempDir()), p)
	world := map[string]known{}
	for _, c := range evidence.IDs() {
		world[c] = older
	}
	v := b.viewOf(t, p, place{stage: migration.StageLive, ramp: 50}, migration.SourceSentinel,
		world)
	for _, item := range v.Checklist {
		for _, f := range item.Findings {
			if c, _ := evidence.Of(f.Check); f.Verdict != migration.Unknown ||
				!strings.Contains(f.Measured, "of an older form: run again") ||
				f.Next != c.Again() {
				t.Errorf("%+v", f)
			}
		}
	}
}
