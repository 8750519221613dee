package bullmq

import (
	"slices"
	"strings"
)

// MayExpire reports whether BullMQ itself sets a time to live on a key, given the
// part after the queue's name: locks, the check for stalled jobs, the rate limit's
// window, and deduplication keys. Any other key that expires takes jobs, or their
// place in line, with it.
func MayExpire(part string) bool {
	switch part {
	case "stalled-check", "limiter":
		return true
	}
	return strings.HasPrefix(part, "de:") || strings.HasPrefix(part, "limiter:") ||
		strings.HasSuffix(part, ":lock")
}

// IsJob reports whether a key is a job's hash, given the part after the queue's
// name.
func IsJob(part string) bool {
	id, kind := jobKey(part)
	return kind == "job" && id != ""
}

// Lists are the parts of a queue that hold many entries, sorted.
func Lists() []string {
	var out []string
	for part, kind := range parts {
		if kind == "list" || kind == "zset" || kind == "stream" {
			out = append(out, part)
		}
	}
	slices.Sort(out)
	return out
}

// GrowingParts are the parts of a queue that grow without bound unless limited:
// finished jobs and the event stream.
var GrowingParts = []string{"completed", "failed", "events"}
