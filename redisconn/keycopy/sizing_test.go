package keycopy

import "testing"

func TestPipelinesGrowSlowlyAndShrinkAtOnce(t *testing.T) {
	t.Parallel()
	s := newSizing(batchBytes)
	if n := s.keys(10_000, batchKeys); n != firstKeys {
		t.Errorf("at first: %d", n)
	}
	for range 10 {
		s.saw(200*int64(s.n), s.n)
	}
	if n := s.keys(10_000, batchKeys); n != batchKeys {
		t.Errorf("small values: %d", n)
	}
	if n := s.keys(batchKeys+10, batchKeys); n != batchKeys+10 {
		t.Errorf("a few more than a pipeline: %d", n)
	}
	if s.saw(500<<20, 500); s.keys(10_000, batchKeys) != 1 {
		t.Errorf("values of 1 MB: %d", s.keys(10_000, batchKeys))
	}
}
