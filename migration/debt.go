package migration

import (
	"context"
	"fmt"
	"time"
)

// DebtKind says what was put on a server, and so how it is taken off again.
type DebtKind string

// The kinds of debts.
const (
	// DebtFence is min-replicas-to-write: the server refuses every write.
	DebtFence DebtKind = "fence"
	// DebtClientPause is CLIENT PAUSE. It ends by itself, at the time that Set gives.
	DebtClientPause DebtKind = "client-pause"
	// DebtQueue is a paused queue; What is its name.
	DebtQueue DebtKind = "queue"
	// DebtMove is a queue that stands still while it is moved to another server; What is its name.
	// Only the step that moves it knows on which side its jobs are.
	DebtMove DebtKind = "move"
	// DebtSentinels is that no sentinel monitors the master; Before is how they did.
	DebtSentinels DebtKind = "sentinels"
	// DebtProducer is a producer that a drill had the app open; What is its id.
	DebtProducer DebtKind = "producer"
)

// Debt is something that a run puts on somebody else's server and has to take off again. It is
// written down before it is put there, so that a process that dies in between owes too much
// rather than too little.
type Debt struct {
	ID          int64    `json:"id"`
	MigrationID string   `json:"-"`
	Run         string   `json:"run"`
	Step        string   `json:"step"`
	Kind        DebtKind `json:"kind"`
	// Server is its address, host:port; ServerRun its run_id, "" where it tells none.
	Server    string `json:"server"`
	ServerRun string `json:"server_run,omitempty"`
	What      string `json:"what,omitempty"`
	Before    string `json:"before"` // what was there, before the first run that owes it
	Set       string `json:"set"`    // what the run put there
	// Peers are the servers that may have taken over meanwhile: they are asked first.
	Peers []string  `json:"peers,omitempty"`
	Since time.Time `json:"since"`
	// Held says why it could not be lifted, TriedAt when that was.
	Held    string     `json:"held,omitempty"`
	TriedAt *time.Time `json:"tried_at,omitempty"`
	// Open: its run is under way and lifts it itself.
	Open bool `json:"open"`
}

// String says what is owed, and where.
func (d Debt) String() string {
	switch d.Kind {
	case DebtFence:
		return fmt.Sprintf("%s refuses writes (min-replicas-to-write %s, before: %s)",
			d.Server, d.Set, d.Before)
	case DebtClientPause:
		return fmt.Sprintf("%s is paused for clients (%s) until %s", d.Server, d.What, d.Set)
	case DebtQueue:
		return fmt.Sprintf("queue %s on %s is paused", d.What, d.Server)
	case DebtMove:
		return fmt.Sprintf("queue %s on %s stands still for its move", d.What, d.Server)
	case DebtSentinels:
		return fmt.Sprintf("the sentinels do not monitor %s (%s)", d.What, d.Server)
	case DebtProducer:
		return fmt.Sprintf("the app at %s keeps the drill's producer %s", d.Server, d.What)
	}
	return fmt.Sprintf("%s %s on %s", d.Kind, d.What, d.Server)
}

// Debts is where it is written down what is about to be put on a server.
type Debts interface {
	// Owe writes a debt down. What is owed already, by whatever run, keeps what was there
	// before; it is owed by this run from now on.
	Owe(ctx context.Context, d Debt) error
	// Paid strikes out what is owed of that kind on that server.
	Paid(ctx context.Context, kind DebtKind, server, what string) error
}
