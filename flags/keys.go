package flags

import (
	"crypto/sha256"
	"maps"
	"slices"

	"golang.org/x/time/rate"

	"github.com/switchyard-dev/switchyard/migration"
)

// Key is what a token gives access to.
type Key struct {
	ID            string
	Name          string
	Hash          [sha256.Size]byte // of the token
	Set           string
	RatePerSecond int // 0: no bound
}

// Reader is an authenticated key.
type Reader struct {
	Key
	limiter *rate.Limiter
}

// Allow takes one request off the key's rate. When there is none left it gives the
// whole seconds to wait, at least 1.
func (r *Reader) Allow() (retryAfter int, ok bool) {
	if r.limiter == nil || r.limiter.Allow() {
		return 0, true
	}
	return 1, false
}

// keyring is all keys at one moment.
type keyring struct {
	byHash map[[sha256.Size]byte]*Reader
	known  bool // false: neither database nor file has told the keys yet
}

// newKeyring makes a ring of keys and those of the configuration; the first of a hash
// counts. A key that stays as it was in old keeps what its rate has used.
func newKeyring(keys, configured []Key, old *keyring, known bool) *keyring {
	next := &keyring{byHash: map[[sha256.Size]byte]*Reader{}, known: known}
	for _, k := range append(slices.Clone(keys), configured...) {
		if next.byHash[k.Hash] != nil {
			continue
		}
		r := &Reader{Key: k}
		if k.RatePerSecond > 0 {
			r.limiter = rate.NewLimiter(rate.Limit(k.RatePerSecond), k.RatePerSecond)
		}
		if old != nil {
			if was := old.byHash[k.Hash]; was != nil && was.Key == k {
				r = was
			}
		}
		next.byHash[k.Hash] = r
	}
	return next
}

// ReplaceKeys puts keys in force and saves them with the flags; keys that are not in
// the list are revoked. Those of Options.Keys always remain. A key that stays keeps
// what its rate has used. Every watcher is woken, since its key may be gone. The error
// is ErrNotSaved or nil. Repeating what is held is cheap.
func (h *Holder) ReplaceKeys(keys []Key) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.keys.Load()
	next := newKeyring(keys, h.opt.Keys, old, true)
	// readers that stay are the same
	if old.known && !h.unsaved && maps.Equal(old.byHash, next.byHash) {
		return nil
	}
	h.keys.Store(next) // at once: a revoked key must not wait for the disk
	err := h.saveSets(*h.sets.Load())
	h.wake("")
	return err
}

// Authenticate says whose token it is, from memory: a worker must not be turned away
// because our database does not answer. Unauthenticated when nobody's; Unavailable
// while keys are not known at all.
func (h *Holder) Authenticate(token []byte) (*Reader, error) {
	ring := h.keys.Load()
	if r := ring.byHash[sha256.Sum256(token)]; r != nil {
		return r, nil
	}
	if !ring.known {
		return nil, migration.Errorf(migration.Unavailable, "keys are not known yet: the "+
			"database has not answered since the start and there is no last known good file")
	}
	return nil, migration.Errorf(migration.Unauthenticated,
		"the token is wrong or revoked: make a new key on the flags page")
}
