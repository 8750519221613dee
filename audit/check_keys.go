package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/switchyard-dev/switchyard/migration"
)

var checkQueueTTL = Check{
	ID:       "queue-ttl",
	Title:    "Keys of queues that expire",
	Severity: Critical,
	Limit:    "none but locks, rate limits, deduplication",
	Scan:     true,
	Why: "BullMQ gives no time to live to jobs, lists or meta. Where something else did " +
		"(a cache's cleaner, EXPIRE by hand), the job vanishes when the time is over, at " +
		"whatever state it is in.",
	Remedy: "Find what sets it (MONITOR for a moment, or commandstats: expire, pexpire, " +
		"setex), stop it, and PERSIST the keys.",
	Commands: []string{"INFO keyspace", "SCAN, PTTL"},
	Denied:   "the same",
	judge:    judgeQueueTTL,
}

func judgeQueueTTL(f *facts) outcome {
	switch s := f.scan; {
	case len(s.queues) == 0:
		return ok("no queue is in this database")
	case s.noExpiries:
		return ok("no key of the server expires (INFO keyspace), %d queues", len(s.queues))
	case s.mortal > 0:
		o := problem("%d of %d keys of queues expire", s.mortal, s.expiries)
		o.examples = s.mortalKeys
		return o
	default:
		return ok("0 of %d keys of %d queues expire", s.expiries, len(s.queues))
	}
}

var checkBigKeys = Check{
	ID:       "big-keys",
	Title:    "Big keys",
	Severity: Medium,
	Limit:    "below 95 MiB each",
	Scan:     true,
	Why: "A command that reads or deletes it as a whole stops everybody else, and " +
		"managed plans refuse it (a value of 100 MB, a request of 10 MB on the smallest).",
	Remedy: "A list of finished jobs or of events: removeOnComplete, removeOnFail, " +
		"streams.events.maxLen. Anything else: split it, and delete with UNLINK.",
	Commands: []string{"MEMORY USAGE of every queue's lists, and of 2,000 other keys"},
	Denied:   "the same",
	judge:    judgeBigKeys,
}

func judgeBigKeys(f *facts) outcome {
	switch s := f.scan; {
	case s.sizeDenied:
		return unknown("the server does not allow MEMORY USAGE")
	case len(s.big) > 0:
		o := problem("the biggest of %d keys measured takes %s", s.sized, migration.Bytes(s.biggest))
		o.examples = s.big
		return o
	case s.sized == 0:
		return ok("there is no list of a queue and no other key")
	default:
		return ok("the biggest of %d keys measured takes %s", s.sized, migration.Bytes(s.biggest))
	}
}

var checkForeignKeys = Check{
	ID:       "foreign-keys",
	Title:    "Shared use",
	Severity: Medium,
	Limit:    "no expiring data besides the queues",
	Scan:     true,
	Why: "A cache needs eviction and queues must not have it, so one of the two is " +
		"misconfigured. Whatever fills the memory, flushes or blocks the server also stops " +
		"the queues.",
	Remedy:   "Give the cache its own Redis.",
	Commands: []string{"SCAN, PTTL"},
	Denied:   "the same",
	judge:    judgeForeignKeys,
}

func judgeForeignKeys(f *facts) outcome {
	s := f.scan
	switch {
	case s.foreignLimit > 0:
		return problem("%d of %d keys belong to no queue; of the first %d of those, %d "+
			"expire, like a cache's", s.foreign, s.keys, min(s.foreign, scanSample),
			s.foreignLimit)
	case s.foreign > 0:
		return ok("%d of %d keys belong to no queue; none of them expires", s.foreign, s.keys)
	}
	return ok("all %d keys belong to queues", s.keys)
}

var checkOtherDatabases = Check{
	ID:       "other-databases",
	Title:    "Databases besides 0",
	Severity: Low,
	Limit:    "empty",
	Why: "Managed services have only database 0, and a copy covers one database. Keys in " +
		"other databases still share memory and CPU.",
	Remedy:   "Move them to another server.",
	Commands: []string{"INFO keyspace"},
	Denied:   "INFO keyspace",
	judge:    judgeOtherDatabases,
}

func judgeOtherDatabases(f *facts) outcome {
	if f.expiring() < 0 {
		return noInfo("its databases")
	}
	var others []string
	for k, v := range f.info {
		if n, is := strings.CutPrefix(k, "db"); is && n != "0" &&
			strings.HasPrefix(v, "keys=") {
			others = append(others, fmt.Sprintf("%s holds %d keys", n, infoField(v, "keys")))
		}
	}
	slices.Sort(others)
	if len(others) > 0 {
		return problem("%s", strings.Join(others, ", "))
	}
	return ok("none in use")
}
