package rehearse

import (
	"context"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
)

// deal does what a person would about whoever keeps a step from starting: it has the app that
// nobody knew of stopped, and decides about what is in another database. It reports whether
// there was something to do.
func (r *rehearsal) deal(ctx context.Context, step string, p migration.Params) (bool, error) {
	if !r.Neighbour {
		return false, nil
	}
	plan, err := r.ada.Plan(ctx, r.mid, step, p)
	if err != nil {
		return false, nil //nolint:nilerr // it is tried again
	}
	dealt := false
	for _, g := range migration.Failing(plan.Gates) {
		for _, m := range g.Asked.Unknown() {
			switch {
			case strings.HasPrefix(m.Key, "client:") && !r.stopped &&
				strings.HasPrefix(m.Why, "from "):
				r.named(step, g, m)
				r.say("  by hand: stop the app that is connected")
				r.Twin.StopNeighbour()
				r.stopped, dealt = true, true
			case strings.HasPrefix(m.Key, "residue:"):
				r.named(step, g, m)
				r.say("  decided in writing: %s may go", m.Name)
				_, err := r.grace.Waive(ctx, r.mid, api.WaiverRequest{Member: m.Key,
					Why:   "exported, nobody needs it any more",
					Until: r.started.Add(24 * time.Hour)})
				if err != nil {
					return false, err
				}
				dealt = true
			}
		}
	}
	return dealt, nil
}

func (r *rehearsal) named(step string, g migration.Gate, m migration.Member) {
	r.report.Named = append(r.report.Named, Named{step, g.ID, m.Key, m.Why})
}

// letters stops the neighbour, which is on the target by now, and counts what it did.
func (r *rehearsal) letters() error {
	if !r.Neighbour {
		return nil
	}
	r.Twin.StopNeighbour()
	ran, err := r.Twin.Letters()
	r.report.Other.count(ran)
	return err
}
