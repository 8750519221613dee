// Package flags holds the flag sets that workers read, each as one immutable compiled snapshot, and answers from it: over OFREP (the
// OpenFeature Remote Evaluation Protocol, 0.3.0), to Go code as an OpenFeature provider, and as whole documents for workers that
// evaluate by themselves. It knows neither the database that flags come from nor the web framework that carries the answers.
//
// The last good sets and keys are kept in a file, and in a mirror where there is one. A worker must never get "not found" or "not
// allowed" because our own database failed: it gets the last known good flags, marked stale, or, when nothing was ever known, 503.
package flags

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Set is a flag set at one revision, counted from 1: clients use 0 for "none yet".
type Set struct {
	ID         string
	Revision   int64
	Definition []byte // a Document as Revise stamped it
}

// ErrNotSaved means that flags are in force, but that the file still holds older ones: a restart without the database would serve those.
var ErrNotSaved = errors.New("flags are in force but not saved as last known good")

// Mirror is a second place for the last known good state, for a process that starts on an empty disk.
type Mirror interface {
	Load(ctx context.Context) ([]byte, error)
	Save(ctx context.Context, state []byte) error
}

// Options say where the last known good state is kept.
type Options struct {
	File   string // empty: none
	Mirror Mirror // nil: none
	Keys   []Key  // from the configuration, known without any database
	Now    func() time.Time
	Log    *slog.Logger
}

// Holder holds the current sets and keys. It is safe for concurrent use; reading takes no lock.
type Holder struct {
	opt     Options
	mu      sync.Mutex // one change at a time
	sets    atomic.Pointer[map[string]*snapshot]
	keys    atomic.Pointer[keyring]
	unsaved bool // the file lags behind; guarded by mu

	watchers map[*Watch]bool // guarded by mu
}

// snapshot is a set with every answer encoded. Nothing in it changes after it was published.
type snapshot struct {
	set        Set
	doc        *Document
	byKey      map[string]*entry
	bulk       []byte
	etag       string
	stale      bool
	staleSince time.Time
}

type entry struct {
	body    []byte
	value   any
	variant string
	meta    map[string]any
}

// NewHolder returns a holder of the last known good state: the file's, else the mirror's. It is served at once, marked stale until the
// first Replace or Confirm. What is damaged is logged and ignored: it must not keep us from starting.
func NewHolder(opt Options) *Holder {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	h := &Holder{opt: opt, watchers: map[*Watch]bool{}}
	h.sets.Store(&map[string]*snapshot{})
	ring := &keyring{byHash: map[[sha256.Size]byte]*Reader{}}
	for _, k := range opt.Keys {
		ring.byHash[k.Hash] = &Reader{Key: k}
	}
	h.keys.Store(ring)
	h.load()
	return h
}

// Replace puts a set in force and saves it: on disk first, so that a process that is killed does not come back with an older set than it
// has served. An invalid set, an older revision, or the same revision with other contents is refused and what is held stays. An error
// that is ErrNotSaved says that the set is in force but the file is not; the next Replace tries again. Repeating what is held is cheap.
func (h *Holder) Replace(set Set) error {
	next, err := compile(set, false, time.Time{})
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	held := (*h.sets.Load())[set.ID]
	if held != nil {
		switch {
		case set.Revision < held.set.Revision:
			return migration.Errorf(migration.Conflict, "flag revision %d is older than the %d that workers hold: raise the revision above that, for instance after restoring a database", set.Revision, held.set.Revision)
		case set.Revision == held.set.Revision && !bytes.Equal(set.Definition, held.set.Definition):
			return migration.Errorf(migration.Conflict, "flag revision %d differs from the set of the same revision that is held: every change needs a new revision", set.Revision)
		case set.Revision == held.set.Revision && !held.stale && !h.unsaved:
			return nil
		}
	}
	all := maps.Clone(*h.sets.Load())
	all[set.ID] = next
	err = h.saveSets(all)
	h.sets.Store(&all) // in force even when it could not be saved: a full disk must not keep a rollback from the workers
	h.wake(set.ID)
	return err
}

// Unsaved reports whether the last known good file lags behind what is in force.
func (h *Holder) Unsaved() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.unsaved
}

// Confirm says that what is held was just found to be current.
func (h *Holder) Confirm() {}

// Stale reports whether the flags are not known to be current: they come from a file or a mirror, or the source has not confirmed them
// for a while; since is when they were last known to be. Nothing known at all is stale since the zero time.
func (h *Holder) Stale() (stale bool, since time.Time) {
	all := *h.sets.Load()
	if len(all) == 0 {
		return true, time.Time{}
	}
	for _, s := range all {
		if s.stale {
			return true, s.staleSince
		}
	}
	return false, time.Time{}
}

// Held gives a set as it is held; false when it is not known.
func (h *Holder) Held(id string) (Set, bool) {
	s := (*h.sets.Load())[id]
	if s == nil {
		return Set{}, false
	}
	return s.set, true
}

// IDs lists the sets that are held, sorted.
func (h *Holder) IDs() []string { return slices.Sorted(maps.Keys(*h.sets.Load())) }

// Watch tells when a set changes, or when keys do. C holds at most one signal: whoever reads it looks at what is held then.
type Watch struct {
	C      chan struct{}
	set    string
	holder *Holder
}

// Watch starts watching a set; Close ends it.
func (h *Holder) Watch(set string) *Watch {
	w := &Watch{C: make(chan struct{}, 1), set: set, holder: h}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watchers[w] = true
	return w
}

// Close ends the watch.
func (w *Watch) Close() {
	w.holder.mu.Lock()
	defer w.holder.mu.Unlock()
	delete(w.holder.watchers, w)
}

func (h *Holder) wake(set string) {
	for w := range h.watchers {
		if set == "" || w.set == set {
			select {
			case w.C <- struct{}{}:
			default:
			}
		}
	}
}

var keyPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$`)

// compile validates a set and encodes every answer that it can give.
func compile(set Set, stale bool, since time.Time) (*snapshot, error) {
	if set.Revision < 1 {
		return nil, migration.Errorf(migration.Invalid, "flag set %s: revision %d is below 1", set.ID, set.Revision)
	}
	doc, err := Parse(set.Definition)
	if err != nil {
		return nil, err
	}
	s := &snapshot{set: set, doc: doc, byKey: map[string]*entry{}, stale: stale, staleSince: since}
	var bulk bytes.Buffer
	bulk.WriteString(`{"flags":[`)
	for i, key := range slices.Sorted(maps.Keys(doc.Flags)) {
		f := doc.Flags[key]
		e := &entry{meta: maps.Clone(doc.Metadata)}
		if e.meta == nil {
			e.meta = map[string]any{}
		}
		maps.Copy(e.meta, f.Metadata)
		var raw json.RawMessage
		if f.DefaultVariant != nil {
			raw, e.variant = f.Variants[*f.DefaultVariant], *f.DefaultVariant
			if err := json.Unmarshal(raw, &e.value); err != nil {
				return nil, migration.Errorf(migration.Invalid, "flags.%s: %w", key, err)
			}
		}
		e.body, err = json.Marshal(struct {
			Key      string          `json:"key"`
			Value    json.RawMessage `json:"value,omitempty"`
			Reason   string          `json:"reason"`
			Variant  string          `json:"variant,omitempty"`
			Metadata map[string]any  `json:"metadata"`
		}{key, raw, reasonStatic, e.variant, e.meta})
		if err != nil {
			return nil, migration.Errorf(migration.Invalid, "flags.%s: %w", key, err)
		}
		if i > 0 {
			bulk.WriteByte(',')
		}
		bulk.Write(e.body)
		s.byKey[key] = e
	}
	fmt.Fprintf(&bulk, `],"metadata":{"flagSetId":%q,"flagSetRevision":%d,"stale":%t}}`, set.ID, set.Revision, stale)
	s.bulk = bulk.Bytes()
	sum := sha256.Sum256(s.bulk)
	s.etag = `"` + strconv.FormatInt(set.Revision, 10) + "-" + hex.EncodeToString(sum[:8]) + `"`
	return s, nil
}
