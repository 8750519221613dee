package redisconn

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
)

// FenceOwing is Fence, written down first. addr is the server's address; peers are those of the
// servers that may take over from it while it is fenced. owed may be nil.
func FenceOwing(
	ctx context.Context, c redis.UniversalClient, owed migration.Debts, addr string,
	peers ...string,
) error {
	if err := OweFence(ctx, c, owed, addr, peers...); err != nil {
		return err
	}
	_, err := Fence(ctx, c)
	return err
}

// OweFence writes a fence down that somebody else is about to set.
func OweFence(
	ctx context.Context, c redis.UniversalClient, owed migration.Debts, addr string,
	peers ...string,
) error {
	before, err := minReplicasOf(ctx, c)
	if err != nil {
		return fmt.Errorf("fence: %w", err)
	}
	if before >= fenceBase { // the fence itself says what was before it
		before -= fenceBase
	}
	return owe(ctx, c, owed, migration.Debt{
		Kind:   migration.DebtFence,
		Server: addr,
		Before: strconv.Itoa(before),
		Set:    strconv.Itoa(before + fenceBase),
		Peers:  peers,
	})
}

// UnfencePaid is Unfence of whatever FenceOwing set, struck out afterwards. A value that is no
// fence is left alone: somebody else has set it.
func UnfencePaid(
	ctx context.Context, c redis.UniversalClient, owed migration.Debts, addr string,
) error {
	if err := Unfence(ctx, c, ""); err != nil || owed == nil {
		return err
	}
	return owed.Paid(ctx, migration.DebtFence, addr, "")
}

// LiftFence puts a min-replicas-to-write back to before, when it still is what a fence set.
// Conflict: it is neither, so somebody has set it since.
func LiftFence(ctx context.Context, c redis.UniversalClient, set, before string) error {
	got, err := Config(ctx, c, minReplicas)
	switch now := got[minReplicas]; {
	case err != nil:
		return Explain(err)
	case now == before:
		return nil
	case now != set:
		return migration.Errorf(migration.Conflict, "%s is %s, which is neither the fence (%s) "+
			"nor what was before it (%s): somebody has set it since", minReplicas, now, set, before)
	}
	_, _, err = SetConfig(ctx, c, minReplicas, before)
	return Explain(err)
}

// PauseOwing holds clients back, written down first: all of them, or with mode WRITE those that
// write. It ends by itself after d, or with UnpausePaid.
func PauseOwing(
	ctx context.Context, c redis.UniversalClient, owed migration.Debts, addr, mode string,
	d time.Duration,
) error {
	if err := OwePause(ctx, c, owed, addr, mode, d); err != nil {
		return err
	}
	return Explain(c.Do(ctx, "CLIENT", "PAUSE", d.Milliseconds(), mode).Err())
}

// OwePause writes a pause down, for one that is part of a transaction.
func OwePause(
	ctx context.Context, c redis.UniversalClient, owed migration.Debts, addr, mode string,
	d time.Duration,
) error {
	return owe(ctx, c, owed, migration.Debt{
		Kind:   migration.DebtClientPause,
		Server: addr,
		What:   mode,
		Set:    time.Now().Add(d).UTC().Format(time.RFC3339Nano),
	})
}

// UnpausePaid ends a pause. One of all clients holds this back, too, until it ends by itself.
func UnpausePaid(
	ctx context.Context, c redis.UniversalClient, owed migration.Debts, addr, mode string,
) error {
	if err := c.Do(ctx, "CLIENT", "UNPAUSE").Err(); err != nil || owed == nil {
		return Explain(err)
	}
	return owed.Paid(ctx, migration.DebtClientPause, addr, mode)
}

func owe(
	ctx context.Context, c redis.UniversalClient, owed migration.Debts, d migration.Debt,
) error {
	if owed == nil {
		return nil
	}
	id, err := RunID(ctx, c)
	if err != nil {
		return Explain(err)
	}
	d.ServerRun = id
	if err := owed.Owe(ctx, d); err != nil {
		return errors.Join(errors.New("it could not be written down, so it was not done"), err)
	}
	return nil
}
