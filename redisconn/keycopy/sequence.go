package keycopy

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

// sequence hashes texts in order, unambiguously about where each one ends.
type sequence struct{ h hash.Hash }

func newSequence() sequence { return sequence{sha256.New()} }

func (s sequence) add(text string) error {
	_, _ = s.h.Write(binary.AppendUvarint(nil, uint64(len(text)))) // a hash never fails
	_, _ = s.h.Write([]byte(text))
	return nil
}

func (s sequence) sum() [sha256.Size]byte { return [sha256.Size]byte(s.h.Sum(nil)) }
