package audit

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

var checkSlowScripts = Check{
	ID:       "slow-scripts",
	Title:    "Slow commands",
	Severity: High,
	Limit:    "no script of 50 ms or more in the last 128 slow commands",
	Why: "Redis runs one command at a time: while a script runs, no job is added and no " +
		"worker makes progress. After 5 s it answers BUSY, and Sentinel may fail over.",
	Remedy: "Find out what they work on: huge lists of finished jobs, large data, obliterate " +
		"or clean without a limit. removeOnComplete keeps lists short. SLOWLOG RESET when done.",
	Commands: []string{"SLOWLOG GET 128"},
	Denied:   "SLOWLOG; where denied, the service's own latency figures",
	judge:    judgeSlowScripts,
}

func judgeSlowScripts(f *facts) outcome {
	if f.slowErr != "" {
		return unknown("%s", f.slowErr)
	}
	if n, known := f.setting("slowlog-log-slower-than"); known && n < 0 {
		return unknown("the slow log is off")
	} else if known && n > 50_000 {
		return unknown("the slow log only records what took %d ms or more", n/1000)
	}
	var worst time.Duration
	what, slow, newest := "", 0, int64(0)
	for _, e := range f.slow {
		if e.Duration < 50*time.Millisecond || len(e.Args) == 0 ||
			slices.Contains(admin, strings.ToLower(e.Args[0])) {
			continue
		}
		newest = max(newest, e.ID+1)
		if slow++; e.Duration > worst {
			worst, what = e.Duration, strings.ToUpper(e.Args[0])
		}
	}
	if slow == 0 {
		return ok("none of %d slow commands took 50 ms", len(f.slow))
	}
	o := problem("%d of %d slow commands took 50 ms or more, the slowest %d ms (%s)", slow,
		len(f.slow), worst.Milliseconds(), what).counting(newest)
	if worst < time.Second {
		o = o.as(Medium)
	}
	return o
}

// admin lists commands of people and tools, which may be slow without being the
// queues' fault.
var admin = []string{"save", "bgsave", "bgrewriteaof", "debug", "shutdown", "config", "psync",
	"sync", "replicaof", "slaveof", "flushall", "flushdb"}

var checkLatency = Check{
	ID:       "latency",
	Title:    "Latency",
	Severity: Medium,
	Limit:    "no event above 500 ms since it started; median PING within 10 ms",
	Why: "Every step of every job is a round trip, so a slow server or a far one is a slow " +
		"queue. A pause of seconds lets locks expire: jobs are considered stalled and run twice.",
	Remedy: "LATENCY DOCTOR names causes. fork: less memory or a faster machine; aof: a " +
		"faster disk; command: see slow-scripts. LATENCY RESET when done.",
	Commands: []string{"LATENCY LATEST", "PING"},
	Denied:   "PING alone",
	judge:    judgeLatency,
}

func judgeLatency(f *facts) outcome {
	var bad []string
	var last int64
	for _, s := range f.spikes {
		if s.max >= 500*time.Millisecond {
			last += s.at
			bad = append(bad, fmt.Sprintf("%s took %d ms", s.event, s.max.Milliseconds()))
		}
	}
	switch {
	case len(bad) > 0:
		return problem("%s", strings.Join(bad, ", ")).counting(last)
	case f.answer > 10*time.Millisecond:
		return problem(
			"the median PING took %.1f ms from where the audit ran",
			f.answer.Seconds()*1000).as(Low).
			byDoing("Run the audit from where the apps run. If it is the same there, move " +
				"the apps closer.")
	case f.spikesErr != "":
		return unknown("%s; median PING %.2f ms", f.spikesErr,
			f.answer.Seconds()*1000)
	}
	if n, known := f.setting("latency-monitor-threshold"); !known || n == 0 || n > 500 {
		return unknown("the latency monitor is off; median PING %.2f ms",
			f.answer.Seconds()*1000)
	}
	return ok("%d events, none above 500 ms; median PING %.2f ms", len(f.spikes),
		f.answer.Seconds()*1000)
}

var checkSlowLog = Check{
	ID:       "slowlog",
	Title:    "Slow log",
	Severity: Low,
	Limit:    "on, 50 ms or less",
	Why:      "It is the only record of what blocked the server.",
	Remedy:   "CONFIG SET slowlog-log-slower-than 10000, then CONFIG REWRITE.",
	Commands: []string{"CONFIG GET slowlog-log-slower-than"},
	Denied:   "not known",
	Risk:     "None.",
	judge:    judgeSlowLog,
}

func judgeSlowLog(f *facts) outcome {
	n, known := f.setting("slowlog-log-slower-than")
	switch {
	case !known:
		return f.noConfig("slowlog-log-slower-than")
	case n < 0:
		return problem("off").fixed(f.set("slowlog-log-slower-than", "10000"))
	case n > 50_000:
		return problem("from %d ms on", n/1000).fixed(f.set("slowlog-log-slower-than", "10000"))
	}
	return ok("from %.1f ms on", float64(n)/1000)
}

var checkLatencyMonitor = Check{
	ID:       "latency-monitor",
	Title:    "Latency monitor",
	Severity: Info,
	Limit:    "on",
	Why: "It records when the server was blocked and by what: a fork, the disk, a command. " +
		"Without it, the latency check has only PING.",
	Remedy:   "CONFIG SET latency-monitor-threshold 100, then CONFIG REWRITE.",
	Commands: []string{"CONFIG GET latency-monitor-threshold"},
	Denied:   "not known",
	Risk:     "None.",
	judge:    judgeLatencyMonitor,
}

func judgeLatencyMonitor(f *facts) outcome {
	n, known := f.setting("latency-monitor-threshold")
	switch {
	case !known:
		return f.noConfig("latency-monitor-threshold")
	case n == 0:
		return problem("off").fixed(f.set("latency-monitor-threshold", "100"))
	}
	return ok("from %d ms on", n)
}
