// Package fleet knows which worker holds which revision of which flag set. Workers tell
// in three ways: they attest, they poll (the entity tag they send names what they
// hold), or they keep a stream open (which tells only what was sent). Who falls silent is
// remembered, also by other replicas, until somebody proves that it is gone.
package fleet

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
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
	// Process is a random id that tells this process from another of the same name.
	Process string `json:"process" required:"false"`
	Version string `json:"version" required:"false"`
	BullMQ  string `json:"bullmq" required:"false"`
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
	// ClientIDs are the ids that the server gave the connection, and any that goes with it
	// (CLIENT ID); RunID is the server's (INFO). Empty: the app cannot tell.
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

// Fleet is safe for concurrent use.
type Fleet struct {
	now     func() time.Time
	started time.Time

	pollsMu sync.RWMutex
	polls   map[Who]*poll

	mu       sync.Mutex
	attested map[slot]*Heard
	streams  map[*Stream]bool
	closed   map[slot]*Heard    // streams that ended, by who read them
	others   map[string]replica // what the other replicas heard, by replica
	gone     map[slot]time.Time // proven to be gone at that time
	refused  map[string]refusal // by set and key
	blind    string             // why other replicas cannot be asked; "" when they were
	seeing   time.Time          // when they were asked last
}

// slot is one process of which something was heard, by what was authenticated first, and then
// as it names itself. The address tells apart those that give themselves no process id.
type slot struct{ set, key, service, instance, process, address string }

type poll struct {
	held     atomic.Int64 // as Poll was told: ^n for n that it did not say itself
	seen     atomic.Int64 // unix nanoseconds
	interval atomic.Int64 // between the last two, nanoseconds
}

type replica struct {
	heard   []Heard
	at      time.Time // by its own clock
	changed time.Time // when at last became another, by this process's clock
	stale   bool
}

type refusal struct {
	why string
	at  time.Time
}

// Heard is what was heard of one reader in one way; replicas tell it each other.
type Heard struct {
	Service  string   `json:"service"`
	Instance string   `json:"instance"`
	Process  string   `json:"process,omitempty"`
	Version  string   `json:"version"`
	Set      string   `json:"set"`
	Key      string   `json:"key"` // name
	KeyID    string   `json:"key_id"`
	Address  string   `json:"address"`
	Via      []string `json:"via"` // one
	Revision int64    `json:"revision"`
	// Said: the reader itself told the revision, twice at least where it polls.
	Said   bool      `json:"said"`
	Once   bool      `json:"once,omitempty"` // a single poll
	Left   bool      `json:"left,omitempty"`
	SeenAt time.Time `json:"seen_at"`
	Live   bool      `json:"live"`
	// Patience is how long its silence means nothing.
	Patience    time.Duration   `json:"patience"`
	Attestation json.RawMessage `json:"attestation,omitempty"`
	// Connections are those that one that left had, when its attestation lists no longer all.
	Connections []Connection `json:"connections,omitempty"`
	// Overdue: it is silent for longer than Patience.
	Overdue bool `json:"overdue,omitempty"`
}

func (h *Heard) attests() bool { return slices.Contains(h.Via, ViaAttestation) }

// connections are those that it attested last, and those of the time before it left.
func (h *Heard) connections() []Connection {
	if h.Connections != nil {
		return h.Connections
	}
	var a Attestation
	_ = json.Unmarshal(h.Attestation, &a) // it was made of one
	return a.Connections
}

func (h *Heard) slot() slot {
	s := slot{h.Set, cmp.Or(h.KeyID, h.Key), h.Service, h.Instance, h.Process, h.Address}
	if h.Process != "" {
		s.address = ""
	}
	return s
}

// New returns an empty fleet. now is time.Now outside tests.
func New(now func() time.Time) *Fleet {
	return &Fleet{
		now:      now,
		started:  now(),
		polls:    map[Who]*poll{},
		attested: map[slot]*Heard{},
		streams:  map[*Stream]bool{},
		closed:   map[slot]*Heard{},
		others:   map[string]replica{},
		gone:     map[slot]time.Time{},
		refused:  map[string]refusal{},
	}
}

// Warm reports whether every live worker has had the time to be heard since the start.
func (f *Fleet) Warm() bool { return f.now().Sub(f.started) >= liveFor }

// Attest takes in one attestation; the former one of the same process is replaced. One that
// says that it leaves is remembered until its connections are gone too.
func (f *Fleet) Attest(a Attestation, who Who) error {
	if err := a.check(); err != nil {
		return err
	}
	who.Service, who.Instance, who.Version = a.Service, a.Instance, a.Version
	who = who.clone()
	raw, err := json.Marshal(a)
	if err != nil {
		return migration.Errorf(migration.Invalid, "the attestation is not readable: %w", err)
	}
	h := who.heard(ViaAttestation)
	h.Process, h.Revision, h.Said, h.Left = strings.Clone(a.Process), a.Revision, true, a.Leaving
	h.SeenAt, h.Patience, h.Attestation = f.now(), liveFor, raw
	f.mu.Lock()
	defer f.mu.Unlock()
	s := h.slot()
	was := f.attested[s]
	if was == nil && !f.room(h, len(f.attested)) {
		return f.refuse(h)
	}
	if was != nil && a.Leaving { // on its way out it lists what is left of its connections
		h.Connections = append(was.connections(), a.Connections...)
	}
	f.attested[s] = &h
	return nil
}

// room reports whether one more process of the key of h may be remembered. Counting is only
// for one that is new. mu is held.
func (f *Fleet) room(h Heard, total int) bool {
	if total < maxInstances {
		return true
	}
	n := 0
	for s := range f.attested {
		if s.set == h.Set && s.key == h.slot().key {
			n++
		}
	}
	return n < maxInstances
}

// refuse keeps in mind that there are more readers than are remembered: nobody knows what
// they hold. mu is held.
func (f *Fleet) refuse(h Heard) error {
	why := fmt.Sprintf("key %s has %d instances, which is the most that are remembered; %s is "+
		"not", h.Key, maxInstances, h.Instance)
	f.refused[h.Set+"/"+h.slot().key] = refusal{why, f.now()}
	return migration.Errorf(migration.Unavailable, "%s: give instances names that stay, or "+
		"use a key for each app", why)
}

// Poll counts one evaluation request. held is the revision that the reader holds after it, 0
// when it keeps nothing; said, that the reader told so itself. What was only sent to it may
// never have arrived.
func (f *Fleet) Poll(who Who, held int64, said bool) {
	f.pollsMu.RLock()
	p := f.polls[who]
	f.pollsMu.RUnlock()
	if p == nil {
		if p = f.newPoll(who); p == nil {
			return
		}
	}
	now := f.now().UnixNano()
	if last := p.seen.Swap(now); last > 0 {
		p.interval.Store(now - last)
	}
	if !said {
		held = ^held
	}
	p.held.Store(held)
}

func (f *Fleet) newPoll(who Who) *poll {
	who = who.clone()
	p := f.addPoll(who)
	if p == nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		_ = f.refuse(who.heard(ViaPoll)) // flags are served all the same
	}
	return p
}

// addPoll gives nil when the key has no room for another reader.
func (f *Fleet) addPoll(who Who) *poll {
	f.pollsMu.Lock()
	defer f.pollsMu.Unlock()
	if p := f.polls[who]; p != nil {
		return p
	}
	if len(f.polls) >= maxInstances {
		n := 0
		for w := range f.polls {
			if w.Set == who.Set && w.KeyID == who.KeyID && w.Key == who.Key {
				n++
			}
		}
		if n >= maxInstances {
			return nil
		}
	}
	p := &poll{}
	f.polls[who] = p
	return p
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

// Close ends the stream: its reader is no longer live by it, and not known to be gone.
func (s *Stream) Close() {
	f := s.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.streams[s] {
		return
	}
	delete(f.streams, s)
	h := s.heard(f.now())
	h.Live = false
	if len(f.closed) < maxClosed {
		f.closed[h.slot()] = &h
	} else if f.closed[h.slot()] == nil {
		_ = f.refuse(h)
	}
}

func (s *Stream) heard(now time.Time) Heard {
	h := s.who.heard(s.via)
	h.Revision, h.SeenAt, h.Live, h.Patience = s.sent.Load(), now, true, reconnectFor
	return h
}

// Blind says that the other replicas could not be asked what they hear, and why; "" that they
// were.
func (f *Fleet) Blind(why string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blind = why
	if why == "" {
		f.seeing = f.now()
	}
}

// Merge takes in what another replica has heard, and when it last said so by its own clock.
// It counts as heard now while that changes. What a replica heard that says nothing any more
// is remembered: its readers are neither live nor gone.
func (f *Fleet) Merge(id string, heard []Heard, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	r, known := f.others[id]
	switch {
	case !known: // it may have ended before this process began
		r = replica{changed: now, stale: true}
	case !r.at.Equal(at):
		r.changed, r.stale = now, false
	case now.Sub(r.changed) > liveFor:
		r.stale = true
	}
	r.heard, r.at = heard, at
	f.others[id] = r
}

// Forgotten drops what a replica heard that was taken off the list of replicas.
func (f *Fleet) Forgotten(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.others, id)
}

// Silent lists the replicas that say nothing any more, and of whose readers nothing is open:
// each was heard since, here or by another replica, or is gone.
func (f *Fleet) Silent() (ids []string) {
	lines := f.lines()
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, r := range f.others {
		if r.stale && f.now().Sub(r.changed) > liveFor &&
			!slices.ContainsFunc(r.heard, func(h Heard) bool { return f.owed(h, lines) }) {
			ids = append(ids, id)
		}
	}
	return ids
}

// owed reports whether nothing newer than h is known of its reader. mu is held.
func (f *Fleet) owed(h Heard, lines []Line) bool {
	if !h.SeenAt.After(f.gone[h.slot()]) {
		return false
	}
	return !slices.ContainsFunc(lines, func(l Line) bool {
		return l.SeenAt.After(h.SeenAt) && (l.slot == h.slot() || l.ways[h.slot()])
	})
}

// Own is what this process heard itself, for Merge elsewhere.
func (f *Fleet) Own() []Heard {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.own(now)
}

// own lists what was heard here. mu is held.
func (f *Fleet) own(now time.Time) []Heard {
	out := []Heard{}
	add := func(h Heard) {
		h.Overdue = !h.Live && now.Sub(h.SeenAt) > h.Patience
		out = append(out, h)
	}
	for _, a := range f.attested {
		h := *a
		h.Live = !h.Left && since(now, h.SeenAt) <= liveFor
		add(h)
	}
	for s := range f.streams {
		add(s.heard(now))
	}
	for _, h := range f.closed {
		add(*h)
	}
	f.pollsMu.RLock()
	defer f.pollsMu.RUnlock()
	for who, p := range f.polls {
		h := who.heard(ViaPoll)
		h.SeenAt = time.Unix(0, p.seen.Load()).UTC()
		every := time.Duration(p.interval.Load())
		h.Once = every == 0
		if h.Revision, h.Said = p.held.Load(), true; h.Revision < 0 {
			h.Revision, h.Said = ^h.Revision, false
		}
		patience := min(max(3*every, liveFor), maxLiveFor)
		h.Live = since(now, h.SeenAt) <= patience
		if h.Patience = patience; h.Once {
			h.Patience = maxLiveFor
		}
		add(h)
	}
	return out
}

// since is the age of a moment; one in the future is never fresh.
func since(now, then time.Time) time.Duration {
	if age := now.Sub(then); age >= -time.Second {
		return age
	}
	return maxAge
}

// Line is one reader of which something was heard in any way: a process, as far as it can be
// told from others.
type Line struct {
	migration.Worker
	// ID names it wholly: the flag set and key that were authenticated, then service, instance
	// and process as it calls itself.
	ID string
	// Attesting: its attestation is of now; Revision is what it attests then.
	Attesting   bool
	Connections []Connection // that it attested last
	// Said is the revision that it told by polling; Asks that it polled, and each time keeps
	// nothing. Only with Spoke.
	Said  int64
	Spoke bool // by polling, twice at least
	Once  bool // a single poll is all that was heard
	Left  bool // it said that it leaves
	// Overdue: it is silent for longer than it can be by the ways it speaks.
	Overdue bool
	// Streams is how many streams it has open.
	Streams int
	// SpokenFor: it has no name and only streams, no more than processes of the same key and
	// address attest.
	SpokenFor bool

	slot       slot
	ways       map[slot]bool // of all that was made one
	attestedAt time.Time
}

// MemberKey is the key of a coverage's member for the line.
func (l Line) MemberKey() string { return "worker:" + l.ID }

func (s slot) id() string {
	parts := []string{s.set, s.key, s.service, s.instance}
	if s.instance == "" {
		parts = append(parts, "from", s.address)
	} else if s.process != "" {
		parts = append(parts, s.process)
	} else if s.address != "" {
		parts = append(parts, "at", s.address)
	}
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}

// Lines lists every reader that was heard and is not known to be gone, by this process or by
// another replica, by set, service, instance and address. An empty set is all of them.
func (f *Fleet) Lines(set string) []Line {
	return slices.DeleteFunc(f.lines(), func(l Line) bool { return set != "" && l.Set != set })
}

// Workers is Lines of every set, as the page shows them.
func (f *Fleet) Workers() []migration.Worker {
	lines := f.lines()
	out := make([]migration.Worker, len(lines))
	for i, l := range lines {
		out[i] = l.Worker
	}
	return out
}

// gather lists what everybody heard and is not gone since.
func (f *Fleet) gather() []Heard {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.own(now)
	for id, r := range f.others {
		if now.Sub(r.changed) > liveFor {
			r.stale = true
			f.others[id] = r
		}
		for _, h := range r.heard {
			if r.stale {
				h.Live = false
				h.Overdue = now.Sub(r.changed) > max(h.Patience, liveFor)
			}
			all = append(all, h)
		}
	}
	return slices.DeleteFunc(all, func(h Heard) bool {
		return !h.Live && !h.SeenAt.After(f.gone[h.slot()])
	})
}

func (f *Fleet) lines() []Line {
	lines := map[slot]*Line{}
	var rest []Heard
	for _, h := range f.gather() {
		if !h.attests() {
			rest = append(rest, h)
			continue
		}
		if have := lines[h.slot()]; have == nil || h.SeenAt.After(have.SeenAt) {
			lines[h.slot()] = h.line()
		}
	}
	attesting := map[slot][]*Line{} // by set, key and instance
	for _, l := range lines {
		k := slot{set: l.slot.set, key: l.slot.key, instance: l.slot.instance}
		attesting[k] = append(attesting[k], l)
	}
	for _, h := range rest {
		s := h.slot()
		if into := spokenFor(attesting[slot{set: s.set, key: s.key, instance: s.instance}], h); into != nil {
			merge(into, h)
		} else if have := lines[s]; have != nil {
			merge(have, h)
		} else {
			lines[s] = h.line()
		}
	}
	named := map[slot]int{} // processes that attest, by set, key and address
	for _, l := range lines {
		if l.Attesting {
			named[slot{set: l.Set, key: l.slot.key, address: l.Address}]++
		}
	}
	out := make([]Line, 0, len(lines))
	for _, l := range lines {
		l.SpokenFor = !l.Identified && slices.Equal(l.Via, []string{ViaStream}) && l.Streams > 0 &&
			l.Streams <= named[slot{set: l.Set, key: l.slot.key, address: l.Address}]
		slices.SortFunc(l.Via, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
		out = append(out, *l)
	}
	slices.SortFunc(out, func(a, b Line) int {
		return cmp.Or(cmp.Compare(a.Set, b.Set), cmp.Compare(a.Service, b.Service),
			cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Key, b.Key),
			cmp.Compare(a.Address, b.Address), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// spokenFor gives the line of the process that attests what it polls or streams for: one of the
// same key and name, the latest of several.
func spokenFor(lines []*Line, h Heard) *Line {
	var best *Line
	for _, l := range lines {
		if h.Instance == "" || h.Service != "" && h.Service != l.Service {
			continue
		}
		if best == nil || l.attestedAt.After(best.attestedAt) {
			best = l
		}
	}
	return best
}

func (w Who) heard(via string) Heard {
	return Heard{Instance: w.Instance, Service: w.Service, Version: w.Version, Set: w.Set,
		Via: []string{via}, Key: w.Key, KeyID: w.KeyID, Address: w.Address}
}

func (h Heard) line() *Line {
	s := h.slot()
	l := &Line{Worker: migration.Worker{Instance: h.Instance, Service: h.Service,
		Version: h.Version, Set: h.Set, Via: slices.Clone(h.Via), Revision: h.Revision, Key: h.Key,
		Address: h.Address, Identified: h.Instance != "", SeenAt: h.SeenAt, Live: h.Live,
		Attestation: h.Attestation},
		ID: s.id(), slot: s, ways: map[slot]bool{}}
	if h.attests() {
		var a Attestation
		_ = json.Unmarshal(h.Attestation, &a) // it was made of one
		l.BullMQ, l.attestedAt = a.BullMQ, h.SeenAt
		l.Attesting, l.Connections, l.Left = h.Live, h.connections(), h.Left
	}
	l.Overdue = h.Overdue
	l.polled(h)
	return l
}

// polled notes what h says of itself by polling, or that it has a stream.
func (l *Line) polled(h Heard) {
	if !h.Live || h.attests() {
		return
	}
	if !slices.Contains(h.Via, ViaPoll) {
		l.Streams++
		return
	}
	if h.Once || !h.Said {
		l.Once = h.Once
		return
	}
	if !l.Spoke || h.Revision > 0 && h.Revision < l.Said {
		l.Spoke, l.Said = true, h.Revision
	}
}

func rank(via string) int {
	return slices.Index([]string{ViaAttestation, ViaStream, ViaPoll, ViaSSE}, via)
}

// merge makes one line of two ways. The revision is that of the more telling way: an
// attestation says what is in use, a stream only what was sent. Of two equal ways the
// lower one counts, so that two processes behind one name cannot hide each other.
func merge(into *Line, h Heard) {
	best := func(via []string) int {
		b := len(via) + rank(ViaSSE)
		for _, v := range via {
			b = min(b, rank(v))
		}
		return b
	}
	a, b := best(into.Via), best(h.Via)
	switch {
	case into.Live != h.Live:
		if h.Live {
			into.Revision = h.Revision
		}
	case b < a:
		into.Revision = h.Revision
	case a == b && h.Revision > 0 && (into.Revision == 0 || h.Revision < into.Revision):
		into.Revision = h.Revision
	}
	into.polled(h)
	into.ways[h.slot()] = true
	into.Service, into.Version = cmp.Or(into.Service, h.Service),
		cmp.Or(into.Version, h.Version)
	into.Live = into.Live || h.Live
	// What attests is given up by its attestations: the others only say that it still is there.
	into.Overdue = into.Overdue && !h.Live && (h.Overdue || !into.attestedAt.IsZero())
	if h.SeenAt.After(into.SeenAt) {
		into.SeenAt = h.SeenAt
	}
	for _, v := range h.Via {
		if !slices.Contains(into.Via, v) {
			into.Via = append(slices.Clone(into.Via), v)
		}
	}
}

// Gone forgets a line whose process is proven to be gone, as of now. It counts again once it
// is heard again.
func (f *Fleet) Gone(l Line) {
	now := f.now()
	f.mu.Lock()
	for s, at := range f.gone {
		if now.Sub(at) > rememberGone {
			delete(f.gone, s)
		}
	}
	slots := map[slot]bool{l.slot: true}
	maps.Copy(slots, l.ways)
	for s := range slots {
		f.gone[s] = l.SeenAt
		delete(f.attested, s)
		delete(f.closed, s)
	}
	f.mu.Unlock()
	f.pollsMu.Lock()
	defer f.pollsMu.Unlock()
	maps.DeleteFunc(f.polls, func(w Who, p *poll) bool {
		h := w.heard(ViaPoll)
		return slots[h.slot()] && p.seen.Load() <= l.SeenAt.UnixNano()
	})
}

// Unheard lists why it is not known who else reads a set: readers that could not be
// remembered, replicas that could not be asked, a start of a moment ago.
func (f *Fleet) Unheard(set string) []migration.Member {
	var out []migration.Member
	unknown := func(key, name, why string) {
		out = append(out, migration.Member{Key: key, Name: name, Why: why})
	}
	if !f.Warm() {
		unknown("replica:start", "whoever was not heard yet", "Switchyard has just started, and "+
			"workers get a few seconds to report")
	}
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.blind != "" && now.Sub(f.seeing) > liveFor {
		unknown("replica:others", "whoever other replicas hear", f.blind)
	}
	for _, k := range slices.Sorted(maps.Keys(f.refused)) {
		r := f.refused[k]
		if now.Sub(r.at) > maxLiveFor && len(f.attested) < maxInstances {
			delete(f.refused, k) // they are seen on the servers, or gone
		} else if strings.HasPrefix(k, set+"/") {
			unknown("worker:"+k+"/*", "further instances", r.why)
		}
	}
	return out
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
