package sentinel

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// The move of a standalone server's data onto a Sentinel deployment:
// StartReplication, WaitSynced, Switch. Its sentinels must be suspended meanwhile.
// Each function looks at the servers' roles first, so each can run again after an
// interruption at any point.

const (
	// FreezeLimit is when the pause of a switch ends by itself, whatever happens to us.
	FreezeLimit = 5 * time.Second
	// how long the offsets may take to become equal before the switch is called off
	equalLimit  = 2 * time.Second
	followLimit = 15 * time.Second
)

// replication is INFO replication of one server.
type replication struct {
	role           string // master or slave
	master         string // host:port, of a replica
	linkUp         bool
	syncing        bool
	syncLeft       int64 // bytes of the first copy still to come; -1 unknown
	offset         int64 // bytes of the stream applied (replica) or produced (master)
	read           int64 // bytes a replica has read
	id, previousID string
	version        string
}

func replicationOf(ctx context.Context, c redis.UniversalClient) (replication, error) {
	text, err := c.Info(ctx).Result()
	if err != nil {
		return replication{}, redisconn.Explain(err)
	}
	v := redisconn.ParseInfo(text)
	integer := func(k string) int64 {
		n, err := strconv.ParseInt(v[k], 10, 64)
		if err != nil {
			return -1
		}
		return n
	}
	r := replication{
		role:       v["role"],
		version:    v["redis_version"],
		id:         v["master_replid"],
		previousID: v["master_replid2"],
		offset:     integer("master_repl_offset"),
	}
	if r.role == "slave" {
		r.master = net.JoinHostPort(v["master_host"], v["master_port"])
		r.linkUp, r.syncing = v["master_link_status"] == "up",
			v["master_sync_in_progress"] == "1"
		r.syncLeft, r.offset, r.read = integer("master_sync_left_bytes"),
			integer("slave_repl_offset"), integer("slave_read_repl_offset")
	}
	return r, nil
}

// follows reports whether replica r replicates from the server that s describes.
func (r replication) follows(s replication) bool {
	return r.role == "slave" && r.linkUp && r.id == s.id
}

// StartReplication makes newMaster a replica of source, which copies all data. It
// refuses when newMaster holds keys of its own (they would be deleted), follows
// somebody else, or is older than source. sourceHost and sourcePort are source's
// address as newMaster reaches it. It does nothing when newMaster already follows
// source, or when the switch has already happened.
func StartReplication(
	ctx context.Context, newMaster, source redis.UniversalClient,
	sourceHost, sourcePort string, sourceSignIn redisconn.Credentials,
) error {
	n, s, err := both(ctx, newMaster, source)
	if err != nil {
		return fmt.Errorf("start replication: %w", err)
	}
	address := net.JoinHostPort(sourceHost, sourcePort)
	switch {
	case s.follows(n):
		return nil // switched already
	case s.role != "master":
		return migration.Errorf(migration.Conflict,
			"start replication: the source is a replica of %s: expected a master", s.master)
	case n.role == "slave" && n.master != address:
		return migration.Errorf(migration.Conflict, "start replication: the new master "+
			"already follows %s: expected an empty master or a replica of %s",
			n.master, address)
	case olderThan(n.version, s.version):
		return migration.Errorf(migration.Blocked, "start replication: the new master runs "+
			"Redis %s and the source %s: a replica must not be older; upgrade it first",
			n.version, s.version)
	}
	if n.role == "master" {
		keys, err := newMaster.DBSize(ctx).Result()
		if err != nil {
			return fmt.Errorf("start replication: %w", redisconn.Explain(err))
		}
		if keys > 0 {
			return migration.Errorf(migration.Blocked, "start replication: the new master "+
				"holds %d keys, which replication would delete: expected 0; empty it first "+
				"if they may be deleted", keys)
		}
	}
	if err := sameTransport(ctx, newMaster, source); err != nil {
		return fmt.Errorf("start replication: %w", err)
	}
	if err := setMasterAuth(ctx, newMaster, sourceSignIn); err != nil {
		return fmt.Errorf("start replication: %w", err)
	}
	if err := replicaOf(ctx, newMaster, sourceHost, sourcePort); err != nil {
		return fmt.Errorf("start replication: %w", err)
	}
	return nil
}

// WaitSynced waits until newMaster has a copy of its master's data and follows its
// writes. progress, if not nil, is called with the number of missing bytes, -1
// while unknown.
func WaitSynced(
	ctx context.Context, newMaster redis.UniversalClient, progress func(offsetGap int64),
) error {
	var last replication
	err := await(ctx, "wait for replication", func() error {
		r, err := replicationOf(ctx, newMaster)
		if err != nil {
			return err
		}
		last = r
		if r.role != "slave" {
			return nil // answered below: waiting would not help
		}
		gap := r.read - r.offset
		if r.syncing || !r.linkUp {
			gap = r.syncLeft
		}
		if progress != nil {
			progress(gap)
		}
		switch {
		case r.syncing:
			return fmt.Errorf("the first copy from %s is in progress, %d bytes left",
				r.master, r.syncLeft)
		case !r.linkUp:
			return fmt.Errorf("no link to %s: check that it is reachable from there and that "+
				"the password is correct", r.master)
		}
		return nil
	})
	if err == nil && last.role != "slave" {
		return migration.Errorf(migration.Conflict,
			"wait for replication: the server is not a replica; start the replication first")
	}
	return err
}

// StopReplication undoes StartReplication before Switch: newMaster forgets source,
// deletes the copied data, and gets back its own deployment's password for following
// masters, and the priority with which sentinels promote it. It refuses once source is a
// replica, and it never deletes keys of a newMaster that is a master.
func StopReplication(
	ctx context.Context, newMaster, source redis.UniversalClient,
	newSignIn redisconn.Credentials,
) error {
	n, s, err := both(ctx, newMaster, source)
	if err != nil {
		return fmt.Errorf("stop replication: %w", err)
	}
	if s.role != "master" {
		return migration.Errorf(migration.Conflict, "stop replication: the source is a "+
			"replica of %s: the switch has already happened; switch back first", s.master)
	}
	if n.role == "slave" {
		const enough = "min-replicas-to-write"
		settings, err := newMaster.ConfigGet(ctx, enough).Result()
		if err != nil {
			return fmt.Errorf("stop replication: %s: %w", enough, redisconn.Explain(err))
		}
		// One write to the socket: an interruption in between must not leave the
		// copy behind as a master's own data. It counts its own replicas again only after a
		// second, and refuses to flush until then where it wants some.
		if _, err := newMaster.Pipelined(ctx, func(p redis.Pipeliner) error {
			p.ConfigSet(ctx, enough, "0")
			p.Do(ctx, "REPLICAOF", "NO", "ONE")
			p.FlushAll(ctx)
			p.ConfigSet(ctx, enough, settings[enough])
			return nil
		}); err != nil {
			return fmt.Errorf("stop replication: %w", redisconn.Explain(err))
		}
	}
	keys, err := newMaster.DBSize(ctx).Result()
	if err != nil {
		return fmt.Errorf("stop replication: %w", redisconn.Explain(err))
	}
	if keys > 0 {
		return migration.Errorf(migration.Blocked, "stop replication: the server is a master "+
			"with %d keys of its own: they are not deleted; empty it by hand if they may be "+
			"deleted",
			keys)
	}
	// A switch that was switched back has left it as one that no sentinel would promote.
	if err := newMaster.ConfigSet(ctx, "replica-priority", "100").Err(); err != nil {
		return fmt.Errorf("stop replication: replica-priority: %w", redisconn.Explain(err))
	}
	if err := setMasterAuth(ctx, newMaster, newSignIn); err != nil {
		return fmt.Errorf("stop replication: %w", err)
	}
	return nil
}

// SwitchReport says what a switch cost.
type SwitchReport struct {
	// how long writes were held back; not observed if it had happened before
	FreezeMS migration.Figure `json:"freeze_ms"`
	// position in the replication stream at which the roles changed
	Offset int64 `json:"offset"`
}

// Switch swaps the roles: newMaster becomes the master, source its replica (so that
// late writers get READONLY at once). Writes on source are held back by CLIENT
// PAUSE while newMaster catches up to the last byte; then source is fenced, so that
// nothing is acknowledged there any more even if this process dies, and the roles
// change. newHost, newPort and newSignIn are newMaster's, as source reaches it.
//
// Before newMaster is promoted any error undoes everything, and its text says that
// nothing happened. Once it is promoted, running Switch again completes it.
func Switch(
	ctx context.Context, newMaster, source redis.UniversalClient, newHost, newPort string,
	newSignIn redisconn.Credentials,
) (SwitchReport, error) {
	n, s, err := both(ctx, newMaster, source)
	if err != nil {
		return SwitchReport{}, fmt.Errorf("switch: %w", err)
	}
	to := net.JoinHostPort(newHost, newPort)
	switch {
	case n.role == "master" && s.role == "slave" && s.master == to:
		return SwitchReport{Offset: n.offset}, settle(ctx, newMaster, source, newSignIn)
	case n.role == "master" && s.role == "master" && n.previousID == s.id:
		return finishSwitch(ctx, newMaster, source, newHost, newPort, newSignIn)
	case !n.follows(s) || s.role != "master":
		return SwitchReport{}, migration.Errorf(migration.Blocked, "switch: the new master "+
			"(role %s, of %q, link up %v) does not follow the source (role %s): nothing was "+
			"changed; start the replication and wait for it first",
			n.role, n.master, n.linkUp, s.role)
	}
	started := time.Now()
	offset, err := freeze(ctx, newMaster, source)
	if err != nil {
		undo, cancel := detached(ctx)
		defer cancel()
		if uerr := thaw(undo, source); uerr != nil {
			return SwitchReport{}, fmt.Errorf(
				"switch: %w; the source may still refuse writes: %w", err, uerr)
		}
		return SwitchReport{}, fmt.Errorf(
			"switch: nothing happened, the source is the master as before: %w", err)
	}
	// From here on the only way is forward: finish even if the caller gives up.
	ctx, cancel := detached(ctx)
	defer cancel()
	if err := newMaster.Do(ctx, "REPLICAOF", "NO", "ONE").Err(); err != nil {
		return SwitchReport{}, fmt.Errorf("switch: promote: %w (unknown whether it happened; "+
			"the source is fenced; run the switch again)", redisconn.Explain(err))
	}
	if err := demote(ctx, source, newHost, newPort, newSignIn); err != nil {
		return SwitchReport{}, err
	}
	r := SwitchReport{FreezeMS: migration.Measured(time.Since(started).Milliseconds()),
		Offset: offset}
	return r, settle(ctx, newMaster, source, newSignIn)
}

// SwitchBack is Switch in the other direction, for a rollback: source becomes the
// master again and newMaster its replica, without losing anything. newMaster's
// sentinels must be suspended first.
func SwitchBack(
	ctx context.Context, newMaster, source redis.UniversalClient,
	sourceHost, sourcePort string, sourceSignIn redisconn.Credentials,
) (SwitchReport, error) {
	r, err := Switch(ctx, source, newMaster, sourceHost, sourcePort, sourceSignIn)
	if err != nil {
		return r, fmt.Errorf("switch back: %w", err)
	}
	return r, nil
}

// Superseded names the peer that was promoted from this server's own stream; "" when none
// was. Writes that such a server takes would be lost. A replica
// takes none and is not superseded. A peer that does not answer is an error: it may be the
// one.
func Superseded(
	ctx context.Context, c redis.UniversalClient, peers map[string]redis.UniversalClient,
) (string, error) {
	own, err := replicationOf(ctx, c)
	if err != nil || own.role != "master" {
		return "", err
	}
	for _, addr := range slices.Sorted(maps.Keys(peers)) {
		peer, err := replicationOf(ctx, peers[addr])
		if err != nil {
			return "", fmt.Errorf("whether %s has taken over is not known: %w", addr, err)
		}
		if peer.role == "master" && peer.previousID == own.id {
			return addr, nil
		}
	}
	return "", nil
}

// freeze holds back writes on source, waits until newMaster has every byte, and
// fences source.
func freeze(
	ctx context.Context, newMaster, source redis.UniversalClient,
) (offset int64, err error) {
	if err := source.Do(ctx, "CLIENT", "PAUSE", FreezeLimit.Milliseconds(),
		"WRITE").Err(); err != nil {
		return 0, redisconn.Explain(err)
	}
	if _, err := equalOffsets(ctx, newMaster, source); err != nil {
		return 0, err
	}
	// The pause ends by itself; the fence does not. After it nothing is
	// acknowledged on source, so offsets that are equal now are final.
	if _, err := redisconn.Fence(ctx, source); err != nil {
		return 0, err
	}
	return equalOffsets(ctx, newMaster, source)
}

func equalOffsets(ctx context.Context, replica, master redis.UniversalClient) (int64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, equalLimit,
		errors.New("not equal within "+migration.Words(equalLimit)))
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		r, m, err := both(ctx, replica, master)
		if err != nil {
			return 0, err
		}
		if r.follows(m) && r.offset == m.offset {
			return m.offset, nil
		}
		select {
		case <-ctx.Done():
			return 0, migration.Errorf(migration.Unavailable,
				"the replica is %d bytes behind: %w", m.offset-r.offset, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// thaw lets source accept writes again.
func thaw(ctx context.Context, source redis.UniversalClient) error {
	if err := redisconn.Unfence(ctx, source, ""); err != nil {
		return err
	}
	return source.Do(ctx, "CLIENT", "UNPAUSE").Err()
}

// finishSwitch completes a switch that was interrupted after newMaster was
// promoted. The fence proves that source has accepted no write since.
func finishSwitch(
	ctx context.Context, newMaster, source redis.UniversalClient, newHost, newPort string,
	newSignIn redisconn.Credentials,
) (SwitchReport, error) {
	fenced, err := redisconn.Fenced(ctx, source)
	if err != nil {
		return SwitchReport{}, fmt.Errorf("switch: %w", err)
	}
	if !fenced {
		return SwitchReport{}, migration.Errorf(migration.Conflict, "switch: both servers "+
			"are masters and the source is not fenced, so each may hold writes the other "+
			"lacks: compare them before continuing")
	}
	if err := demote(ctx, source, newHost, newPort, newSignIn); err != nil {
		return SwitchReport{}, err
	}
	n, err := replicationOf(ctx, newMaster)
	if err != nil {
		return SwitchReport{}, fmt.Errorf("switch: %w", err)
	}
	return SwitchReport{Offset: n.offset}, settle(ctx, newMaster, source, newSignIn)
}

// demote makes source a replica that no sentinel would promote. From here on
// clients get READONLY, so the fence and the pause can go.
func demote(
	ctx context.Context, source redis.UniversalClient, newHost, newPort string,
	newSignIn redisconn.Credentials,
) error {
	if err := source.ConfigSet(ctx, "replica-priority", "0").Err(); err != nil {
		return fmt.Errorf("switch: the new master is promoted, the source is still fenced; "+
			"run the switch again: %w", redisconn.Explain(err))
	}
	if err := setMasterAuth(ctx, source, newSignIn); err != nil {
		return fmt.Errorf("switch: the new master is promoted, the source is still fenced; "+
			"run the switch again: %w", err)
	}
	if err := replicaOf(ctx, source, newHost, newPort); err != nil {
		return fmt.Errorf("switch: the new master is promoted, the source is still fenced; "+
			"run the switch again: %w", err)
	}
	return nil
}

// settle tidies up after the roles changed: no fence, no pause, the promoted server
// promotable and able to follow its own deployment's masters, the demoted one
// following. It leaves alone what is right already.
func settle(
	ctx context.Context, newMaster, source redis.UniversalClient,
	newSignIn redisconn.Credentials,
) error {
	if err := thaw(ctx, source); err != nil {
		return fmt.Errorf("switch: the roles have changed; lifting the fence: %w", err)
	}
	if err := newMaster.ConfigSet(ctx, "replica-priority", "100").Err(); err != nil {
		return fmt.Errorf("switch: the roles have changed; replica-priority: %w",
			redisconn.Explain(err))
	}
	if err := setMasterAuth(ctx, newMaster, newSignIn); err != nil {
		return fmt.Errorf("switch: the roles have changed; masterauth: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, followLimit,
		errors.New("not within "+migration.Words(followLimit)))
	defer cancel()
	return await(ctx, "switch: the roles have changed, but the old server does not follow",
		func() error {
			n, s, err := both(ctx, newMaster, source)
			if err == nil && !s.follows(n) {
				err = fmt.Errorf("role %s, of %q, link up %v", s.role, s.master, s.linkUp)
			}
			return err
		})
}
