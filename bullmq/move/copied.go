package move

import (
	"hash/maphash"
	"math/bits"
	"sync"
)

// copied remembers which keys are on the target, in about 11 bytes each, so that
// ids without content are found without asking for a million others while the queue
// stands still. Two keys share a hash with odds of about n²/2^65: 1 in 30 million
// for a million keys; then a job without content could be missed.
type copied struct {
	seed maphash.Seed
	mu   sync.Mutex
	set  hashSet
}

func newCopied() *copied { return &copied{seed: maphash.MakeSeed()} }

func (c *copied) hash(key string) uint64 { return max(1, maphash.String(c.seed, key)) }
func (c *copied) add(key string)         { c.set.add(c.hash(key)) }
func (c *copied) remove(key string)      { c.set.remove(c.hash(key)) }
func (c *copied) has(key string) bool    { return c.set.has(c.hash(key)) }

// hashSet holds hashes other than 0 in tables with linear probing that grow
// independently: a map takes 36 bytes per entry, and twice that while it grows.
type hashSet [256]struct {
	slots []uint64 // 0: free
	n     int
}

// find returns where a hash is, or would be.
func find(slots []uint64, h uint64) int {
	i := home(slots, h)
	for slots[i] != 0 && slots[i] != h {
		if i++; i == len(slots) {
			i = 0
		}
	}
	return i
}

func home(slots []uint64, h uint64) int {
	i, _ := bits.Mul64(h, uint64(len(slots)))
	return int(i) //nolint:gosec // less than len(slots)
}

func (s *hashSet) has(h uint64) bool {
	t := &s[h&255]
	return t.n > 0 && t.slots[find(t.slots, h)] == h
}

func (s *hashSet) add(h uint64) {
	t := &s[h&255]
	if t.n*8 >= len(t.slots)*7 {
		old := t.slots
		t.slots = make([]uint64, len(old)*5/4+16)
		for _, g := range old {
			if g != 0 {
				t.slots[find(t.slots, g)] = g
			}
		}
	}
	if i := find(t.slots, h); t.slots[i] == 0 {
		t.slots[i] = h
		t.n++
	}
}

func (s *hashSet) remove(h uint64) {
	t := &s[h&255]
	if t.n == 0 {
		return
	}
	free := find(t.slots, h)
	if t.slots[free] == 0 {
		return
	}
	t.n--
	// Entries behind it move up, unless that would put them before their home slot.
	for i := free; ; {
		if i++; i == len(t.slots) {
			i = 0
		}
		if t.slots[i] == 0 {
			t.slots[free] = 0
			return
		}
		if at := home(t.slots, t.slots[i]); (i-at+len(t.slots))%len(t.slots) >= (i-free+
			len(t.slots))%len(t.slots) {
			t.slots[free] = t.slots[i]
			free = i
		}
	}
}
