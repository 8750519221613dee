package bullmq

import (
	"slices"
	"strings"
)

// Owner tells which of some queues a key belongs to, and what follows "prefix:name:".
// Of two queues whose names begin alike the longer one wins.
type Owner map[string]Queue

// NewOwner makes an Owner of what Discover found.
func NewOwner(queues []Queue) Owner {
	o := make(Owner, len(queues))
	for _, q := range queues {
		o[q.Key("")] = q
	}
	return o
}

// Of gives a key's queue; false: no queue's.
func (o Owner) Of(key string) (q Queue, part string, ok bool) {
	for end := len(key); end > 0; {
		at := strings.LastIndexByte(key[:end], ':')
		if at < 0 {
			break
		}
		if q, ok := o[key[:at+1]]; ok {
			return q, key[at+1:], true
		}
		end = at
	}
	return Queue{}, "", false
}

// MayExpire reports whether BullMQ gives a key of a queue a time to live, by what
// follows the queue's name: locks, the check for stalled jobs, the rate limit's window,
// and deduplication keys. Any other key that expires takes jobs, or their place in
// line, with it.
func MayExpire(part string) bool {
	switch part {
	case "stalled-check", "limiter":
		return true
	}
	return strings.HasPrefix(part, "de:") || strings.HasPrefix(part, "limiter:") ||
		strings.HasSuffix(part, ":lock")
}

// IsJob reports whether a key of a queue is a job's hash, by what follows the queue's
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

// GrowingParts are the parts of a queue that grow for as long as nobody bounds them:
// finished jobs and the stream of events.
var GrowingParts = []string{"completed", "failed", "events"}
