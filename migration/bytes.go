package migration

import (
	"fmt"
	"strconv"
	"strings"
)

// Bytes writes a size for people, in three digits and units of 1024, as Redis counts and as
// managed plans are sold: "512 B", "97.7 KiB", "16 MiB", "1.25 GiB".
func Bytes(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	v := float64(n)
	for (v >= 1023.5 || v <= -1023.5) && len(units) > 1 {
		v, units = v/1024, units[1:]
	}
	if units[0] == "B" {
		return fmt.Sprintf("%d B", n)
	}
	decimals := 0
	switch {
	case v < 9.995 && v > -9.995:
		decimals = 2
	case v < 99.95 && v > -99.95:
		decimals = 1
	}
	digits := strconv.FormatFloat(v, 'f', decimals, 64)
	if decimals > 0 {
		digits = strings.TrimRight(strings.TrimRight(digits, "0"), ".")
	}
	return digits + " " + units[0]
}
