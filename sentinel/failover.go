package sentinel

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

const (
	// electionBudget is what sentinels may need beyond down-after: agreeing that
	// the master is down, a random delay of up to 1 s, the vote, the promotion.
	// Measured 1.1-1.2 s on an idle machine.
	electionBudget = 5 * time.Second
	// returnBudget is what the old master may need to come back as a replica: a
	// sentinel reconfigures it about 8 s after it answers again.
	returnBudget = 60 * time.Second
	// pauseBudget is how long a planned failover holds back writes at most; the
	// pause ends by itself.
	pauseBudget = 10 * time.Second
)

// TimelinePoint is one event, in milliseconds since the failover was started.
type TimelinePoint struct {
	AtMS  int64  `json:"at_ms"`
	Event string `json:"event"`
}

// FailoverReport describes one failover from the point of view of an application
// that uses a failover client and waits for one replica.
type FailoverReport struct {
	Kind string `json:"kind"` // planned, automatic or external
	// when the failover was triggered; all times below are milliseconds from then
	StartedAt time.Time `json:"started_at"`
	OldMaster string    `json:"old_master"`
	NewMaster string    `json:"new_master"`
	// until the sentinels agreed that the master is down; 0 when planned
	DetectMS int64 `json:"detect_ms"`
	// until the sentinels named the new master
	ElectionMS int64 `json:"election_ms"`
	// until the application's first acknowledged write on it
	FirstWriteMS int64 `json:"first_write_ms"`
	// longest time without an acknowledged write
	BlockedMS int64 `json:"blocked_ms"`
	// until the old master was a healthy replica
	RecoveredMS      int64           `json:"recovered_ms"`
	Acknowledged     int             `json:"acknowledged"`
	LostAcknowledged int             `json:"lost_acknowledged"`
	Timeline         []TimelinePoint `json:"timeline"`
}

// PlannedFailover moves the master to a replica without losing a write: it holds
// back writes, waits until every replica has all of them, fences the old master,
// asks a sentinel for a failover, and makes the old master a replica of the new
// one. It refuses (kind Blocked, with the gates) if Readiness fails. log, if not
// nil, is called for each step. A plain SENTINEL FAILOVER would lose about a second
// of acknowledged writes. What it puts on the old master is written down in owed first,
// and struck out when it is off; owed may be nil.
func (c *Cluster) PlannedFailover(
	ctx context.Context, owed migration.Debts, log func(string),
) (FailoverReport, error) {
	return c.drill(ctx, "planned", log, func(d *drill) error {
		old := d.report.OldMaster
		master := c.Node(old)
		d.cleanup = func(ctx context.Context) error {
			if err := redisconn.UnfencePaid(ctx, master, owed, old); err != nil {
				return err
			}
			return redisconn.UnpausePaid(ctx, master, owed, old, "WRITE")
		}
		if err := redisconn.PauseOwing(ctx, master, owed, old, "WRITE",
			pauseBudget); err != nil {
			return err
		}
		d.note("writes are held back")
		if err := c.replicasEqual(ctx, d); err != nil {
			return err
		}
		d.note("every replica has every write")
		// The held-back writes must fail, not be acknowledged, should the pause end
		// before the old master is a replica.
		if err := redisconn.FenceOwing(ctx, master, owed, old, d.others()...); err != nil {
			return err
		}
		if err := c.requestFailover(ctx); err != nil {
			return err
		}
		d.note("a sentinel accepted the failover")
		// Sentinels take 10 to 20 s to do this by themselves.
		d.switched = func(ctx context.Context) error {
			host, port, err := net.SplitHostPort(d.report.NewMaster)
			if err != nil {
				return err
			}
			if err := demoteOld(ctx, master, host, port); err != nil {
				return err
			}
			return d.cleanup(ctx)
		}
		return nil
	})
}

// AutomaticFailover makes the master unresponsive and lets the sentinels notice and
// act by themselves, as they would after a crash. It needs no access to the
// server's process: CLIENT PAUSE ALL holds back every command, including the
// sentinels' PING. The master is fenced first (see redisconn.Fence), so that
// commands held back by the pause are refused when it ends instead of being
// acknowledged by a master that is about to be demoted. The pause ends by itself
// after down-after plus 5 s; the fence is lifted once the old master is a replica,
// even if ctx ends. Both are written down in owed first, for whoever has to lift them
// should this process die; owed may be nil. It refuses if Readiness fails.
func (c *Cluster) AutomaticFailover(
	ctx context.Context, owed migration.Debts, log func(string),
) (FailoverReport, error) {
	return c.drill(ctx, "automatic", log, func(d *drill) error {
		old := d.report.OldMaster
		node := c.Node(old)
		pause := time.Duration(d.before.DownAfterMS)*time.Millisecond + electionBudget
		d.cleanup = func(ctx context.Context) error {
			if err := redisconn.UnfencePaid(ctx, node, owed, old); err != nil {
				return err
			}
			return redisconn.UnpausePaid(ctx, node, owed, old, "ALL")
		}
		// Fence before pausing: afterwards this connection is held back too.
		if err := redisconn.FenceOwing(ctx, node, owed, old, d.others()...); err != nil {
			return err
		}
		if err := redisconn.PauseOwing(ctx, node, owed, old, "ALL", pause); err != nil {
			return err
		}
		d.note(fmt.Sprintf("the master is unresponsive for %s", pause))
		return nil
	})
}
