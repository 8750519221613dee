package providers

import (
	"context"
	"fmt"
	"time"
)

// Host has the machines that the old servers run on. It is safe for concurrent use.
//
// Every method that asks the service fails with the kind Unavailable when it does not
// answer, or not as documented. Every change fails with Conflict, and changes nothing,
// when the machine of that id has another label than the one given: a mistyped id must
// not take another machine.
type Host interface {
	// About says who the host is and what it can do. It asks nobody.
	About() HostAbout
	// Describe says how the machine is, and which label it has. One that does not exist
	// any more has MachineDeleted.
	Describe(ctx context.Context, m Machine) (MachineState, error)
	// Price is what the machine costs. NotFound: nobody says.
	Price(ctx context.Context, m Machine) (MachinePrice, error)
	// Snapshot keeps a snapshot of that label at the host, for as long as the machine
	// exists, and returns when it is complete; one of that label is taken for the wanted
	// one. Blocked: this host takes none (ErrUnsupported), or none of this machine;
	// nothing was taken. NotFound: the machine is gone.
	Snapshot(ctx context.Context, m Machine, label string) error
	// PowerOff returns when the machine is off. It does nothing to one that is off or
	// gone. Blocked: a person switches it off, and has not confirmed it (ErrByHand).
	// Conflict: somebody has, and the machine still answers.
	PowerOff(ctx context.Context, m Machine) error
	// PowerOn returns when the machine runs. NotFound: it is gone. Blocked: a person
	// switches it on, and it does not answer yet (ErrByHand).
	PowerOn(ctx context.Context, m Machine) error
	// Delete removes the machine with its disks for good. It does nothing when it is
	// gone. Conflict: it is not off. Blocked: a person deletes it, and has not confirmed
	// it (ErrByHand).
	Delete(ctx context.Context, m Machine) error
}

// Confirmer is a Host some of whose changes a person makes: PowerOff and Delete succeed
// after the person's word was taken down, and only while nothing speaks against it.
type Confirmer interface {
	Host
	// Confirm takes down that somebody says the change was made. It is kept across
	// restarts, until the machine answers again. Invalid: there is no name, no such
	// change, or no such machine.
	Confirm(ctx context.Context, c Change, m Machine, by string, at time.Time) error
}

// Change is what a person can have done to a machine.
type Change string

// Changes.
const (
	SwitchedOff Change = "switched off"
	Removed     Change = "deleted" // or its disks wiped, and the machine put to another use
)

// HostAbout is who a host is and what it can do.
type HostAbout struct {
	Service string // for people: "Linode"
	Key     string // of the configuration: "linode"
	Can     HostCan
}

// HostCan is what Switchyard can have a host do. What is false a person does, except for
// snapshots, which there are none of then.
type HostCan struct {
	PowerOff bool // and on
	Delete   bool
	Snapshot bool
}

// Machine is one machine as the configuration names it.
type Machine struct {
	ID    string
	Label string // must fit, for anything that changes
	// Addrs are the host:port of what runs there. A host without an API knows a machine
	// by them.
	Addrs []string
}

// String names the machine for people.
func (m Machine) String() string {
	if m.ID == m.Label {
		return m.Label
	}
	return fmt.Sprintf("%s (%s)", m.Label, m.ID)
}

// Statuses of a machine. Hosts have more, such as shutting_down, and say them in their
// own words.
const (
	MachineRunning = "running"
	MachineOffline = "offline"
	MachineDeleted = "deleted"
	// MachineSilent: nothing answers there, and nobody says that it is off.
	MachineSilent = "silent"
)

// MachineState is how a machine is.
type MachineState struct {
	Status string
	Label  string // as the host has it; empty when it is gone
	Basis  Basis
}

// MachinePrice is what a machine costs in a month, in US dollars.
type MachinePrice struct {
	Plan    string // such as Nanode 1GB
	Machine float64
	Backups float64 // of Machine's disks at the host; 0: there are none
	Basis   Basis
}
