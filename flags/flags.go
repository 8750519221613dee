// Package flags holds the flag sets that workers read, each as one immutable compiled
// snapshot, and answers from it: over OFREP (the OpenFeature Remote Evaluation
// Protocol, 0.3.0), to Go code as an OpenFeature provider, and as whole documents for
// workers that evaluate by themselves. It knows neither the database that flags come
// from nor the web framework that carries the answers.
//
// The last good sets and keys are kept in a file, and in a mirror where there is one. A
// worker must never get "not found" or "not allowed" because our own database failed:
// it gets the last known good flags, marked stale, or, when nothing was ever known,
// 503.
//
// Evaluation gives what flagd's core 0.17 gives, with these differences. What flagd
// only warns about, or finds when somebody asks, Parse refuses: what its schema does
// not allow, unknown operators, references to unknown evaluators and between
// evaluators. A context that is no object, that is nested deeper than MaxDepth, or that
// itself holds a rule with if or an operator on lists, is INVALID_CONTEXT: flagd
// ignores the first and can be made to run the last without end. Rules of a context
// know no operators of flagd's own.
package flags

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
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

// ErrNotSaved means that flags are in force, but that the file still holds older ones:
// a restart without the database would serve those.
var ErrNotSaved = errors.New("flags are in force but not saved as last known good")

// Mirror is a second place for the last known good state, for a process that starts on
// an empty disk.
type Mirror interface {
	Load(ctx context.Context) ([]byte, error)
	Save(ctx context.Context, state []byte) error
}

// Options say where the last known good state is kept, and when what is held counts as
// stale.
type Options struct {
	File   string // empty: none
	Mirror Mirror // nil: none
	Keys   []Key  // from the configuration, known without any database
	// StaleAfter is how long a Confirm counts; 0: 10 s. It only matters once Confirm
	// was called.
	StaleAfter time.Duration
	Now        func() time.Time
	Log        *slog.Logger
}

// Holder holds the current sets and keys. It is safe for concurrent use; reading takes
// no lock.
type Holder struct {
	opt       Options
	mu        sync.Mutex // one change at a time
	sets      atomic.Pointer[map[string]*snapshot]
	keys      atomic.Pointer[keyring]
	confirmed atomic.Int64 // Unix nanoseconds of the last Confirm; 0: never
	unsaved   bool         // the file lags behind; guarded by mu
	mirror    *mirror      // nil: none

	watchers map[*Watch]bool // guarded by mu
}

// NewHolder returns a holder of the last known good state: the file's, and of each set
// the mirror's where that is newer. It is served at once, marked stale until the first
// Replace or Confirm. What is damaged is logged and ignored: it must not keep us from
// starting. Close it when there is a mirror.
func NewHolder(opt Options) *Holder {
	if opt.StaleAfter <= 0 {
		opt.StaleAfter = 10 * time.Second
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	h := &Holder{opt: opt, watchers: map[*Watch]bool{}}
	h.sets.Store(&map[string]*snapshot{})
	h.keys.Store(newKeyring(nil, opt.Keys, nil, false))
	h.load()
	if opt.Mirror != nil {
		h.mirror = startMirror(opt.Mirror, opt.Log)
	}
	return h
}

// Close waits until the mirror has what is in force, at most 10 s, and gives its last
// error. What is replaced afterwards is not mirrored.
func (h *Holder) Close() error {
	h.mu.Lock()
	m := h.mirror
	h.mirror = nil
	h.mu.Unlock()
	if m == nil {
		return nil
	}
	return m.close()
}

// Replace puts a set in force and saves it: on disk first, so that a process that is
// killed does not come back with an older set than it has served. An invalid set, an
// older revision, or the same revision with other contents is refused and what is held
// stays. An error that is ErrNotSaved says that the set is in force but the file is
// not; the next Replace tries again. Repeating what is held is cheap.
func (h *Holder) Replace(set Set) error {
	next, err := compile(set, h.opt.Now(), false)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	held := (*h.sets.Load())[set.ID]
	if held != nil {
		switch {
		case set.Revision < held.set.Revision:
			return migration.Errorf(migration.Conflict, "flag revision %d is older than the "+
				"%d that workers hold: raise the revision above that, for instance after "+
				"restoring a database", set.Revision, held.set.Revision)
		case set.Revision == held.set.Revision &&
			!bytes.Equal(set.Definition, held.set.Definition):
			return migration.Errorf(migration.Conflict, "flag revision %d differs from the "+
				"set of the same revision that is held: every change needs a new revision",
				set.Revision)
		case set.Revision == held.set.Revision && !h.staleSet(held) && !h.unsaved:
			return nil
		}
	}
	all := maps.Clone(*h.sets.Load())
	all[set.ID] = next
	err = h.saveSets(all)
	// in force even when it could not be saved: a full disk must not keep a rollback
	// from the workers
	h.sets.Store(&all)
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
func (h *Holder) Confirm() { h.confirmed.Store(h.opt.Now().UnixNano()) }

// staleSet reports whether a set is not known to be current. It is decided by the clock
// when asked: nothing has to run for it.
func (h *Holder) staleSet(s *snapshot) bool {
	confirmed := h.confirmed.Load()
	if confirmed == 0 {
		return s.restored
	}
	known := confirmed
	if !s.restored {
		known = max(known, s.at.UnixNano())
	}
	return h.opt.Now().UnixNano()-known > int64(h.opt.StaleAfter)
}

// Stale reports whether the flags are not known to be current: they come from a file or
// a mirror, or the source has not confirmed them for a while; since is when they were
// last known to be. Nothing known at all is stale since the zero time.
func (h *Holder) Stale() (stale bool, since time.Time) {
	all := *h.sets.Load()
	if len(all) == 0 {
		return true, time.Time{}
	}
	for _, s := range all {
		if !h.staleSet(s) {
			continue
		}
		at := s.at
		if c := time.Unix(0, h.confirmed.Load()).UTC(); c.After(at) {
			at = c
		}
		if !stale || at.Before(since) {
			stale, since = true, at
		}
	}
	return stale, since
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

// Watch tells when a set changes, or when keys do. C holds at most one signal: whoever
// reads it looks at what is held then.
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

// snapshot is a set with every answer encoded. Nothing in it changes after it was
// published.
type snapshot struct {
	set      Set
	tag      string // stands for the set in tags
	doc      *Document
	at       time.Time // when it was known to be current
	restored bool      // from the file or the mirror, not from the source
	byKey    map[string]*entry
	entries  []*entry // by key
	targeted bool     // the answers depend on the context
	timed    bool     // the answers depend on the time
	flags    []byte   // {"flags":[…] where not targeted
	forms    [2]form  // fresh, stale
}

// form is what differs between a set that is known to be current and the same that is
// not.
type form struct {
	tag  string // without what the context adds, and without the closing quote
	etag string // whole, for a set that is not targeted
	tail []byte // ,"metadata":{…}}
	bulk []byte // the whole answer where not targeted and without streams
}

// compile validates a set and encodes every answer that it can give.
func compile(set Set, at time.Time, restored bool) (*snapshot, error) {
	if set.Revision < 1 {
		return nil, migration.Errorf(migration.Invalid, "flag set %s: revision %d is below 1",
			set.ID, set.Revision)
	}
	doc, err := Parse(set.Definition)
	if err != nil {
		return nil, err
	}
	meta := maps.Clone(doc.Metadata)
	if meta == nil {
		meta = map[string]any{}
	}
	for name, want := range map[string]any{MetaSet: set.ID,
		MetaSetRevision: float64(set.Revision)} {
		if said, ok := meta[name]; ok && said != want {
			return nil, migration.Errorf(migration.Invalid,
				"metadata.%s: the document is stamped %v, but it is given as %v",
				name, said, want)
		}
	}
	meta[MetaSet], meta[MetaSetRevision] = set.ID, float64(set.Revision)
	s := &snapshot{
		set:      set,
		tag:      setTag(set.ID),
		doc:      doc,
		at:       at,
		restored: restored,
		byKey:    make(map[string]*entry, len(doc.Flags)),
	}
	for _, key := range slices.Sorted(maps.Keys(doc.Flags)) {
		e, err := newEntry(key, doc.Flags[key], doc.Evaluators, meta)
		if err != nil {
			return nil, migration.Errorf(migration.Invalid, "flags.%s: %w", key, err)
		}
		s.byKey[key] = e
		s.entries = append(s.entries, e)
		if e.static == nil {
			s.targeted, s.timed = true, s.timed || e.rule.readsTime
		}
	}
	if !s.targeted {
		s.flags = s.appendFlags(nil, nil, time.Time{})
	}
	for i, stale := range []bool{false, true} {
		s.forms[i] = s.form(meta, stale)
	}
	return s, nil
}

// form makes what is said about the whole set. The tag is "<revision>-<the
// set>-<everything>": two replicas give the same.
func (s *snapshot) form(meta map[string]any, stale bool) form {
	meta = maps.Clone(meta)
	meta["stale"] = stale
	f := form{tail: append(append([]byte(`,"metadata":`), encode(meta)...), '}')}
	sum := sha256.New()
	// a hash takes everything
	_, _ = fmt.Fprintf(sum, "%q %d %t ", s.set.ID, s.set.Revision, stale)
	_, _ = sum.Write(s.doc.JSON())
	f.tag = `"` + strconv.FormatInt(s.set.Revision,
		10) + "-" + s.tag + "-" + hex.EncodeToString(sum.Sum(nil)[:8])
	if !s.targeted {
		f.etag = f.tag + `"`
		f.bulk = slices.Concat(s.flags, f.tail)
	}
	return f
}

// setTag stands for a set in a tag.
func setTag(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:4])
}

// appendFlags appends {"flags":[…] for a context, which must be the caller's own.
func (s *snapshot) appendFlags(b []byte, context map[string]any, now time.Time) []byte {
	b = append(b, `{"flags":[`...)
	for i, e := range s.entries {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, e.evaluate(context, now).body...)
	}
	return append(b, ']')
}
