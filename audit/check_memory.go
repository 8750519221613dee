package audit

import "github.com/switchyard-dev/switchyard/migration"

var checkEvictionPolicy = Check{
	ID:       "eviction-policy",
	Title:    "Eviction policy",
	Severity: Critical,
	Limit:    "noeviction",
	Why: "With any other policy Redis deletes keys when memory is short: allkeys-* evicts " +
		"waiting jobs, which BullMQ then runs with empty data and reports completed; " +
		"volatile-* evicts the locks of running jobs, which then run twice.",
	Remedy: "CONFIG SET maxmemory-policy noeviction, then CONFIG REWRITE. On a managed " +
		"service: its console or API.",
	Commands: []string{"CONFIG GET maxmemory-policy", "INFO memory"},
	Denied:   "INFO memory: maxmemory_policy",
	Risk:     "A full server then refuses new jobs instead of deleting waiting ones.",
	judge:    judgeEvictionPolicy,
}

func judgeEvictionPolicy(f *facts) outcome {
	policy, by := f.config["maxmemory-policy"], "CONFIG GET"
	if policy == "" {
		policy, by = f.info["maxmemory_policy"], "INFO memory"
	}
	switch policy {
	case "":
		return unknown("the server reports its policy neither in CONFIG GET nor in INFO; " +
			"look it up in the service's console or API")
	case "noeviction":
		return ok("noeviction (%s)", by)
	}
	return problem("%s (%s)", policy, by).fixed(f.set("maxmemory-policy", "noeviction"))
}

var checkEvictedKeys = Check{
	ID:       "evicted-keys",
	Title:    "Keys evicted",
	Severity: Critical,
	Limit:    "0 since the server started",
	Why: "Each evicted key may have been a job, a job's lock or a list of jobs. Evicted data " +
		"cannot be recovered; a job whose hash is gone runs with empty data.",
	Remedy: "Set noeviction first. Then take a census: dangling job IDs are the jobs that " +
		"were lost; have their senders deliver them again. Then CONFIG RESETSTAT sets the " +
		"counter to 0.",
	Commands: []string{"INFO stats"},
	Denied:   "INFO stats: evicted_keys",
	judge:    judgeEvictedKeys,
}

func judgeEvictedKeys(f *facts) outcome { return f.counter("evicted_keys", "keys evicted") }

var checkMemoryHeadroom = Check{
	ID:       "memory-headroom",
	Title:    "Memory headroom",
	Severity: Critical,
	Limit:    "below 80 % of maxmemory, peak below 90 %",
	Why: "With noeviction a full server refuses every add, and workers cannot take jobs " +
		"either, so the queue cannot drain itself (measured: 0 of 100 jobs in 6 s; all of " +
		"them within 0.2 s of freeing space).",
	Remedy: "Raise maxmemory, or remove finished jobs: removeOnComplete and removeOnFail on " +
		"every queue, queue.clean for existing ones.",
	Commands: []string{"INFO memory"},
	Denied:   "INFO memory: maxmemory, used_memory; 0 on services that limit the size elsewhere",
	judge:    judgeMemoryHeadroom,
}

func judgeMemoryHeadroom(f *facts) outcome {
	limit, known := f.number("maxmemory")
	used, usedKnown := f.number("used_memory")
	switch {
	case !known || !usedKnown:
		return noInfo("maxmemory and used_memory")
	case limit == 0 && f.configErr != "":
		return unknown("%s used; the server reports no limit and hides its settings: the "+
			"service's plan may impose one", migration.Bytes(used))
	case limit == 0:
		total, known := f.number("total_system_memory")
		if !known || total == 0 {
			return unknown(
				"%s used; the server has no limit and does not report the machine's memory",
				migration.Bytes(used))
		}
		if used > total*8/10 {
			return problem("%s used, %d %% of the machine's %s, no limit", migration.Bytes(used),
				used*100/total, migration.Bytes(total))
		}
		return ok("%s used, %d %% of the machine's %s, no limit", migration.Bytes(used),
			used*100/total, migration.Bytes(total))
	}
	// the buffers of replicas and of the append-only file
	notCounted, _ := f.number("mem_not_counted_for_evict")
	counted := max(used-notCounted, 0)
	peak, _ := f.number("used_memory_peak")
	switch share, most := counted*100/limit, peak*100/limit; {
	case share >= 90:
		return problem("%s of %s used, %d %%", migration.Bytes(counted), migration.Bytes(limit), share)
	case share >= 80:
		return problem("%s of %s used, %d %%", migration.Bytes(counted),
			migration.Bytes(limit), share).as(High)
	case most >= 90:
		return problem("%s of %s used, %d %%, but %d %% at its peak", migration.Bytes(counted),
			migration.Bytes(limit), share, most).as(Medium)
	default:
		return ok("%s of %s used, %d %%, %d %% at its peak", migration.Bytes(counted),
			migration.Bytes(limit),
			share, most)
	}
}

var checkMaxMemory = Check{
	ID:       "maxmemory",
	Title:    "Memory limit",
	Severity: High,
	Limit:    "set, below three quarters of the machine's memory",
	Why: "Without a limit Redis grows until the kernel kills it: jobs since the last " +
		"write to disk are lost. A child process that saves may need the same amount again.",
	Remedy: "CONFIG SET maxmemory to what the machine can spare, three quarters at most, " +
		"then CONFIG REWRITE. Together with noeviction.",
	Commands: []string{"INFO memory"},
	Denied:   "INFO memory: maxmemory, total_system_memory",
	judge:    judgeMaxMemory,
}

func judgeMaxMemory(f *facts) outcome {
	limit, known := f.number("maxmemory")
	if !known {
		return noInfo("maxmemory")
	}
	total, totalKnown := f.number("total_system_memory")
	used, _ := f.number("used_memory")
	switch {
	case limit == 0 && f.configErr != "":
		return unknown("the server reports no limit and hides its settings: the service's " +
			"plan may impose one")
	case limit == 0 && totalKnown && used > total/2:
		return problem("no limit; %s of the machine's %s used", migration.Bytes(used),
			migration.Bytes(total))
	case limit == 0:
		return problem("no limit; %s used", migration.Bytes(used)).as(Medium)
	case totalKnown && total > 0 && limit > total:
		return problem("%s, more than the machine's %s", migration.Bytes(limit), migration.Bytes(total))
	case totalKnown && total > 0 && limit > total*3/4:
		return problem(
			"%s, %d %% of the machine's %s: a child process that saves may run out of memory",
			migration.Bytes(limit), limit*100/total, migration.Bytes(total)).as(Medium)
	case !totalKnown:
		return ok("%s; the machine's memory is unknown", migration.Bytes(limit))
	}
	return ok("%s of the machine's %s", migration.Bytes(limit), migration.Bytes(total))
}

var checkSwap = Check{
	ID:       "swap",
	Title:    "Swap and fragmentation",
	Severity: Medium,
	Limit:    "resident 90 % or more of used; fragmentation below 1.5",
	Why: "Swapped-out memory turns microseconds into milliseconds for every client. " +
		"Fragmented memory is taken from the machine without holding any data.",
	Remedy: "Swapped: add memory, or run less on the machine. Fragmented: CONFIG SET " +
		"activedefrag yes, or restart by failing over.",
	Commands: []string{"INFO memory"},
	Denied:   "INFO memory",
	judge:    judgeSwap,
}

func judgeSwap(f *facts) outcome {
	used, known := f.number("used_memory")
	resident, rssKnown := f.number("used_memory_rss")
	const small = 100e6 // below this the ratios say nothing
	switch {
	case !known || !rssKnown:
		return noInfo("resident memory")
	case used < small:
		return ok("%s used", migration.Bytes(used))
	case resident*10 < used*9:
		return problem("%s used, only %s resident: the rest is swapped out", migration.Bytes(used),
			migration.Bytes(resident)).as(High)
	case resident*10 > used*15 && resident-used > small:
		return problem("%s used takes %s: fragmentation %d.%02d", migration.Bytes(used),
			migration.Bytes(resident),
			resident/used, resident*100/used%100)
	}
	return ok("%s used, %s resident", migration.Bytes(used), migration.Bytes(resident))
}

var checkOvercommit = Check{
	ID:       "overcommit",
	Title:    "Kernel: overcommit",
	Severity: Medium,
	Limit:    "vm.overcommit_memory 1",
	Why: "At 0 the kernel may refuse the fork when memory is more than half full: snapshots " +
		"and rewrites of the append-only file fail and, with stop-writes-on-bgsave-error, " +
		"every add too.",
	Remedy:   "sysctl vm.overcommit_memory=1, and add it to /etc/sysctl.conf.",
	Commands: []string{"/proc/sys/vm/overcommit_memory"},
	Denied:   "only known on the server's own machine",
	judge:    judgeOvercommit,
}

func judgeOvercommit(f *facts) outcome {
	switch {
	case f.local == nil || f.local.overcommit == "":
		return unknown(
			"no command reports it: run sysctl vm.overcommit_memory on the server's machine")
	case f.local.overcommit == "1":
		return ok("1")
	}
	return problem("%s", f.local.overcommit)
}

var checkHugePages = Check{
	ID:       "huge-pages",
	Title:    "Kernel: transparent huge pages",
	Severity: Medium,
	Limit:    "never or madvise",
	Why: "While a child process saves, each write copies 2 MiB instead of 4 KiB: latency and " +
		"memory use jump.",
	Remedy:   "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled, and at boot.",
	Commands: []string{"/sys/kernel/mm/transparent_hugepage/enabled"},
	Denied:   "only known on the server's own machine",
	judge:    judgeHugePages,
}

func judgeHugePages(f *facts) outcome {
	switch {
	case f.local == nil || f.local.hugePages == "":
		return unknown("no command reports it: look at " +
			"/sys/kernel/mm/transparent_hugepage/enabled on the server's machine")
	case f.local.hugePages == "always":
		return problem("always")
	}
	return ok("%s", f.local.hugePages)
}
