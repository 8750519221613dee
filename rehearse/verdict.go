package rehearse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

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
	sinks, err := r.Twin.Sinks(ctx)
	if err != nil {
		return errors.Join(settleErr, fmt.Errorf("the app's sink: %w", err))
	}
	r.report.Instances = map[string]int{}
	for id, one := range sinks {
		r.report.Instances[id] = len(one)
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
	r.report.Other.count(ran)
	if err := r.letters(); err != nil {
		return err
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

// count adds jobs by how often each ran.
func (c *OtherCount) count(ran map[string]int) {
	for _, id := range slices.Sorted(maps.Keys(ran)) {
		c.Added++
		switch ran[id] {
		case 0:
			c.Lost = append(c.Lost, id)
			continue
		case 1:
		default:
			c.Twice = append(c.Twice, id)
		}
		c.Ran++
	}
}

// applied reads the sink until every acknowledged order is in it, or the time for that is over.
func (r *rehearsal) applied(ctx context.Context) (map[string]int, error) {
	const patience = 80 * time.Second // the longest delay of an order is 45 s
	from := time.Now()
	if r.due.After(from) && !r.abandoned() {
		from = r.due
	}
	for deadline := from.Add(patience); ; pause(ctx, 500*time.Millisecond) {
		applied, err := r.Twin.Sink(ctx)
		missing := 0
		if err == nil {
			for _, o := range r.Twin.Traffic().Orders() {
				waits := o.Delay > 0 && r.abandoned()
				if !o.Acknowledged.IsZero() && applied[o.ID] == 0 && !waits {
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
		settled := o.Orders.Acknowledged == r.report.Orders.Acknowledged &&
			(o.Orders.Pending == 0 || o.Orders.Pending == 1 && r.abandoned())
		for _, i := range o.Checklist {
			r.report.Criteria = append(
				r.report.Criteria,
				CriterionState{i.Criterion.ID, i.Verdict, i.Why, i.Proof()},
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
			return nil //nolint:nilerr // what is not settled by then is in the report
		}
	}
}
