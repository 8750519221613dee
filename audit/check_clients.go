package audit

import (
	"fmt"
	"strings"
)

var checkIdleTimeout = Check{
	ID:       "timeout",
	Title:    "Idle timeout",
	Severity: High,
	Limit:    "0 (never)",
	Why: "Workers wait in a blocking command on an idle connection. A server that closes " +
		"idle connections makes every worker reconnect again and again; while a reconnect " +
		"stalls, so does the queue.",
	Remedy:   "CONFIG SET timeout 0, then CONFIG REWRITE. On Heroku: heroku redis:timeout.",
	Commands: []string{"CONFIG GET timeout"},
	Denied:   "unknown; see the service's documentation",
	Risk:     "Connections of clients that vanished stay open until tcp-keepalive detects them.",
	judge:    judgeIdleTimeout,
}

func judgeIdleTimeout(f *facts) outcome {
	n, known := f.setting("timeout")
	switch {
	case !known:
		return f.noConfig("timeout")
	case n == 0:
		return ok("0")
	}
	return problem("%d s", n).fixed(f.set("timeout", "0"))
}

var checkRejectedConnections = Check{
	ID:       "rejected-connections",
	Title:    "Refused connections",
	Severity: High,
	Limit:    "0 since the server started",
	Why:      "The server was full: a producer got an error instead of adding its order.",
	Remedy: "Raise maxclients (and the process's limit of open files), or fix what leaks " +
		"connections. CONFIG RESETSTAT sets the counter to 0.",
	Commands: []string{"INFO stats"},
	Denied:   "INFO stats: rejected_connections",
	judge:    judgeRejectedConnections,
}

func judgeRejectedConnections(f *facts) outcome {
	return f.counter("rejected_connections", "connections refused")
}

var checkClientLimit = Check{
	ID:       "client-limit",
	Title:    "Connection headroom",
	Severity: High,
	Limit:    "below 80 % of maxclients",
	Why: "BullMQ needs one connection per Queue, two per Worker and one per QueueEvents, in " +
		"every process; during a deploy, old and new processes run at once.",
	Remedy:   "Raise maxclients, or share connections between queues in the apps.",
	Commands: []string{"INFO clients"},
	Denied:   "INFO clients: maxclients; the service's plan",
	judge:    judgeClientLimit,
}

func judgeClientLimit(f *facts) outcome {
	have, known := f.number("connected_clients")
	limit, limitKnown := f.number("maxclients")
	if !limitKnown {
		limit, limitKnown = f.setting("maxclients")
	}
	switch {
	case !known:
		return noInfo("how many clients are connected")
	case !limitKnown || limit == 0:
		return unknown("%d connected; the server does not report its limit", have)
	case have*100 >= limit*80:
		return problem("%d of %d", have, limit)
	}
	return ok("%d of %d", have, limit)
}

var checkKeepalive = Check{
	ID:       "tcp-keepalive",
	Title:    "Keepalive",
	Severity: Low,
	Limit:    "60 to 300 s",
	Why: "Without it, the connection of a machine that vanished is kept forever and counts " +
		"towards maxclients.",
	Remedy:   "CONFIG SET tcp-keepalive 300, then CONFIG REWRITE.",
	Commands: []string{"CONFIG GET tcp-keepalive"},
	Denied:   "not known",
	Risk:     "A few packets per connection.",
	judge:    judgeKeepalive,
}

func judgeKeepalive(f *facts) outcome {
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

var checkErrorReplies = Check{
	ID:       "errors",
	Title:    "Error replies",
	Severity: High,
	Limit:    "no OOM, MISCONF, NOREPLICAS, BUSY since the server started",
	Why:      "Each of these was an add, or a worker's step, that was refused.",
	Remedy: "OOM: memory-headroom. MISCONF: persistence-status. NOREPLICAS: min-replicas. " +
		"BUSY: slow-scripts. CONFIG RESETSTAT sets the counters to 0.",
	Commands: []string{"INFO errorstats"},
	Denied:   "INFO errorstats",
	judge:    judgeErrorReplies,
}

func judgeErrorReplies(f *facts) outcome {
	if !f.hasPrefix("errorstat_") {
		if f.hasPrefix("cmdstat_") && f.info["total_error_replies"] == "0" {
			return ok("none %s", f.upFor())
		}
		if n, known := f.number("total_error_replies"); known && n == 0 {
			return ok("none %s", f.upFor())
		}
		return noInfo("which errors it returned")
	}
	var bad []string
	var total int64
	for _, name := range []string{"OOM", "MISCONF", "NOREPLICAS", "BUSY"} {
		if n := infoField(f.info["errorstat_"+name], "count"); n > 0 {
			total += n
			bad = append(bad, fmt.Sprintf("%s %d times", name, n))
		}
	}
	if len(bad) > 0 {
		return problem("%s %s", strings.Join(bad, ", "), f.upFor()).counting(total)
	}
	return ok("none of these %s", f.upFor())
}
