package fleet

import (
	"cmp"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

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
