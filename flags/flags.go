// Package flags holds the routing flags that ingestion workers read, as one immutable snapshot, and answers from it: over OFREP
// (the OpenFeature Remote Evaluation Protocol, 0.3.0) and to Go code as an OpenFeature provider. It knows neither the database
// that flags come from nor the web framework that carries the answers.
//
// Flags are static: every caller gets the same value, whatever its context says. That is what lets an answer be encoded once,
// when the flags change, and a poll that finds nothing new cost a comparison.
//
// The last good set is kept in a file. A worker must never get "not found" or "not allowed" because our own database failed: it
// gets the last known good flags, marked stale, or, when nothing was ever known, 503.
package flags

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/switchyard-dev/switchyard/migration"
)

// Flag is one flag with its value.
type Flag struct {
	Key string // letters, digits, dot, underscore, dash: it is part of a URL, and an official client does not escape it
	// Value is a string, int64, bool or float64. Integers are at most 2^53-1 either way, beyond which JavaScript rounds them.
	Value any
	// Variant names the value; empty means the value's own text.
	Variant  string
	Revision int64 // of the set in which this flag last changed, from 1 to Set.Revision
}

// Set is all flags at one revision, counted from 1: clients use 0 for "none yet".
type Set struct {
	Revision int64
	Flags    []Flag
}

// ErrNotSaved means that a set is in force, but that the file still holds an older one: a restart without the database would
// serve that.
var ErrNotSaved = errors.New("flags are in force but not saved as last known good")

// Holder holds the current set. It is safe for concurrent use; reading takes no lock.
type Holder struct {
	path    string
	mu      sync.Mutex // one Replace at a time
	unsaved bool       // the file lags behind; guarded by mu
	current atomic.Pointer[snapshot]
}

// snapshot is a set with every answer encoded. Nothing in it changes after it was published.
type snapshot struct {
	set        Set
	byKey      map[string]*entry
	bulk       []byte
	etag       string
	digest     [32]byte // of the set, whether stale or not
	stale      bool
	staleSince time.Time
}

type entry struct {
	flag     Flag
	metadata map[string]any
	body     []byte
}

// NewHolder returns a holder that keeps its last known good set at lkgPath; an empty path keeps none. A good file is served at
// once, marked stale until the first Replace. A file that is not good is logged and ignored: it must not keep us from starting.
func NewHolder(lkgPath string) *Holder {
	h := &Holder{path: lkgPath}
	set, savedAt, err := load(lkgPath)
	if errors.Is(err, errNoFile) {
		return h
	}
	var s *snapshot
	if err == nil {
		s, err = build(set, true, savedAt)
	}
	if err != nil {
		slog.Warn("last known good flags are ignored", "file", lkgPath, "err", err)
		return h
	}
	h.current.Store(s)
	return h
}

// Replace puts a set in force and saves it. An invalid set, an older revision, or the same revision with other contents is
// refused and what is held stays. An error that is ErrNotSaved says that the set is in force but the file is not; the next
// Replace tries again. Repeating the set that is held is cheap.
func (h *Holder) Replace(set Set) error {
	next, err := build(set, false, time.Time{})
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	held := h.current.Load()
	if held != nil {
		switch {
		case set.Revision < held.set.Revision:
			return migration.Errorf(migration.Conflict, "flag revision %d is older than the %d that workers hold: raise the revision above that, for instance after restoring a database", set.Revision, held.set.Revision)
		case set.Revision == held.set.Revision && next.digest != held.digest:
			return migration.Errorf(migration.Conflict, "flag revision %d differs from the set of the same revision that is held: every change needs a new revision", set.Revision)
		case set.Revision == held.set.Revision && !held.stale && !h.unsaved:
			return nil
		}
	}
	// In force first: that flags cannot be saved must not stop a rollback from reaching the workers.
	h.current.Store(next)
	if err := save(h.path, next.set, time.Now().UTC()); err != nil {
		h.unsaved = true
		return fmt.Errorf("%w: %w", ErrNotSaved, err)
	}
	h.unsaved = false
	return nil
}

// Snapshot returns the set that is held; Revision 0 and no flags when nothing is known.
func (h *Holder) Snapshot() Set {
	s := h.current.Load()
	if s == nil {
		return Set{}
	}
	return Set{Revision: s.set.Revision, Flags: slices.Clone(s.set.Flags)}
}

// Stale reports whether the flags are not known to be current: they come from the file, since is then when it was saved, or
// nothing is known at all, since is then zero.
func (h *Holder) Stale() (stale bool, since time.Time) {
	s := h.current.Load()
	if s == nil {
		return true, time.Time{}
	}
	return s.stale, s.staleSince
}

var keyPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$`)

const maxInteger = 1<<53 - 1

// check validates a flag and gives it with its variant filled in.
func (f Flag) check(set int64) (Flag, error) {
	if !keyPattern.MatchString(f.Key) {
		return f, fmt.Errorf("flag key %q is not made of letters, digits, '.', '_' and '-'", f.Key)
	}
	if f.Revision < 1 || f.Revision > set {
		return f, fmt.Errorf("flag %s: revision %d is outside 1..%d", f.Key, f.Revision, set)
	}
	var text string
	switch v := f.Value.(type) {
	case string:
		text = v
	case int64:
		if v > maxInteger || v < -maxInteger {
			return f, fmt.Errorf("flag %s: %d is beyond ±(2^53-1)", f.Key, v)
		}
		text = strconv.FormatInt(v, 10)
	case bool:
		text = strconv.FormatBool(v)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return f, fmt.Errorf("flag %s: %v is not a number in JSON", f.Key, v)
		}
		text = strconv.FormatFloat(v, 'g', -1, 64)
	default:
		return f, fmt.Errorf("flag %s: a value of type %T is not string, int64, bool or float64", f.Key, f.Value)
	}
	if f.Variant == "" {
		f.Variant = text
	}
	if !utf8.ValidString(text) || !utf8.ValidString(f.Variant) {
		return f, fmt.Errorf("flag %s: value or variant is not UTF-8", f.Key)
	}
	return f, nil
}

// build validates a set and encodes every answer that it can give.
func build(set Set, stale bool, since time.Time) (*snapshot, error) {
	if set.Revision < 1 {
		return nil, migration.Errorf(migration.Invalid, "flag set revision %d is below 1", set.Revision)
	}
	s := &snapshot{set: Set{Revision: set.Revision, Flags: make([]Flag, 0, len(set.Flags))}, byKey: make(map[string]*entry, len(set.Flags)),
		stale: stale, staleSince: since}
	digest := sha256.New()
	fmt.Fprintln(digest, set.Revision)
	var bulk bytes.Buffer
	bulk.WriteString(`{"flags":[`)
	for i, raw := range set.Flags {
		f, err := raw.check(set.Revision)
		if err != nil {
			return nil, migration.Errorf(migration.Invalid, "flag set %d: %w", set.Revision, err)
		}
		if s.byKey[f.Key] != nil {
			return nil, migration.Errorf(migration.Invalid, "flag set %d: two flags are named %s", set.Revision, f.Key)
		}
		e := &entry{flag: f, metadata: map[string]any{"revision": f.Revision, "flagSetRevision": set.Revision}}
		e.body, err = json.Marshal(struct {
			Key      string         `json:"key"`
			Value    any            `json:"value"`
			Reason   string         `json:"reason"`
			Variant  string         `json:"variant,omitempty"`
			Metadata map[string]any `json:"metadata"`
		}{f.Key, f.Value, reasonStatic, f.Variant, e.metadata})
		if err != nil {
			return nil, migration.Errorf(migration.Invalid, "flag set %d: flag %s: %w", set.Revision, f.Key, err)
		}
		fmt.Fprintf(digest, "%T %s\n", f.Value, e.body)
		if i > 0 {
			bulk.WriteByte(',')
		}
		bulk.Write(e.body)
		s.byKey[f.Key] = e
		s.set.Flags = append(s.set.Flags, f)
	}
	fmt.Fprintf(&bulk, `],"metadata":{"flagSetRevision":%d,"stale":%t}}`, set.Revision, stale)
	s.bulk = bulk.Bytes()
	digest.Sum(s.digest[:0])
	// Of the whole answer: the stale mark in it must reach clients that hold the same flags unmarked.
	sum := sha256.Sum256(s.bulk)
	s.etag = `"` + strconv.FormatInt(set.Revision, 10) + "-" + hex.EncodeToString(sum[:8]) + `"`
	return s, nil
}
