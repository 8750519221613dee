package workflows

import (
	"cmp"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Attestation is what a worker says of itself about once a second: who it is, which flag revision everything it has in flight uses, and
// the connections it holds with the options in force.
type Attestation struct {
	Service       string                     `json:"service"`
	Instance      string                     `json:"instance"`
	Version       string                     `json:"version"`
	BullMQ        string                     `json:"bullmq"`
	Revision      int64                      `json:"revision"`
	Flags         map[string]json.RawMessage `json:"flags"`
	LastKnownGood bool                       `json:"lastKnownGood"`
	Connections   []Connection               `json:"connections"`
}

// Connection is one Redis connection of a worker process.
type Connection struct {
	Side     string                     `json:"side"`     // source, target
	Endpoint string                     `json:"endpoint"` // standalone, sentinel, managed
	Role     string                     `json:"role"`     // producer, worker, shadow-worker
	Queue    string                     `json:"queue"`
	Status   string                     `json:"status"`  // ioredis: ready, reconnecting ...
	Options  map[string]json.RawMessage `json:"options"` // effective, read from the live client
}

// liveFor is how long a worker counts as live after its last word. It speaks once a second.
const liveFor = 5 * time.Second

// fleet remembers what workers said last. It is kept in memory: a second after a restart it is complete again.
type fleet struct {
	now func() time.Time

	mu      sync.Mutex
	started time.Time
	members map[string]member
}

type member struct {
	Attestation
	seen time.Time
}

func newFleet(now func() time.Time) *fleet {
	return &fleet{now: now, started: now(), members: map[string]member{}}
}

// attest takes in one attestation. The instance's former one is replaced.
func (f *fleet) attest(a Attestation) error {
	if a.Instance == "" || a.Service == "" {
		return migration.Errorf(migration.Invalid, "an attestation needs service and instance")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	for id, m := range f.members {
		if now.Sub(m.seen) > time.Hour {
			delete(f.members, id)
		}
	}
	f.members[a.Instance] = member{a, now}
	return nil
}

// live lists the workers heard of lately, by instance.
func (f *fleet) live() []member {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []member
	for _, m := range f.members {
		if f.now().Sub(m.seen) <= liveFor {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b member) int { return cmp.Compare(a.Instance, b.Instance) })
	return out
}

// all lists the workers heard of in the last hour, for pages.
func (f *fleet) all() []migration.Worker {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]migration.Worker, 0, len(f.members))
	for _, m := range f.members {
		raw, _ := json.Marshal(m.Attestation) // plain data
		out = append(out, migration.Worker{Instance: m.Instance, Service: m.Service, Version: m.Version, BullMQ: m.BullMQ, Revision: m.Revision, SeenAt: m.seen, Live: f.now().Sub(m.seen) <= liveFor, Attestation: raw})
	}
	slices.SortFunc(out, func(a, b migration.Worker) int { return cmp.Compare(a.Instance, b.Instance) })
	return out
}

// producers gives what live workers attest of their producer connections.
func (f *fleet) producers() migration.AttestationFacts {
	var facts migration.AttestationFacts
	for _, m := range f.live() {
		for _, c := range m.Connections {
			if c.Role != "producer" {
				continue
			}
			p := migration.ProducerOptions{Instance: m.Instance, Queue: c.Queue, Side: c.Side, Endpoint: c.Endpoint}
			if raw, ok := c.Options["enableOfflineQueue"]; ok {
				var v bool
				if json.Unmarshal(raw, &v) == nil {
					p.EnableOfflineQueue = &v
				}
			}
			if raw, ok := c.Options["commandTimeout"]; ok {
				_ = json.Unmarshal(raw, &p.CommandTimeoutMS) // absent or null stays 0, which no check accepts
			}
			facts.Producers = append(facts.Producers, p)
		}
	}
	return facts
}
