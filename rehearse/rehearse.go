// Package rehearse runs the whole migration unattended on a twin, as a client of the public
// API: it does what the server's next steps offer, approves as a second person, makes
// faults on the way, and counts every order from outside Switchyard.
package rehearse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/scan"
	"github.com/switchyard-dev/switchyard/twin"
)

// Report is what a rehearsal found. Orders are counted from the provider's own list and the
// app's own sink, not from Switchyard.
type Report struct {
	Orders OrderCount `json:"orders"`
	// Instances is how many orders took effect at each instance of the app, by its id.
	Instances map[string]int   `json:"instances"`
	Other     OtherCount       `json:"other_queues"`
	Criteria  []CriterionState `json:"criteria"`
	Steps     []StepTime       `json:"steps"`
	Failover  Failover         `json:"failover"`
	FreezeMS  migration.Figure `json:"freeze_ms"` // writes held back during the replication swap
	// flag change to acknowledgement by every worker, of the rehearsed rollback
	RollbackMS int64    `json:"rollback_ms"`
	Faults     []string `json:"faults"`
	// Named are those who kept a step from starting until they were dealt with.
	Named []Named `json:"named,omitempty"`
	// Held are the gates that kept a step from starting for a while, each once.
	Held    []Held  `json:"held,omitempty"`
	Seconds float64 `json:"seconds"`
	Error   string  `json:"error,omitempty"` // why the migration did not get to its end
}

// OrderCount counts orders.
type OrderCount struct {
	Sent         int      `json:"sent"`
	Acknowledged int      `json:"acknowledged"`
	Fulfilled    int      `json:"fulfilled"`
	Lost         int      `json:"lost"`       // sent, and not fulfilled in the end
	Duplicated   int      `json:"duplicated"` // took effect more than once
	Refused      int      `json:"refused"`    // deliveries answered 503
	LostIDs      []string `json:"lost_ids,omitempty"`
	TwiceIDs     []string `json:"duplicated_ids,omitempty"`
}

// OtherCount counts the jobs of the shop's other queues, which moved whole: what ran on the
// target in the end.
type OtherCount struct {
	Added int      `json:"added"`
	Ran   int      `json:"ran"`
	Lost  []string `json:"lost,omitempty"`
	Twice []string `json:"twice,omitempty"`
}

// CriterionState is one criterion at the end.
type CriterionState struct {
	ID      string            `json:"id"`
	Verdict migration.Verdict `json:"verdict"`
	Why     string            `json:"why"`
	// Proof is the weakest that the verdict rests on.
	Proof migration.Proof `json:"proof"`
}

// StepTime is one run.
type StepTime struct {
	ID      string             `json:"id"`
	Seconds float64            `json:"seconds"`
	State   migration.RunState `json:"state"`
	Error   string             `json:"error,omitempty"` // why it did not succeed
}

// Named is somebody whom a gate or criterion did not know, by its key, and what it said of them.
type Named struct {
	Step   string `json:"step"`
	By     string `json:"by"` // the gate or criterion
	Member string `json:"member"`
	Why    string `json:"why"`
}

// Held is a gate that did not hold when a step was first asked for.
type Held struct {
	Step     string `json:"step"`
	Gate     string `json:"gate"`
	Measured string `json:"measured"`
}

// Failover is what losing the master looked like. Milliseconds from the loss.
type Failover struct {
	ElectionMS       int64            `json:"election_ms"`
	FirstAddMS       migration.Figure `json:"first_add_ms"`
	LostAcknowledged int              `json:"lost_acknowledged"`
}

// OK reports whether nothing was lost or doubled, every order was fulfilled, and every
// criterion is met.
func (r Report) OK() bool {
	met := len(r.Criteria) > 0
	for _, c := range r.Criteria {
		met = met && c.Verdict == migration.Met
	}
	return met && r.Error == "" && r.Other.Added > 0 && r.Other.Ran == r.Other.Added &&
		len(r.Other.Lost)+len(r.Other.Twice) == 0 &&
		r.Orders.Lost == 0 &&
		r.Orders.Duplicated == 0 &&
		r.Orders.Fulfilled == r.Orders.Sent
}

// Options of a rehearsal.
type Options struct {
	Twin   *twin.Twin
	Orders int
	Rate   float64
	// Neighbour: the twin has one, see twin.Config.
	Neighbour bool
	// Faults are made one after the other, each at its place on the way; see twin.Faults.
	Faults []string
	// LateOrder, if not 0, is how much later one order is to be fulfilled, which is sent before
	// the cutover. The rehearsal waits for it at its end.
	LateOrder time.Duration
	Out       io.Writer
	// StuckAfter is how long nothing may move before the rehearsal gives up. Default 2 minutes.
	StuckAfter time.Duration
}

type rehearsal struct {
	Options
	ada, grace *api.Client
	mid, name  string
	report     Report
	started    time.Time
	killedAt   time.Time
	due        time.Time // when the late order is; zero: it was not sent
	offered    atomic.Int64
	busyUntil  atomic.Int64 // unix ms
	stopped    bool         // the neighbour was
}

// Run rehearses. The report is complete as far as the rehearsal came, also with an error.
func Run(ctx context.Context, o Options) (Report, error) {
	if o.StuckAfter == 0 {
		o.StuckAfter = 2 * time.Minute
	}
	r := &rehearsal{Options: o, started: time.Now()}
	r.report.Faults = o.Faults
	err := r.run(ctx)
	if err != nil {
		r.report.Error = err.Error()
	}
	if countErr := r.finish(ctx); countErr != nil {
		err = errors.Join(err, countErr)
		r.report.Error = err.Error()
	}
	r.report.Seconds = time.Since(r.started).Seconds()
	return r.report, err
}

func (r *rehearsal) say(format string, args ...any) {
	_, _ = fmt.Fprintf(
		r.Out,
		"%6.1fs  %s\n",
		time.Since(r.started).Seconds(),
		fmt.Sprintf(format, args...),
	)
}

func (r *rehearsal) run(ctx context.Context) error {
	var err error
	if r.ada, err = r.signIn(ctx, 0); err != nil {
		return err
	}
	if r.grace, err = r.signIn(ctx, 1); err != nil {
		return err
	}
	all, err := r.ada.Migrations(ctx)
	if err != nil {
		return err
	}
	if len(all) != 1 {
		return fmt.Errorf("the twin has %d migrations, not one", len(all))
	}
	r.mid, r.name = all[0].ID, all[0].Name
	// Orders keep arriving: some in a steady drip, others in bursts at the full rate with
	// every step.
	drip, stop := context.WithCancel(ctx)
	dripped := make(chan struct{})
	go func() {
		defer close(dripped)
		r.drip(drip)
	}()
	defer func() { stop(); <-dripped }()
	return r.follow(ctx)
}

func (r *rehearsal) signIn(ctx context.Context, i int) (*api.Client, error) {
	a := r.Twin.Accounts()[i]
	c := api.New(r.Twin.URL(), "")
	_, err := c.SignIn(ctx, a.Name, migration.Secret(a.Password))
	return c, err
}

// expected is about how long a rehearsal takes, and bursts how many steps it has; they only
// shape the traffic.
const (
	expected = 3 * time.Minute
	bursts   = 20
	// busy is orders a second while webhooks are refused: one of each sender has to come.
	busy    = 8.0
	busyFor = 15 * time.Second
)

// MinValidation is how many orders a dual-write validation should see in a rehearsal of
// that many orders.
func MinValidation(orders int) int { return min(max(orders/25, 20), 500) }

// offer has the provider send more orders, up to all of them.
func (r *rehearsal) offer(n int) {
	r.offered.Add(int64(n))
	r.Twin.Traffic().Offer(n)
}

// left is how many orders are to be sent yet. Each burst, and each second of the drip, takes a
// part of them, so that some come at the last stage too however long the way there was: a
// stage in which none came shows nothing.
func (r *rehearsal) left() int { return max(0, r.Orders-int(r.offered.Load())) }

// burst is what is sent with each step.
func (r *rehearsal) burst() int { return r.left() / bursts }

func (r *rehearsal) drip(ctx context.Context) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for owed := 0.0; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			perSecond := float64(r.left()) / 3 / expected.Seconds()
			if time.Now().UnixMilli() < r.busyUntil.Load() {
				perSecond = max(perSecond, busy)
			}
			owed += perSecond / 10
			r.offer(int(owed))
			owed -= float64(int(owed))
		}
	}
}

// follow does what the next steps offer, until every criterion is met or nothing moves any more.
func (r *rehearsal) follow(ctx context.Context) error {
	faults := slices.Clone(r.Faults)
	moved := time.Now()
	var last error
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if stuck := time.Since(moved); stuck > r.StuckAfter {
			return fmt.Errorf(
				"nothing moved for %s: %w",
				stuck.Round(time.Second),
				errors.Join(last, errors.New("see the steps")),
			)
		}
		o, err := r.ada.Overview(ctx, r.mid)
		if err != nil {
			return err
		}
		if o.Checklist.MetCount() == len(o.Checklist) {
			r.say("all %d criteria are met", len(o.Checklist))
			return nil
		}
		if len(o.NextSteps) == 0 {
			last = fmt.Errorf(
				"nothing is left to do, but %d of %d criteria are met",
				o.Checklist.MetCount(),
				len(o.Checklist),
			)
			if r.done(o) {
				return last
			}
			pause(ctx, 500*time.Millisecond)
			continue
		}
		next := o.NextSteps[0]
		if next.Verb == "start" && next.Step == migration.StepBreakerDrill {
			if err := r.scan(ctx); err != nil {
				return err
			}
		}
		if next.Verb == "start" && next.Step == migration.StepCutover {
			if err := r.sendLate(ctx); err != nil {
				return err
			}
		}
		if next.Verb == "start" {
			if faults, err = r.faultsBefore(ctx, next, faults); err != nil {
				return err
			}
		}
		progressed, err := r.take(ctx, next, &faults)
		if err != nil {
			return err
		}
		if progressed != nil {
			last = progressed
			if dealt, err := r.deal(ctx, next.Step, next.Params); err != nil {
				return err
			} else if dealt {
				moved = time.Now()
			}
			pause(ctx, 500*time.Millisecond)
			continue
		}
		moved = time.Now()
	}
}

// scan brings what the source of the app says of its producers, as CI does. Each time anew:
// it is quick.
func (r *rehearsal) scan(ctx context.Context) error {
	dir := r.Twin.IngestionDir()
	found, err := scan.Run(ctx, dir, scan.Options{})
	if err != nil {
		return fmt.Errorf("scan of %s: %w", dir, err)
	}
	return r.ada.SubmitScan(ctx, r.mid, found.Facts(filepath.Base(dir), ""))
}

// done reports whether waiting could not change the checklist for the better:
// decommissioned, and still not met.
func (r *rehearsal) done(o migration.Overview) bool {
	for _, i := range o.Checklist {
		if i.Verdict == migration.Unmet && i.Criterion.ID == "source-decommissioned" {
			return slices.ContainsFunc(o.Steps, func(s migration.StepStatus) bool {
				return s.PlanStep.ID == migration.StepDecommission && s.State == migration.StepDone
			})
		}
	}
	return false
}

// take does one next step. notYet says why it could not be done at this moment; err ends
// the rehearsal.
func (r *rehearsal) take(
	ctx context.Context,
	next migration.NextStep,
	faults *[]string,
) (notYet, err error) {
	switch next.Verb {
	case "scan":
		return nil, r.scan(ctx)
	case "approve":
		run, err := r.grace.Run(ctx, next.RunID)
		if err != nil {
			return nil, err
		}
		action, _ := run.Waiting()
		who := r.grace
		if run.Needs() != migration.ApprovalTwo && action.ID != "" { // whoever looks after the run
			who = r.ada
		}
		approve := func() error {
			_, err := who.Approve(ctx, next.RunID, api.Decision{Comment: "rehearsal",
				ConfirmName: r.name, PlanHash: run.Plan.Hash, Action: action.ID})
			return err
		}
		if err := r.handMachines(ctx, action, approve); err != nil {
			return nil, err
		}
		r.say("  approval of %s", cmp.Or(action.Title, "the start"))
		if run.Step == migration.StepWebhookRetry {
			r.busyUntil.Store(time.Now().Add(busyFor).UnixMilli())
		}
		return waitable(approve())
	case "watch":
		return nil, r.watch(ctx, next.RunID, faults)
	}
	run, err := r.ada.Start(ctx, r.mid, next.Step, next.Params, "")
	if err != nil {
		r.held(next.Step, err)
		return waitable(err)
	}
	burst := r.burst()
	if next.Step == migration.StepDualWrite {
		burst = MinValidation(r.Orders) * 5 / 4
	}
	r.offer(burst)
	r.say("%s", next.Title)
	if run.State != migration.RunAwaitingApproval {
		return nil, r.watch(ctx, run.ID, faults)
	}
	return nil, nil
}

// held notes which gates an error names.
func (r *rehearsal) held(step string, err error) {
	e, ok := errors.AsType[*migration.Error](err)
	if !ok {
		return
	}
	for _, g := range e.Blockers {
		if !slices.ContainsFunc(r.report.Held, func(h Held) bool {
			return h.Step == step && h.Gate == g.ID
		}) {
			r.report.Held = append(r.report.Held, Held{step, g.ID, g.Measured})
		}
	}
}

// waitable tells what time may mend, an unmet precondition or somebody else's run, from
// what it cannot.
func waitable(err error) (notYet, fatal error) {
	switch migration.KindOf(err) {
	case migration.Blocked, migration.Conflict, migration.Unavailable:
		return err, nil
	}
	return nil, err
}

// watch follows a run to its end. A run that failed took back what it had done; the next
// steps will offer it again.
func (r *rehearsal) watch(ctx context.Context, id string, faults *[]string) error {
	run, err := r.ada.Run(ctx, id)
	if err != nil {
		return err
	}
	if i := slices.Index(*faults, twin.KillServe); i >= 0 &&
		slices.Contains(
			[]string{migration.StepSentinelMove, migration.StepCutover, migration.StepDecommission},
			run.Step,
		) &&
		r.killsLeft(run, *faults) {
		*faults = slices.Delete(*faults, i, i+1)
		pause(ctx, 700*time.Millisecond)
		r.say("fault: kill -9 of switchyard serve during %s", run.Step)
		if err := r.Twin.Fault(ctx, twin.KillServe); err != nil {
			return err
		}
	}
	if err := r.handVariable(ctx, r.ada, id); err != nil {
		return err
	}
	if run, err = r.ada.Wait(ctx, id, nil); err != nil || run.State.Open() {
		return err
	}
	took := run.FinishedAt.Sub(run.CreatedAt).Seconds()
	id = run.Step
	if run.Params.To != "" {
		id += ":" + run.Params.Move().String()
	}
	r.report.Steps = append(r.report.Steps,
		StepTime{ID: id, Seconds: took, State: run.State, Error: run.Error})
	r.say("  %s in %.1f s: %s %s", id, took, run.State, run.Error)
	r.measure(run)
	if run.State != migration.RunSucceeded {
		_, err := r.deal(ctx, run.Step, run.Params)
		return err
	}
	if run.Step == migration.StepMoveQueues && r.stopped {
		r.say("  by hand: start the stopped app on the managed Redis")
		return r.Twin.MoveNeighbour()
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
