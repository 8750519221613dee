package audit

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

func evictionPolicy(f *facts) outcome {
	policy, by := f.config["maxmemory-policy"], "CONFIG GET"
	if policy == "" {
		policy, by = f.info["maxmemory_policy"], "INFO memory"
	}
	switch policy {
	case "":
		return unknown("the server tells its policy neither by CONFIG GET nor by INFO; read " +
			"it in the service's console or API")
	case "noeviction":
		return ok("noeviction (%s)", by)
	}
	return problem("%s (%s)", policy, by).fixed(f.set("maxmemory-policy", "noeviction"))
}

func evictedKeys(f *facts) outcome { return f.counter("evicted_keys", "keys evicted") }

// census gives the outcome where there is none, and whether there is one.
func (f *facts) noCensus() (outcome, bool) {
	if f.census != nil {
		return outcome{}, false
	}
	note := f.censusNote
	if note == "" {
		note = "no census was taken"
	}
	return unknown("%s", note), true
}

func emptyJobs(f *facts) outcome {
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

func orphans(f *facts) outcome {
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

func stuck(f *facts) outcome {
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

func queueTTL(f *facts) outcome {
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

func headroom(f *facts) outcome {
	limit, known := f.number("maxmemory")
	used, usedKnown := f.number("used_memory")
	switch {
	case !known || !usedKnown:
		return noInfo("maxmemory and used_memory")
	case limit == 0 && f.configErr != "":
		return unknown("%s used; the server reports no limit and does not show its settings: "+
			"the service's plan may set one elsewhere", mega(used))
	case limit == 0:
		total, known := f.number("total_system_memory")
		if !known || total == 0 {
			return unknown("%s used; the server has no limit of its own and does not tell "+
				"what the machine has", mega(used))
		}
		if used > total*8/10 {
			return problem("%s used, %d %% of the machine's %s, without a limit", mega(used),
				used*100/total, mega(total))
		}
		return ok("%s used, %d %% of the machine's %s, without a limit", mega(used),
			used*100/total, mega(total))
	}
	// replicas' and the append-only file's buffers
	notCounted, _ := f.number("mem_not_counted_for_evict")
	counted := max(used-notCounted, 0)
	peak, _ := f.number("used_memory_peak")
	switch share, most := counted*100/limit, peak*100/limit; {
	case share >= 90:
		return problem("%s of %s used, %d %%", mega(counted), mega(limit), share)
	case share >= 80:
		return problem("%s of %s used, %d %%", mega(counted), mega(limit), share).as(High)
	case most >= 90:
		return problem("%s of %s used, %d %%, but it was %d %% at its peak", mega(counted),
			mega(limit), share, most).as(Medium)
	default:
		return ok("%s of %s used, %d %%, %d %% at its peak", mega(counted), mega(limit),
			share, most)
	}
}

func persistence(f *facts) outcome {
	save, saveKnown := f.config["save"]
	switch f.info["aof_enabled"] {
	case "1":
		if sync := f.config["appendfsync"]; sync == "no" {
			return problem("append-only file, but appendfsync no: the kernel decides when, " +
				"usually after 30 s").as(Medium).byDoing(
				"CONFIG SET appendfsync everysec, then CONFIG REWRITE.")
		} else if sync == "" {
			return unknown("append-only file; how often it is written through is not known: %s",
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
		return unknown("no append-only file; whether there are snapshots is not known: %s",
			f.configErr)
	case save == "":
		return problem("none: neither an append-only file nor snapshots")
	}
	return problem("snapshots alone (save %s): up to everything since the last one is lost",
		save).as(Medium)
}

func persistenceStatus(f *facts) outcome {
	if _, known := f.info["rdb_last_bgsave_status"]; !known {
		return noInfo("how the last writes to disk went")
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
			bad = append(bad, fmt.Sprintf("%d writes were refused for that (MISCONF)", n))
		}
		return problem("%s", strings.Join(bad, "; "))
	}
	last, _ := f.number("rdb_last_save_time")
	changes, _ := f.number("rdb_changes_since_last_save")
	now, _ := f.number("server_time_usec")
	if age := time.Duration(now/1e6-last) * time.Second; save != "" && now > 0 && last > 0 &&
		changes > 0 && age > 2*longestSave(save) {
		return problem("the last snapshot is %d min old, with %d changes since; %s asks for "+
			"one every %d min at least", int(age.Minutes()), changes, "save "+save,
			int(longestSave(save).Minutes())).as(High)
	}
	return ok("the last ones went well")
}

// longestSave is the longest span of the setting "save", which is pairs of seconds and
// changes.
func longestSave(save string) time.Duration {
	longest := 0
	for i, field := range strings.Fields(save) {
		if n, err := strconv.Atoi(field); err == nil && i%2 == 0 {
			longest = max(longest, n)
		}
	}
	return time.Duration(longest) * time.Second
}

func role(f *facts) outcome {
	switch {
	case f.info["loading"] == "1" || f.info["async_loading"] == "1":
		return problem("still loading: %s %% done", f.info["loading_loaded_perc"])
	case f.info["role"] == "":
		return noInfo("its role")
	case f.info["role"] == "slave" && f.info["master_link_status"] != "up":
		return problem("replica of %s:%s, the link is %s", f.info["master_host"],
			f.info["master_port"], f.info["master_link_status"])
	case f.info["role"] == "slave":
		return ok("replica of %s:%s, the link is up", f.info["master_host"],
			f.info["master_port"])
	}
	return ok("%s", f.info["role"])
}

// fenced is where Switchyard's fence begins (redisconn.Fence).
const fenced = 1000

func minReplicas(f *facts) outcome {
	want, known := f.setting("min-replicas-to-write")
	if !known {
		return f.noConfig("min-replicas-to-write")
	}
	have, known := f.number("connected_slaves")
	good, goodKnown := f.number("min_slaves_good_slaves")
	switch {
	case f.info["role"] == "slave":
		return ok("%d, on a replica: counts when it is promoted", want)
	case !known:
		return noInfo("how many replicas are connected")
	case want >= fenced:
		return problem("the server is fenced by Switchyard (min-replicas-to-write %d): it "+
			"takes no writes, as intended after its queues were moved", want).as(Info).
			byDoing("Nothing, if its queues live elsewhere now; else roll the move back.")
	case goodKnown && want > good:
		return problem(
			"%d required, %d are there and current: every add is refused now", want, good)
	case want > have:
		return problem("%d required, %d connected: every add is refused now", want, have)
	case have >= 2 && want == 0:
		return problem("0 required, %d connected", have).as(Medium)
	}
	return ok("%d required, %d connected", want, have)
}

func cluster(f *facts) outcome {
	switch f.info["cluster_enabled"] {
	case "0":
		return ok("off")
	case "1":
	default:
		return noInfo("whether it is a cluster")
	}
	switch {
	case f.scan == nil:
		return unknown("on; whether the queues' prefixes are in braces was not looked at")
	case len(f.scan.queues) > 0 && f.scan.braces:
		return ok("on; the prefixes of %d queues are in braces", len(f.scan.queues))
	}
	return problem("on; not every queue's prefix is in braces")
}

func defaultUser(f *facts) outcome {
	switch {
	case f.openErr != "":
		return unknown("%s", f.openErr)
	case !f.openDefault:
		return ok("refused")
	case f.listens() == "loopback":
		return problem(
			"let in; it listens on loopback alone, so every program of the machine").as(Medium)
	}
	return problem("let in")
}

func exposure(f *facts) outcome {
	where := f.listens()
	if where == "" {
		if ip := f.address; ip != "" && !loopback(ip) {
			return unknown("where it listens is not known: %s. It is reached at %s: make "+
				"sure that only the apps can", f.configErr, ip)
		}
		return unknown("where it listens is not known: %s", f.configErr)
	}
	bind := f.config["bind"]
	if bind == "" {
		bind = "every address"
	}
	switch {
	case where == "loopback":
		return ok("loopback alone (%s)", bind)
	case f.openErr != "" && f.config["protected-mode"] != "yes":
		return unknown("listens on %s without protected-mode; whether a password is asked "+
			"for is not known", bind)
	case f.openDefault && f.config["protected-mode"] != "yes":
		return problem("listens on %s, without protected-mode, and lets clients in without a "+
			"password: whoever reaches it owns it", bind)
	case f.openDefault:
		return ok("listens on %s, but protected-mode refuses everybody beyond this machine "+
			"while there is no password", bind)
	case where == "private":
		return ok("private addresses (%s), a password is asked for", bind)
	case f.config["port"] == "0":
		return problem("listens on every address (%s) with TLS and a password: only a "+
			"firewall keeps strangers away", bind).as(Low)
	}
	return problem(
		"listens on every address (%s) with a password: only a firewall keeps strangers away",
		bind).as(Medium)
}

func encryption(f *facts) outcome {
	plain, plainKnown := f.setting("port")
	where := f.listens()
	switch {
	case f.address == "":
		return unknown("%s", f.tlsErr)
	case f.tls == nil && f.tlsErr == "": // the audit came in the clear
		switch {
		case where == "loopback":
			return ok("none, and it listens on loopback alone")
		case !loopback(f.address):
			return problem("none: the audit itself came to %s in the clear", f.address)
		case where == "":
			return unknown("none on the way to %s, which is this machine; where else it "+
				"listens is not known", f.address)
		}
		return problem("none on port %s, which others reach too (bind %q)", f.config["port"],
			f.config["bind"])
	case !plainKnown:
		return unknown(
			"TLS on the way here; whether it also listens in the clear is not known: %s",
			f.configErr)
	case plain != 0 && where != "loopback":
		return problem("TLS, but it also listens in the clear on port %d",
			plain).as(Medium).byDoing("port 0 in redis.conf once every client uses rediss://.")
	}
	return ok("TLS alone")
}

func certificate(f *facts) outcome {
	switch {
	case f.tls == nil && f.tlsErr == "":
		return ok("no TLS, so there is none")
	case f.tls == nil || len(f.tls.PeerCertificates) == 0:
		return unknown("%s", f.tlsErr)
	}
	left := time.Until(f.tls.PeerCertificates[0].NotAfter)
	days := int(left.Hours() / 24)
	switch {
	case f.tls.Version < tls.VersionTLS12:
		return problem("%s", tls.VersionName(f.tls.Version)).as(High).byDoing(
			"tls-protocols \"TLSv1.2 TLSv1.3\" in redis.conf.")
	case days < 7:
		return problem("it ends in %d days, %s", days,
			f.tls.PeerCertificates[0].NotAfter.UTC().Format("2 Jan 2006 15:04 UTC"))
	case days <= 21:
		return problem("it ends in %d days, %s", days,
			f.tls.PeerCertificates[0].NotAfter.UTC().Format("2 Jan 2006")).as(High)
	}
	return ok("%s, %d days left", tls.VersionName(f.tls.Version), days)
}

// patched is the first version of each series with the fix for CVE-2025-49844:
// redis/docker-library-redis#478 and docker-library/official-images#20011.
var patched = map[string]int{"6.2": 20, "7.2": 11, "7.4": 6, "8.0": 4, "8.2": 2}

// patchedValkey likewise, by Valkey's release notes of October 2025.
var patchedValkey = map[string]int{"7.2": 11, "8.0": 6, "8.1": 4}

func version(f *facts) outcome {
	text, name, fixes := f.info["redis_version"], "Redis", patched
	if v := f.info["valkey_version"]; v != "" {
		text, name, fixes = v, "Valkey", patchedValkey
	}
	var major, minor, patch int
	if n, _ := fmt.Sscanf(text, "%d.%d.%d", &major, &minor, &patch); n < 2 {
		return noInfo("its version")
	}
	series := fmt.Sprintf("%d.%d", major, minor)
	at := func(a, b int) bool { return major > a || major == a && minor >= b }
	fix, known := fixes[series]
	switch {
	case name == "Redis" && !at(5, 0):
		return problem("Redis %s: BullMQ refuses to start", text)
	case name == "Redis" && !at(6, 2):
		return problem("Redis %s: below what BullMQ asks for, and without security fixes",
			text).as(High)
	case known && patch < fix:
		return problem("%s %s lacks the fix for CVE-2025-49844, which is in %s.%d", name, text,
			series, fix).as(High)
	case !known && name == "Redis" && !at(7, 2):
		return problem("Redis %s: the series gets no fixes any more (7.0: since July 2024), "+
			"so also not the one for CVE-2025-49844", text).as(High)
	}
	if !known { // younger than the fix
		return ok("%s %s, younger than the fix for CVE-2025-49844; newer advisories are not "+
			"known here", name, text)
	}
	return ok("%s %s has the fix for CVE-2025-49844; newer advisories are not known here", name,
		text)
}

func maxMemory(f *facts) outcome {
	limit, known := f.number("maxmemory")
	if !known {
		return noInfo("maxmemory")
	}
	total, totalKnown := f.number("total_system_memory")
	used, _ := f.number("used_memory")
	switch {
	case limit == 0 && f.configErr != "":
		return unknown("the server reports no limit and does not show its settings: the " +
			"service's plan may set one elsewhere")
	case limit == 0 && totalKnown && used > total/2:
		return problem("no limit; %s of the machine's %s used", mega(used), mega(total))
	case limit == 0:
		return problem("no limit; %s used", mega(used)).as(Medium)
	case totalKnown && total > 0 && limit > total:
		return problem("%s, more than the machine's %s", mega(limit), mega(total))
	case totalKnown && total > 0 && limit > total*3/4:
		return problem(
			"%s, %d %% of the machine's %s: a child process that saves may not find room",
			mega(limit), limit*100/total, mega(total)).as(Medium)
	case !totalKnown:
		return ok("%s; what the machine has is not known", mega(limit))
	}
	return ok("%s of the machine's %s", mega(limit), mega(total))
}

// maxLag is how many seconds a replica may be behind: min-replicas-max-lag's default.
const maxLag = 10

func replication(f *facts) outcome {
	n, known := f.number("connected_slaves")
	if f.info["role"] == "slave" {
		return ok("it is a replica itself")
	}
	if !known || f.info["role"] == "" {
		return noInfo("replication")
	}
	if n == 0 {
		return problem("none").as(Medium)
	}
	var bad []string
	for i := range n {
		line := f.info[fmt.Sprintf("slave%d", i)]
		state := infoText(line, "state")
		switch lag := infoField(line, "lag"); {
		case line == "":
			return noInfo("the state of its replicas")
		case state != "online":
			bad = append(bad,
				fmt.Sprintf("%s:%s is %s", infoText(line, "ip"), infoText(line, "port"), state))
		case lag > maxLag:
			bad = append(bad, fmt.Sprintf("%s:%s is %d s behind", infoText(line, "ip"),
				infoText(line, "port"), lag))
		}
	}
	if len(bad) > 0 {
		return problem("%s", strings.Join(bad, ", "))
	}
	return ok("%d online", n)
}

func infoText(line, name string) string {
	for f := range strings.SplitSeq(line, ",") {
		if v, ok := strings.CutPrefix(f, name+"="); ok {
			return v
		}
	}
	return ""
}

func timeout(f *facts) outcome {
	n, known := f.setting("timeout")
	switch {
	case !known:
		return f.noConfig("timeout")
	case n == 0:
		return ok("0")
	}
	return problem("%d s", n).fixed(f.set("timeout", "0"))
}

func rejected(f *facts) outcome {
	return f.counter("rejected_connections", "connections refused")
}

func clientLimit(f *facts) outcome {
	have, known := f.number("connected_clients")
	limit, limitKnown := f.number("maxclients")
	if !limitKnown {
		limit, limitKnown = f.setting("maxclients")
	}
	switch {
	case !known:
		return noInfo("how many clients are connected")
	case !limitKnown || limit == 0:
		return unknown("%d connected; the server does not tell its limit", have)
	case have*100 >= limit*80:
		return problem("%d of %d", have, limit)
	}
	return ok("%d of %d", have, limit)
}

func errorAnswers(f *facts) outcome {
	if !f.hasPrefix("errorstat_") {
		if f.hasPrefix("cmdstat_") && f.info["total_error_replies"] == "0" {
			return ok("none %s", f.upFor())
		}
		if n, known := f.number("total_error_replies"); known && n == 0 {
			return ok("none %s", f.upFor())
		}
		return noInfo("which errors it answered")
	}
	var bad []string
	for _, name := range []string{"OOM", "MISCONF", "NOREPLICAS", "BUSY"} {
		if n := infoField(f.info["errorstat_"+name], "count"); n > 0 {
			bad = append(bad, fmt.Sprintf("%s %d times", name, n))
		}
	}
	if len(bad) > 0 {
		return problem("%s %s", strings.Join(bad, ", "), f.upFor())
	}
	return ok("none of these %s", f.upFor())
}

func (f *facts) hasPrefix(prefix string) bool {
	for k := range f.info {
		if strings.HasPrefix(k, prefix) {
			return true
		}
	}
	return false
}

func dangerous(f *facts) outcome {
	if !f.hasPrefix("cmdstat_") {
		return noInfo("which commands were used")
	}
	var used []string
	worst := Medium
	for _, name := range []string{"flushall", "flushdb", "keys"} {
		if n := infoField(f.info["cmdstat_"+name], "calls"); n > 0 {
			used = append(used, fmt.Sprintf("%s %d times", strings.ToUpper(name), n))
			if name != "keys" {
				worst = High
			}
		}
	}
	if len(used) > 0 {
		return problem("%s %s", strings.Join(used, ", "), f.upFor()).as(worst)
	}
	return ok("none of these %s", f.upFor())
}

// hugeData is half of what the smallest managed plans take in one request.
const hugeData = 5_000_000

func largeJobs(f *facts) outcome {
	switch s := f.scan; {
	case s.jobs == 0:
		return ok("there are no jobs")
	case s.largest >= hugeData:
		o := problem("%d of %d jobs measured are 100 kB or more, the largest %s", s.large,
			s.jobs, mega(s.largest))
		o.examples = s.largeKeys
		return o
	case s.large > 0:
		o := problem("%d of %d jobs measured are 100 kB or more, the largest %s", s.large,
			s.jobs, mega(s.largest)).as(Medium)
		o.examples = s.largeKeys
		return o
	default:
		return ok("the largest of %d jobs measured is %s", s.jobs, mega(s.largest))
	}
}

func slowScripts(f *facts) outcome {
	if f.slowErr != "" {
		return unknown("%s", f.slowErr)
	}
	if n, known := f.setting("slowlog-log-slower-than"); known && n < 0 {
		return unknown("the slow log is off")
	} else if known && n > 50_000 {
		return unknown("the slow log holds only what took %d ms or more", n/1000)
	}
	var worst time.Duration
	what, slow := "", 0
	for _, e := range f.slow {
		if e.Duration < 50*time.Millisecond || len(e.Args) == 0 ||
			slices.Contains(admin, strings.ToLower(e.Args[0])) {
			continue
		}
		if slow++; e.Duration > worst {
			worst, what = e.Duration, strings.ToUpper(e.Args[0])
		}
	}
	if slow == 0 {
		return ok("none of %d slow commands took 50 ms", len(f.slow))
	}
	o := problem("%d of %d slow commands took 50 ms or more, the slowest %d ms (%s)", slow,
		len(f.slow), worst.Milliseconds(), what)
	if worst < time.Second {
		o = o.as(Medium)
	}
	return o
}

// admin are commands that people and tools use, which may be slow without being the
// queues' fault.
var admin = []string{"save", "bgsave", "bgrewriteaof", "debug", "shutdown", "config", "psync",
	"sync", "replicaof", "slaveof", "flushall", "flushdb"}

func growth(f *facts) outcome {
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

func bigKeys(f *facts) outcome {
	switch s := f.scan; {
	case s.sizeDenied:
		return unknown("the server does not allow MEMORY USAGE")
	case len(s.big) > 0:
		o := problem("the biggest of %d keys measured takes %s", s.sized, mega(s.biggest))
		o.examples = s.big
		return o
	case s.sized == 0:
		return ok("there is no list of a queue and no other key")
	default:
		return ok("the biggest of %d keys measured takes %s", s.sized, mega(s.biggest))
	}
}

func users(f *facts) outcome {
	switch {
	case f.usersErr != "":
		return unknown("%s", f.usersErr)
	case len(f.openUsers) > 0:
		return problem("%s", strings.Join(f.openUsers, ", "))
	}
	return ok("every user but the default one, which is a check of its own, has a password "+
		"or is off: %d users", f.users)
}

func foreignKeys(f *facts) outcome {
	s := f.scan
	switch {
	case s.foreignLimit > 0:
		return problem("%d of %d keys are of no queue, and of the first %d of those %d "+
			"expire, as a cache's do", s.foreign, s.keys, min(s.foreign, scanSample),
			s.foreignLimit)
	case s.foreign > 0:
		return ok("%d of %d keys are of no queue; none of them expires", s.foreign, s.keys)
	}
	return ok("all %d keys are the queues'", s.keys)
}

func outputBuffers(f *facts) outcome {
	value, known := f.config["client-output-buffer-limit"]
	cut, _ := f.number("client_output_buffer_limit_disconnections") // Redis 7.2
	evicted, _ := f.number("evicted_clients")
	if cut > 0 || evicted > 0 {
		return problem("%d clients cut off for their output, %d evicted for memory, %s", cut,
			evicted, f.upFor())
	}
	if !known {
		return f.noConfig("client-output-buffer-limit")
	}
	fields := strings.Fields(value)
	want := slices.Clone(fields)
	var bad []string
	for i := 0; i+3 < len(fields); i += 4 {
		hard, _ := strconv.ParseInt(fields[i+1], 10, 64)
		soft, _ := strconv.ParseInt(fields[i+2], 10, 64)
		switch class := fields[i]; {
		case class == "normal" && (hard != 0 || soft != 0):
			bad = append(bad,
				fmt.Sprintf("normal clients are cut off at %s", mega(max(hard, soft))))
			copy(want[i+1:], []string{"0", "0", "0"})
		case (class == "slave" || class == "replica") && hard != 0 && hard < 256<<20:
			bad = append(bad, fmt.Sprintf("replicas are cut off at %s", mega(hard)))
			copy(want[i+1:], []string{"268435456", "67108864", "60"})
		}
	}
	if len(bad) > 0 {
		return problem("%s", strings.Join(bad, "; ")).fixed(f.set("client-output-buffer-limit",
			strings.Join(want, " ")))
	}
	return ok("%s", value)
}

func latencyCheck(f *facts) outcome {
	var bad []string
	for _, s := range f.spikes {
		if s.max >= 500*time.Millisecond {
			bad = append(bad, fmt.Sprintf("%s took %d ms", s.event, s.max.Milliseconds()))
		}
	}
	switch {
	case len(bad) > 0:
		return problem("%s", strings.Join(bad, ", "))
	case f.answer > 10*time.Millisecond:
		return problem(
			"half of the answers to PING took %.1f ms or more from where the audit ran",
			f.answer.Seconds()*1000).as(Low).
			byDoing("Audit from where the apps run. If it is the same there, move them nearer.")
	case f.spikesErr != "":
		return unknown("%s; PING is answered within %.2f ms", f.spikesErr,
			f.answer.Seconds()*1000)
	}
	if n, known := f.setting("latency-monitor-threshold"); !known || n == 0 || n > 500 {
		return unknown("the latency monitor is off; PING is answered within %.2f ms",
			f.answer.Seconds()*1000)
	}
	return ok("%d events, none above 500 ms; PING is answered within %.2f ms", len(f.spikes),
		f.answer.Seconds()*1000)
}

func fork(f *facts) outcome {
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

func swap(f *facts) outcome {
	used, known := f.number("used_memory")
	resident, rssKnown := f.number("used_memory_rss")
	const small = 100e6 // below this the ratios say nothing
	switch {
	case !known || !rssKnown:
		return noInfo("resident memory")
	case used < small:
		return ok("%s used", mega(used))
	case resident*10 < used*9:
		return problem("%s used, only %s in memory: the rest is swapped out", mega(used),
			mega(resident)).as(High)
	case resident*10 > used*15 && resident-used > small:
		return problem("%s used take %s: fragmentation %d.%02d", mega(used), mega(resident),
			resident/used, resident*100/used%100)
	}
	return ok("%s used, %s resident", mega(used), mega(resident))
}

func overcommit(f *facts) outcome {
	switch {
	case f.local == nil || f.local.overcommit == "":
		return unknown(
			"no command tells it: run sysctl vm.overcommit_memory on the server's machine")
	case f.local.overcommit == "1":
		return ok("1")
	}
	return problem("%s", f.local.overcommit)
}

func hugePages(f *facts) outcome {
	switch {
	case f.local == nil || f.local.hugePages == "":
		return unknown("no command tells it: look at " +
			"/sys/kernel/mm/transparent_hugepage/enabled on the server's machine")
	case f.local.hugePages == "always":
		return problem("always")
	}
	return ok("%s", f.local.hugePages)
}

func keepalive(f *facts) outcome {
	n, known := f.setting("tcp-keepalive")
	switch {
	case !known:
		return f.noConfig("tcp-keepalive")
	case n == 0:
		return problem("off").fixed(f.set("tcp-keepalive", "300"))
	case n > 300:
		return problem("%d s", n).fixed(f.set("tcp-keepalive", "300"))
	}
	return ok("%d s", n)
}

func backlog(f *facts) outcome {
	have, known := f.number("connected_slaves")
	size, sizeKnown := f.setting("repl-backlog-size")
	if !sizeKnown {
		size, sizeKnown = f.number("repl_backlog_size")
	}
	switch {
	case !known:
		return noInfo("replication")
	case !sizeKnown:
		return noInfo("the backlog's size")
	case have > 0 && size < 16<<20:
		return problem("%s", mega(size))
	case have == 0:
		return ok("%s, no replica", mega(size))
	}
	return ok("%s", mega(size))
}

func otherDatabases(f *facts) outcome {
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
	return ok("none is used")
}

func slowLog(f *facts) outcome {
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

func latencyMonitor(f *facts) outcome {
	n, known := f.setting("latency-monitor-threshold")
	switch {
	case !known:
		return f.noConfig("latency-monitor-threshold")
	case n == 0:
		return problem("off").fixed(f.set("latency-monitor-threshold", "100"))
	}
	return ok("from %d ms on", n)
}
