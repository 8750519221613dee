package workflows

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/linode"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/backup"
	"github.com/switchyard-dev/switchyard/sentinel"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// decommission proves that nobody uses the old servers, backs them up, fences them, and only then powers them off and deletes them.
func decommission(cfg config.Config) Step {
	return Step{
		ID:           migration.StepDecommission,
		Approval:     migration.ApprovalOne, // of what can be taken back; what cannot waits for its own
		Irreversible: true,
		Look: func(ctx context.Context, e *Estate, _ migration.Params) (Outlook, error) {
			v := viewFrom(ctx)
			out := Outlook{Summary: "Release the app from the source, prove that it is quiet, fence it, back it up, power every old server off and delete it.",
				Impact: "Deleted for good: the single Redis, every Sentinel node, their disks and backups at the host. What was on them is in the backup file of this run."}
			stage := migration.Gate{ID: "stage", Title: "Cutover is complete", OK: v.routing.Stage == migration.StageComplete, Measured: v.routing.String(), Limit: "complete"}
			if !stage.OK {
				stage.Next = "finish the cutover first"
			}
			out.Gates = append(out.Gates, stage, fleetGate(e, v), ledgerClosedGate(e), streamsGate(ctx, e, v.migration.ID))
			if !gateRemoved(gateResidue) {
				out.Gates = append(out.Gates, checkGate(v, evidence.Residue))
			}
			// Released already: this run was interrupted after that point, and goes on without what it can no longer reach.
			if v.routing.Source != migration.SourceNone {
				out.Gates = append(out.Gates, otherCriteria(v)...)
				if !gateRemoved(gateResidue) {
					out.Gates = append(out.Gates, nothingLeft(e.residue(ctx, v.migration.ID)))
				}
			}
			for _, m := range e.machines() {
				inst, err := e.linode.Instance(ctx, m.id)
				g := migration.Gate{ID: fmt.Sprintf("host:%d", m.id), Title: fmt.Sprintf("Linode %d is %s", m.id, m.label), Limit: m.label, OK: err == nil && inst.Label == m.label, Measured: inst.Label}
				if err != nil {
					g.Measured = err.Error()
				}
				if !g.OK {
					g.Next = "correct the id or the label in the configuration: a server is deleted only when both fit"
				}
				out.Gates = append(out.Gates, g)
				out.Observed = append(out.Observed, migration.Fact{Label: m.label, Value: fmt.Sprintf("Linode %d, %s, is powered off and deleted", m.id, inst.Status)})
			}
			return out, nil
		},
		Actions: func(migration.Params) []Action { return decommissionActions(cfg) },
	}
}

// otherCriteria gives a gate for each criterion that is not this step's own to meet.
func otherCriteria(v view) []migration.Gate {
	step, _ := v.migration.Plan.Step(migration.StepDecommission)
	var gates []migration.Gate
	for _, i := range v.checklist {
		if slices.Contains(step.Proves, i.Criterion.ID) {
			continue
		}
		g := migration.Gate{ID: "criterion:" + i.Criterion.ID, Title: i.Criterion.Title, OK: i.Verdict == migration.Met, Measured: i.Why, Limit: "met"}
		if !g.OK {
			g.Measured, g.Next = string(i.Verdict)+": "+i.Why, i.Next
		}
		gates = append(gates, g)
	}
	return gates
}

// nothingLeft: no queue of the source, the pipeline's or another, holds a job that is not finished.
func nothingLeft(residue evidence.ResidueFacts, err error) migration.Gate {
	g := migration.Gate{ID: "residue", Title: "Nothing is left on the source", Limit: "0 jobs in every queue", OK: err == nil, Measured: fmt.Sprintf("0 jobs in %d queues", len(residue.Queues))}
	if err != nil {
		g.Measured, g.Next = err.Error(), "make sure that the source answers, then look again"
	}
	var left []string
	for _, q := range residue.Queues {
		if q.Pending > 0 {
			left = append(left, fmt.Sprintf("%d jobs in %s", q.Pending, q.Queue))
		}
	}
	if len(left) > 0 {
		g.OK, g.Measured, g.Next = false, strings.Join(left, ", "), "run the step Move the other queues, or Move what is left, again"
	}
	return g
}

// ledgerClosedGate: every acknowledged order must have been applied once, and none be under way.
func ledgerClosedGate(e *Estate) migration.Gate {
	g := migration.Gate{ID: "ledger-closed", Title: "Order ledger is closed", Limit: "0 lost, 0 applied twice, and the source owes nothing"}
	ledger, err := e.ledger.read()
	if err != nil {
		g.Measured, g.Next = err.Error(), "make sure the ingestion app is up, then look again"
		return g
	}
	s := ledger.Summary(e.now(), e.cfg.Migration.OrderDeadline)
	g.OK = s.Lost == 0 && s.Duplicated == 0 && s.Acknowledged > 0
	g.Measured = fmt.Sprintf("%d acknowledged, %d applied, %d under way, %d lost, %d twice", s.Acknowledged, s.Fulfilled, s.Pending, s.Lost, s.Duplicated)
	if !g.OK {
		g.Next = "look at the orders that the ledger names"
	}
	return g
}

type machine struct {
	id    int
	label string
}

func (e *Estate) machines() []machine {
	s := e.cfg.Source
	var out []machine
	if s.Standalone.LinodeID != 0 {
		out = append(out, machine{s.Standalone.LinodeID, s.Standalone.LinodeLabel})
	}
	for _, n := range s.Sentinel.Nodes {
		out = append(out, machine{n.LinodeID, n.LinodeLabel})
	}
	return out
}

// oldServers is what the run remembers of the servers before they are gone.
type oldServers struct {
	Source  migration.SourceEndpoint `json:"source"`
	Master  string                   `json:"master"`  // whose data is backed up
	Address []string                 `json:"address"` // every old data server
}

// nodes opens a connection to every old data server.
func (c *Call) oldNodes(ctx context.Context) (oldServers, []node, error) {
	var old oldServers
	ok, err := c.Output(ctx, "release", &old)
	if err != nil || !ok {
		return old, nil, errorOr(err, "the run did not record the old servers")
	}
	var nodes []node
	for _, a := range old.Address {
		if a == c.standaloneEndpoint.Address() {
			nodes = append(nodes, node{a, c.standalone, func() error { return nil }})
			continue
		}
		client := redisconn.Node(c.sentinelEndpoint, a)
		nodes = append(nodes, node{a, client, client.Close})
	}
	return old, nodes, nil
}

func decommissionActions(cfg config.Config) []Action {
	quiet, window := cfg.Migration.QuietWindow, cfg.Migration.FenceWindow
	return []Action{
		{
			ActionPlan: migration.ActionPlan{ID: "release", Title: "Tell the app to drop every connection to the source", Changes: "flag source-endpoint: none", Undo: "sets the former source again"},
			Do:         release,
			Undo: func(ctx context.Context, c *Call) error {
				var old oldServers
				if ok, err := c.Output(ctx, "release", &old); err != nil || !ok {
					return err
				}
				return c.pointSource(ctx, old.Source, "decommission taken back")
			},
		},
		{
			ActionPlan: migration.ActionPlan{ID: "stand-down", Title: "Let the sentinels look away for good", Changes: "SENTINEL REMOVE on each sentinel: no failover from now on", Undo: "SENTINEL MONITOR with the same settings"},
			Do:         standDown,
			Undo: func(ctx context.Context, c *Call) error {
				var m sentinel.Monitor
				if ok, err := c.Output(ctx, "stand-down", &m); err != nil || !ok || c.cluster == nil {
					return err
				}
				return c.cluster.Resume(ctx, m)
			},
		},
		{
			ActionPlan: migration.ActionPlan{ID: "quiet", Title: fmt.Sprintf("Watch for %s that nobody uses the old servers", migration.Words(quiet))},
			Timeout:    quiet*2 + 30*time.Minute,
			Do:         func(ctx context.Context, c *Call) (any, error) { return c.proveQuiet(ctx, quiet) },
		},
		{
			ActionPlan: migration.ActionPlan{ID: "fence", Title: "Fence every old server against writes", Changes: "min-replicas-to-write on every node: writes are refused, scripts too; reads go on", Undo: "lifts the fence", Approval: migration.ApprovalOne},
			Do:         fence,
			Undo:       unfence,
		},
		{
			ActionPlan: migration.ActionPlan{ID: "backup", Title: "Back the source up, restore the backup into a scratch server and compare it with the source"},
			Timeout:    2 * time.Hour,
			Do:         finalBackup,
		},
		{
			ActionPlan: migration.ActionPlan{ID: fenceWindow, Title: fmt.Sprintf("Hold the fence until nobody has knocked for %s", migration.Words(window))},
			Timeout:    window + knocksTimeout,
			Do:         func(ctx context.Context, c *Call) (any, error) { return c.holdFence(ctx, window) },
		},
		{
			ActionPlan: migration.ActionPlan{ID: "last-look", Title: "Wait until every order that was put on the source is applied, and nothing is lost or doubled"},
			Timeout:    cfg.Migration.OrderDeadline + 2*time.Minute,
			Do: func(ctx context.Context, c *Call) (any, error) {
				return nil, c.closeLedger(ctx)
			},
		},
		{
			ActionPlan: migration.ActionPlan{ID: "power-off", Title: "Power every old server off", Changes: "the servers stop", Undo: "boots them again", Approval: migration.ApprovalOne},
			Timeout:    10 * time.Minute,
			Ready:      mayPowerOff,
			Do:         powerOff,
			Undo:       powerOn,
		},
		{
			ActionPlan: migration.ActionPlan{ID: "snapshot", Title: "Keep a snapshot of each server at the host, as long as the server exists", Changes: "a server's former manual snapshot is replaced, where its Backups service is on", Undo: "not needed: the server is as it was"},
			Timeout:    time.Hour,
			Do:         snapshots,
		},
		{
			ActionPlan: migration.ActionPlan{ID: "delete", Title: "Check that nothing answers there, and delete the servers", Changes: "the servers, their disks and their backups at the host are deleted for good", Approval: migration.ApprovalTwo},
			Ready:      mayDelete,
			Timeout:    10 * time.Minute,
			Do: func(ctx context.Context, c *Call) (any, error) {
				facts, err := c.off(ctx)
				if err != nil {
					return nil, err
				}
				for _, s := range facts.Servers {
					if s.Reachable {
						return nil, fmt.Errorf("%s still answers at %s after its power-off: nothing is deleted", s.Label, s.Address)
					}
				}
				if err := c.eachMachine(ctx, func(m machine) error {
					c.Log("deleting %s (%d)", m.label, m.id)
					return c.linode.Delete(ctx, m.id, m.label)
				}); err != nil {
					return nil, err
				}
				if facts, err = c.off(ctx); err != nil {
					return nil, err
				}
				return facts, c.Prove(ctx, evidence.Off, migration.Observed, "Linode API, and a connection attempt to each old address", facts)
			},
		},
	}
}

// snapshots asks the host for a snapshot of each machine at rest: the way back until the machine is deleted, and its snapshots with it. A machine
// without the paid Backups service has none, which is said and no reason to stop: the backup that lasts is Switchyard's own.
func snapshots(ctx context.Context, c *Call) (any, error) {
	taken := []string{}
	err := c.eachMachine(ctx, func(m machine) error {
		c.Progress("waiting for the snapshot of %s", m.label)
		_, err := c.linode.Snapshot(ctx, m.id, "switchyard-"+c.Run.ID)
		switch {
		case migration.KindOf(err) == migration.Blocked:
			c.Log("no snapshot of %s: %v", m.label, err)
			return nil
		case err != nil:
			return err
		}
		c.Log("the host has a snapshot of %s", m.label)
		taken = append(taken, m.label)
		return nil
	})
	return taken, err
}

// eachMachine does something to every old machine that still exists.
func (c *Call) eachMachine(_ context.Context, do func(machine) error) error {
	for _, m := range c.machines() {
		if err := do(m); err != nil && !linode.NotFound(err) {
			return fmt.Errorf("%s (Linode %d): %w", m.label, m.id, err)
		}
	}
	return nil
}

// oldAddresses is remembered for the time when the servers cannot be asked any more.
const oldAddresses = "old-servers"

func release(ctx context.Context, c *Call) (any, error) {
	var old oldServers
	known, err := c.Output(ctx, c.Action, &old)
	if err != nil {
		return nil, err
	}
	if !known {
		r, err := c.Routing(ctx, c.Run.MigrationID)
		if err != nil {
			return nil, err
		}
		old = oldServers{Source: r.Source, Master: c.standaloneEndpoint.Address(), Address: []string{c.standaloneEndpoint.Address()}}
		if c.cluster != nil {
			addrs, err := c.cluster.NodeAddrs(ctx)
			if err != nil {
				return nil, err
			}
			for _, a := range addrs {
				if a != c.standaloneEndpoint.Address() { // which Sentinel knows as a fenced replica
					old.Address = append(old.Address, a)
				}
			}
			if r.Source == migration.SourceSentinel {
				if old.Master, err = c.cluster.Master(ctx); err != nil {
					return nil, err
				}
			}
		}
		if err := c.Remember(ctx, old); err != nil {
			return nil, err
		}
		if err := c.store.SetSetting(ctx, oldAddresses, old.Address); err != nil {
			return nil, err
		}
	}
	return old, c.pointSource(ctx, migration.SourceNone, "decommission: drop every connection to the source")
}

// standDown ends the sentinels' watch. They keep trying the old single server, which they know as a replica but cannot sign in to, and
// such a nameless connection cannot be told from a forgotten client.
func standDown(ctx context.Context, c *Call) (any, error) {
	if c.cluster == nil {
		return nil, nil
	}
	var m sentinel.Monitor
	known, err := c.Output(ctx, c.Action, &m)
	if err != nil {
		return nil, err
	}
	if !known {
		if m, err = c.cluster.Monitor(ctx); err != nil {
			return nil, err
		}
		if err := c.Remember(ctx, m); err != nil {
			return nil, err
		}
	}
	if _, err := c.cluster.Suspend(ctx); err != nil && !errors.Is(err, sentinel.ErrSuspended) {
		return nil, err
	}
	return m, nil
}

func fence(ctx context.Context, c *Call) (any, error) {
	old, nodes, err := c.oldNodes(ctx)
	if err != nil {
		return nil, err
	}
	defer closeNodes(nodes)
	for _, n := range nodes {
		if _, err := redisconn.Fence(ctx, n.client); err != nil {
			return nil, fmt.Errorf("%s: %w", n.address, err)
		}
	}
	c.Log("%d servers refuse every write", len(nodes))
	// The last moment at which anything could come was just now, and the proof of quiet may be some time ago.
	var quiet quietOutput
	if ok, err := c.Output(ctx, "quiet", &quiet); err != nil || !ok {
		return nil, err
	}
	for _, n := range nodes {
		if n.address != old.Master {
			continue
		}
		if failing := migration.Failing(c.cameSince(ctx, n.client, quiet.Events)); len(failing) > 0 {
			return nil, fmt.Errorf("something came after the proof of quiet: %s", told(failing))
		}
	}
	return nil, nil
}

func unfence(ctx context.Context, c *Call) error {
	_, nodes, err := c.oldNodes(ctx)
	if err != nil {
		return err
	}
	defer closeNodes(nodes)
	var errs []error
	for _, n := range nodes {
		errs = append(errs, redisconn.Unfence(ctx, n.client, ""))
	}
	return errors.Join(errs...)
}

func finalBackup(ctx context.Context, c *Call) (any, error) {
	old, nodes, err := c.oldNodes(ctx)
	if err != nil {
		return nil, err
	}
	defer closeNodes(nodes)
	dir := filepath.Join(c.cfg.DataDir, "backups")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for _, n := range nodes {
		if n.address != old.Master {
			continue
		}
		facts, err := backup.Take(ctx, n.client, backup.Options{Dir: dir, Name: "source-" + c.Run.ID, RedisServer: c.cfg.RedisServer,
			Progress: func(what string) { c.Progress("%s", what) }})
		if err != nil {
			return nil, err
		}
		facts.File = filepath.Join("backups", facts.File)
		if err := c.Remember(ctx, facts); err != nil { // the page shows it also when it is not good enough
			return nil, err
		}
		c.Log("%d keys of %s in %s, %d bytes, by %s, %d keys compared, %d differences", facts.Keys, n.address, facts.File, facts.Bytes, facts.Method, facts.Compared, facts.Differences)
		for _, why := range []string{facts.Why, facts.NotRestored} {
			if why != "" {
				c.Warn("the backup shows less than it could: %s", why)
			}
		}
		source := "the replication stream, restored into a scratch server and compared in both directions"
		switch {
		case !facts.Restored:
			source = "DUMP of every key, read back and compared by type; not restored into a server"
		case facts.Method == backup.Dump:
			source = "DUMP of every key, restored into a scratch server and compared in both directions"
		}
		return facts, c.Prove(ctx, evidence.Backup, migration.Observed, source, facts)
	}
	return nil, migration.Errorf(migration.Conflict, "the master %s is none of the old servers %v", old.Master, old.Address)
}

// mayPowerOff gives what must still hold at the moment of the power-off: the proofs may be days old.
func mayPowerOff(ctx context.Context, c *Call) []migration.Gate {
	gates := []migration.Gate{c.backupThere(ctx), ledgerClosedGate(c.Estate)}
	return append(gates, c.fenceHolds(ctx)...)
}

func powerOff(ctx context.Context, c *Call) (any, error) {
	var checked bool
	if ok, err := c.Output(ctx, c.Action, &checked); err != nil {
		return nil, err
	} else if !ok { // an attempt that was cut off may have powered some off
		if failing := migration.Failing(mayPowerOff(ctx, c)); len(failing) > 0 {
			return nil, errors.New(told(failing))
		}
		if err := c.Remember(ctx, true); err != nil {
			return nil, err
		}
	}
	return true, c.eachMachine(ctx, func(m machine) error {
		if err := c.linode.Shutdown(ctx, m.id); err != nil {
			return err
		}
		c.Progress("waiting for %s to be off", m.label)
		return c.linode.WaitStatus(ctx, m.id, linode.Offline)
	})
}

// powerOn boots the servers and waits until they answer, since what was done before is taken back on them.
func powerOn(ctx context.Context, c *Call) error {
	err := c.eachMachine(ctx, func(m machine) error {
		if err := c.linode.Boot(ctx, m.id); err != nil {
			return err
		}
		return c.linode.WaitStatus(ctx, m.id, linode.Running)
	})
	if err != nil {
		return err
	}
	_, nodes, err := c.oldNodes(ctx)
	if err != nil {
		return err
	}
	defer closeNodes(nodes)
	bounded, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for _, n := range nodes {
		if err := await(bounded, time.Second, func(ctx context.Context) error {
			if err := n.client.Ping(ctx).Err(); err != nil {
				return notYet("%s was booted and does not answer: %v", n.address, redisconn.Explain(err))
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// mayDelete gives what must hold for what cannot be undone.
func mayDelete(ctx context.Context, c *Call) []migration.Gate {
	g := migration.Gate{ID: "off", Title: "Every old server is off", Limit: "offline, and nothing answers"}
	facts, err := c.off(ctx)
	if err == nil {
		raw, _ := json.Marshal(facts) // of strings and booleans
		rule, _ := evidence.Of(evidence.Off)
		g.OK, g.Measured, err = rule.Judge(raw)
	}
	if err != nil {
		g.Measured = err.Error()
	}
	if !g.OK {
		g.Next = "power it off at the host, or find out what answers at its address"
	}
	return []migration.Gate{g, c.backupThere(ctx)}
}

// backupThere: the file that was verified is still in the data folder.
func (c *Call) backupThere(ctx context.Context) migration.Gate {
	g := migration.Gate{ID: "backup", Title: "The verified backup is there", Next: "copy it back into the data folder, or cancel this run and start it again"}
	var facts evidence.BackupFacts
	ok, err := c.Output(ctx, "backup", &facts)
	if err != nil || !ok {
		g.Measured = "none was taken"
		return g
	}
	g.Limit = fmt.Sprintf("%s, %d bytes", facts.File, facts.Bytes)
	st, err := os.Stat(filepath.Join(c.cfg.DataDir, facts.File))
	switch {
	case err != nil:
		g.Measured = facts.File + " is missing"
	case st.Size() != facts.Bytes:
		g.Measured = fmt.Sprintf("%s has %d bytes", facts.File, st.Size())
	case !facts.Verified || facts.Differences > 0:
		g.Measured = fmt.Sprintf("it differs from the source in %d keys", facts.Differences)
	default:
		g.OK, g.Measured, g.Next = true, fmt.Sprintf("%d keys, sha256 %.12s…", facts.Keys, facts.SHA256), ""
	}
	return g
}

// closeLedger waits until no acknowledged order is under way and records what the whole journal says.
func (c *Call) closeLedger(ctx context.Context) error {
	var facts migration.LedgerFacts
	err := await(ctx, 500*time.Millisecond, func(context.Context) (err error) {
		if facts, err = c.ledger.facts(c.cfg.Migration.OrderDeadline); err != nil {
			return notYet("%v", err)
		}
		if facts.Lost > 0 || facts.Duplicated > 0 {
			return fmt.Errorf("%d orders lost, %d applied twice: %v", facts.Lost, facts.Duplicated, facts.Examples)
		}
		if facts.PendingSource > 0 && !gateRemoved(gateResidue) {
			c.Progress("%d orders that were put on the source are still under way", facts.PendingSource)
			return notYet("%d orders that were put on the source are still under way", facts.PendingSource)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if gateRemoved(gateResidue) {
		return c.Evidence(ctx, evidence.Ledger, migration.Observed, "the app's whole journal", facts)
	}
	return c.Prove(ctx, evidence.Ledger, migration.Observed, "the app's whole journal", facts)
}

// off looks at every old server: what its host says of it, and whether anything answers at its address.
func (e *Estate) off(ctx context.Context) (evidence.OffFacts, error) {
	var facts evidence.OffFacts
	for _, m := range e.machines() {
		inst, err := e.linode.Instance(ctx, m.id)
		switch {
		case linode.NotFound(err):
			inst.Status = "deleted"
		case err != nil:
			return facts, fmt.Errorf("%s (Linode %d): %w", m.label, m.id, err)
		}
		facts.Servers = append(facts.Servers, evidence.ServerOff{Label: m.label, Status: inst.Status})
	}
	var addrs []string
	if ok, err := e.store.Setting(ctx, oldAddresses, &addrs); err != nil || !ok {
		return facts, errorOr(err, "the addresses of the old servers are not known")
	}
	for _, a := range addrs {
		facts.Servers = append(facts.Servers, evidence.ServerOff{Label: "Redis", Address: a, Status: "offline", Reachable: answers(ctx, a)})
	}
	return facts, nil
}

// answers reports whether anything accepts a connection at an address.
func answers(ctx context.Context, address string) bool {
	d := net.Dialer{Timeout: 2 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
