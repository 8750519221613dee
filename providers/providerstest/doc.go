// Package providerstest serves stand-ins for the paid APIs that a migration talks to: the
// Upstash developer API, the Linode API v4 and the Heroku Platform API. They keep the
// documented paths, authentication, JSON shapes, validation and error forms, so that the
// real clients run against them unchanged; what each leaves out is said at its constructor.
//
// A stand-in decides what the API answers; what happens in the world (a Redis server
// starts, an app restarts) is done by the backend handed to it. State lives in a JSON file
// and survives a restart. Every stand-in can be told to go wrong: see Faults.
package providerstest

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
)

// maxBody bounds a request body, in bytes. The largest documented request is well below it.
const maxBody = 64 << 10

// loadState reads the JSON state file into v. No file (or no path) leaves v as it is: a
// first start.
func loadState(path string, v any) error {
	if path == "" {
		return nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("state file %s: %w", path, err)
	}
	return nil
}

// saveState replaces the state file, readable by its owner only because it holds passwords.
// A crash leaves the old or the new one.
func saveState(path string, v any) error {
	if path == "" {
		return nil
	}
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	// created with mode 0600
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

// decode reads a JSON request body into v.
func decode(w http.ResponseWriter, r *http.Request, v any) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return err
	}
	return json.Unmarshal(body, v)
}

// send answers with a JSON body. An encoding error cannot happen for the types used here; a
// write error means the client left.
func send(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// bearer reports whether the request carries exactly this token.
func bearer(r *http.Request, token string) bool {
	return same(r.Header.Get("Authorization"), "Bearer "+token)
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
