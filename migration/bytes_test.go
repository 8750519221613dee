package migration

import (
	"math"
	"testing"
)

func TestASizeIsWrittenInThreeDigits(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0:               "0 B",
		1023:            "1023 B",
		1024:            "1 KiB",
		1280:            "1.25 KiB",
		100_000:         "97.7 KiB",
		100 << 10:       "100 KiB",
		1023 << 10:      "1023 KiB",
		1<<20 - 1:       "1 MiB",
		10<<20 - 1:      "10 MiB",
		100<<20 - 1:     "100 MiB",
		16 << 20:        "16 MiB",
		1_000_000_000:   "954 MiB",
		1 << 30:         "1 GiB",
		5 << 28:         "1.25 GiB",
		366_000_000_000: "341 GiB",
		-(3 << 20):      "-3 MiB",
		math.MaxInt64:   "8 EiB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("%d is written %q, want %q", n, got, want)
		}
	}
}
