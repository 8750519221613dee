package flags

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// The last known good state: {"saved_at":…,"sha256":…,"state":{…}}, the checksum being that of the state's bytes as they stand.

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

// save writes what is held. The caller holds mu.
func (h *Holder) save() error { return h.saveSets(*h.sets.Load()) }

func (h *Holder) saveSets(sets map[string]*snapshot) error {
	if h.opt.File == "" {
		return nil
	}
	var st state
	for _, s := range sets {
		st.Sets = append(st.Sets, stateSet{s.set.ID, s.set.Revision, s.set.Definition})
	}
	for hash, r := range h.keys.Load().byHash {
		st.Keys = append(st.Keys, stateKey{r.ID, r.Name, hex.EncodeToString(hash[:]), r.Set, r.RatePerSecond})
	}
	raw, err := json.Marshal(st)
	if err == nil {
		sum := sha256.Sum256(raw)
		raw, err = json.Marshal(file{SavedAt: h.opt.Now().UTC(), SHA256: hex.EncodeToString(sum[:]), State: raw})
	}
	if err == nil {
		err = writeFile(h.opt.File, raw)
	}
	if err != nil {
		h.unsaved = true
		return fmt.Errorf("%w: %w", ErrNotSaved, err)
	}
	h.unsaved = false
	return nil
}

// writeFile replaces a file: written beside it, flushed to disk, then renamed, and the rename flushed too. A crash at any moment leaves
// the old or the new one whole.
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

func (h *Holder) load() {
	raw, err := readFile(h.opt.File)
	if errors.Is(err, fs.ErrNotExist) && h.opt.Mirror != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		raw, err = h.opt.Mirror.Load(ctx)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = h.restore(raw)
	}
	if err != nil {
		h.opt.Log.Warn("last known good flags are ignored", "err", err)
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

func (h *Holder) restore(data []byte) error {
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return fmt.Errorf("the file is damaged: %w", err)
	}
	sum := sha256.Sum256(f.State)
	if !bytes.Equal([]byte(hex.EncodeToString(sum[:])), []byte(f.SHA256)) {
		return errors.New("the checksum does not match: the file is damaged or was edited")
	}
	var st state
	if err := json.Unmarshal(f.State, &st); err != nil {
		return fmt.Errorf("the file is damaged: %w", err)
	}
	sets := map[string]*snapshot{}
	for _, s := range st.Sets {
		snap, err := compile(Set{ID: s.ID, Revision: s.Revision, Definition: s.Definition}, true, f.SavedAt)
		if err != nil {
			return err
		}
		sets[s.ID] = snap
	}
	ring := &keyring{byHash: h.keys.Load().byHash, known: true}
	for _, k := range st.Keys {
		hash, err := hex.DecodeString(k.Hash)
		if err != nil || len(hash) != sha256.Size {
			return fmt.Errorf("key %s: the hash is damaged", k.ID)
		}
		key := Key{ID: k.ID, Name: k.Name, Hash: [sha256.Size]byte(hash), Set: k.Set, RatePerSecond: k.RatePerSecond}
		ring.byHash[key.Hash] = &Reader{Key: key} // also one of Options.Keys: the file knows its set
	}
	h.sets.Store(&sets)
	h.keys.Store(ring)
	return nil
}
