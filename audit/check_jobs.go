package audit

import (
	"fmt"

	"github.com/switchyard-dev/switchyard/migration"
)

var checkEmptyJobs = Check{
	ID:       "empty-jobs",
	Title:    "Dangling job IDs",
	Severity: Critical,
	Limit:    "0",
	Scan:     true,
	Why: "BullMQ runs an ID whose hash is gone with empty name and data, and reports the job " +
		"completed.",
	Remedy: "Stop the workers of that queue, have the senders deliver these orders again, " +
		"and remove the ids from the lists.",
	Commands: []string{"census (SCAN, LRANGE, ZRANGE, HMGET)"},
	Denied:   "the same",
	judge:    judgeEmptyJobs,
}

func judgeEmptyJobs(f *facts) outcome {
	if o, none := f.noCensus(); none {
		return o
	}
	n, examples := int64(0), []string{}
	for _, q := range f.census.Queues {
		if q.IndexedWithoutHash > 0 {
			n += q.IndexedWithoutHash
			examples = append(examples, fmt.Sprintf("%s: %d", q.Queue, q.IndexedWithoutHash))
		}
	}
	if n == 0 {
		return ok("0 in %d queues", len(f.census.Queues))
	}
	o := problem("%d ids without a job in %d queues", n, len(examples))
	o.examples = examples
	return o
}

var checkOrphans = Check{
	ID:       "orphans",
	Title:    "Jobs in no list",
	Severity: High,
	Limit:    "0",
	Scan:     true,
	Why: "A job's hash that no list names is never run, and no worker, dashboard or " +
		"count shows it.",
	Remedy:   "Look at them in the census and add them again from their data, or remove them.",
	Commands: []string{"census (SCAN, LRANGE, ZRANGE, HMGET)"},
	Denied:   "the same",
	judge:    judgeOrphans,
}

func judgeOrphans(f *facts) outcome {
	if o, none := f.noCensus(); none {
		return o
	}
	n, examples := int64(0), []string{}
	for _, q := range f.census.Queues {
		if q.HashesWithoutIndex > 0 {
			n += q.HashesWithoutIndex
			examples = append(examples, fmt.Sprintf("%s: %d", q.Queue, q.HashesWithoutIndex))
		}
	}
	if n == 0 {
		return ok("0 in %d queues", len(f.census.Queues))
	}
	o := problem("%d jobs in no list, in %d queues", n, len(examples))
	o.examples = examples
	return o
}

var checkStuck = Check{
	ID:       "stuck",
	Title:    "Schedulers and rate limits that stopped",
	Severity: High,
	Limit:    "every scheduler has its next job, every rate limit's window ends",
	Scan:     true,
	Why: "A scheduler without its next job never fires again until it is upserted. A " +
		"rate-limit key without an end switches the limit off.",
	Remedy:   "Upsert the scheduler from the app; delete the limiter key.",
	Commands: []string{"census (ZRANGE, EXISTS, PTTL)"},
	Denied:   "the same",
	judge:    judgeStuck,
}

func judgeStuck(f *facts) outcome {
	if o, none := f.noCensus(); none {
		return o
	}
	var examples []string
	schedulers := 0
	for _, q := range f.census.Queues {
		if q.LimitedEver {
			examples = append(examples,
				fmt.Sprintf("%s: the rate limit's window has no end", q.Queue))
		}
		for _, s := range q.Schedulers {
			if schedulers++; s.PendingMissing {
				examples = append(examples,
					fmt.Sprintf("%s: scheduler %s has no next job", q.Queue, s.ID))
			}
		}
	}
	if len(examples) == 0 {
		return ok("%d schedulers have their next job", schedulers)
	}
	o := problem("%d stopped", len(examples))
	o.examples = examples[:min(len(examples), scanExamples)]
	return o
}

var checkLargeJobs = Check{
	ID:       "large-jobs",
	Title:    "Large jobs",
	Severity: High,
	Limit:    "data below 100 KiB each, none of 5 MiB",
	Scan:     true,
	Why: "Each move of a job through a queue carries its data through Redis and its " +
		"scripts, which stop everybody else meanwhile. Managed plans refuse a request above " +
		"10 MB.",
	Remedy:   "Put the payload into object storage or the database and its address into the job.",
	Commands: []string{"SCAN, HSTRLEN"},
	Denied:   "the same",
	judge:    judgeLargeJobs,
}

func judgeLargeJobs(f *facts) outcome {
	switch s := f.scan; {
	case s.jobs == 0:
		return ok("there are no jobs")
	case s.largest >= hugeData:
		o := problem("%d of %d jobs measured are 100 KiB or more, the largest %s", s.large,
			s.jobs, migration.Bytes(s.largest))
		o.examples = s.largeKeys
		return o
	case s.large > 0:
		o := problem("%d of %d jobs measured are 100 KiB or more, the largest %s", s.large,
			s.jobs, migration.Bytes(s.largest)).as(Medium)
		o.examples = s.largeKeys
		return o
	default:
		return ok("the largest of %d jobs measured is %s", s.jobs, migration.Bytes(s.largest))
	}
}

// hugeData is about half of what the smallest managed plans accept in one request.
const hugeData = 5 << 20

var checkGrowth = Check{
	ID:       "growth",
	Title:    "Finished jobs kept",
	Severity: Medium,
	Limit:    "below 100,000 in all",
	Scan:     true,
	Why: "BullMQ keeps every finished job for ever unless told otherwise. They fill the " +
		"memory that waiting jobs need (a job of 1 KB takes 1.74 KB).",
	Remedy: "removeOnComplete and removeOnFail with a count or an age on every queue, " +
		"queue.clean for existing ones.",
	Commands: []string{"ZCARD, XLEN"},
	Denied:   "the same",
	judge:    judgeGrowth,
}

func judgeGrowth(f *facts) outcome {
	s := f.scan
	if s.finished >= 100_000 {
		return problem("%d finished jobs; the longest part is %s with %d entries", s.finished,
			s.longestKey, s.longest)
	}
	if s.longestKey == "" {
		return ok("0 finished jobs")
	}
	return ok("%d finished jobs; the longest part is %s with %d entries", s.finished,
		s.longestKey, s.longest)
}
