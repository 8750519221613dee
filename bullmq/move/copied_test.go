package move

import (
	"math/rand/v2"
	"testing"
)

func TestTheSetOfHashesHoldsWhatAMapHolds(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	var s hashSet
	want := map[uint64]bool{}
	for range 300_000 {
		h := uint64(1 + random.IntN(30_000)) // low hashes: all home slots are at the front
		if random.IntN(2) == 0 {
			h = h << 49 // few tables: long runs that wrap around
		}
		if h == 0 {
			continue
		}
		if random.IntN(3) == 0 {
			s.remove(h)
			delete(want, h)
		} else {
			s.add(h)
			want[h] = true
		}
		if other := uint64(1 + random.IntN(30_000)); s.has(other) != want[other] ||
			s.has(h) != want[h] {
			t.Fatalf("%d and %d: %v %v, want %v %v", other, h, s.has(other), s.has(h),
				want[other], want[h])
		}
	}
	n := 0
	for i := range s {
		n += s[i].n
	}
	if n != len(want) {
		t.Errorf("%d hashes, want %d", n, len(want))
	}
}
