// Package fleet knows which worker holds which revision of which flag set. Workers tell
// in three ways: they attest, they poll (the entity tag they send names what they
// hold), or they keep a stream open (what was sent last counts). It is kept in memory:
// a moment after a restart it is complete again, and Warm says whether that moment has
// passed.
package fleet

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
	Version  string `json:"version" required:"false"`
	BullMQ   string `json:"bullmq" required:"false"`
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
	// Intake is the worker's durable intake; nil: it acknowledges what is in Redis only.
	Intake *Intake `json:"intake,omitempty"`
	// Leaving is the last word of a worker that ends in good order.
	Leaving bool `json:"leaving" required:"false"`
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
}

// Who is a reader as it names itself, with the key and the address it comes from.
// Without Instance, all readers of a key and address are one line. It is comparable, so
// that counting a poll allocates nothing; its texts may be borrowed, since what is kept
// is a copy.
type Who struct {
	Service, Instance, Version string
	Key                        string // name
	Address                    string // without port
	Set                        string
}

func (w Who) clone() Who {
	return Who{Service: strings.Clone(w.Service), Instance: strings.Clone(w.Instance),
		Version: strings.Clone(w.Version),
		Key:     strings.Clone(w.Key), Address: strings.Clone(w.Address),
		Set: strings.Clone(w.Set)}
}

// Ways a worker is heard of, the most telling first.
const (
	ViaAttestation = "attestation"
	ViaStream      = "stream"
	ViaPoll        = "poll"
	ViaSSE         = "sse"
)

const (
	// liveFor is how long a worker counts as live after its last word. Attestations
	// come once a second.
	liveFor = 5 * time.Second
	// A poller is live for three of its own intervals, between liveFor and this.
	maxLiveFor = 2 * time.Minute
	// rememberFor is how long one that fell silent is still listed.
	rememberFor = time.Hour
)

// Fleet is safe for concurrent use.
type Fleet struct {
	now     func() time.Time
	started time.Time

	attested sync.Map // instance -> *attested

	pollsMu sync.RWMutex
	polls   map[Who]*poll

	mu      sync.Mutex
	streams map[*Stream]bool
	others  map[string]replica // what the other replicas hear, by replica
	swept   time.Time
}

type attested struct {
	Attestation
	who  Who
	seen time.Time
}

type poll struct {
	revision atomic.Int64 // 0: asks each time
	seen     atomic.Int64 // unix nanoseconds
	interval atomic.Int64 // between the last two, nanoseconds
}

type replica struct {
	workers []migration.Worker
	at      time.Time
}

// New returns an empty fleet. now is time.Now outside tests.
func New(now func() time.Time) *Fleet {
	return &Fleet{
		now:     now,
		started: now(),
		polls:   map[Who]*poll{},
		streams: map[*Stream]bool{},
		others:  map[string]replica{},
	}
}

// Warm reports whether every live worker has had the time to be heard since the start.
func (f *Fleet) Warm() bool { return f.now().Sub(f.started) >= liveFor }

// Attest takes in one attestation; the instance's former one is replaced. Leaving
// forgets the instance.
func (f *Fleet) Attest(a Attestation, who Who) error {
	if a.Instance == "" || a.Service == "" {
		return migration.Errorf(migration.Invalid, "an attestation needs service and instance")
	}
	if a.Leaving {
		f.attested.Delete(a.Instance)
		f.forget(func(w Who, _ *poll) bool { return w.Instance == a.Instance })
		return nil
	}
	f.attested.Store(a.Instance, &attested{a, who.clone(), f.now()})
	f.sweep()
	return nil
}

// Poll counts one evaluation request. held is the revision that the reader is known to
// hold after it, 0 when it keeps nothing.
func (f *Fleet) Poll(who Who, held int64) {
	f.pollsMu.RLock()
	p := f.polls[who]
	f.pollsMu.RUnlock()
	if p == nil {
		p = f.newPoll(who)
	}
	now := f.now().UnixNano()
	if last := p.seen.Swap(now); last > 0 {
		p.interval.Store(now - last)
	}
	p.revision.Store(held)
}

func (f *Fleet) newPoll(who Who) *poll {
	f.sweep() // readers that only poll are forgotten too
	f.pollsMu.Lock()
	defer f.pollsMu.Unlock()
	p := f.polls[who]
	if p == nil {
		p = &poll{}
		f.polls[who.clone()] = p
	}
	return p
}

// forget drops the polls of which this is true.
func (f *Fleet) forget(so func(Who, *poll) bool) {
	f.pollsMu.Lock()
	defer f.pollsMu.Unlock()
	maps.DeleteFunc(f.polls, so)
}

// Stream is one open stream.
type Stream struct {
	fleet *Fleet
	who   Who
	via   string
	sent  atomic.Int64
}

// Open counts an open stream (ViaStream or ViaSSE) until Close.
func (f *Fleet) Open(who Who, via string) *Stream {
	s := &Stream{fleet: f, who: who.clone(), via: via}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.streams[s] = true
	return s
}

// Sent notes the revision that was sent last.
func (s *Stream) Sent(revision int64) { s.sent.Store(revision) }

// Close ends the stream: its reader is no longer live by it.
func (s *Stream) Close() {
	s.fleet.mu.Lock()
	defer s.fleet.mu.Unlock()
	delete(s.fleet.streams, s)
}

// Merge takes in what another replica hears itself; it counts until a few seconds later.
func (f *Fleet) Merge(id string, workers []migration.Worker) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.others[id] = replica{workers, f.now()}
}

// Own lists what this process hears itself, for Merge elsewhere.
func (f *Fleet) Own() []migration.Worker { return f.list(false) }

// Workers lists every reader heard of in the last hour, by set, service, instance and
// address. A reader heard of in several ways is one line.
func (f *Fleet) Workers() []migration.Worker { return f.list(true) }

// Live lists the live readers of a set that hold a revision (those that ask each time
// hold none, and are never behind).
func (f *Fleet) Live(set string) []migration.Worker {
	return slices.DeleteFunc(f.list(true), func(w migration.Worker) bool {
		return !w.Live || w.Set != set ||
			w.Revision == 0 && !slices.Contains(w.Via, ViaAttestation)
	})
}

type lineKey struct{ set, service, instance, key, address string }

func (f *Fleet) list(others bool) []migration.Worker {
	now := f.now()
	lines := map[lineKey]*migration.Worker{}
	add := func(w migration.Worker) {
		k := lineKey{set: w.Set, instance: w.Instance}
		if !w.Identified {
			k = lineKey{w.Set, "", "", w.Key, w.Address}
		}
		if have := lines[k]; have != nil {
			merge(have, w)
			return
		}
		lines[k] = &w
	}
	f.attested.Range(func(_, v any) bool {
		if a, ok := v.(*attested); ok {
			raw, _ := json.Marshal(a.Attestation) // plain data
			add(migration.Worker{Instance: a.Instance, Service: a.Service, Version: a.Version,
				BullMQ: a.BullMQ, Set: a.who.Set, Via: []string{ViaAttestation},
				Revision: a.Revision,
				Key:      a.who.Key, Address: a.who.Address, Identified: true, SeenAt: a.seen,
				Live: now.Sub(a.seen) <= liveFor, Attestation: raw})
		}
		return true
	})
	f.mu.Lock()
	for s := range f.streams {
		add(s.who.worker(s.via, s.sent.Load(), now, true))
	}
	for id, r := range f.others {
		if now.Sub(r.at) > liveFor {
			delete(f.others, id)
		} else if others {
			for _, w := range r.workers {
				add(w)
			}
		}
	}
	f.mu.Unlock()
	f.pollsMu.RLock()
	for who, p := range f.polls {
		seen := time.Unix(0, p.seen.Load()).UTC()
		patience := min(max(3*time.Duration(p.interval.Load()), liveFor), maxLiveFor)
		add(who.worker(ViaPoll, p.revision.Load(), seen, now.Sub(seen) <= patience))
	}
	f.pollsMu.RUnlock()
	out := make([]migration.Worker, 0, len(lines))
	for _, w := range lines {
		slices.SortFunc(w.Via, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
		out = append(out, *w)
	}
	slices.SortFunc(out, func(a, b migration.Worker) int {
		return cmp.Or(cmp.Compare(a.Set, b.Set), cmp.Compare(a.Service, b.Service),
			cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Key, b.Key),
			cmp.Compare(a.Address, b.Address))
	})
	return out
}

func (w Who) worker(via string, revision int64, seen time.Time, live bool) migration.Worker {
	return migration.Worker{Instance: w.Instance, Service: w.Service, Version: w.Version,
		Set: w.Set, Via: []string{via}, Revision: revision, Key: w.Key, Address: w.Address,
		Identified: w.Instance != "", SeenAt: seen, Live: live}
}

func rank(via string) int {
	return slices.Index([]string{ViaAttestation, ViaStream, ViaPoll, ViaSSE}, via)
}

// merge makes one line of two. The revision is that of the more telling way: an
// attestation says what is in use, a stream only what was sent. Of two equal ways the
// lower one counts, so that two processes behind one name cannot hide each other.
func merge(into *migration.Worker, w migration.Worker) {
	best := func(m *migration.Worker) int {
		b := len(m.Via) + rank(ViaSSE)
		for _, v := range m.Via {
			b = min(b, rank(v))
		}
		return b
	}
	a, b := best(into), best(&w)
	switch {
	case into.Live != w.Live:
		if w.Live {
			into.Revision = w.Revision
		}
	case b < a:
		into.Revision = w.Revision
	case a == b && w.Revision > 0 && (into.Revision == 0 || w.Revision < into.Revision):
		into.Revision = w.Revision
	}
	if len(w.Attestation) > 0 {
		into.Attestation, into.BullMQ = w.Attestation, w.BullMQ
	}
	into.Service, into.Version = cmp.Or(into.Service, w.Service),
		cmp.Or(into.Version, w.Version)
	into.Live = into.Live || w.Live
	if w.SeenAt.After(into.SeenAt) {
		into.SeenAt = w.SeenAt
	}
	for _, v := range w.Via {
		if !slices.Contains(into.Via, v) {
			into.Via = append(slices.Clone(into.Via), v)
		}
	}
}

// sweep forgets, once a minute at most, who has been silent for an hour.
func (f *Fleet) sweep() {
	now := f.now()
	f.mu.Lock()
	due := now.Sub(f.swept) >= time.Minute
	if due {
		f.swept = now
	}
	f.mu.Unlock()
	if !due {
		return
	}
	f.attested.Range(func(k, v any) bool {
		if a, ok := v.(*attested); ok && now.Sub(a.seen) > rememberFor {
			f.attested.Delete(k)
		}
		return true
	})
	f.forget(func(_ Who, p *poll) bool {
		return now.UnixNano()-p.seen.Load() > int64(rememberFor)
	})
}

// Attestations lists what live workers last said of themselves to this process, by
// instance.
func (f *Fleet) Attestations() []Attestation {
	var live []Attestation
	f.attested.Range(func(_, v any) bool {
		if a, ok := v.(*attested); ok && f.now().Sub(a.seen) <= liveFor {
			live = append(live, a.Attestation)
		}
		return true
	})
	slices.SortFunc(live, func(a, b Attestation) int {
		return cmp.Compare(a.Instance, b.Instance)
	})
	return live
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

// Intakes gives what live workers attest of their durable intake. Only those count that
// hold a producer: the others take no orders.
func (f *Fleet) Intakes() evidence.IntakeFacts {
	var facts evidence.IntakeFacts
	for _, m := range f.Attestations() {
		if !slices.ContainsFunc(m.Connections, func(c Connection) bool {
			return c.Role == "producer"
		}) {
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

// Producers gives what live workers attest of their producer connections.
func (f *Fleet) Producers() evidence.AttestationFacts {
	var facts evidence.AttestationFacts
	for _, m := range f.Attestations() {
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
