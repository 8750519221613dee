package rehearse

import (
	"context"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
)

// deal does what a person would about whoever keeps a step from starting, or a criterion from
// being met: it has the app that nobody knew of stopped, and decides about what is in another
// database. It reports whether there was something to do.
func (r *rehearsal) deal(ctx context.Context, step string, p migration.Params) (bool, error) {
	if !r.Neighbour {
		return false, nil
	}
	var asked []Named
	add := func(by string, c migration.Coverage) {
		for _, m := range c.Unknown() {
			asked = append(asked, Named{step, by, m.Key, m.Why})
		}
	}
	if plan, err := r.ada.Plan(ctx, r.mid, step, p); err == nil {
		for _, g := range migration.Failing(plan.Gates) {
			add(g.ID, g.Asked)
		}
	}
	o, err := r.ada.Overview(ctx, r.mid)
	if err != nil {
		return false, err
	}
	for _, i := range o.Checklist {
		for _, f := range i.Findings {
			add(i.Criterion.ID, f.Asked)
		}
	}
	dealt := map[string]bool{}
	for _, n := range asked {
		app := strings.HasPrefix(n.Member, "client:") && strings.HasPrefix(n.Why, "from ")
		left := strings.HasPrefix(n.Member, "residue:")
		if !app && !left {
			continue
		}
		r.report.Named = append(r.report.Named, n)
		switch {
		case dealt[n.Member]:
		case app && !r.stopped:
			r.say("  by hand: stop the app that %s names", n.By)
			r.Twin.StopNeighbour()
			r.stopped = true
		case left:
			r.say("  decided in writing: %s, which %s names, may go", n.Member, n.By)
			if _, err := r.grace.Waive(ctx, r.mid, api.WaiverRequest{Member: n.Member,
				Why:   "exported, nobody needs it any more",
				Until: r.started.Add(24 * time.Hour)}); err != nil {
				return false, err
			}
		}
		dealt[n.Member] = true
	}
	return len(dealt) > 0, nil
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
