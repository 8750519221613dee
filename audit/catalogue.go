package audit

// catalogue is every check, by priority. Limits without a source named are those that
// Redis' own documentation of redis.conf or BullMQ's guide "Going to production" gives;
// figures said to be measured were measured against real servers with BullMQ 3 to 6.
var catalogue = []Check{
	// Jobs are lost, or run wrongly.
	{ID: "eviction-policy", Title: "Eviction policy", Severity: Critical, Limit: "noeviction",
		Why: "With any other policy Redis deletes keys when memory is short: allkeys-* takes " +
			"waiting jobs, which BullMQ then runs with empty data and reports completed; " +
			"volatile-* takes the locks of running jobs, which then run twice.",
		Remedy: "CONFIG SET maxmemory-policy noeviction, then CONFIG REWRITE. On a managed " +
			"service: its console or API.",
		Commands: []string{"CONFIG GET maxmemory-policy", "INFO memory"},
		Denied:   "INFO memory: maxmemory_policy",
		Risk:     "From then on a full server refuses new jobs instead of deleting waiting ones.",
		judge:    evictionPolicy},
	{ID: "evicted-keys", Title: "Keys evicted", Severity: Critical,
		Limit: "0 since the server started",
		Why: "Each evicted key may have been a job, a job's lock or a list of jobs. What is " +
			"gone is gone; a job whose hash is gone runs with empty data.",
		Remedy: "Set noeviction first. Then take the census: ids without a job are the jobs " +
			"that were lost; have their senders deliver them again. CONFIG RESETSTAT sets " +
			"the counter to 0 when that is done.",
		Commands: []string{"INFO stats"}, Denied: "INFO stats: evicted_keys",
		judge: evictedKeys},
	{ID: "empty-jobs", Title: "Ids without a job", Severity: Critical, Limit: "0", Scan: true,
		Why: "An id in a list whose hash is gone is run by BullMQ with empty name and " +
			"data, and reported completed.",
		Remedy: "Stop the workers of that queue, have the senders deliver these orders " +
			"again, and remove the ids from the lists.",
		Commands: []string{"census (SCAN, LRANGE, ZRANGE, HMGET)"}, Denied: "the same",
		judge: emptyJobs},
	{ID: "queue-ttl", Title: "Keys of queues that expire", Severity: Critical,
		Limit: "none but locks, rate limits, deduplication", Scan: true,
		Why: "BullMQ gives no time to live to jobs, lists or meta. Where something else " +
			"did (a cache's cleaner, EXPIRE by hand), the job vanishes when the time is " +
			"over, at whatever state it is in.",
		Remedy: "Find what sets it (MONITOR for a moment, or commandstats: expire, " +
			"pexpire, setex), stop it, and PERSIST the keys.",
		Commands: []string{"INFO keyspace", "SCAN, PTTL"}, Denied: "the same", judge: queueTTL},
	{ID: "memory-headroom", Title: "Memory headroom", Severity: Critical,
		Limit: "below 80 % of maxmemory, peak below 90 %",
		Why: "With noeviction a full server refuses every add, and workers cannot take " +
			"jobs either: the queue cannot drain itself (measured: 0 of 100 jobs in 6 s, all " +
			"of them 0.2 s after space was freed).",
		Remedy: "Raise maxmemory, or remove finished jobs: removeOnComplete and " +
			"removeOnFail on every queue, queue.clean for those there now.",
		Commands: []string{"INFO memory"}, Denied: "INFO memory: maxmemory, used_memory; 0 " +
			"on services that bound the size elsewhere", judge: headroom},
	{ID: "persistence", Title: "Persistence", Severity: Critical,
		Limit: "append-only file, fsync every second or always",
		Why: "Without it a restart begins with an empty server. One that comes back before " +
			"Sentinel notices hands its emptiness to the replicas (measured: 1,000 of 1,000 " +
			"keys gone on both). With snapshots alone everything since the last one is lost.",
		Remedy: "CONFIG SET appendonly yes, then CONFIG REWRITE; appendfsync everysec. The " +
			"first append-only file is written by a child process: have memory and disk for it.",
		Commands: []string{"INFO persistence", "CONFIG GET save appendfsync"},
		Denied:   "INFO persistence: aof_enabled; the service's own statement",
		judge:    persistence},
	{ID: "persistence-status", Title: "Last writes to disk", Severity: Critical,
		Limit: "all ok, no snapshot overdue",
		Why: "Where the last snapshot or write of the append-only file failed, a " +
			"restart brings back an old state; with stop-writes-on-bgsave-error every add is " +
			"refused (MISCONF).",
		Remedy: "Read the server's log; usually the disk is full, or the child process " +
			"could not be forked. Then BGSAVE or BGREWRITEAOF and look again.",
		Commands: []string{"INFO persistence", "INFO errorstats"}, Denied: "INFO persistence",
		judge: persistenceStatus},
	{ID: "role", Title: "Role", Severity: Critical,
		Limit: "loaded; a master takes writes, a replica's link is up",
		Why: "While it loads, a server answers nothing (LOADING). A replica refuses " +
			"adds (READONLY), and one without its master's link holds an old state.",
		Remedy:   "Wait until it has loaded; look at the master's address, password and log.",
		Commands: []string{"INFO replication", "INFO persistence"}, Denied: "INFO replication",
		judge: role},
	{ID: "min-replicas", Title: "Replicas required for writes", Severity: Critical,
		Limit: "no more than are connected; 1 of 2 or more",
		Why: "min-replicas-to-write above what is connected refuses every add (NOREPLICAS). " +
			"At 0 a master that is cut off goes on acknowledging writes that are thrown away " +
			"when it returns (measured: over a million in 25 s).",
		Remedy: "With two replicas or more: CONFIG SET min-replicas-to-write 1 and " +
			"min-replicas-max-lag 10. With one it trades availability for safety: decide.",
		Commands: []string{"CONFIG GET min-replicas-to-write", "INFO replication"},
		Denied:   "not known", judge: minReplicas},
	{ID: "cluster", Title: "Cluster mode", Severity: Critical,
		Limit: "off, or every queue's prefix in braces",
		Why: "BullMQ's scripts touch many keys at once; in a cluster they must be in " +
			"one slot (CROSSSLOT), which only a prefix like {bull} achieves.",
		Remedy:   "Use a server that is no cluster, or give every queue a prefix in braces.",
		Commands: []string{"INFO cluster"}, Denied: "INFO cluster", judge: cluster},

	// Anybody can do it.
	{ID: "default-user", Title: "Clients without a password", Severity: Critical,
		Limit: "refused",
		Why: "Whoever reaches the port can read every order, delete the queues, and run " +
			"Lua on the server.",
		Remedy: "Set a password: ACL SETUSER default >... or requirepass, and masterauth " +
			"on replicas; give it to the apps first. Then CONFIG REWRITE or ACL SAVE.",
		Commands: []string{"ACL GETUSER default", "PING on a fresh connection"},
		Denied:   "PING on a connection that does not sign in", judge: defaultUser},
	{ID: "users", Title: "Other users without a password", Severity: Critical, Limit: "none",
		Why:      "Whoever knows or guesses the name has that user's rights.",
		Remedy:   "ACL SETUSER name resetpass >..., or off; then ACL SAVE or CONFIG REWRITE.",
		Commands: []string{"ACL LIST"}, Denied: "not known", judge: users},
	{ID: "exposure", Title: "Where it listens", Severity: Critical,
		Limit: "loopback or private addresses; protected-mode on where there is no password",
		Why: "A Redis on a public address is found within minutes. Without a password " +
			"it is taken over; with one it is open to guessing and to every flaw before the " +
			"sign-in.",
		Remedy: "bind to the addresses that apps use, and let only them through the " +
			"firewall. bind is read at the start: it needs redis.conf and, before 6.2, a restart.",
		Commands: []string{"CONFIG GET bind protected-mode"},
		Denied:   "not known, but for the address it is reached at", judge: exposure},
	{ID: "tls", Title: "Encryption on the way", Severity: High,
		Limit: "TLS wherever connections leave the machine",
		Why: "Passwords and payment data cross the network in the clear; who listens " +
			"can replay them.",
		Remedy: "tls-port with a certificate, port 0 once every client uses rediss://, " +
			"tls-replication yes.",
		Commands: []string{"the connection itself", "CONFIG GET port tls-port bind"},
		Denied:   "the connection itself", judge: encryption},
	{ID: "certificate", Title: "Certificate", Severity: Critical,
		Limit: "TLS 1.2 or later, more than 21 days left",
		Why: "On the day it ends no new connection is made: producers answer 503, " +
			"workers stop at their next reconnect.",
		Remedy: "Renew it and load it (CONFIG SET tls-cert-file to the same path reads it " +
			"again, without a restart).",
		Commands: []string{"TLS handshake"}, Denied: "TLS handshake", judge: certificate},
	{ID: "version", Title: "Version", Severity: Critical, Limit: "6.2 or later, a series " +
		"that gets security fixes, with the fix for CVE-2025-49844",
		Why: "BullMQ refuses below 5.0 and warns below 6.2. CVE-2025-49844 lets whoever may " +
			"run Lua, which is every BullMQ client, run code on the server. Redis 7.0 gets " +
			"no fixes since July 2024, older series but 6.2 neither. A distribution may have " +
			"put fixes into an old version without changing its number.",
		Remedy: "Upgrade: at least 6.2.20, 7.2.11, 7.4.6, 8.0.4 or 8.2.2 (Valkey 7.2.11, " +
			"8.0.6, 8.1.4). Or check your distribution's security notes for the installed " +
			"package.",
		Commands: []string{"INFO server"}, Denied: "INFO server: redis_version",
		judge: version},

	// The next fault loses jobs or stops the queue.
	{ID: "maxmemory", Title: "Memory limit", Severity: High,
		Limit: "set, below three quarters of the machine's memory",
		Why: "Without a limit Redis grows until the kernel kills it: jobs since the " +
			"last write to disk are lost. A child process that saves may need as much again.",
		Remedy: "CONFIG SET maxmemory to what the machine can give, three quarters at " +
			"most, then CONFIG REWRITE. Together with noeviction.",
		Commands: []string{"INFO memory"},
		Denied:   "INFO memory: maxmemory, total_system_memory", judge: maxMemory},
	{ID: "replication", Title: "Replicas", Severity: High,
		Limit: "one or more, online, lag 10 s at most",
		Why: "A single server is one failure away from an outage; a replica that lags " +
			"loses what it has not got yet when it is promoted.",
		Remedy: "Add a replica and Sentinel; where a replica lags, look at its network, " +
			"disk and log.",
		Commands: []string{"INFO replication"},
		Denied:   "INFO replication; the service's own statement", judge: replication},
	{ID: "orphans", Title: "Jobs in no list", Severity: High, Limit: "0", Scan: true,
		Why: "A job's hash that no list names is never run, and no worker, dashboard or " +
			"count shows it.",
		Remedy:   "Look at them in the census and add them again from their data, or remove them.",
		Commands: []string{"census (SCAN, LRANGE, ZRANGE, HMGET)"}, Denied: "the same",
		judge: orphans},
	{ID: "stuck", Title: "Schedulers and rate limits that stopped", Severity: High,
		Limit: "every scheduler has its next job, every rate limit's window ends", Scan: true,
		Why: "A scheduler without its next job never fires again until it is upserted. " +
			"A rate-limit key without an end switches the limit off.",
		Remedy:   "Upsert the scheduler from the app; delete the limiter key.",
		Commands: []string{"census (ZRANGE, EXISTS, PTTL)"}, Denied: "the same", judge: stuck},
	{ID: "timeout", Title: "Idle timeout", Severity: High, Limit: "0 (never)",
		Why: "Workers wait in a blocking command on an idle connection. A server that " +
			"closes it makes every worker reconnect again and again; a stall of a reconnect " +
			"is a stall of the queue.",
		Remedy:   "CONFIG SET timeout 0, then CONFIG REWRITE. On Heroku: heroku redis:timeout.",
		Commands: []string{"CONFIG GET timeout"}, Denied: "not known; the service's documents", Risk: "Connections of clients that died without saying so stay until tcp-keepalive finds them.", judge: timeout},
	{ID: "rejected-connections", Title: "Refused connections", Severity: High,
		Limit: "0 since the server started",
		Why:   "The server was full: a producer got an error instead of adding its order.",
		Remedy: "Raise maxclients (and the process's limit of open files), or close what " +
			"leaks connections. CONFIG RESETSTAT sets the counter to 0.",
		Commands: []string{"INFO stats"}, Denied: "INFO stats: rejected_connections",
		judge: rejected},
	{ID: "client-limit", Title: "Room for clients", Severity: High,
		Limit: "below 80 % of maxclients",
		Why: "BullMQ needs one connection per Queue, two per Worker and one per " +
			"QueueEvents, in every process; a deploy has old and new processes at once.",
		Remedy:   "Raise maxclients, or share connections between queues in the apps.",
		Commands: []string{"INFO clients"},
		Denied:   "INFO clients: maxclients; the service's plan", judge: clientLimit},
	{ID: "errors", Title: "Errors answered", Severity: High,
		Limit: "no OOM, MISCONF, NOREPLICAS, BUSY since the server started",
		Why:   "Each of these was an add, or a worker's step, that was refused.",
		Remedy: "OOM: memory-headroom. MISCONF: persistence-status. NOREPLICAS: " +
			"min-replicas. BUSY: slow-scripts. CONFIG RESETSTAT sets the counters to 0.",
		Commands: []string{"INFO errorstats"}, Denied: "INFO errorstats", judge: errorAnswers},
	{ID: "dangerous-commands", Title: "Dangerous commands used", Severity: High,
		Limit: "no FLUSHALL, FLUSHDB, KEYS since the server started",
		Why: "FLUSHALL and FLUSHDB delete every queue; KEYS stops the server while it " +
			"walks all keys (RedisInsight and old admin panels use it).",
		Remedy: "Find who (CLIENT LIST, ACL LOG) and take the right away: ACL SETUSER app " +
			"-@dangerous. CONFIG RESETSTAT sets the counters to 0.",
		Commands: []string{"INFO commandstats"}, Denied: "INFO commandstats", judge: dangerous},
	{ID: "large-jobs", Title: "Large jobs", Severity: High,
		Limit: "data below 100 kB each, none of 5 MB", Scan: true,
		Why: "Each move of a job through a queue carries its data through Redis and its " +
			"scripts, which stop everybody else meanwhile. Managed plans refuse a request " +
			"above 10 MB.",
		Remedy: "Put the payload into object storage or the database and its address into " +
			"the job.",
		Commands: []string{"SCAN, HSTRLEN"}, Denied: "the same", judge: largeJobs},

	// A fault becomes longer or likelier.
	{ID: "slow-scripts", Title: "Slow commands", Severity: High,
		Limit: "no script of 50 ms or more in the last 128 slow commands",
		Why: "Redis does one thing at a time: while a script runs, no add and no " +
			"worker's step does. After 5 s it answers BUSY, and Sentinel may fail over.",
		Remedy: "Look at what it works on: huge lists of finished jobs, large data, " +
			"obliterate or clean without a limit. removeOnComplete keeps lists short. " +
			"SLOWLOG RESET when done.",
		Commands: []string{"SLOWLOG GET 128"},
		Denied:   "SLOWLOG; where it is denied the service's own latency figures",
		judge:    slowScripts},
	{ID: "growth", Title: "Finished jobs kept", Severity: Medium,
		Limit: "below 100,000 in all", Scan: true,
		Why: "BullMQ keeps every finished job for ever unless told otherwise. They fill " +
			"the memory that waiting jobs need (a job of 1 KB takes 1.74 KB).",
		Remedy: "removeOnComplete and removeOnFail with a count or an age on every queue, " +
			"queue.clean for those there now.",
		Commands: []string{"ZCARD, XLEN"}, Denied: "the same", judge: growth},
	{ID: "big-keys", Title: "Big keys", Severity: Medium,
		Limit: "below 100 MB each", Scan: true,
		Why: "A command that reads or deletes it as a whole stops everybody else, and " +
			"managed plans refuse it (a value of 100 MB, a request of 10 MB on the smallest).",
		Remedy: "A list of finished jobs or of events: removeOnComplete, removeOnFail, " +
			"streams.events.maxLen. Anything else: split it, and delete with UNLINK.",
		Commands: []string{"MEMORY USAGE of every queue's lists, and of 2,000 other keys"},
		Denied:   "the same", judge: bigKeys},
	{ID: "foreign-keys", Title: "Shared use", Severity: Medium,
		Limit: "no other data with an expiry beside the queues", Scan: true,
		Why: "A cache wants eviction and queues must not have it: one of the two is " +
			"misconfigured. What fills the memory, flushes, or blocks there stops the queues.",
		Remedy:   "Give the cache a Redis of its own.",
		Commands: []string{"SCAN, PTTL"}, Denied: "the same", judge: foreignKeys},
	{ID: "output-buffers", Title: "Output buffers", Severity: Medium,
		Limit: "normal 0 0 0; replica 256 MB or more; no client cut off",
		Why: "A limit for normal clients cuts a connection that reads a long list of " +
			"jobs. One for replicas that is smaller than a full copy makes a replica start " +
			"over for ever.",
		Remedy: "CONFIG SET client-output-buffer-limit \"normal 0 0 0 replica 256mb 64mb " +
			"60\", then CONFIG REWRITE.",
		Commands: []string{"CONFIG GET client-output-buffer-limit", "INFO stats"},
		Denied:   "not known", Risk: "A client that does not read may take more memory.",
		judge: outputBuffers},
	{ID: "latency", Title: "Latency", Severity: Medium, Limit: "no event above 500 ms since " +
		"it started; half of the answers to PING within 10 ms",
		Why: "Every step of every job is a round trip, so a slow server or a far one is " +
			"a slow queue. An event of seconds lets locks run out: jobs are taken for " +
			"stalled and run twice.",
		Remedy: "LATENCY DOCTOR names causes. fork: less memory or faster machine; aof: " +
			"faster disk; command: slow-scripts. LATENCY RESET when done.",
		Commands: []string{"LATENCY LATEST", "PING"}, Denied: "PING alone",
		judge: latencyCheck},
	{ID: "fork", Title: "Fork", Severity: Medium, Limit: "below 500 ms",
		Why: "To save, Redis forks, and stands still until that is done. Transparent " +
			"huge pages and a lot of memory make it long.",
		Remedy: "Turn transparent huge pages off; split queues over several servers; save " +
			"on a replica.",
		Commands: []string{"INFO stats"}, Denied: "INFO stats: latest_fork_usec", judge: fork},
	{ID: "swap", Title: "Memory in place", Severity: Medium,
		Limit: "resident 90 % or more of used; fragmentation below 1.5",
		Why: "Memory that is swapped out turns microseconds into milliseconds for " +
			"everybody. Fragmented memory is taken from the machine without holding a job.",
		Remedy: "Swapped: more memory, or less else on the machine. Fragmented: CONFIG SET " +
			"activedefrag yes, or a restart by way of a failover.",
		Commands: []string{"INFO memory"}, Denied: "INFO memory", judge: swap},
	{ID: "overcommit", Title: "Kernel: overcommit", Severity: Medium,
		Limit: "vm.overcommit_memory 1",
		Why: "At 0 the kernel may refuse the fork when memory is more than half full: " +
			"snapshots and rewrites of the append-only file fail, with " +
			"stop-writes-on-bgsave-error every add too.",
		Remedy:   "sysctl vm.overcommit_memory=1, and into /etc/sysctl.conf.",
		Commands: []string{"/proc/sys/vm/overcommit_memory"},
		Denied:   "known only on the server's own machine", judge: overcommit},
	{ID: "huge-pages", Title: "Kernel: transparent huge pages", Severity: Medium,
		Limit: "never or madvise",
		Why: "While a child process saves, each write copies 2 MB instead of 4 kB: " +
			"latency and memory jump.",
		Remedy:   "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled, and at boot.",
		Commands: []string{"/sys/kernel/mm/transparent_hugepage/enabled"},
		Denied:   "known only on the server's own machine", judge: hugePages},

	// Good practice.
	{ID: "tcp-keepalive", Title: "Keepalive", Severity: Low, Limit: "60 to 300 s",
		Why: "Without it the connection of a machine that vanished is kept for ever, " +
			"and counts towards maxclients.",
		Remedy:   "CONFIG SET tcp-keepalive 300, then CONFIG REWRITE.",
		Commands: []string{"CONFIG GET tcp-keepalive"}, Denied: "not known",
		Risk: "A few packets per connection.", judge: keepalive},
	{ID: "repl-backlog", Title: "Replication backlog", Severity: Low,
		Limit: "16 MB or more where there are replicas",
		Why: "A replica that was away for longer than the backlog lasts needs a full " +
			"copy: a fork, and the network.",
		Remedy:   "CONFIG SET repl-backlog-size 64mb, then CONFIG REWRITE.",
		Commands: []string{"CONFIG GET repl-backlog-size", "INFO replication"},
		Denied:   "INFO replication: repl_backlog_size", judge: backlog},
	{ID: "other-databases", Title: "Databases besides 0", Severity: Low, Limit: "empty",
		Why: "Managed services have only database 0, and a copy takes one database. " +
			"Keys of others share memory and time all the same.",
		Remedy:   "Move what is there to a server of its own.",
		Commands: []string{"INFO keyspace"}, Denied: "INFO keyspace", judge: otherDatabases},
	{ID: "slowlog", Title: "Slow log", Severity: Low, Limit: "on, 50 ms or less",
		Why:      "It is the only record of what held up the server.",
		Remedy:   "CONFIG SET slowlog-log-slower-than 10000, then CONFIG REWRITE.",
		Commands: []string{"CONFIG GET slowlog-log-slower-than"}, Denied: "not known",
		Risk: "None worth naming.", judge: slowLog},
	{ID: "latency-monitor", Title: "Latency monitor", Severity: Info, Limit: "on",
		Why: "It records when the server stood still, and for what: a fork, the disk, a " +
			"command. Without it the check latency sees only PING.",
		Remedy:   "CONFIG SET latency-monitor-threshold 100, then CONFIG REWRITE.",
		Commands: []string{"CONFIG GET latency-monitor-threshold"}, Denied: "not known",
		Risk: "None worth naming.", judge: latencyMonitor},
}
