package bullmq

import (
	"slices"
	"strings"
)

// Owner finds which of a set of queues a key belongs to, and the part after
// "prefix:name:". If the names of two queues match, the longer one wins.
type Owner map[string]Queue

// NewOwner makes an Owner from the result of Discover.
func NewOwner(queues []Queue) Owner {
	o := make(Owner, len(queues))
	for _, q := range queues {
		o[q.Key("")] = q
	}
	return o
}

// Of returns a key's queue and the rest of the key; false if it belongs to none.
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
