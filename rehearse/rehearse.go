// Package rehearse runs the whole migration unattended on a twin, as a client of the public
// API: it does what the server's next steps offer, approves as a second person, makes
// faults on the way, and counts every order from outside Switchyard.
package rehearse

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/scan"
	"github.com/switchyard-dev/switchyard/twin"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// Report is what a rehearsal found. Orders are counted from the provider's own list and the
// app's own sink, not from Switchyard.
type Report struct {
	Orders   OrderCount       `json:"orders"`
	Other    OtherCount       `json:"other_queues"`
	Criteria []CriterionState `json:"criteria"`
	Steps    []StepTime       `json:"steps"`
	Failover Failover         `json:"failover"`
	FreezeMS int64            `json:"freeze_ms"` // writes held back during the replication swap
	// flag change to acknowledgement by every worker, of the rehearsed rollback
	RollbackMS int64    `json:"rollback_ms"`
	Faults     []string `json:"faults"`
	Seconds    float64  `json:"seconds"`
	Error      string   `json:"error,omitempty"` // why the migration did not get to its end
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
}

// StepTime is one run.
type StepTime struct {
	ID      string             `json:"id"`
	Seconds float64            `json:"seconds"`
	State   migration.RunState `json:"state"`
}

// Failover is what losing the master looked like. Milliseconds from the loss.
type Failover struct {
	ElectionMS       int64 `json:"election_ms"`
	FirstAddMS       int64 `json:"first_add_ms"`
	LostAcknowledged int   `json:"lost_acknowledged"`
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
	// Faults are made one after the other, each at its place on the way; see twin.Faults.
	Faults []string
	Out    io.Writer
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
	// Orders keep arriving: a third of them in a steady drip, the rest in bursts at the
	// full rate with every step.
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
)

// MinValidation is how many orders a dual-write validation should see in a rehearsal of
// that many orders.
func MinValidation(orders int) int { return min(max(orders/25, 20), 500) }

func (r *rehearsal) drip(ctx context.Context) {
	perSecond := float64(r.Orders) / 3 / expected.Seconds()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for owed := 0.0; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			owed += perSecond / 10
			r.Twin.Traffic().Offer(int(owed))
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
		r.say("  approval of %s", cmp.Or(action.Title, "the start"))
		_, err = who.Approve(
			ctx,
			next.RunID,
			api.Decision{
				Comment:     "rehearsal",
				ConfirmName: r.name,
				PlanHash:    run.Plan.Hash,
				Action:      action.ID,
			},
		)
		return waitable(err)
	case "watch":
		return nil, r.watch(ctx, next.RunID, faults)
	}
	run, err := r.ada.Start(ctx, r.mid, next.Step, next.Params, "")
	if err != nil {
		return waitable(err)
	}
	burst := (r.Orders - r.Orders/3) / bursts
	if next.Step == migration.StepDualWrite {
		burst = MinValidation(r.Orders) * 5 / 4
	}
	r.Twin.Traffic().Offer(burst)
	r.say("%s", next.Title)
	if run.State != migration.RunAwaitingApproval {
		return nil, r.watch(ctx, run.ID, faults)
	}
	return nil, nil
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
	if run, err = r.ada.Wait(ctx, id, nil); err != nil || run.State.Open() {
		return err
	}
	took := run.FinishedAt.Sub(run.CreatedAt).Seconds()
	id = run.Step
	if run.Params.To != "" {
		id += ":" + run.Params.Move().String()
	}
	r.report.Steps = append(r.report.Steps, StepTime{ID: id, Seconds: took, State: run.State})
	r.say("  %s in %.1f s: %s %s", id, took, run.State, run.Error)
	r.measure(run)
	return nil
}

// killsLeft spreads the kills over the way: one during the swap, one during the cutover,
// the rest during the decommission.
func (r *rehearsal) killsLeft(run migration.Run, faults []string) bool {
	left := 0
	for _, f := range faults {
		if f == twin.KillServe {
			left++
		}
	}
	switch run.Step {
	case migration.StepSentinelMove:
		return left > 2 || left == 1
	case migration.StepCutover:
		return run.Params.To == migration.StageLive && left > 1
	}
	return true
}

// measure takes the figures of the report from what runs gave.
func (r *rehearsal) measure(run migration.Run) {
	for _, a := range run.Actions {
		switch a.ID {
		case "switch":
			var v struct {
				FreezeMS int64 `json:"freeze_ms"`
			}
			if json.Unmarshal(a.Output, &v) == nil {
				r.report.FreezeMS = v.FreezeMS
			}
		case "automatic":
			var v evidence.FailoverFacts
			if json.Unmarshal(a.Output, &v) == nil && r.killedAt.IsZero() {
				r.report.Failover = Failover{v.ElectionMS, v.FirstAddMS, v.LostAcknowledged}
			}
		}
	}
}

// faultsBefore makes the faults that are due before a step, and gives the rest.
func (r *rehearsal) faultsBefore(
	ctx context.Context,
	next migration.NextStep,
	faults []string,
) ([]string, error) {
	due := map[string]string{
		migration.StepSentinelMove: twin.FreezeSource,
		migration.StepBreakerDrill: twin.KillMaster,
		migration.StepMoveResidue:  twin.KillIngestion,
	}
	name := due[next.Step]
	i := slices.Index(faults, name)
	if name == "" || i < 0 {
		return faults, nil
	}
	faults = slices.Delete(slices.Clone(faults), i, i+1)
	r.say("fault: %s", name)
	r.Twin.Traffic().Offer((r.Orders - r.Orders/3) / bursts) // in the middle of traffic
	pause(ctx, 500*time.Millisecond)
	if name != twin.KillMaster {
		return faults, r.Twin.Fault(ctx, name)
	}
	old, err := r.Twin.MasterAddr(ctx)
	if err != nil {
		return faults, err
	}
	r.killedAt = time.Now()
	if err := r.Twin.Fault(ctx, name); err != nil {
		return faults, err
	}
	for deadline := time.Now().Add(time.Minute); ; pause(ctx, 20*time.Millisecond) {
		now, err := r.Twin.MasterAddr(ctx)
		if err == nil && now != old {
			r.report.Failover.ElectionMS = time.Since(r.killedAt).Milliseconds()
			r.say("  the sentinels named %s after %d ms", now, r.report.Failover.ElectionMS)
			return faults, nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return faults, fmt.Errorf(
				"no new master a minute after the old one was killed: %w",
				err,
			)
		}
	}
}

// finish sends the orders that are left, waits until every order is where it will be, and counts.
func (r *rehearsal) finish(ctx context.Context) error {
	p := r.Twin.Traffic()
	p.Offer(r.Orders)
	deadline := time.Now().Add(3 * time.Minute)
	for p.Stats().Sent < r.Orders && time.Now().Before(deadline) && ctx.Err() == nil {
		pause(ctx, 100*time.Millisecond)
	}
	settled, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	settleErr := p.Settled(settled)
	applied, err := r.applied(ctx)
	if err != nil {
		return errors.Join(settleErr, fmt.Errorf("the app's sink: %w", err))
	}
	for _, o := range p.Orders() {
		r.report.Orders.Sent++
		if !o.Acknowledged.IsZero() {
			r.report.Orders.Acknowledged++
		}
		for _, d := range o.Deliveries {
			if d.Status == http.StatusServiceUnavailable {
				r.report.Orders.Refused++
			}
		}
		switch n := applied[o.ID]; {
		case n == 0:
			r.report.Orders.Lost++
			r.report.Orders.LostIDs = append(r.report.Orders.LostIDs, o.ID)
			if !r.killedAt.IsZero() && !o.Acknowledged.IsZero() {
				r.report.Failover.LostAcknowledged++
			}
			continue
		case n > 1:
			r.report.Orders.Duplicated++
			r.report.Orders.TwiceIDs = append(r.report.Orders.TwiceIDs, o.ID)
		}
		r.report.Orders.Fulfilled++
	}
	if !r.killedAt.IsZero() {
		r.report.Failover.FirstAddMS = firstAdd(p.Orders(), r.killedAt)
	}
	if r.ada == nil || r.mid == "" {
		return settleErr
	}
	return errors.Join(settleErr, r.verdicts(ctx), r.others(ctx))
}

// others has the shop's other app work off its queues where they are now, and counts.
func (r *rehearsal) others(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	ran, err := r.Twin.Reports(bounded)
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(ran)) {
		r.report.Other.Added++
		switch ran[id] {
		case 0:
			r.report.Other.Lost = append(r.report.Other.Lost, id)
			continue
		case 1:
		default:
			r.report.Other.Twice = append(r.report.Other.Twice, id)
		}
		r.report.Other.Ran++
	}
	r.say(
		"the shop's other queues: %d jobs added, %d ran on the target, %d lost, %d twice",
		r.report.Other.Added,
		r.report.Other.Ran,
		len(r.report.Other.Lost),
		len(r.report.Other.Twice),
	)
	return nil
}

// applied reads the sink until every acknowledged order is in it, or the time for that is over.
func (r *rehearsal) applied(ctx context.Context) (map[string]int, error) {
	const patience = 80 * time.Second // the longest delay of an order is 45 s
	for deadline := time.Now().Add(patience); ; pause(ctx, 500*time.Millisecond) {
		applied, err := r.Twin.Sink(ctx)
		missing := 0
		if err == nil {
			for _, o := range r.Twin.Traffic().Orders() {
				if !o.Acknowledged.IsZero() && applied[o.ID] == 0 {
					missing++
				}
			}
			if missing == 0 {
				return applied, nil
			}
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return applied, err
		}
	}
}

// verdicts reads the criteria once Switchyard itself has seen the last order: what the
// ledger owes turns up as lost only after its deadline.
func (r *rehearsal) verdicts(ctx context.Context) error {
	for deadline := time.Now().Add(2 * time.Minute); ; pause(ctx, time.Second) {
		o, err := r.ada.Overview(ctx, r.mid)
		if err != nil {
			return err
		}
		r.report.Criteria = nil
		settled := o.Orders.Acknowledged == r.report.Orders.Acknowledged && o.Orders.Pending == 0
		for _, i := range o.Checklist {
			r.report.Criteria = append(
				r.report.Criteria,
				CriterionState{i.Criterion.ID, i.Verdict, i.Why},
			)
		}
		rollback, err := r.ada.Evidence(ctx, r.mid, evidence.Rollback, 1)
		if err != nil {
			return err
		}
		if len(rollback) > 0 {
			var f evidence.RollbackFacts
			if err := json.Unmarshal(rollback[0].Facts, &f); err != nil {
				return err
			}
			r.report.RollbackMS = f.RollbackMS
		}
		if settled || time.Now().After(deadline) || ctx.Err() != nil {
			return nil
		}
	}
}

// firstAdd gives the milliseconds from a moment until a webhook was accepted again after
// one had failed; 0 when none failed.
func firstAdd(orders []twin.Order, since time.Time) int64 {
	var all []twin.Delivery
	for _, o := range orders {
		for _, d := range o.Deliveries {
			if d.At.After(since) {
				all = append(all, d)
			}
		}
	}
	slices.SortFunc(all, func(a, b twin.Delivery) int { return a.At.Compare(b.At) })
	failed := false
	for _, d := range all {
		switch {
		case !d.Success():
			failed = true
		case failed:
			return d.At.Add(time.Duration(d.MS) * time.Millisecond).Sub(since).Milliseconds()
		}
	}
	return 0
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
