package steps_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/steps"
)

// rate is orders a second, all the time.
const rate = 4

// entry is what the harness has to know of a step.
type entry struct {
	params migration.Params
	// final is the action from which on there is no way back; empty: there is none such.
	final string
	// stays says why a run that succeeded cannot be rolled back where it stands in the
	// initiative; empty: it is rolled back, and everything outside is as before.
	stays string
	// once says why the step is not offered again after it succeeded; empty: it runs again.
	once string
	// slow are actions that change nothing and take long: they are done for real in the
	// first run, and give the same in the others.
	slow []string
	// untraced are actions whose Undo leaves no trace outside, with the reason.
	untraced map[string]string
	// midway brings about what an action leaves that is killed in the middle of it, where
	// it clears up by itself otherwise.
	midway map[string]func(context.Context, *world, *engine.Call) error
}

// table has an entry for each step of the catalogue.
var table = map[string]entry{
	migration.StepAudit:     {stays: "it changes nothing"},
	migration.StepFixPolicy: {},
	migration.StepSentinelMove: {
		once: "the queues are on Sentinel already",
	},
	migration.StepSentinelTest: {stays: "any node may be the master"},
	migration.StepBreakerDrill: {
		slow:   []string{"bench"},
		midway: map[string]func(context.Context, *world, *engine.Call) error{"drill": fenceSource},
	},
	migration.StepWebhookRetry: {
		midway: map[string]func(context.Context, *world, *engine.Call) error{"refuse": fenceSource},
	},
	migration.StepProvision: {},
	migration.StepMoveQueues: {
		untraced: map[string]string{"sweep": "late jobs go back with their queue"},
	},
	migration.StepCutover: {
		params: migration.Params{To: migration.StageDualWrite},
		once:   "the queue is at that stage already",
	},
	migration.StepDualWrite: {stays: "it changes nothing"},
	migration.StepMoveResidue: {
		stays: "the queue is at complete",
		untraced: map[string]string{
			"move": "what was moved runs on the target, once",
		},
	},
	migration.StepDecommission: {
		final: "delete",
		stays: "it is irreversible",
		once:  "there is nothing left to decommission",
	},
}

// fenceSource is the state in which a process that dies leaves a source that it fenced.
func fenceSource(ctx context.Context, w *world, c *engine.Call) error {
	master, err := w.given.Environment.Servers.SourceMaster(ctx, w.mid)
	if err != nil {
		return err
	}
	defer func() { _ = master.Client.Close() }()
	return w.given.Environment.Debts.Fence(ctx, c, master)
}

func TestEveryStepOfTheCatalogueHasAnEntryInTheHarness(t *testing.T) {
	t.Parallel()
	if got := slices.Sorted(maps.Keys(table)); !slices.Equal(got, steps.IDs()) {
		t.Errorf("the harness has %v, the catalogue %v", got, steps.IDs())
	}
	var walked []string
	for _, half := range halves {
		walked = append(walked, half...)
	}
	slices.Sort(walked)
	if !slices.Equal(walked, steps.IDs()) {
		t.Errorf("the harness walks %v, the catalogue has %v", walked, steps.IDs())
	}
}

// halves of the initiative, in an order in which each step can be done and rolled back.
var halves = [][]string{
	{
		migration.StepAudit, migration.StepFixPolicy, migration.StepSentinelMove,
		migration.StepSentinelTest, migration.StepBreakerDrill, migration.StepWebhookRetry,
	},
	{
		migration.StepProvision, migration.StepMoveQueues, migration.StepCutover,
		migration.StepDualWrite, migration.StepMoveResidue, migration.StepDecommission,
	},
}

// Every step is planned twice, approved with a plan that is out of date, cancelled in each of
// its actions, killed after each of them and resumed, rolled back, and done again, while
// orders arrive. What it leaves outside is compared each time, and in the end no order was
// lost or took effect twice.
func TestEveryStepEveryWay(t *testing.T) {
	t.Parallel()
	for i, half := range halves {
		if *only != "" && !slices.Contains(half, *only) {
			continue
		}
		t.Run(fmt.Sprint("half ", i+1), func(t *testing.T) {
			t.Parallel()
			w := openWorld(t)
			for _, done := range slices.Concat(halves[:i]...) {
				w.simply(done, migration.Params{})
			}
			for _, step := range half {
				if *only != "" && *only != step {
					w.before(step)
					run := w.simply(step, table[step].params)
					if step == migration.StepCutover { // live needs a rollback that was tried
						w.back(run)
						w.simply(step, table[step].params)
					}
					continue
				}
				if !t.Run(step, func(t *testing.T) {
					w.t = t
					w.before(step)
					everyWay(w, step, table[step])
				}) {
					t.FailNow() // what comes next builds on it
				}
				w.t = t
				if *only != "" {
					break
				}
			}
			w.ordersAreWhole()
		})
	}
}

// simply does a step once.
func (w *world) simply(step string, p migration.Params) migration.Run {
	w.t.Helper()
	if step == migration.StepBreakerDrill {
		w.scan()
	}
	return w.succeed(step, func() migration.Run { return w.start(step, p) })
}

// succeed sees a run to its success.
func (w *world) succeed(step string, start func() migration.Run) migration.Run {
	w.t.Helper()
	return w.endsAs(step, migration.RunSucceeded, start)
}

// endsAs sees a run to a state. A drill whose app was too slow to answer within the fault
// is red, rightly, and is tried again: this machine does other things too. A failover that a
// kill has cut off is not repeated by itself.
func (w *world) endsAs(
	step string, want migration.RunState, start func() migration.Run,
) migration.Run {
	w.t.Helper()
	tries := 3
	if *writes {
		tries = 12 // each kill in a failover that took place ends a run
	}
	for ; ; tries-- {
		r := w.end(start().ID)
		cutOff := step == migration.StepSentinelTest && strings.Contains(r.Error, "was cut off")
		if r.State == migration.RunFailed && tries > 1 &&
			(step == migration.StepBreakerDrill || cutOff) {
			w.t.Logf("tried again: %s", r.Error)
			continue
		}
		w.is(r, want)
		return r
	}
}

// before brings the queue to the stage where the initiative does a step.
func (w *world) before(step string) {
	w.t.Helper()
	var moves []migration.Params
	switch step {
	case migration.StepBreakerDrill:
		w.scan()
	case migration.StepDualWrite:
		moves = []migration.Params{{To: migration.StageShadow}}
	case migration.StepMoveResidue:
		moves = []migration.Params{
			{To: migration.StageLive, Ramp: 10}, {To: migration.StageLive, Ramp: 100},
			{To: migration.StageRampDown}, {To: migration.StageComplete},
		}
	}
	for _, m := range moves {
		w.simply(migration.StepCutover, m)
	}
}

// everyWay takes a step through all that can happen to it.
func everyWay(w *world, step string, e entry) {
	w.ways.set(func() {
		w.ways.slow, w.ways.midway = nil, map[string]func(context.Context, *world, *engine.Call) error{}
		for _, id := range e.slow {
			w.ways.slow = append(w.ways.slow, step+"/"+id)
		}
		for id, f := range e.midway {
			w.ways.midway[step+"/"+id] = f
		}
	})
	way := func(name string, f func()) {
		w.t.Helper()
		outer := w.t
		if !outer.Run(name, func(t *testing.T) { w.t = t; f(); w.owesNothing() }) {
			outer.FailNow()
		}
		w.t = outer
	}
	way("planned twice", func() { w.plansWithoutChange(step, e) })
	way("approved with a stale plan", func() { w.refusesAStalePlan(step, e) })
	actions := w.plan(step, e.params).Actions
	for _, a := range actions {
		if a.ID != e.final {
			way("cancelled in "+a.ID, func() { w.cancelledIn(step, a.ID, e) })
		}
	}
	w.everyUndoLeftATrace(step, e)
	before := w.steady()
	var run migration.Run
	way("killed after each action", func() { run = w.killed(step, e) })
	way("rolled back", func() { w.rolledBack(run, before, e) })
	if e.stays == "" {
		way("run", func() { run = w.simply(step, e.params) })
	}
	way("run again", func() { w.again(step, e) })
}

// owesNothing: no way that a run can end leaves anything on a server, by what was written down
// and by a look at the servers themselves.
func (w *world) owesNothing() {
	w.t.Helper()
	w.eventually("something is left on a server", func() error {
		d, err := w.control.Debts(w.t.Context(), w.mid)
		if err == nil && len(d.Debts)+len(d.Left) > 0 {
			err = fmt.Errorf("it owes %v, and %+v is left", d.Debts, d.Left)
		}
		return err
	})
}

func (w *world) plansWithoutChange(step string, e entry) {
	first := w.plan(step, e.params)
	before := w.steady()
	if second := w.plan(step, e.params); second.Hash != first.Hash {
		w.t.Errorf("it plans\n%+v\nthen\n%+v", first, second)
	}
	w.asBefore(before)
}

// refusesAStalePlan asks for a step whose plan is another by the time of the approval, or,
// where none is needed, of the start.
func (w *world) refusesAStalePlan(step string, e entry) {
	ctx := w.t.Context()
	plan := w.plan(step, e.params)
	before := w.steady()
	asked := plan.Hash
	var run migration.Run
	if plan.Approval != migration.ApprovalNone {
		run = w.start(step, e.params)
	}
	w.ways.set(func() { w.ways.changed = true })
	defer w.ways.set(func() { w.ways.changed = false })
	var err error
	if plan.Approval == migration.ApprovalNone {
		_, err = w.control.Start(ctx, ada, w.mid, step, e.params, asked)
	} else {
		err = w.decide(run)
	}
	if migration.KindOf(err) != migration.Conflict || err == nil {
		w.t.Errorf("got %v, want a conflict: the plan is another", err)
	}
	if run.ID != "" {
		if r := w.run(run.ID); r.State != migration.RunAwaitingApproval {
			w.t.Errorf("the run is %s", r.State)
		}
		if _, err := w.control.Cancel(ctx, ada, run.ID); err != nil {
			w.t.Fatal(err)
		}
	}
	w.asBefore(before)
}

func (w *world) cancelledIn(step, action string, e entry) {
	w.plan(step, e.params)
	before := w.steady()
	w.ways.set(func() { w.ways.cancel = action })
	defer w.ways.set(func() { w.ways.cancel = "" })
	run := w.endsAs(step, migration.RunCancelled,
		func() migration.Run { return w.start(step, e.params) })
	if strings.Contains(run.Error, "failed too") {
		w.t.Errorf("%s%s", run.Error, w.log(run.ID))
	}
	w.asBefore(before)
}

// everyUndoLeftATrace: an Undo that changes nothing outside could be left out, and no test
// here would notice.
func (w *world) everyUndoLeftATrace(step string, e entry) {
	for _, a := range w.steps[step].Actions(e.params) {
		if a.Undo == nil || a.ID == e.final || w.ways.trace[step+"/"+a.ID] {
			continue
		}
		if e.untraced[a.ID] == "" {
			w.t.Errorf("%s: taking back %q changed nothing that can be seen", step, a.ID)
		}
	}
}

func (w *world) killed(step string, e entry) migration.Run {
	w.ways.set(func() { w.ways.kill = true })
	defer w.ways.set(func() { w.ways.kill = false })
	run := w.succeed(step, func() migration.Run { return w.start(step, e.params) })
	for _, a := range run.Actions {
		if at := run.ID + " do " + step + "/" + a.ID; !w.ways.killed[at] {
			w.t.Errorf("it was not killed after %s", a.ID)
		}
	}
	return run
}

func (w *world) rolledBack(run migration.Run, before outside, e entry) {
	if e.stays != "" {
		if _, err := w.control.Rollback(w.t.Context(), ada, run.ID); err == nil {
			w.t.Errorf("it can be rolled back, although %s", e.stays)
		}
		return
	}
	w.ways.set(func() { w.ways.kill = true })
	defer w.ways.set(func() { w.ways.kill = false })
	w.back(run)
	w.asBefore(before)
}

// back rolls a run back.
func (w *world) back(run migration.Run) {
	w.t.Helper()
	back, err := w.control.Rollback(w.t.Context(), ada, run.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	w.follow(back.ID, migration.RunSucceeded)
}

// again does a step that was done.
func (w *world) again(step string, e entry) {
	before := w.steady()
	if e.once == "" {
		w.simply(step, e.params)
		w.asBefore(before)
		return
	}
	r, err := w.control.Start(w.t.Context(), ada, w.mid, step, e.params, "")
	if err == nil {
		w.t.Errorf("run %s starts, although %s", r.ID, e.once)
	}
}

// The harness must fail when it should: one Undo is broken here, and scripts/broken-undos
// breaks each of them.
func TestABrokenUndoFailsTheHarness(t *testing.T) {
	t.Parallel()
	const step, action = migration.StepFixPolicy, "set-noeviction"
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestEveryStepEveryWay$",
		"-step", step, "-broken-undo", step+"/"+action)
	out, err := cmd.CombinedOutput()
	want := fmt.Sprintf("cancelled_in_%s", action)
	if err == nil || !strings.Contains(string(out), "--- FAIL") ||
		!strings.Contains(string(out), want) || !strings.Contains(string(out), "allkeys-lru") {
		t.Errorf("it passes, or fails by something else: %v\n%s", err, out)
	}
}

// ordersAreWhole: every order that the provider sent took effect once.
func (w *world) ordersAreWhole() {
	w.twin.Traffic().SetRate(0)
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	if err := w.twin.Traffic().Settled(ctx); err != nil {
		w.t.Fatal(err)
	}
	orders := w.twin.Traffic().Orders()
	w.eventually("orders do not take effect", func() error {
		applied, err := w.twin.Sink(w.t.Context())
		if err != nil {
			return err
		}
		var lost, twice []string
		for _, o := range orders {
			switch n := applied[o.ID]; {
			case n == 0:
				lost = append(lost, o.ID)
			case n > 1:
				twice = append(twice, o.ID)
			}
		}
		if len(twice) > 0 {
			w.t.Fatalf("%d orders took effect more than once: %v", len(twice), twice)
		}
		if len(lost) > 0 {
			return fmt.Errorf("%d of %d orders did not: %v", len(lost), len(orders), lost)
		}
		return nil
	})
	w.t.Logf("%d orders, each took effect once; %s", len(orders), time.Now().Format(time.TimeOnly))
}
