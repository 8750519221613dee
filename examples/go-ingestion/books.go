package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// books are where an order takes effect: a file each, where a shop would have a table.
type books string

func open(dir string) (books, error) {
	b := books(filepath.Join(dir, "orders"))
	return b, os.MkdirAll(string(b), 0o700)
}

// enter makes an order take effect, once for its id however often it is called: the door may ask
// again after an answer that was lost. After it the order outlives the machine.
func (b books) enter(o order) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	draft, err := os.CreateTemp(string(b), ".draft-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(draft.Name()) }()
	_, err = draft.Write(text)
	if err := errors.Join(err, draft.Sync(), draft.Close()); err != nil {
		return err
	}
	id := sha256.Sum256([]byte(o.ID)) // an id may hold what a file's name may not
	// Linked into place whole: only the first one succeeds.
	err = os.Link(draft.Name(), filepath.Join(string(b), hex.EncodeToString(id[:])))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	folder, err := os.Open(string(b))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
