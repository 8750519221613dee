package fleet

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// Attestation is what a worker says of itself about once a second: who it is, which
// flag revision everything it has in flight uses, and the connections it holds with the
// options in force.
type Attestation struct {
	Service  string `json:"service"`
	Instance string `json:"instance"`
	// Process is a random id that tells this process from another of the same name.
	Process string `json:"process" required:"false"`
	Version string `json:"version" required:"false"`
	BullMQ  string `json:"bullmq" required:"false"`
	// Contract is the version of docs/contract.md that it keeps; 0: it does not tell, which is 1.
	Contract int `json:"contract,omitempty"`
	// Revision is that of the flags it holds, but never above one that a request in flight still
	// uses; 0: none yet.
	Revision int64 `json:"revision" required:"false"`
	// Flags are those it holds, by key: {value, revision}.
	Flags map[string]json.RawMessage `json:"flags" required:"false"`
	// LastKnownGood says that flags come from a file or cache because the server is
	// unreachable.
	LastKnownGood bool         `json:"lastKnownGood" required:"false"`
	Connections   []Connection `json:"connections" required:"false"`
	// Journal names the journal that the worker writes; "": it has none, or does not tell.
	Journal string `json:"journal,omitempty"`
	// Unwritten is what happened and is not in the journal yet; nil: nothing, or it does not tell.
	Unwritten *Unwritten `json:"unwritten,omitempty"`
	// Intake is the worker's durable intake; nil: it acknowledges what is in Redis only.
	Intake *Intake `json:"intake,omitempty"`
	// Leaving is the last word of a worker that ends in good order.
	Leaving bool `json:"leaving" required:"false"`
}

// Unwritten is what waits to be written into a journal.
type Unwritten struct {
	Events   int   `json:"events"`
	OldestMS int64 `json:"oldestMs"` // how long the oldest of them has waited
}

// Intake is a durable intake: events are on the worker's disk before they are
// acknowledged. The counters are since the process began.
type Intake struct {
	Backlog   int   `json:"backlog"`                    // events that are not enqueued
	Bytes     int64 `json:"bytes"`                      // on disk
	MaxBytes  int64 `json:"maxBytes"`                   // above which events are refused
	OldestMS  int64 `json:"oldestMs" required:"false"`  // how long the oldest of the backlog has waited
	Accepted  int64 `json:"accepted" required:"false"`  // taken in
	Delivered int64 `json:"delivered" required:"false"` // enqueued
	Refused   int64 `json:"refused" required:"false"`   // for want of room, or of a disk that works
	Damaged   int64 `json:"damaged" required:"false"`   // lines unreadable at the start; their files are kept
}

// Connection is one Redis connection of a worker process.
type Connection struct {
	Side     string                     `json:"side" enum:"source,target"`
	Endpoint string                     `json:"endpoint"` // of that side: standalone, sentinel, managed
	Role     string                     `json:"role" enum:"producer,worker,shadow-worker"`
	Queue    string                     `json:"queue"`
	Status   string                     `json:"status"`  // as ioredis says: ready, reconnecting ...
	Options  map[string]json.RawMessage `json:"options"` // effective, read from the live client
	// ClientIDs are the ids that the server gave the connection, and any that goes with it
	// (CLIENT ID), of those that are connected; RunID is the server's (INFO). Empty: the app
	// cannot tell.
	ClientIDs []int64 `json:"clientIds" required:"false"`
	RunID     string  `json:"runId" required:"false"`
}

// Who is a reader as it names itself, with the key and the address it comes from.
// Without Instance, all readers of a key and address are one line. It is comparable, so
// that counting a poll allocates nothing; its texts may be borrowed, since what is kept
// is a copy.
type Who struct {
	Service, Instance, Version string
	Key                        string // name
	KeyID                      string // what was authenticated; names can be the same
	Address                    string // without port
	Set                        string
}

func (w Who) clone() Who {
	return Who{Service: strings.Clone(w.Service), Instance: strings.Clone(w.Instance),
		Version: strings.Clone(w.Version),
		Key:     strings.Clone(w.Key), KeyID: strings.Clone(w.KeyID),
		Address: strings.Clone(w.Address), Set: strings.Clone(w.Set)}
}

// Ways a worker is heard of, the most telling first.
const (
	ViaAttestation = "attestation"
	ViaStream      = "stream"
	ViaPoll        = "poll"
	ViaSSE         = "sse"
)

const (
	// maxInstances is how many processes of one key are remembered for each way of speaking.
	maxInstances = 1000
	// maxClosed is how many readers are remembered whose streams have ended.
	maxClosed = 10 * maxInstances
	// reconnectFor is how long a reader whose stream ended gets to open another.
	reconnectFor = 10 * time.Second
	// maxAge is that of what is dated in the future.
	maxAge = 1000 * time.Hour
	// rememberGone is for how long what is known to be gone is not taken for silent again.
	rememberGone = 24 * time.Hour

	// liveFor is how long a worker counts as live after its last word. Attestations
	// come once a second.
	liveFor = 5 * time.Second
	// A poller is live for three of its own intervals, between liveFor and this.
	maxLiveFor = 2 * time.Minute
)

// Bounds of an attestation: what is beyond them is refused, and so heard of no one.
const (
	// MaxAttestation is how many bytes one has at most.
	MaxAttestation = 256 << 10
	maxName        = 200
	maxConnections = 500
	maxFlags       = 1000
)

func (a Attestation) check() error {
	if a.Instance == "" || a.Service == "" {
		return migration.Errorf(migration.Invalid, "an attestation needs service and instance")
	}
	for _, n := range [...]struct{ field, value string }{{"service", a.Service},
		{"instance", a.Instance}, {"process", a.Process}, {"version", a.Version},
		{"bullmq", a.BullMQ}} {
		if len(n.value) > maxName {
			return migration.Errorf(migration.Invalid, "the attestation's %s has %d bytes; %d is "+
				"the limit", n.field, len(n.value), maxName)
		}
	}
	if a.Revision < 0 {
		return migration.Errorf(migration.Invalid, "the attestation's revision is below 0")
	}
	if n := len(a.Connections); n > maxConnections {
		return migration.Errorf(migration.Invalid, "the attestation lists %d connections; %d is "+
			"the limit", n, maxConnections)
	}
	if n := len(a.Flags); n > maxFlags {
		return migration.Errorf(migration.Invalid, "the attestation lists %d flags; %d is the "+
			"limit", n, maxFlags)
	}
	return nil
}

// Attesting lists what processes that attest now last said of themselves, by instance.
func (f *Fleet) Attesting(set string) []Attestation {
	var out []Attestation
	for _, l := range f.Lines(set) {
		var a Attestation
		if l.Attesting && json.Unmarshal(l.Attestation, &a) == nil {
			out = append(out, a)
		}
	}
	return out
}

// flag gives an option that is true or false; nil when it is absent, null or something
// else, for what is not said is not known.
func (c Connection) flag(option string) *bool {
	var v *bool
	if json.Unmarshal(c.Options[option], &v) != nil {
		return nil
	}
	return v
}

// Produces reports whether one of the connections is a producer's.
func Produces(all []Connection) bool {
	return slices.ContainsFunc(all, func(c Connection) bool { return c.Role == "producer" })
}

// Intakes gives what live workers of a set attest of their durable intake. Only those count that
// hold a producer: the others take no orders.
func (f *Fleet) Intakes(set string) evidence.IntakeFacts {
	var facts evidence.IntakeFacts
	for _, m := range f.Attesting(set) {
		if !Produces(m.Connections) {
			continue
		}
		i := evidence.IntakeInstance{Instance: m.Instance}
		if n := m.Intake; n != nil {
			i = evidence.IntakeInstance{
				Instance: m.Instance,
				Durable:  true,
				Backlog:  n.Backlog,
				OldestMS: n.OldestMS,
				Bytes:    n.Bytes,
				MaxBytes: n.MaxBytes,
				Accepted: n.Accepted,
				Refused:  n.Refused,
				Damaged:  n.Damaged,
			}
		}
		facts.Instances = append(facts.Instances, i)
	}
	return facts
}

// Producers gives what live workers of a set attest of their producer connections.
func (f *Fleet) Producers(set string) evidence.AttestationFacts {
	var facts evidence.AttestationFacts
	for _, m := range f.Attesting(set) {
		for _, c := range m.Connections {
			if c.Role != "producer" {
				continue
			}
			p := evidence.ProducerOptions{
				Instance: m.Instance,
				Queue:    c.Queue,
				Side:     c.Side,
				Endpoint: c.Endpoint,
			}
			p.EnableOfflineQueue, p.SkipWaitingForReady = c.flag("enableOfflineQueue"),
				c.flag("skipWaitingForReady")
			if raw, ok := c.Options["commandTimeout"]; ok {
				// absent or null stays 0, which no check accepts
				_ = json.Unmarshal(raw, &p.CommandTimeoutMS)
			}
			facts.Producers = append(facts.Producers, p)
		}
	}
	return facts
}
