package sentinel

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

func (l *look) masterRole() Check {
	n := l.nodes[0]
	measured := "role " + orUnknown(n.facts.Role)
	if n.err != nil {
		measured = migration.PlainError(n.err)
	}
	ok := n.err == nil && n.facts.Role == "master" && l.t.MasterFlags == "master"
	return migration.Claim{ID: "master-role", Title: "The server the sentinels name is a master",
		Limit:    "role master, flags master",
		Measured: fmt.Sprintf("%s: %s, flags %s", l.t.Master, measured, l.t.MasterFlags),
		Next: "check that the server runs, that the sentinels have its password (auth-pass), and " +
			"that no failover is under way",
	}.About("server", l.t.Master, ok, nil)
}

// authPass checks the sentinels' password: a sentinel that cannot authenticate sees
// a healthy master as down.
func (l *look) authPass() Check {
	var bad []string
	for _, v := range l.answered() {
		flags := v.master["flags"]
		if l.nodes[0].err == nil && (v.master["runid"] == "" ||
			strings.Contains(flags, "disconnected") || strings.Contains(flags, "s_down")) {
			bad = append(bad, fmt.Sprintf("%s has flags %s for a master that answers us",
				v.member.Addr, flags))
		}
	}
	return verdict("auth-pass", "Every sentinel can authenticate to the master",
		"connected to a master that answers us",
		"SENTINEL SET "+l.t.Name+" auth-pass (and auth-user, with access control lists) on "+
			"that sentinel; ACL LOG on the master shows what is missing", "connected", bad)
}

func (l *look) replicas() Check {
	n := 0
	var each []string
	for _, r := range l.t.Replicas {
		if r.Promotable() {
			n++
		}
		each = append(each, fmt.Sprintf("%s flags %s link %s priority %d", r.Addr, r.Flags,
			orUnknown(r.Link), r.Priority))
	}
	return migration.Claim{ID: "replicas", Title: "A replica can become the master",
		Measured: fmt.Sprintf("%d of %d promotable: %s", n, len(l.t.Replicas),
			strings.Join(each, "; ")), Limit: "1 or more with link ok and priority above 0",
		Next: "start a replica; check its masterauth and replica-priority",
	}.About("deployment", "Sentinel", n >= 1, nil)
}

func (l *look) priority() Check {
	var bad []string
	for _, n := range l.nodes {
		if n.err == nil && n.config["replica-priority"] == "0" {
			bad = append(bad, n.addr+" has replica-priority 0")
		}
	}
	for _, a := range l.excluded {
		bad = append(bad,
			a+" has replica-priority 0, or the sentinels cannot authenticate to it")
	}
	return verdict("replica-priority", "Every data node can be elected",
		"replica-priority above 0 on every node, including the master",
		"CONFIG SET replica-priority 100 and CONFIG REWRITE on that node: with 0 no sentinel "+
			"elects it (NOGOODSLAVE when it is the only one left)",
		"above 0 on every node", bad)
}

// staleReplicas finds replicas that the sentinels remember and the master does not
// have.
func (l *look) staleReplicas() Check {
	attached := map[string]bool{}
	for _, r := range attachedTo(l.nodes[0]) {
		attached[r.addr] = true
	}
	var bad []string
	for _, r := range l.t.Replicas {
		if !r.Member && (attached[r.Addr] || l.followers[r.Addr]) {
			continue
		}
		if strings.Contains(r.Flags, "s_down") {
			bad = append(bad, fmt.Sprintf("%s has flags %s", r.Addr, r.Flags))
		} else if l.nodes[0].err == nil && !attached[r.Addr] {
			bad = append(bad,
				r.Addr+" is known to the sentinels but not attached to the master")
		}
	}
	return verdict("stale-replicas", "Every replica known to the sentinels is present",
		"attached to the master, not down",
		"start it and check its masterauth; to forget one that is gone for good: SENTINEL RESET "+
			l.t.Name+" on one sentinel after the other, 30 s apart",
		fmt.Sprintf("%d known, all attached", len(l.t.Replicas)), bad)
}

// attached is a replica as the master sees it.
type attached struct {
	addr, state string
	offset      int64
	lag         time.Duration // since it last acknowledged
}

func attachedTo(n node) []attached {
	var out []attached
	for i := 0; ; i++ {
		line, ok := n.info["slave"+strconv.Itoa(i)]
		if !ok {
			return out
		}
		v := map[string]string{}
		for part := range strings.SplitSeq(line, ",") {
			k, val, _ := strings.Cut(part, "=")
			v[k] = val
		}
		offset, _ := strconv.ParseInt(v["offset"], 10, 64)
		out = append(out, attached{net.JoinHostPort(v["ip"], v["port"]), v["state"], offset,
			time.Duration(number(v["lag"])) * time.Second})
	}
}

func (l *look) lag() Check {
	m := l.nodes[0]
	written, _ := strconv.ParseInt(m.info["master_repl_offset"], 10, 64)
	var bad, good []string
	for _, r := range attachedTo(m) {
		if !slices.ContainsFunc(l.nodes, func(n node) bool { return n.addr == r.addr }) {
			continue
		}
		text := fmt.Sprintf("%s %s, last heard %s ago, %d bytes behind", r.addr, r.state,
			migration.Words(r.lag), max(0, written-r.offset))
		if r.state != "online" || r.lag > maxLag || written-r.offset > maxBehind {
			bad = append(bad, text)
		} else {
			good = append(good, text)
		}
	}
	if m.err != nil {
		bad = append(bad, m.addr+" is not readable: "+migration.PlainError(m.err))
	}
	return verdict("replication-lag", "Replicas keep up with the master",
		fmt.Sprintf("online, heard within %s, at most %s behind", maxLag, migration.Bytes(maxBehind)),
		"look for a slow disk or network, a full resync in progress, or a replica that "+
			"hangs: whatever it lacks is lost if it becomes the master",
		orUnknown(strings.Join(good, "; ")), bad)
}

// announced checks the addresses that nodes announce: behind address translation a
// node may be known by one that nobody can reach.
func (l *look) announced() Check {
	var bad []string
	for addr, why := range l.unreachable {
		bad = append(bad, "the sentinels name "+addr+", where "+why)
	}
	host, _, _ := net.SplitHostPort(l.t.Master)
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() && !l.onLoopback() {
		bad = append(bad,
			"the sentinels name the master "+l.t.Master+", which only its own host can reach")
	}
	return verdict("announce-ip",
		"Every address the sentinels announce is reachable from here",
		"each accepts a connection",
		"set replica-announce-ip and replica-announce-port on that data node (sentinel "+
			"announce-ip on that sentinel), then SENTINEL RESET on one sentinel after the "+
			"other; or start what is down",
		"each answers", bad)
}

// onLoopback reports whether the sentinels are configured at loopback addresses, so
// that everything is on this machine.
func (l *look) onLoopback() bool {
	for _, s := range l.t.Sentinels {
		host, _, _ := net.SplitHostPort(s.Addr)
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
			return false
		}
	}
	return true
}

// lost says which failure domain the deployment could not lose.
func (l *look) lost(kind string, of func(string) string) []string {
	var bad []string
	majority := len(l.t.Sentinels)/2 + 1
	for _, a := range l.servers() {
		place := of(a)
		sentinels, data := 0, 0
		for _, s := range l.t.Sentinels {
			if of(s.Addr) != place {
				sentinels++
			}
		}
		for _, n := range l.nodes {
			if of(n.addr) != place {
				data++
			}
		}
		if sentinels < majority {
			bad = append(bad,
				fmt.Sprintf("without %s %s %d of %d sentinels are left, %d are needed", kind,
					place, sentinels, len(l.t.Sentinels), majority))
		}
		if data == 0 {
			bad = append(bad, fmt.Sprintf("without %s %s no data node is left", kind, place))
		}
	}
	return bad
}

// perNode checks the settings that every data node must have.
func (l *look) perNode() []Check {
	replicas := len(l.nodes) - 1
	return []Check{
		everyNode("noeviction", "No data node evicts keys", "noeviction on every node",
			"set maxmemory-policy noeviction on each node: a replica's own policy takes "+
				"effect once it is the master", l.nodes,
			func(n node) (string, bool) {
				return "policy " + orUnknown(n.facts.MaxMemoryPolicy),
					n.facts.MaxMemoryPolicy == "noeviction"
			}),
		everyNode("persistence", "Every data node keeps its data on disk",
			"append-only file or snapshots on every node",
			"set appendonly yes on each node: a master that restarts empty also empties its "+
				"replicas", l.nodes,
			func(n node) (string, bool) {
				on := n.facts.AOFEnabled || n.facts.SavePoints != ""
				return "append-only file " + onOff(n.facts.AOFEnabled) + ", snapshots " +
					onOff(n.facts.SavePoints != ""), on
			}),
		everyNode("min-replicas", "Writes continue with one replica less",
			"min-replicas-to-write below the number of replicas ("+strconv.Itoa(replicas)+")",
			"lower min-replicas-to-write on each node: after a failover one replica is "+
				"missing, and the new master would refuse writes", l.nodes,
			func(n node) (string, bool) {
				return "min-replicas-to-write " + strconv.FormatInt(n.facts.MinReplicas, 10),
					n.facts.MinReplicas == 0 ||
						n.facts.MinReplicas > 0 && n.facts.MinReplicas < int64(replicas)
			}),
		everyNode("masterauth", "Every data node can authenticate to a new master",
			"masteruser and masterauth are accepted by the other nodes",
			"set masterauth (and masteruser) on each node, including the master: without it "+
				"a demoted master never follows the new one", l.nodes,
			func(n node) (string, bool) {
				if n.signIn != nil {
					return "masterauth is not accepted: " + migration.PlainError(n.signIn), false
				}
				return "masterauth fits", true
			}),
		everyNode("version", "Every data node runs the same version", "equal on every node",
			"upgrade the replicas, then fail over, then upgrade the old master: a replica "+
				"older than its master may not understand what it sends", l.nodes,
			func(n node) (string, bool) {
				return "version " + orUnknown(n.facts.Version),
					n.facts.Version != "" && n.facts.Version == l.nodes[0].facts.Version
			}),
	}
}

// everyNode makes one check that passes if it passes on every node.
func everyNode(
	id, title, limit, next string, nodes []node, measure func(node) (string, bool),
) Check {
	c := migration.Claim{ID: id, Title: title, Limit: limit, Next: next,
		Asked: migration.Coverage{Of: "data node", Found: "the sentinels"}}
	var measured []string
	for _, n := range nodes {
		m := migration.Member{Key: "server:" + n.addr, Name: n.addr, Verdict: migration.Unmet}
		if n.err != nil {
			m.Why = "not readable: " + migration.PlainError(n.err)
		} else {
			var ok bool
			m.Why, ok = measure(n)
			m.Verdict = migration.Truth(ok)
		}
		c.Asked.Members = append(c.Asked.Members, m)
		measured = append(measured, n.addr+" "+m.Why)
	}
	c.Measured = strings.Join(measured, "; ")
	return c.Gate()
}

func number(s string) int { n, _ := strconv.Atoi(s); return n }

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}
