package workflows

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/migration"
)

const (
	// maxSchedule is how far ahead a change may be planned.
	maxSchedule = 366 * 24 * time.Hour
	// missedAfter is how late a change may still happen by itself. Later, what it was meant
	// for may be over.
	missedAfter = 15 * time.Minute
)

// FlagSchedules lists a set's scheduled changes, by time, also those that have ended.
func (c *Control) FlagSchedules(
	ctx context.Context,
	mid, set string,
) ([]migration.FlagSchedule, error) {
	s, err := c.flagSet(ctx, mid, set)
	if err != nil {
		return nil, err
	}
	return c.store.FlagSchedules(ctx, s.ID, false)
}

// ScheduleFlags keeps a change for later. Set (empty: the migration's own), At and either
// Edit or Move are given. Whoever schedules a cutover move approves it in advance; every
// gate must still hold when its time has come, or nothing is done.
func (c *Control) ScheduleFlags(
	ctx context.Context,
	a migration.Actor,
	mid string,
	s migration.FlagSchedule,
) (migration.FlagSchedule, error) {
	s, err := c.scheduleFlags(ctx, a, mid, s)
	c.audit(ctx, a, "flags-schedule", s.Set, s.ID+" at "+s.At.UTC().Format(time.RFC3339), err)
	return s, err
}

func (c *Control) scheduleFlags(
	ctx context.Context,
	a migration.Actor,
	mid string,
	s migration.FlagSchedule,
) (migration.FlagSchedule, error) {
	if err := engineer(a); err != nil {
		return s, err
	}
	set, err := c.flagSet(ctx, mid, s.Set)
	if err != nil {
		return s, err
	}
	s.Set = set.ID
	now := c.now()
	switch {
	case (s.Edit != nil) == (s.Move != nil):
		return s, migration.Errorf(migration.Invalid, "give either an edit or a move")
	case !s.At.After(now) || s.At.Sub(now) > maxSchedule:
		return s, migration.Errorf(
			migration.Invalid,
			"at: %s is not within the next year; now is %s",
			s.At.UTC().Format(time.RFC3339),
			now.UTC().Format(time.RFC3339),
		)
	case s.Move != nil && s.Set != mid:
		return s, migration.Errorf(
			migration.Invalid,
			"move: only the migration's own flag set %s is moved",
			mid,
		)
	case s.Move != nil && (!s.Move.To.Valid() ||
		s.Move.To == migration.StageLive && (s.Move.Ramp < 1 || s.Move.Ramp > 100) ||
		s.Move.To != migration.StageLive && s.Move.Ramp != 0):
		return s, migration.Errorf(
			migration.Invalid,
			"move: %s is no stage of the migration with a fitting ramp: live takes 1 to 100, "+
				"the others none",
			s.Move,
		)
	case s.Edit != nil:
		if err := short("reason", s.Edit.Reason, maxReason); err != nil {
			return s, err
		}
		// What is wrong already now should be said now.
		if _, err := c.CheckFlags(ctx, mid, s.Set, *s.Edit); err != nil {
			return s, err
		}
	}
	s.ID, s.State, s.CreatedBy, s.CreatedAt = newToken()[:10], migration.SchedulePending, a.Name, now
	if err := c.store.CreateFlagSchedule(ctx, s); err != nil {
		return s, err
	}
	c.wakeSchedules()
	c.notify("flags")
	return s, nil
}

// CancelFlagSchedule takes a scheduled change back; Conflict when it has happened.
func (c *Control) CancelFlagSchedule(ctx context.Context, a migration.Actor, mid, id string) error {
	err := c.cancelFlagSchedule(ctx, a, mid, id)
	c.audit(ctx, a, "flags-schedule-cancel", id, "", err)
	return err
}

func (c *Control) cancelFlagSchedule(ctx context.Context, a migration.Actor, mid, id string) error {
	if err := engineer(a); err != nil {
		return err
	}
	sets, err := c.FlagSets(ctx, mid)
	if err != nil {
		return err
	}
	all, err := c.store.FlagSchedules(ctx, "", false)
	if err != nil {
		return err
	}
	found := slices.ContainsFunc(all, func(s migration.FlagSchedule) bool {
		return s.ID == id &&
			slices.ContainsFunc(sets, func(set migration.FlagSet) bool { return set.ID == s.Set })
	})
	if !found {
		return migration.Errorf(
			migration.NotFound,
			"migration %s has no scheduled change %q: look at the list of schedules for what "+
				"can be cancelled",
			mid,
			id,
		)
	}
	if err := c.store.EndFlagSchedule(ctx, id, migration.ScheduleCancelled, "cancelled by "+a.Name); err != nil {
		return err
	}
	c.notify("flags")
	return nil
}

// wakeSchedules makes the runner look again: something was scheduled, here or by another replica.
func (c *Control) wakeSchedules() {
	select {
	case c.scheduled <- struct{}{}:
	default:
	}
}

// runSchedules carries scheduled changes out when they are due, until ctx ends. Only the
// leader runs it.
func (c *Control) runSchedules(ctx context.Context) {
	for ctx.Err() == nil {
		next := c.dueSchedules(ctx)
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-c.scheduled:
		}
		timer.Stop()
	}
}

// dueSchedules carries out what is due, in order, and gives how long to wait for the next.
func (c *Control) dueSchedules(ctx context.Context) time.Duration {
	const longest = time.Minute // a clock may be set
	pending, err := c.store.FlagSchedules(ctx, "", true)
	if err != nil {
		if ctx.Err() == nil {
			c.log.Warn("scheduled changes are not known", "err", err)
		}
		return 5 * time.Second
	}
	for _, s := range pending {
		if wait := s.At.Sub(c.now()); wait > 0 {
			return min(wait, longest)
		}
		state, result, err := c.carryOut(ctx, s)
		if err != nil { // not known whether it happened: it is looked at again
			c.log.Error("scheduled change; trying again", "schedule", s.ID, "err", err)
			return 5 * time.Second
		}
		if err := c.store.EndFlagSchedule(ctx, s.ID, state, result); err != nil &&
			migration.KindOf(err) != migration.Conflict {
			c.log.Error("scheduled change; trying again", "schedule", s.ID, "err", err)
			return 5 * time.Second
		}
		c.notify("flags")
	}
	return longest
}

// carryOut does one scheduled change as who scheduled it. What is in place already counts
// as done, so that a kill between doing and noting it does not do it twice. An error means
// that the outcome is unknown.
func (c *Control) carryOut(
	ctx context.Context,
	s migration.FlagSchedule,
) (state, result string, err error) {
	if late := c.now().Sub(s.At); late > missedAfter {
		return migration.ScheduleFailed, fmt.Sprintf(
			"missed: Switchyard was not running at %s, and %s later is too late",
			s.At.UTC().Format(time.RFC3339),
			migration.Words(late.Round(time.Minute)),
		), nil
	}
	a, _, err := c.store.User(ctx, s.CreatedBy)
	if migration.KindOf(err) == migration.NotFound && err != nil {
		//nolint:nilerr // it is the reason
		return migration.ScheduleFailed, "there is no account " + s.CreatedBy + " any more", nil
	}
	if err != nil {
		return "", "", err
	}
	mid := ""
	sets, err := c.store.FlagSets(ctx, "")
	if err != nil {
		return "", "", err
	}
	for _, set := range sets {
		if set.ID == s.Set {
			mid = set.MigrationID
		}
	}
	if s.Edit != nil {
		edit := *s.Edit
		edit.Reason += " (scheduled by " + a.Name + ")"
		if edit.Base > 0 {
			touched, err := c.touchedSince(ctx, s.Set, edit)
			if err != nil {
				return "", "", err
			}
			if len(touched) > 0 {
				return migration.ScheduleFailed, "changed since it was scheduled: " + strings.Join(
					touched,
					", ",
				) + "; look at it, and schedule it again", nil
			}
			edit.Base = 0 // what else has changed does not matter
		}
		r, err := c.EditFlags(ctx, a, mid, s.Set, edit)
		return ended(fmt.Sprintf("revision %d", r.Revision), err)
	}
	routing, err := c.env.Routing.Read(ctx, mid)
	if err != nil {
		return "", "", err
	}
	if routing.Stage == s.Move.To && routing.Ramp == s.Move.Ramp {
		return migration.ScheduleDone, "the queue is at " + s.Move.String(), nil
	}
	run, err := c.Start(
		ctx,
		a,
		mid,
		migration.StepCutover,
		migration.Params{To: s.Move.To, Ramp: s.Move.Ramp},
		"",
	)
	if err == nil && run.State == migration.RunAwaitingApproval {
		run, err = c.Decide(
			ctx,
			a,
			run.ID,
			Decision{
				Approve: true,
				Comment: "scheduled by " + a.Name + " at " + s.CreatedAt.UTC().Format(time.RFC3339),
			},
		)
	}
	return ended("run "+run.ID, err)
}

// touchedSince lists what an edit would overwrite that others have changed since its base:
// the flags it names, or every flag that no step manages where it replaces the whole
// document.
func (c *Control) touchedSince(
	ctx context.Context,
	set string,
	edit migration.FlagEdit,
) ([]string, error) {
	_, base, err := c.document(ctx, set, edit.Base)
	if err != nil {
		return nil, err
	}
	_, now, err := c.document(ctx, set, 0)
	if err != nil {
		return nil, err
	}
	var touched []string
	for _, d := range flags.Diff(base, now) {
		_, named := edit.Flags[d.Key]
		managed := base.Flags[d.Key].Metadata[flags.MetaManaged] != nil
		if named || len(edit.Document) > 0 && !managed {
			touched = append(touched, cmp.Or(d.Key, "the set's evaluators or metadata"))
		}
	}
	return touched, nil
}

func ended(done string, err error) (string, string, error) {
	switch kind := migration.KindOf(err); {
	case err == nil:
		return migration.ScheduleDone, done, nil
	case errors.Is(err, errNoChange):
		return migration.ScheduleDone, "it was in place already", nil
	case kind == migration.Internal || kind == migration.Unavailable:
		return "", "", err
	default:
		return migration.ScheduleFailed, cmp.Or(strings.TrimSpace(err.Error()), string(kind)), nil
	}
}
