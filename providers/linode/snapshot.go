package linode

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/linode/linodego"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/httpapi"
)

// Snapshot is the manual snapshot of a machine. There is one place for it: taking another
// replaces it, and deleting the machine deletes it.
type Snapshot struct {
	ID    int
	Label string
	// of the API: pending, running, needsPostProcessing, successful, failed, userAborted,
	// paused
	Status   string
	Finished time.Time
}

// settleLooks is how often a snapshot is looked for that may have been begun by a request
// of unknown outcome.
const settleLooks = 10

// Snapshot takes a snapshot of that label and waits until it is complete; the caller's
// context bounds the wait. One of that label that is complete, or under way, is taken for
// the wanted one, so calling again is harmless: use a label that is of this occasion alone.
// A former snapshot is replaced, which is how the API works.
//
// Kinds of errors: Blocked when the Backups service is off (nothing was taken), Conflict
// when another snapshot is under way, Unavailable when it ended badly or the outcome of the
// request is not known.
func (c *Client) Snapshot(ctx context.Context, id int, label string) (Snapshot, error) {
	inst, err := c.Instance(ctx, id)
	switch {
	case err != nil:
		return Snapshot{}, err
	case label == "":
		return Snapshot{}, migration.Errorf(migration.Invalid, "a snapshot needs a label")
	case !inst.Backups:
		return Snapshot{}, migration.Errorf(
			migration.Blocked,
			"the Backups service of linode instance %d (%s) is off, so the API takes no "+
				"snapshot: enable it in the cloud manager (it is paid for, and takes effect at "+
				"once), or rely on a backup that is kept elsewhere; nothing was taken",
			id,
			inst.Label,
		)
	}
	snap, begun, err := c.findSnapshot(ctx, id, label)
	if err != nil {
		return snap, err
	}
	if !begun {
		err := c.change(ctx, func(ctx context.Context) error {
			_, err := c.once.CreateInstanceSnapshot(ctx, id, label)
			return err
		})
		if err != nil && !unknown(err) {
			return Snapshot{}, fmt.Errorf(
				"snapshot %s of linode instance %d (%s): %w",
				label,
				id,
				inst.Label,
				err,
			)
		}
		for looks := 1; err != nil; looks++ {
			if _, begun, findErr := c.findSnapshot(ctx, id, label); findErr == nil && begun {
				break
			} else if migration.KindOf(findErr) == migration.Conflict && findErr != nil {
				return Snapshot{}, findErr
			}
			if looks == settleLooks {
				return Snapshot{}, migration.Errorf(
					migration.Unavailable,
					"whether snapshot %s of linode instance %d (%s) was begun is not known: %w. "+
						"Run this again: it looks first",
					label,
					id,
					inst.Label,
					err,
				)
			}
			if err := httpapi.Pause(ctx, c.api.GetPollDelay()); err != nil {
				return Snapshot{}, err
			}
		}
	}
	return c.waitSnapshot(ctx, id, label)
}

func (c *Client) waitSnapshot(ctx context.Context, id int, label string) (Snapshot, error) {
	for {
		snap, begun, err := c.findSnapshot(ctx, id, label)
		switch {
		case err != nil:
			return snap, err
		case !begun:
			return snap, migration.Errorf(
				migration.Unavailable,
				"snapshot %s of linode instance %d was begun and is not there any more: somebody may have replaced it",
				label,
				id,
			)
		case snap.Status == string(linodego.SnapshotSuccessful):
			return snap, nil
		}
		if err := httpapi.Pause(ctx, c.api.GetPollDelay()); err != nil {
			return snap, fmt.Errorf(
				"snapshot %s of linode instance %d is %s: %w",
				label,
				id,
				snap.Status,
				err,
			)
		}
	}
}

// findSnapshot looks for a snapshot of that label that is complete or under way. One that
// ended badly is an error of kind Unavailable, one of another label that is under way of
// kind Conflict.
func (c *Client) findSnapshot(ctx context.Context, id int, label string) (Snapshot, bool, error) {
	got, err := c.api.GetInstanceBackups(ctx, id)
	if err != nil {
		return Snapshot{}, false, fmt.Errorf("backups of linode instance %d: %w", id, err)
	}
	if got.Snapshot == nil {
		return Snapshot{}, false, nil
	}
	if busy := got.Snapshot.InProgress; busy != nil {
		if busy.Label != label {
			return Snapshot{}, false, migration.Errorf(
				migration.Conflict,
				"linode instance %d is taking the snapshot %q: wait for its end; nothing was begun",
				id,
				busy.Label,
			)
		}
		return snapshotOf(busy), true, nil
	}
	done := got.Snapshot.Current
	if done == nil || done.Label != label {
		return Snapshot{}, false, nil
	}
	switch done.Status {
	case linodego.SnapshotFailed, linodego.SnapshotUserAborted:
		return snapshotOf(
				done,
			), false, migration.Errorf(
				migration.Unavailable,
				"snapshot %s of linode instance %d is %s: look in the cloud manager, and take one with another label",
				label,
				id,
				done.Status,
			)
	}
	return snapshotOf(done), true, nil
}

func snapshotOf(s *linodego.InstanceSnapshot) Snapshot {
	out := Snapshot{ID: s.ID, Label: s.Label, Status: string(s.Status)}
	if s.Finished != nil {
		out.Finished = *s.Finished
	}
	return out
}

// unknown reports whether a changing request may have taken effect all the same.
func unknown(err error) bool {
	e, ok := errors.AsType[*linodego.Error](err)
	return !ok || e.Code < 400 || e.Code >= 500
}
