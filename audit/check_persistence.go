package audit

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

var checkPersistence = Check{
	ID:       "persistence",
	Title:    "Persistence",
	Severity: Critical,
	Limit:    "append-only file, fsync every second or always",
	Why: "Without it, a restart begins with an empty server. If it is back before Sentinel " +
		"notices, the replicas are emptied too (measured: 1,000 of 1,000 keys gone on both). " +
		"With snapshots alone, everything since the last one is lost.",
	Remedy: "CONFIG SET appendonly yes, then CONFIG REWRITE; appendfsync everysec. The first " +
		"append-only file is written by a child process: have enough memory and disk for it.",
	Commands: []string{"INFO persistence", "CONFIG GET save appendfsync"},
	Denied:   "INFO persistence: aof_enabled; the service's documentation",
	judge:    judgePersistence,
}

func judgePersistence(f *facts) outcome {
	save, saveKnown := f.config["save"]
	switch f.info["aof_enabled"] {
	case "1":
		if sync := f.config["appendfsync"]; sync == "no" {
			return problem("append-only file, but appendfsync no: the kernel decides when, " +
				"usually after 30 s").as(Medium).byDoing(
				"CONFIG SET appendfsync everysec, then CONFIG REWRITE.")
		} else if sync == "" {
			return unknown("append-only file; how often it is synced is unknown: %s",
				f.configErr)
		} else {
			return ok("append-only file, appendfsync %s", sync)
		}
	case "0":
	default:
		return noInfo("whether there is an append-only file")
	}
	switch {
	case !saveKnown:
		return unknown("no append-only file; whether there are snapshots is unknown: %s",
			f.configErr)
	case save == "":
		return problem("none: neither an append-only file nor snapshots")
	}
	return problem("snapshots only (save %s): everything since the last one can be lost",
		save).as(Medium)
}

var checkPersistenceStatus = Check{
	ID:       "persistence-status",
	Title:    "Last writes to disk",
	Severity: Critical,
	Limit:    "all ok, no snapshot overdue",
	Why: "If the last snapshot or write of the append-only file failed, a restart brings " +
		"back an old state; with stop-writes-on-bgsave-error every add is refused (MISCONF).",
	Remedy: "Read the server's log; usually the disk is full, or the child process could " +
		"not be forked. Then BGSAVE or BGREWRITEAOF and look again.",
	Commands: []string{"INFO persistence", "INFO errorstats"},
	Denied:   "INFO persistence",
	judge:    judgePersistenceStatus,
}

func judgePersistenceStatus(f *facts) outcome {
	if _, known := f.info["rdb_last_bgsave_status"]; !known {
		return noInfo("the status of the last writes to disk")
	}
	var bad []string
	save := f.config["save"]
	if f.info["rdb_last_bgsave_status"] == "err" {
		bad = append(bad, "the last snapshot failed")
	}
	if f.info["aof_enabled"] == "1" {
		if f.info["aof_last_write_status"] == "err" {
			bad = append(bad, "the last write of the append-only file failed")
		}
		if f.info["aof_last_bgrewrite_status"] == "err" {
			bad = append(bad, "the last rewrite of the append-only file failed")
		}
	}
	if len(bad) > 0 {
		if n := infoField(f.info["errorstat_MISCONF"], "count"); n > 0 {
			bad = append(bad,
				fmt.Sprintf("%d writes were refused because of that (MISCONF)", n))
		}
		return problem("%s", strings.Join(bad, "; "))
	}
	last, _ := f.number("rdb_last_save_time")
	changes, _ := f.number("rdb_changes_since_last_save")
	now, _ := f.number("server_time_usec")
	if age := time.Duration(now/1e6-last) * time.Second; save != "" && now > 0 && last > 0 &&
		changes > 0 && age > 2*longestSave(save) {
		return problem("the last snapshot is %d min old, with %d changes since; %s requires "+
			"one at least every %d min", int(age.Minutes()), changes, "save "+save,
			int(longestSave(save).Minutes())).as(High)
	}
	return ok("the last ones succeeded")
}

// longestSave is the longest period in the setting "save", which consists of pairs
// of seconds and changes.
func longestSave(save string) time.Duration {
	longest := 0
	for i, field := range strings.Fields(save) {
		if n, err := strconv.Atoi(field); err == nil && i%2 == 0 {
			longest = max(longest, n)
		}
	}
	return time.Duration(longest) * time.Second
}

var checkFork = Check{
	ID:       "fork",
	Title:    "Fork",
	Severity: Medium,
	Limit:    "below 500 ms",
	Why: "To save, Redis forks, and is blocked until the fork is done. Transparent huge " +
		"pages and a large memory make it slow.",
	Remedy: "Turn transparent huge pages off; split queues over several servers; save on a " +
		"replica.",
	Commands: []string{"INFO stats"},
	Denied:   "INFO stats: latest_fork_usec",
	judge:    judgeFork,
}

func judgeFork(f *facts) outcome {
	n, known := f.number("latest_fork_usec")
	switch {
	case !known:
		return noInfo("how long its last fork took")
	case n >= 500_000:
		return problem("the last took %d ms", n/1000)
	case n == 0:
		return ok("none yet")
	}
	return ok("the last took %.1f ms", float64(n)/1000)
}
