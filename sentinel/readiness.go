package sentinel

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// Check is one precondition of a failover: what was measured against which limit,
// and what to do if it fails.
type Check = migration.Gate

// Limits of the checks.
const (
	// since a replica last acknowledged, which it does once a second
	maxLag    = 3 * time.Second
	maxBehind = 16 << 20 // bytes that a replica has not acknowledged
	// down-after: the rest of the 30 s is for the election and the clients
	maxDown     = 20 * time.Second
	minDown     = time.Second      // below it, a slow script counts as a failure
	maxSilence  = 10 * time.Second // of a sentinel, which says hello every 2 s
	dialTimeout = 2 * time.Second
)

// Readiness asks every sentinel and every data node whether a failover would work
// and lose nothing. It changes nothing. A server that does not answer makes its
// checks fail; the error is for a deployment whose master cannot be determined at
// all.
func (c *Cluster) Readiness(ctx context.Context) ([]Check, error) {
	master, err := c.Master(ctx)
	if err != nil {
		return nil, fmt.Errorf("readiness: %w", err)
	}
	l := look{c: c, zones: c.Zones}
	l.views, _ = each(c, func(s member) (view, error) { return c.view(ctx, s), nil })
	l.t = c.topology(master, l.views)
	addrs := l.t.nodes()
	l.followers = resolved(ctx, c.Followers)
	for _, r := range l.t.Replicas {
		// A replica that no sentinel may elect is either a follower from elsewhere
		// or a node with a wrong setting, which lets us in. A follower may too.
		if !r.Member && !l.followers[r.Addr] &&
			redisconn.SignIn(ctx, c.endpoint, r.Addr, c.endpoint.Credentials()) == nil &&
			!c.follower(ctx, r.Addr) {
			l.excluded = append(l.excluded, r.Addr)
		}
	}
	l.nodes = make([]node, len(addrs))
	var wg sync.WaitGroup
	for i, addr := range addrs {
		wg.Go(func() { l.nodes[i] = c.inspect(ctx, addr) })
	}
	wg.Wait()
	c.signIns(ctx, l.nodes)
	l.dial(ctx)
	checks := []Check{
		l.sentinels(), l.staleSentinels(), l.quorum(), l.ckquorum(), l.agreement(),
		l.settings(), l.downAfter(), l.parallelSyncs(), l.tilt(),
		l.masterRole(), l.authPass(), l.replicas(), l.priority(), l.staleReplicas(), l.lag(),
		l.announced(), l.hosts(),
	}
	if len(l.zones) > 0 {
		checks = append(checks, l.domains())
	}
	return append(checks, l.perNode()...), nil
}

// follower reports whether a server is one of Followers by another address.
func (c *Cluster) follower(ctx context.Context, addr string) bool {
	id, err := redisconn.RunID(ctx, c.Node(addr))
	if err != nil || id == "" {
		return false
	}
	return slices.ContainsFunc(c.Followers, func(f string) bool {
		other, err := redisconn.RunID(ctx, c.Node(f))
		return err == nil && other == id
	})
}

// look is everything that was read, for the checks to judge.
type look struct {
	c           *Cluster
	t           Topology
	views       []view
	nodes       []node   // the master first, then the replicas that could become it
	excluded    []string // replicas of the deployment that no sentinel may elect
	followers   map[string]bool
	zones       map[string]string
	unreachable map[string]string // known addresses that cannot be dialled, and why
}

// node is what one data node reports about itself.
type node struct {
	addr   string
	facts  redisconn.Facts
	config map[string]string
	info   map[string]string
	signIn error // of this node at another one, with its own masteruser and masterauth
	err    error
}

func (c *Cluster) inspect(ctx context.Context, addr string) node {
	n := node{addr: addr}
	if n.facts, n.err = redisconn.Inspect(ctx, c.Node(addr)); n.err != nil {
		return n
	}
	if n.config, n.err = redisconn.Config(ctx, c.Node(addr), "masterauth", "masteruser",
		"replica-priority"); n.err != nil {
		return n
	}
	text, err := c.Node(addr).Info(ctx, "replication").Result()
	n.info, n.err = redisconn.ParseInfo(text), redisconn.Explain(err)
	return n
}

// signIns tries for every node what it would have to do after a failover:
// authenticate to another node that answers.
func (c *Cluster) signIns(ctx context.Context, nodes []node) {
	for i := range nodes {
		for j := range nodes {
			if i != j && nodes[i].err == nil && nodes[j].err == nil {
				nodes[i].signIn = redisconn.SignIn(ctx, c.endpoint, nodes[j].addr,
					redisconn.Credentials{User: nodes[i].config["masteruser"],
						Password: migration.Secret(nodes[i].config["masterauth"])})
				break
			}
		}
	}
}

// resolved returns the addresses with IP addresses instead of names, as sentinels
// report them.
func resolved(ctx context.Context, addrs []string) map[string]bool {
	out := map[string]bool{}
	for _, a := range addrs {
		out[a] = true
		host, port, err := net.SplitHostPort(a)
		if err != nil {
			continue
		}
		// a name that does not resolve is not an address that a sentinel reports
		ips, _ := net.DefaultResolver.LookupHost(ctx, host)
		for _, ip := range ips {
			out[net.JoinHostPort(ip, port)] = true
		}
	}
	return out
}

// dial tries every address that the sentinels give to others. What we cannot reach,
// an application cannot reach either.
func (l *look) dial(ctx context.Context) {
	known := map[string]bool{}
	for _, v := range l.views {
		for _, m := range append(slices.Clone(v.replicas), v.sentinels...) {
			known[net.JoinHostPort(m["ip"], m["port"])] = true
		}
	}
	// Not those that answered already: a silent connection is an error in the log
	// of a server with TLS.
	for _, n := range l.nodes {
		if n.err == nil {
			delete(known, n.addr)
		}
	}
	for _, s := range l.t.Sentinels {
		if s.Reachable {
			delete(known, s.Addr)
		}
	}
	l.unreachable = map[string]string{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for addr := range known {
		if l.followers[addr] {
			continue
		}
		wg.Go(func() {
			d := net.Dialer{Timeout: dialTimeout}
			conn, err := d.DialContext(ctx, "tcp", addr)
			if err == nil {
				_ = conn.Close()
				return
			}
			mu.Lock()
			defer mu.Unlock()
			l.unreachable[addr] = redisconn.Explain(err).Error()
		})
	}
	wg.Wait()
}

// answered returns the views of the sentinels that monitor the master the majority
// names.
func (l *look) answered() []view {
	var out []view
	for _, v := range l.views {
		if v.member.Master == l.t.Master {
			out = append(out, v)
		}
	}
	return out
}

// verdict makes a check that passes if there are no objections.
func verdict(id, title, limit, next, good string, bad []string) Check {
	c := migration.Claim{ID: id, Title: title, Limit: limit, Next: next, Measured: good}
	if len(bad) > 0 {
		sort.Strings(bad)
		c.Measured = strings.Join(slices.Compact(bad), "; ")
	}
	return c.About("deployment", "Sentinel", len(bad) == 0, nil)
}
