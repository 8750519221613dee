package rehearse

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/twin"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

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
	r.offer(r.burst()) // in the middle of traffic
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

// measure takes the figures of the report from what runs gave.
func (r *rehearsal) measure(run migration.Run) {
	for _, a := range run.Actions {
		switch a.ID {
		case "switch":
			var v struct {
				FreezeMS migration.Figure `json:"freeze_ms"`
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

// firstAdd gives the milliseconds from a moment until a webhook was accepted again after
// one had failed; 0 when none failed.
func firstAdd(orders []twin.Order, since time.Time) migration.Figure {
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
			return migration.Measured(
				d.At.Add(time.Duration(d.MS) * time.Millisecond).Sub(since).Milliseconds())
		}
	}
	if failed {
		return migration.Figure{} // none came after the last refusal
	}
	return migration.Measured(0)
}
