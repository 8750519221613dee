package sentinel

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// Check is one precondition of a failover: what was measured against which limit, and what to do when it does not hold.
type Check = migration.Gate

// Readiness asks every sentinel and every data node whether a failover would work and lose nothing. It changes nothing. A server that does
// not answer makes its checks fail; the error is for a deployment whose master cannot be determined at all.
func (c *Cluster) Readiness(ctx context.Context) ([]Check, error) {
	t, err := c.Topology(ctx)
	if err != nil {
		return nil, fmt.Errorf("readiness: %w", err)
	}
	nodes := make([]node, 0, 1+len(t.Replicas))
	for _, addr := range t.nodes() {
		nodes = append(nodes, c.inspect(ctx, addr))
	}
	c.signIns(ctx, nodes)
	return []Check{
		sentinelCheck(t), quorumCheck(t), agreementCheck(t), masterCheck(t, nodes[0]), replicaCheck(t),
		perNode("noeviction", "No data node evicts keys", "noeviction on every node",
			"set maxmemory-policy noeviction on each node: a replica's own policy is in force once it is the master", nodes,
			func(n node) (string, bool) {
				return "policy " + orUnknown(n.facts.MaxMemoryPolicy), n.facts.MaxMemoryPolicy == "noeviction"
			}),
		perNode("persistence", "Every data node keeps its data on disk", "append-only file or snapshots on every node",
			"set appendonly yes on each node: a master that restarts empty makes its replicas empty too", nodes,
			func(n node) (string, bool) {
				on := n.facts.AOFEnabled || n.facts.SavePoints != ""
				return "append-only file " + onOff(n.facts.AOFEnabled) + ", snapshots " + onOff(n.facts.SavePoints != ""), on
			}),
		perNode("min-replicas", "Writes go on with one replica less", "min-replicas-to-write below the number of replicas ("+strconv.Itoa(len(nodes)-1)+")",
			"lower min-replicas-to-write on each node: after a failover one replica is missing, and the new master would refuse writes", nodes,
			func(n node) (string, bool) {
				return "min-replicas-to-write " + strconv.FormatInt(n.facts.MinReplicas, 10),
					n.facts.MinReplicas == 0 || n.facts.MinReplicas > 0 && n.facts.MinReplicas < int64(len(nodes)-1)
			}),
		perNode("masterauth", "Every data node can sign in to a new master", "masteruser and masterauth are taken by the other nodes",
			"set masterauth (and masteruser) on each node, the master too: without it a demoted master never follows the new one", nodes,
			func(n node) (string, bool) {
				if n.signIn != nil {
					return "masterauth does not fit: " + n.signIn.Error(), false
				}
				return "masterauth fits", true
			}),
	}, nil
}

// node is what one data node says of itself.
type node struct {
	addr   string
	facts  redisconn.Facts
	config map[string]string
	signIn error // of this node at another one, with its own masteruser and masterauth
	err    error
}

func (c *Cluster) inspect(ctx context.Context, addr string) node {
	n := node{addr: addr}
	if n.facts, n.err = redisconn.Inspect(ctx, c.Node(addr)); n.err != nil {
		return n
	}
	n.config, n.err = redisconn.Config(ctx, c.Node(addr), "masterauth", "masteruser")
	return n
}

// signIns tries for every node what it would do after a failover: sign in to another node that answers.
func (c *Cluster) signIns(ctx context.Context, nodes []node) {
	for i := range nodes {
		for j := range nodes {
			if i != j && nodes[i].err == nil && nodes[j].err == nil {
				nodes[i].signIn = redisconn.SignIn(ctx, c.endpoint, nodes[j].addr, nodes[i].config["masteruser"], nodes[i].config["masterauth"])
				break
			}
		}
	}
}

// perNode makes one check of every node: it holds when it holds on each.
func perNode(id, title, limit, next string, nodes []node, measure func(node) (string, bool)) Check {
	ch := Check{ID: id, Title: title, OK: true, Limit: limit}
	var measured []string
	for _, n := range nodes {
		text, ok := "", false
		if n.err != nil {
			text = "not readable: " + n.err.Error()
		} else {
			text, ok = measure(n)
		}
		ch.OK = ch.OK && ok
		measured = append(measured, n.addr+" "+text)
	}
	ch.Measured = strings.Join(measured, "; ")
	return withNext(ch, next)
}

func withNext(ch Check, next string) Check {
	if !ch.OK {
		ch.Next = next
	}
	return ch
}

func sentinelCheck(t Topology) Check {
	reachable, complete := 0, 0
	for _, s := range t.Sentinels {
		if s.Reachable {
			reachable++
		}
		if s.Others == len(t.Sentinels)-1 {
			complete++
		}
	}
	return withNext(Check{ID: "sentinels", Title: "At least three sentinels, all reachable and knowing each other",
		OK:       len(t.Sentinels) >= 3 && reachable == len(t.Sentinels) && complete == len(t.Sentinels),
		Measured: fmt.Sprintf("%d configured, %d reachable, %d know all the others", len(t.Sentinels), reachable, complete),
		Limit:    "3 or more, all of them",
	}, "start the missing sentinels and configure the address of every one; SENTINEL RESET forgets those that are gone")
}

func quorumCheck(t Topology) Check {
	ok := t.Quorum >= 2 && t.Quorum <= len(t.Sentinels)
	var bad []string
	for _, s := range t.Sentinels {
		if !s.QuorumOK {
			ok = false
			bad = append(bad, s.Addr+": "+s.CKQuorum+s.Error)
		}
	}
	measured := fmt.Sprintf("quorum %d, every sentinel says it can be reached", t.Quorum)
	if len(bad) > 0 {
		measured = fmt.Sprintf("quorum %d; %s", t.Quorum, strings.Join(bad, "; "))
	}
	return withNext(Check{ID: "quorum", Title: "The quorum can be reached", OK: ok, Measured: measured,
		Limit: fmt.Sprintf("SENTINEL CKQUORUM is OK everywhere, quorum between 2 and %d", len(t.Sentinels)),
	}, "bring the unreachable sentinels back, or set the quorum to a majority of those there are")
}

func agreementCheck(t Topology) Check {
	var others []string
	for _, s := range t.Sentinels {
		if s.Master != t.Master {
			others = append(others, s.Addr+" says "+orUnknown(s.Master))
		}
	}
	measured := "all say " + t.Master
	if len(others) > 0 {
		measured = "the majority says " + t.Master + ", " + strings.Join(others, ", ")
	}
	return withNext(Check{ID: "agreement", Title: "All sentinels name the same master", OK: len(others) == 0, Measured: measured, Limit: "one address"},
		"wait for a failover to end; then SENTINEL REMOVE and MONITOR on the sentinel that differs")
}

func masterCheck(t Topology, n node) Check {
	measured := "role " + orUnknown(n.facts.Role)
	if n.err != nil {
		measured = n.err.Error()
	}
	return withNext(Check{ID: "master-role", Title: "The server the sentinels name is a master", OK: n.err == nil && n.facts.Role == "master" && t.MasterFlags == "master",
		Measured: fmt.Sprintf("%s: %s, flags %s", t.Master, measured, t.MasterFlags), Limit: "role master, flags master",
	}, "check that the server runs, that the sentinels have its password (auth-pass), and that no failover is under way")
}

func replicaCheck(t Topology) Check {
	n := 0
	var each []string
	for _, r := range t.Replicas {
		if r.Promotable() {
			n++
		}
		each = append(each, fmt.Sprintf("%s flags %s link %s priority %d", r.Addr, r.Flags, orUnknown(r.Link), r.Priority))
	}
	return withNext(Check{ID: "replicas", Title: "A replica can become the master", OK: n >= 1,
		Measured: fmt.Sprintf("%d of %d promotable: %s", n, len(t.Replicas), strings.Join(each, "; ")), Limit: "1 or more with link ok and priority above 0",
	}, "start a replica, check its masterauth and its replica-priority")
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
