package environment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

// Routing reads and writes what tells workers where to go: the routing flags of a
// migration's flag set. The queues of a migration move together, so every queue's flags say
// the same.
type Routing struct {
	store  *store.Store
	holder *flags.Holder
	queues []string
	log    *slog.Logger
	now    func() time.Time
	notify func(topic string)
}

// ReadRouting reads what the flags of a database say, without an environment.
func ReadRouting(
	ctx context.Context, st *store.Store, mid string, queues []string,
) (migration.Routing, error) {
	f := Routing{store: st, queues: queues}
	return f.Read(ctx, mid)
}

// Read reads what the flags say.
func (f *Routing) Read(ctx context.Context, mid string) (migration.Routing, error) {
	r, _, err := f.Since(ctx, mid)
	return r, err
}

// Since also gives when the stage was last changed.
func (f *Routing) Since(
	ctx context.Context,
	mid string,
) (r migration.Routing, since time.Time, err error) {
	now, err := f.store.FlagSetRevision(ctx, mid, 0)
	if migration.KindOf(err) == migration.NotFound && err != nil {
		r = migration.Routing{Stage: migration.StageOff, Source: migration.SourceStandalone}
		return r, since, nil //nolint:nilerr // nothing was ever moved
	}
	if err != nil {
		return r, since, err
	}
	doc, err := flags.Parse(now.Definition)
	if err != nil {
		return r, since, err
	}
	r = flags.ReadRouting(doc, f.queues[0])
	r.Revision = now.Revision
	since, err = f.FlagTime(ctx, mid, flags.RevisionOf(doc.Flags[migration.StageFlag(f.queues[0])]))
	return r, since, err
}

// Queues gives what the flags say of each routed queue. They move together, but a queue that was
// added to the configuration has no flags until the next move.
func (f *Routing) Queues(ctx context.Context, mid string) ([]progress.QueueRouting, error) {
	doc := &flags.Document{}
	now, err := f.store.FlagSetRevision(ctx, mid, 0)
	switch {
	case err == nil:
		if doc, err = flags.Parse(now.Definition); err != nil {
			return nil, err
		}
	case migration.KindOf(err) != migration.NotFound:
		return nil, err
	}
	out := make([]progress.QueueRouting, len(f.queues))
	for i, q := range f.queues {
		out[i] = progress.QueueRouting{Queue: q, Routing: flags.ReadRouting(doc, q)}
	}
	return out, nil
}

// Set writes the routing as one revision of the flag set and serves it. The revision is
// what workers must acknowledge. A move back takes no queue forward: one that is not as far yet,
// since it was added to the configuration in the middle of a cutover, stays where it is.
func (f *Routing) Set(
	ctx context.Context,
	mid string,
	r migration.Routing,
	actor, reason, runID string,
) (int64, error) {
	revision, err := f.store.ReviseFlagSet(
		ctx,
		mid,
		0,
		func(now json.RawMessage, next int64) (json.RawMessage, error) {
			before := &flags.Document{}
			if now != nil {
				var err error
				if before, err = flags.Parse(now); err != nil {
					return nil, err
				}
			}
			after := before.Clone()
			if after.Flags == nil {
				after.Flags = map[string]flags.Flag{}
			}
			after.Flags[migration.FlagSource] = flags.SourceFlag(r.Source)
			move := migration.StageMove{To: r.Stage, Ramp: r.Ramp}
			back := !flags.ReadRouting(before, f.queues[0]).Forward(move)
			for _, q := range f.queues {
				to := r
				if own := flags.ReadRouting(before, q); back && own.Forward(move) {
					to.Stage, to.Ramp = own.Stage, own.Ramp
				}
				maps.Copy(after.Flags, flags.RoutingFlags(q, to))
			}
			if now == nil {
				before = nil
			}
			if after = flags.Revise(mid, before, after, next); after == nil {
				return now, nil
			}
			return after.JSON(), nil
		},
		actor,
		reason,
		runID,
		f.now(),
	)
	if err != nil {
		return 0, err
	}
	return revision.Revision, f.Serve(ctx)
}

// Serve publishes the stored flag sets to their readers.
func (f *Routing) Serve(ctx context.Context) error {
	sets, err := f.store.FlagSets(ctx, "")
	if err != nil {
		return err
	}
	changed := false
	for _, s := range sets {
		if held, ok := f.holder.Held(s.ID); s.Revision == 0 ||
			ok && held.Revision == s.Revision && !f.holder.Unsaved() {
			continue
		}
		now, err := f.store.FlagSetRevision(ctx, s.ID, 0)
		if err != nil {
			return err
		}
		switch err := f.holder.Replace(flags.Set{ID: s.ID, Revision: now.Revision, Definition: now.Definition}); {
		case errors.Is(err, flags.ErrNotSaved):
			// a full disk must not stop a move back
			f.log.Error(
				"the flags are in force, but their last known good copy is not on disk",
				"err",
				err,
			)
		case err != nil:
			return fmt.Errorf("publish flags: %w", err)
		}
		changed = true
	}
	f.holder.Confirm()
	if changed {
		f.notify("flags")
		f.notify("overview")
	}
	return nil
}

// FlagTime is when a revision of the flag set was made.
func (f *Routing) FlagTime(ctx context.Context, mid string, revision int64) (time.Time, error) {
	if revision == 0 {
		return time.Time{}, nil
	}
	r, err := f.store.FlagSetRevision(ctx, mid, revision)
	return r.At, err
}
