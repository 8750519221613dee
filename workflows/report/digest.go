package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Canonical writes JSON in one way: keys sorted, no spaces, nothing escaped that need not be.
func Canonical(v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("canonical JSON: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // figures stay as they are written
	var plain any
	if err := d.Decode(&plain); err != nil {
		return nil, fmt.Errorf("canonical JSON: %w", err)
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(plain); err != nil { // maps are written by their sorted keys
		return nil, fmt.Errorf("canonical JSON: %w", err)
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

// Hash is the SHA-256 of the canonical JSON, in hex.
func Hash(v any) (string, error) {
	raw, err := Canonical(v)
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), err
}

// sealed gives the report with its digest, which is of everything but itself.
func (r Report) sealed() (Report, error) {
	raw, err := json.Marshal(r)
	if err != nil {
		return r, fmt.Errorf("canonical JSON: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var plain map[string]any
	if err := d.Decode(&plain); err != nil {
		return r, fmt.Errorf("canonical JSON: %w", err)
	}
	delete(plain, "digest")
	r.Digest, err = Hash(plain)
	return r, err
}
