package backup

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// diskFree returns how many bytes of a directory's file system we may use; -1 if
// unknown.
func diskFree(dir string) int64 {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return -1
	}
	return int64(st.Bavail) * st.Bsize //nolint:gosec // no disk has 2^63 blocks
}

// memoryFree returns how many bytes of memory are available; -1 if unknown.
func memoryFree() int64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			kb, err := strconv.ParseInt(
				strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err == nil {
				return kb << 10
			}
		}
	}
	return -1
}
