package linode

import (
	"context"
	"strconv"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
)

// Host is Linode as the host of a migration's machines. It implements providers.Host.
type Host struct {
	// Client talks to the account.
	Client *Client
}

var byAPI = providers.Basis{Proof: migration.Observed, Source: "Linode API"}

// About implements providers.Host.
func (Host) About() providers.HostAbout {
	return providers.HostAbout{Service: "Linode", Key: "linode",
		Can: providers.HostCan{PowerOff: true, Delete: true, Snapshot: true}}
}

// Describe implements providers.Host.
func (h Host) Describe(ctx context.Context, m providers.Machine) (providers.MachineState, error) {
	inst, there, err := h.instance(ctx, m)
	switch {
	case err != nil:
		return providers.MachineState{}, err
	case !there:
		return providers.MachineState{Status: providers.MachineDeleted, Basis: byAPI}, nil
	}
	return providers.MachineState{Status: inst.Status, Label: inst.Label, Basis: byAPI}, nil
}

// Price implements providers.Host.
func (h Host) Price(ctx context.Context, m providers.Machine) (providers.MachinePrice, error) {
	inst, there, err := h.instance(ctx, m)
	if err != nil {
		return providers.MachinePrice{}, err
	}
	if !there {
		return providers.MachinePrice{}, gone(m)
	}
	p, err := h.Client.Price(ctx, inst)
	if err != nil {
		return providers.MachinePrice{}, providers.Unanswered(err)
	}
	return providers.MachinePrice{
		Plan: p.Plan, Machine: p.Machine, Backups: p.Backups, Basis: byAPI,
	}, nil
}

// Snapshot implements providers.Host.
func (h Host) Snapshot(ctx context.Context, m providers.Machine, label string) error {
	inst, there, err := h.labelled(ctx, m)
	if err != nil {
		return err
	}
	if !there {
		return gone(m)
	}
	_, err = h.Client.Snapshot(ctx, inst.ID, label)
	return providers.Unanswered(err)
}

// PowerOff implements providers.Host.
func (h Host) PowerOff(ctx context.Context, m providers.Machine) error {
	inst, there, err := h.labelled(ctx, m)
	if err != nil || !there {
		return err
	}
	if err := h.Client.Shutdown(ctx, inst.ID); err != nil {
		return notGone(err)
	}
	return notGone(h.Client.WaitStatus(ctx, inst.ID, Offline))
}

// PowerOn implements providers.Host.
func (h Host) PowerOn(ctx context.Context, m providers.Machine) error {
	inst, there, err := h.labelled(ctx, m)
	if err != nil {
		return err
	}
	if !there {
		return gone(m)
	}
	if err := h.Client.Boot(ctx, inst.ID); err != nil {
		return providers.Unanswered(err)
	}
	return providers.Unanswered(h.Client.WaitStatus(ctx, inst.ID, Running))
}

// Delete implements providers.Host.
func (h Host) Delete(ctx context.Context, m providers.Machine) error {
	inst, there, err := h.labelled(ctx, m)
	if err != nil || !there {
		return err
	}
	return notGone(h.Client.Delete(ctx, inst.ID, m.Label))
}

// instance gives the machine, and whether it exists.
func (h Host) instance(ctx context.Context, m providers.Machine) (Instance, bool, error) {
	id, err := strconv.Atoi(m.ID)
	if err != nil || id <= 0 {
		return Instance{}, false, migration.Errorf(migration.Invalid,
			"%q is not the number of a Linode: set linode_id in the configuration", m.ID)
	}
	inst, err := h.Client.Instance(ctx, id)
	if NotFound(err) {
		return Instance{}, false, nil
	}
	return inst, err == nil, providers.Unanswered(err)
}

// labelled is instance for changes: a machine of another label is a conflict.
func (h Host) labelled(ctx context.Context, m providers.Machine) (Instance, bool, error) {
	inst, there, err := h.instance(ctx, m)
	if err == nil && there && (m.Label == "" || inst.Label != m.Label) {
		err = migration.Errorf(migration.Conflict,
			"linode instance %s is named %q, not %q: nothing was done to it", m.ID, inst.Label,
			m.Label)
	}
	return inst, there, err
}

// notGone drops the error that says that the machine is gone, which is what was wanted.
func notGone(err error) error {
	if NotFound(err) {
		return nil
	}
	return providers.Unanswered(err)
}

func gone(m providers.Machine) error {
	return migration.Errorf(migration.NotFound, "linode instance %s (%s) does not exist",
		m.ID, m.Label)
}
