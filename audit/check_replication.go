package audit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/switchyard-dev/switchyard/migration"
)

var checkRole = Check{
	ID:       "role",
	Title:    "Role",
	Severity: Critical,
	Limit:    "loaded; a master accepts writes, a replica's link is up",
	Why: "A loading server serves no requests (LOADING). A replica refuses adds (READONLY), " +
		"and one that lost its link to the master holds an old state.",
	Remedy:   "Wait until it has loaded; check the master's address, password and log.",
	Commands: []string{"INFO replication", "INFO persistence"},
	Denied:   "INFO replication",
	judge:    judgeRole,
}

func judgeRole(f *facts) outcome {
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

var checkMinReplicas = Check{
	ID:       "min-replicas",
	Title:    "Replicas required for writes",
	Severity: Critical,
	Limit:    "no more than are connected; 1 if there are 2 or more",
	Why: "With min-replicas-to-write above the number connected, every add is refused " +
		"(NOREPLICAS). At 0, a master that is cut off keeps acknowledging writes that are " +
		"discarded when it returns (measured: over a million in 25 s).",
	Remedy: "With two replicas or more: CONFIG SET min-replicas-to-write 1 and " +
		"min-replicas-max-lag 10. With one, it trades availability for safety: decide.",
	Commands: []string{"CONFIG GET min-replicas-to-write", "INFO replication"},
	Denied:   "not known",
	judge:    judgeMinReplicas,
}

func judgeMinReplicas(f *facts) outcome {
	want, known := f.setting("min-replicas-to-write")
	if !known {
		return f.noConfig("min-replicas-to-write")
	}
	have, known := f.number("connected_slaves")
	good, goodKnown := f.number("min_slaves_good_slaves")
	switch {
	case want >= fenced:
		return problem("the server is fenced (min-replicas-to-write %d): it accepts no writes, "+
			"on a replica once it is promoted", want).
			byDoing("switchyard debts names the run that fenced it, and lifts what no run holds. "+
				"If it names none: CONFIG SET min-replicas-to-write %d.", want-fenced)
	case f.info["role"] == "slave":
		return ok("%d, on a replica: takes effect when it is promoted", want)
	case !known:
		return noInfo("how many replicas are connected")
	case goodKnown && want > good:
		return problem(
			"%d required, %d connected and in sync: every add is refused now", want, good)
	case want > have:
		return problem("%d required, %d connected: every add is refused now", want, have)
	case have >= 2 && want == 0:
		return problem("0 required, %d connected", have).as(Medium)
	}
	return ok("%d required, %d connected", want, have)
}

// fenced is the value at which Switchyard's fence begins (redisconn.Fence).
const fenced = 1000

var checkCluster = Check{
	ID:       "cluster",
	Title:    "Cluster mode",
	Severity: Critical,
	Limit:    "off, or every queue's prefix in braces",
	Why: "BullMQ's scripts touch many keys at once; in a cluster those must share a slot " +
		"(CROSSSLOT), which only a prefix like {bull} achieves.",
	Remedy:   "Use a server without cluster mode, or give every queue a prefix in braces.",
	Commands: []string{"INFO cluster"},
	Denied:   "INFO cluster",
	judge:    judgeCluster,
}

func judgeCluster(f *facts) outcome {
	switch f.info["cluster_enabled"] {
	case "0":
		return ok("off")
	case "1":
	default:
		return noInfo("whether cluster mode is on")
	}
	switch {
	case f.scan == nil:
		return unknown("on; whether the queues' prefixes are in braces was not checked")
	case len(f.scan.queues) > 0 && f.scan.braces:
		return ok("on; the prefixes of %d queues are in braces", len(f.scan.queues))
	}
	return problem("on; not every queue's prefix is in braces")
}

var checkReplication = Check{
	ID:       "replication",
	Title:    "Replicas",
	Severity: High,
	Limit:    "one or more, online, lag 10 s at most",
	Why: "A single server is one failure away from an outage; when a lagging replica is " +
		"promoted, whatever it had not received is lost.",
	Remedy:   "Add a replica and Sentinel; if a replica lags, check its network, disk and log.",
	Commands: []string{"INFO replication"},
	Denied:   "INFO replication; the service's documentation",
	judge:    judgeReplication,
}

func judgeReplication(f *facts) outcome {
	n, known := f.number("connected_slaves")
	if f.info["role"] == "slave" {
		return ok("this is a replica")
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

// maxLag is how many seconds a replica may lag: the default of
// min-replicas-max-lag.
const maxLag = 10

var checkReplicationBacklog = Check{
	ID:       "repl-backlog",
	Title:    "Replication backlog",
	Severity: Low,
	Limit:    "16 MiB or more where there are replicas",
	Why: "A replica that was disconnected for longer than the backlog covers needs a full " +
		"resync, which costs a fork and network traffic.",
	Remedy:   "CONFIG SET repl-backlog-size 64mb, then CONFIG REWRITE.",
	Commands: []string{"CONFIG GET repl-backlog-size", "INFO replication"},
	Denied:   "INFO replication: repl_backlog_size",
	judge:    judgeReplicationBacklog,
}

func judgeReplicationBacklog(f *facts) outcome {
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
		return problem("%s", migration.Bytes(size))
	case have == 0:
		return ok("%s, no replica", migration.Bytes(size))
	}
	return ok("%s", migration.Bytes(size))
}

var checkOutputBuffers = Check{
	ID:       "output-buffers",
	Title:    "Output buffers",
	Severity: Medium,
	Limit:    "normal 0 0 0; replica 256 MiB or more; no client disconnected",
	Why: "A limit for normal clients drops a connection that reads a long list of jobs. A " +
		"limit for replicas below the size of a full resync makes a replica start over forever.",
	Remedy: "CONFIG SET client-output-buffer-limit \"normal 0 0 0 replica 256mb 64mb 60\", " +
		"then CONFIG REWRITE.",
	Commands: []string{"CONFIG GET client-output-buffer-limit", "INFO stats"},
	Denied:   "not known",
	Risk:     "A client that does not read its replies may use more memory.",
	judge:    judgeOutputBuffers,
}

func judgeOutputBuffers(f *facts) outcome {
	value, known := f.config["client-output-buffer-limit"]
	cut, _ := f.number("client_output_buffer_limit_disconnections") // since Redis 7.2
	evicted, _ := f.number("evicted_clients")
	if cut > 0 || evicted > 0 {
		return problem(
			"%d clients disconnected by their output limit, %d evicted for memory, %s", cut,
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
				fmt.Sprintf("normal clients are disconnected at %s", migration.Bytes(max(hard, soft))))
			copy(want[i+1:], []string{"0", "0", "0"})
		case (class == "slave" || class == "replica") && hard != 0 && hard < 256<<20:
			bad = append(bad, fmt.Sprintf("replicas are disconnected at %s", migration.Bytes(hard)))
			copy(want[i+1:], []string{"268435456", "67108864", "60"})
		}
	}
	if len(bad) > 0 {
		return problem("%s", strings.Join(bad, "; ")).fixed(f.set("client-output-buffer-limit",
			strings.Join(want, " ")))
	}
	return ok("%s", value)
}
