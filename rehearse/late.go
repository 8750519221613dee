package rehearse

import (
	"context"
	"errors"
	"time"
)

// sendLate sends the late order, once, and waits until the app has it.
func (r *rehearsal) sendLate(ctx context.Context) error {
	if r.LateOrder == 0 || !r.due.IsZero() {
		return nil
	}
	r.due = time.Now().Add(r.LateOrder)
	r.Twin.Traffic().Delay(r.LateOrder)
	r.offer(1)
	for deadline := time.Now().Add(time.Minute); ; pause(ctx, 100*time.Millisecond) {
		for _, o := range r.Twin.Traffic().Orders() {
			if o.Delay > 0 && !o.Acknowledged.IsZero() {
				r.say("  %s is to be fulfilled in %s", o.ID, r.LateOrder)
				return nil
			}
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return errors.New("the late order was not acknowledged within a minute")
		}
	}
}

// abandoned reports whether the migration did not get to its end before the late order was due:
// it may be where nobody fulfils it, so that nobody waits for it.
func (r *rehearsal) abandoned() bool {
	return r.report.Error != "" && r.due.After(time.Now())
}
