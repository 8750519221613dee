package flags

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The last known good state: {"saved_at":…,"sha256":…,"state":{…}}, the checksum being
// that of the state's bytes as they stand.

// maxFile bounds the file, in bytes; a larger one is not ours.
const maxFile = 64 << 20

type file struct {
	SavedAt time.Time       `json:"saved_at"`
	SHA256  string          `json:"sha256"`
	State   json.RawMessage `json:"state"`
}

type state struct {
	Sets []stateSet `json:"sets"`
	Keys []stateKey `json:"keys"`
	// KeysKnown is false when only the configured keys were known at the time.
	KeysKnown bool `json:"keys_known"`
}

type stateSet struct {
	ID         string          `json:"id"`
	Revision   int64           `json:"revision"`
	Definition json.RawMessage `json:"definition"`
}

type stateKey struct {
	ID            string `json:"id"`
	Name          string `json:"name"`
	Hash          string `json:"hash"`
	Set           string `json:"set"`
	RatePerSecond int    `json:"rate_per_second"`
}

// saveSets writes sets and the current keys to the file, and hands them to the mirror.
// The caller holds mu.
func (h *Holder) saveSets(sets map[string]*snapshot) error {
	if h.opt.File == "" && h.mirror == nil {
		return nil
	}
	raw, err := h.encodeState(sets)
	if err == nil && h.opt.File != "" {
		err = writeFile(h.opt.File, raw)
	}
	if h.mirror != nil && raw != nil {
		h.mirror.put(raw) // also when the disk is full
	}
	h.unsaved = err != nil
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotSaved, err)
	}
	return nil
}

func (h *Holder) encodeState(sets map[string]*snapshot) ([]byte, error) {
	var st state
	for _, id := range slices.Sorted(maps.Keys(sets)) {
		s := sets[id]
		st.Sets = append(st.Sets, stateSet{s.set.ID, s.set.Revision, s.set.Definition})
	}
	for hash, r := range h.keys.Load().byHash {
		st.Keys = append(st.Keys,
			stateKey{r.ID, r.Name, hex.EncodeToString(hash[:]), r.Set, r.RatePerSecond})
	}
	st.KeysKnown = h.keys.Load().known
	raw, err := json.Marshal(st)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(raw)
	return json.Marshal(file{
		SavedAt: h.opt.Now().UTC(),
		SHA256:  hex.EncodeToString(sum[:]),
		State:   raw,
	})
}

// writeFile replaces a file: written beside it, flushed to disk, then renamed, and the
// rename flushed too. A crash at any moment leaves the old or the new one whole.
func writeFile(path string, data []byte) error {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// load puts the last known good state in force: of each set the newer of file and
// mirror, and the keys of what was saved last.
//
//nolint:contextcheck // the mirror has a time limit of its own, and the start waits for it
func (h *Holder) load() {
	var found []restored
	add := func(from string, raw []byte, err error) {
		var r restored
		if err == nil {
			r, err = restore(raw)
		}
		switch {
		case err == nil:
			found = append(found, r)
		case !errors.Is(err, fs.ErrNotExist):
			h.opt.Log.Warn("last known good flags are ignored", "from", from, "err", err)
		}
	}
	raw, err := readFile(h.opt.File)
	add("file", raw, err)
	if h.opt.Mirror != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		raw, err := h.opt.Mirror.Load(ctx)
		add("mirror", raw, err)
	}
	sets := map[string]*snapshot{}
	var latest restored
	for _, r := range found {
		for id, s := range r.sets {
			if held := sets[id]; held == nil || s.set.Revision > held.set.Revision {
				sets[id] = s
			}
		}
		if r.keysKnown && (!latest.keysKnown || r.savedAt.After(latest.savedAt)) {
			latest = r
		}
	}
	h.sets.Store(&sets)
	if latest.keysKnown {
		h.keys.Store(newKeyring(latest.keys, h.opt.Keys, nil, true))
	}
}

func readFile(path string) ([]byte, error) {
	if path == "" {
		return nil, fs.ErrNotExist
	}
	in, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err = errors.Join(err, in.Close()); err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("the file is larger than %d bytes", maxFile)
	}
	return data, nil
}

// restored is a saved state, checked.
type restored struct {
	savedAt   time.Time
	sets      map[string]*snapshot
	keys      []Key
	keysKnown bool
}

func restore(data []byte) (restored, error) {
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return restored{}, fmt.Errorf("the state is damaged: %w", err)
	}
	sum := sha256.Sum256(f.State)
	if hex.EncodeToString(sum[:]) != f.SHA256 {
		return restored{}, errors.New(
			"the checksum does not match: the state is damaged or was edited")
	}
	var st state
	if err := json.Unmarshal(f.State, &st); err != nil {
		return restored{}, fmt.Errorf("the state is damaged: %w", err)
	}
	r := restored{savedAt: f.SavedAt, sets: map[string]*snapshot{}, keysKnown: st.KeysKnown}
	for _, s := range st.Sets {
		snap, err := compile(Set{ID: s.ID, Revision: s.Revision, Definition: s.Definition},
			f.SavedAt, true)
		if err != nil {
			return restored{}, err
		}
		r.sets[s.ID] = snap
	}
	for _, k := range st.Keys {
		hash, err := hex.DecodeString(k.Hash)
		if err != nil || len(hash) != sha256.Size {
			return restored{}, fmt.Errorf("key %s: the hash is damaged", k.ID)
		}
		r.keys = append(r.keys, Key{
			ID:            k.ID,
			Name:          k.Name,
			Hash:          [sha256.Size]byte(hash),
			Set:           k.Set,
			RatePerSecond: k.RatePerSecond,
		})
	}
	return r, nil
}

// mirrorTimeout bounds one save to the mirror, and Close.
const mirrorTimeout = 5 * time.Second

// mirror saves the latest state elsewhere, one save at a time. A slow or dead mirror
// costs nobody anything but its own copy's age.
type mirror struct {
	next chan []byte // holds the latest state that is not saved yet
	done chan error
}

//nolint:contextcheck // what is saved is mirrored also when its request has ended
func startMirror(to Mirror, log *slog.Logger) *mirror {
	m := &mirror{next: make(chan []byte, 1), done: make(chan error, 1)}
	go func() {
		var last error
		for state := range m.next {
			ctx, cancel := context.WithTimeout(context.Background(), mirrorTimeout)
			if last = to.Save(ctx, state); last != nil {
				log.Warn("flags are not mirrored", "err", last)
			}
			cancel()
		}
		m.done <- last
	}()
	return m
}

// put hands over a state in place of one that still waits. Only one goroutine puts at a
// time.
func (m *mirror) put(state []byte) {
	select {
	case <-m.next:
	default:
	}
	m.next <- state
}

func (m *mirror) close() error {
	close(m.next)
	select {
	case err := <-m.done:
		return err
	case <-time.After(2 * mirrorTimeout): // one save under way and the last
		return errors.New("the mirror did not take the flags in time")
	}
}
