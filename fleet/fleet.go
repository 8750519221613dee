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
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

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
	// Former are those that it attested when it attested any last. They count once it leaves:
	// on its way out an app closes them first.
	Former []Connection `json:"former,omitempty"`
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
	if was != nil && len(a.Connections) == 0 {
		h.Former = was.Former
		if now := was.connections(); len(now) > 0 {
			h.Former = now
		}
	}
	if was != nil && a.Leaving { // on its way out it lists what is left of its connections
		h.Connections = slices.Concat(was.Former, was.connections(), a.Connections)
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
