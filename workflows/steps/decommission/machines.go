package decommission

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// personBoots is how long a person may take to switch the machines on again. An undo cannot
// be cancelled, and what is left then is said.
const personBoots = 30 * time.Minute

// summary says what the step would do.
func (s Parts) summary() engine.PlanResult {
	can := s.Host.Service.About().Can
	does := "power every old server off and delete it"
	switch {
	case !can.PowerOff && !can.Delete:
		does = "have a person power every old server off and delete it, and prove that " +
			"nothing answers any more"
	case !can.Delete:
		does = "power every old server off, and have a person delete it"
	}
	out := engine.PlanResult{
		Summary: "Disconnect the app from the source, prove that it is quiet, fence it, back it " +
			"up, " + does + ".",
		Impact: "Deleted for good: the single Redis, every Sentinel node, their disks and " +
			"backups at the host. Of what was on them, only Redis's keys are kept, in the backup " +
			"file of this run.",
	}
	if !can.Snapshot {
		out.Impact += " It is the only copy: " + s.noSnapshot() + "."
	}
	return out
}

// noSnapshot says why the host keeps no snapshot; empty where it may.
func (s Parts) noSnapshot() string {
	about := s.Host.Service.About()
	if about.Can.Snapshot {
		return ""
	}
	return fmt.Sprintf("no snapshot of a machine can be taken (%s: %s)", about.Key, about.Service)
}

// labels names the old machines.
func (s Parts) labels() string {
	var out []string
	for _, m := range s.Host.Machines {
		out = append(out, m.String())
	}
	return strings.Join(out, ", ")
}

// machines gives a gate and a fact for each old machine: it is the one that is configured.
func (s Parts) machines(ctx context.Context) (gates []migration.Gate, facts []migration.Fact) {
	about := s.Host.Service.About()
	if len(s.Host.Machines) == 0 {
		return []migration.Gate{migration.Claim{
			ID: "machines", Title: "The old machines are configured", Limit: "at least one",
			Measured: "none is", Next: "name the machines of source.standalone and " +
				"source.sentinel.nodes: nobody can say of others that they are off",
			Asked: migration.Coverage{Of: "machine", Found: "the configuration"},
		}.Gate()}, nil
	}
	for _, m := range s.Host.Machines {
		state, err := s.Host.Service.Describe(ctx, m)
		c := migration.Claim{
			ID:       "host:" + m.ID,
			Title:    fmt.Sprintf("%s %s is %s", about.Service, m.ID, m.Label),
			Limit:    m.Label,
			Measured: state.Label,
			Next: "correct the id or the label in the configuration: a server is deleted only " +
				"when both fit",
		}
		does := "will be powered off and deleted"
		if !about.Can.Delete {
			c.Title = fmt.Sprintf("%s, which a person looks after, was not deleted", m.Label)
			does = "a person switches it off, deletes it, and confirms each"
		}
		gates = append(gates, c.About("machine", m.ID, state.Label == m.Label, err))
		facts = append(facts, migration.Fact{Label: m.Label,
			Value: fmt.Sprintf("%s %s, %s: %s", about.Service, m.ID, state.Status, does)})
	}
	return gates, facts
}

// consented gives the approval of the present action: whose word it is that a person made
// the change.
func consented(c *engine.Call) (migration.Consent, error) {
	i := slices.IndexFunc(c.Run.Approvals, func(a migration.Consent) bool {
		return a.Action == c.Action && a.Approved
	})
	if i < 0 {
		return migration.Consent{}, migration.Errorf(migration.Conflict,
			"nobody has confirmed %s", c.Action)
	}
	return c.Run.Approvals[i], nil
}

// switchOff powers the machines off. Where a person does, the first action says that they
// may, which is decided while the servers can still be asked, and the second one takes down
// that they have.
func (s Parts) switchOff() []engine.Action {
	off := engine.Action{
		ActionPlan: migration.ActionPlan{
			ID:       "power-off",
			Title:    "Power every old server off",
			Changes:  "the servers stop",
			Undo:     "boots them again",
			Approval: migration.ApprovalOne,
		},
		Timeout: 10 * time.Minute,
		Ready:   s.mayPowerOff,
		Do:      s.powerOff,
		Undo:    s.powerOn,
	}
	if s.Host.Service.About().Can.PowerOff {
		return []engine.Action{off}
	}
	off.Title = "Let a person power every old server off"
	off.Changes = "nothing yet: a person switches off " + s.labels()
	off.ActionPlan.Undo = "waits until a person has switched on again what is off"
	return []engine.Action{off, {
		ActionPlan: migration.ActionPlan{
			ID:       migration.ActionConfirmedOff,
			Title:    "Confirm that every old server is powered off",
			Changes:  "your approval says that a person has powered them off; nothing may answer",
			Undo:     "not needed: see the action before",
			Approval: migration.ApprovalOne,
		},
		Timeout: time.Hour,
		Ready:   s.fellSilent,
		Do: func(ctx context.Context, c *engine.Call) (any, error) {
			return s.confirmed(ctx, c, providers.SwitchedOff, s.Host.Service.PowerOff)
		},
	}}
}

// fellSilent gives what must hold before somebody's word is taken that the machines are off.
func (s Parts) fellSilent(ctx context.Context, _ *engine.Call) []migration.Gate {
	c := migration.Claim{
		ID:    "silent",
		Title: "Nothing answers at any old server",
		Limit: "no connection is taken",
		Next:  "switch it off at its host, or find out what answers at its address",
	}
	facts, _, err := s.Host.Off(ctx)
	var there []string
	for _, f := range facts.Servers {
		if f.Reachable || f.Address == "" && f.Status == providers.MachineRunning {
			there = append(there, strings.TrimSpace(f.Label+" "+f.Address)+" answers")
		}
	}
	c.Measured = fmt.Sprintf("%d machines and addresses are silent", len(facts.Servers))
	if len(there) > 0 {
		c.Measured = strings.Join(there, ", ")
	}
	return []migration.Gate{c.About("machines", s.labels(), len(there) == 0, err)}
}

// confirmed takes down who says that a person made a change, and proves what can be proven
// of it on every machine.
func (s Parts) confirmed(
	ctx context.Context, c *engine.Call, change providers.Change,
	prove func(context.Context, providers.Machine) error,
) (any, error) {
	consent, err := consented(c)
	if err != nil {
		return nil, err
	}
	if err := s.Host.Confirm(ctx, change, consent); err != nil {
		return nil, err
	}
	c.Log("%s says that every old server is %s", consent.By, change)
	c.Progress("looking whether anything answers at %s", s.labels())
	return nil, s.Host.Each(func(m providers.Machine) error { return prove(ctx, m) })
}

// snapshot keeps a snapshot of the machines, where the host can.
func (s Parts) snapshot() []engine.Action {
	if !s.Host.Service.About().Can.Snapshot {
		return nil
	}
	return []engine.Action{{
		ActionPlan: migration.ActionPlan{
			ID:    "snapshot",
			Title: "Keep a snapshot of each server at the host, as long as the server exists",
			Changes: "a server's former manual snapshot is replaced, where its Backups service " +
				"is on",
			Undo: "the server is as it was; a snapshot that was replaced does not come back",
		},
		Timeout: time.Hour,
		Do:      s.snapshots,
	}}
}

// remove deletes the machines. Where a person does, two people decide that they may, and
// somebody then confirms that it was done.
func (s Parts) remove() []engine.Action {
	gone := engine.Action{
		ActionPlan: migration.ActionPlan{
			ID:       "delete",
			Title:    "Check that nothing answers there, and delete the servers",
			Changes:  "the servers, their disks and their backups at the host are deleted for good",
			Approval: migration.ApprovalTwo,
		},
		Ready:   s.mayDelete,
		Timeout: 10 * time.Minute,
		Do:      s.deleteThem,
	}
	if s.Host.Service.About().Can.Delete {
		return []engine.Action{gone}
	}
	gone.Title = "Check that nothing answers there, and let a person delete the servers"
	gone.Changes = "nothing yet: a person deletes " + s.labels() + ", or wipes their disks, for good"
	return []engine.Action{gone, {
		ActionPlan: migration.ActionPlan{
			ID:    migration.ActionConfirmedDeleted,
			Title: "Confirm that the servers are deleted",
			Changes: "your approval says that a person has deleted them, or wiped their disks; " +
				"nothing may answer",
			Approval: migration.ApprovalOne,
		},
		Timeout: time.Hour,
		Ready:   s.fellSilent,
		Do: func(ctx context.Context, c *engine.Call) (any, error) {
			_, err := s.confirmed(ctx, c, providers.Removed, s.Host.Service.Delete)
			if err != nil {
				return nil, err
			}
			return s.proveGone(ctx, c)
		},
	}}
}

func (s Parts) deleteThem(ctx context.Context, c *engine.Call) (any, error) {
	facts, _, err := s.Host.Off(ctx)
	if err != nil {
		return nil, err
	}
	for _, f := range facts.Servers {
		if f.Reachable {
			return nil, fmt.Errorf("%s still answers at %s after its power-off: nothing is deleted",
				f.Label, f.Address)
		}
	}
	if !s.Host.Service.About().Can.Delete {
		if failing := migration.Failing(s.mayDelete(ctx, c)); len(failing) > 0 {
			return nil, migration.Errorf(migration.Blocked, "%s", told(failing))
		}
		c.Log("a person may now delete, or wipe the disks of: %s", s.labels())
		return nil, nil //nolint:nilnil // no output
	}
	if err := s.Host.Each(func(m providers.Machine) error {
		c.Log("deleting %s", m)
		return s.Host.Service.Delete(ctx, m)
	}); err != nil {
		return nil, err
	}
	return s.proveGone(ctx, c)
}

// proveGone is proveOff of servers that do not come back: what was put on them is owed to
// nobody.
func (s Parts) proveGone(ctx context.Context, c *engine.Call) (any, error) {
	facts, err := s.proveOff(ctx, c)
	if err != nil {
		return facts, err
	}
	return facts, s.Debts.Forgive(ctx, c, "the server is gone")
}

// proveOff records what is known of every old server now, and as what.
func (s Parts) proveOff(ctx context.Context, c *engine.Call) (any, error) {
	facts, as, err := s.Host.Off(ctx)
	if err != nil {
		return nil, err
	}
	return facts, c.Prove(ctx, evidence.Off, as.Proof, as.Source, facts)
}
