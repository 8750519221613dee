package sentinel

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// Check is one precondition of a failover: what was measured against which limit, and
// what to do when it does not hold.
type Check = migration.Gate

// Limits of the checks.
const (
	// since a replica last acknowledged; it does so once a second
	maxLag    = 3 * time.Second
	maxBehind = 16 << 20 // bytes that a replica has not acknowledged
	// down-after: what is left of the 30 s is for the election and the clients
	maxDown     = 20 * time.Second
	minDown     = time.Second      // below, a slow script is taken for a failure
	maxSilence  = 10 * time.Second // of a sentinel; it says hello every 2 s
	dialTimeout = 2 * time.Second
)

// Readiness asks every sentinel and every data node whether a failover would work and
// lose nothing. It changes nothing. A server that does not answer makes its checks
// fail; the error is for a deployment whose master cannot be determined at all.
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
		// A replica that no sentinel may elect is either a follower from elsewhere or a
		// node with a wrong setting; only the latter lets us in.
		if !r.Member && !l.followers[r.Addr] &&
			redisconn.SignIn(ctx, c.endpoint, r.Addr, c.endpoint.Credentials()) == nil {
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

// look is everything that was asked, for the checks to judge.
type look struct {
	c           *Cluster
	t           Topology
	views       []view
	nodes       []node   // the master first, then the replicas that could become it
	excluded    []string // replicas of the deployment that no sentinel may elect
	followers   map[string]bool
	zones       map[string]string
	unreachable map[string]string // known addresses that do not answer a dial, and why
}

// node is what one data node says of itself.
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

// signIns tries for every node what it would do after a failover: sign in to another
// node that answers.
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

// resolved gives the addresses with IP addresses in place of names, as sentinels name
// them.
func resolved(ctx context.Context, addrs []string) map[string]bool {
	out := map[string]bool{}
	for _, a := range addrs {
		out[a] = true
		host, port, err := net.SplitHostPort(a)
		if err != nil {
			continue
		}
		// a name that is not known is no address that a sentinel names
		ips, _ := net.DefaultResolver.LookupHost(ctx, host)
		for _, ip := range ips {
			out[net.JoinHostPort(ip, port)] = true
		}
	}
	return out
}

// dial tries every address that the sentinels name to others. What we cannot reach, an
// application cannot either.
func (l *look) dial(ctx context.Context) {
	known := map[string]bool{}
	for _, v := range l.views {
		for _, m := range append(slices.Clone(v.replicas), v.sentinels...) {
			known[net.JoinHostPort(m["ip"], m["port"])] = true
		}
	}
	// Not those that answered already: a connection that says nothing is an error in
	// the log of a server that speaks TLS.
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

// answered are the views of the sentinels that watch the master which the majority names.
func (l *look) answered() []view {
	var out []view
	for _, v := range l.views {
		if v.member.Master == l.t.Master {
			out = append(out, v)
		}
	}
	return out
}

// verdict makes a check that holds when nothing bad was found.
func verdict(id, title, limit, next, good string, bad []string) Check {
	ch := Check{ID: id, Title: title, Limit: limit, OK: len(bad) == 0, Measured: good}
	if !ch.OK {
		sort.Strings(bad)
		ch.Measured, ch.Next = strings.Join(slices.Compact(bad), "; "), next
	}
	return ch
}

func (l *look) sentinels() Check {
	reachable, complete := 0, 0
	for _, s := range l.t.Sentinels {
		if s.Reachable {
			reachable++
		}
		if s.Others >= len(l.t.Sentinels)-1 {
			complete++
		}
	}
	n := len(l.t.Sentinels)
	ch := Check{ID: "sentinels",
		Title: "At least three sentinels, all reachable and knowing each other",
		OK:    n >= 3 && reachable == n && complete == n,
		Measured: fmt.Sprintf("%d configured, %d reachable, %d know all the others", n,
			reachable, complete), Limit: "3 or more, all of them"}
	if !ch.OK {
		ch.Next = "start the missing sentinels and give the address of every one; two with " +
			"the same id (a copied sentinel.conf) count as one"
	}
	return ch
}

func (l *look) staleSentinels() Check {
	var bad []string
	for _, v := range l.answered() {
		if extra := v.member.Others - (len(l.t.Sentinels) - 1); extra > 0 {
			bad = append(bad,
				fmt.Sprintf("%s knows %d sentinels more than the %d that are configured",
					v.member.Addr, extra, len(l.t.Sentinels)))
		}
		for _, m := range v.sentinels {
			// A link that is being made is no sign; what counts is that nothing was
			// heard.
			if hello := time.Duration(number(m["last-hello-message"])) *
				time.Millisecond; strings.Contains(m["flags"], "s_down") || hello > maxSilence {
				bad = append(bad,
					fmt.Sprintf("%s sees %s:%s with flags %s, last heard %d s ago",
						v.member.Addr, m["ip"], m["port"], m["flags"], hello/time.Second))
			}
		}
	}
	return verdict("stale-sentinels", "No sentinel is known that is not there",
		"every known sentinel is configured and answers",
		"start it, give its address, or forget it: SENTINEL RESET on one sentinel after the "+
			"other, 30 s apart. A majority is counted over all known ones, the dead too",
		fmt.Sprintf("each knows the %d others, all up", len(l.t.Sentinels)-1), bad)
}

func (l *look) quorum() Check {
	n := len(l.t.Sentinels)
	var bad []string
	for _, v := range l.answered() {
		if q := number(v.master["quorum"]); q < 2 || q > n {
			bad = append(bad, fmt.Sprintf("%s has quorum %d of %d", v.member.Addr, q, n))
		}
	}
	return verdict("quorum", "The quorum is neither one nor more than there are",
		fmt.Sprintf("between 2 and %d, best %d", n, n/2+1),
		fmt.Sprintf("SENTINEL SET %s quorum %d on every sentinel: with 1 a single confused "+
			"sentinel starts a failover, with too many none ever starts", l.t.Name, n/2+1),
		fmt.Sprintf("quorum %d of %d", l.t.Quorum, n), bad)
}

func (l *look) ckquorum() Check {
	var bad []string
	for _, s := range l.t.Sentinels {
		if !s.QuorumOK {
			bad = append(bad, s.Addr+": "+strings.TrimSpace(s.CKQuorum+" "+s.Error))
		}
	}
	return verdict("ckquorum", "Quorum and majority can be reached now",
		"SENTINEL CKQUORUM is OK on every sentinel",
		"bring the unreachable sentinels back; forget those that are gone for good with "+
			"SENTINEL RESET, one sentinel after the other", "OK on every sentinel", bad)
}

func (l *look) agreement() Check {
	var bad []string
	for _, s := range l.t.Sentinels {
		if s.Master != l.t.Master {
			bad = append(bad, fmt.Sprintf("%s says %s, the majority %s", s.Addr,
				orUnknown(s.Master), l.t.Master))
		}
	}
	return verdict("agreement", "All sentinels name the same master", "one address",
		"wait for a failover to end; then SENTINEL REMOVE and MONITOR on the sentinel that "+
			"differs", "all say "+l.t.Master, bad)
}

func (l *look) settings() Check {
	var bad []string
	views := l.answered()
	for _, key := range []string{"quorum", "down-after-milliseconds", "failover-timeout",
		"parallel-syncs"} {
		values := map[string]bool{}
		var said []string
		for _, v := range views {
			values[v.master[key]] = true
			said = append(said, v.member.Addr+" "+v.master[key])
		}
		if len(values) > 1 {
			bad = append(bad, key+": "+strings.Join(said, ", "))
		}
	}
	return verdict("settings", "All sentinels have the same settings",
		"quorum, down-after, failover-timeout and parallel-syncs are equal",
		"SENTINEL SET on the sentinel that differs: which one acts in a failure is chance",
		"equal on all", bad)
}

func (l *look) downAfter() Check {
	var bad []string
	down := time.Duration(l.t.DownAfterMS) * time.Millisecond
	if down < minDown || down > maxDown {
		bad = append(bad, "down-after-milliseconds "+strconv.FormatInt(l.t.DownAfterMS, 10))
	}
	return verdict("down-after", "A failure is noticed soon, but not at the first hiccup",
		fmt.Sprintf("%d to %d ms", minDown.Milliseconds(), maxDown.Milliseconds()),
		"SENTINEL SET "+l.t.Name+" down-after-milliseconds 2000 on every sentinel: the "+
			"election comes 0.4 to 2.5 s later, and writes must be back within 30 s",
		"down-after-milliseconds "+strconv.FormatInt(l.t.DownAfterMS, 10), bad)
}

func (l *look) parallelSyncs() Check {
	var bad []string
	for _, v := range l.answered() {
		if n := number(v.master["parallel-syncs"]); n != 1 {
			bad = append(bad, fmt.Sprintf("%s has parallel-syncs %d", v.member.Addr, n))
		}
	}
	return verdict("parallel-syncs", "Replicas copy from a new master one after the other",
		"parallel-syncs 1",
		"SENTINEL SET "+l.t.Name+" parallel-syncs 1 on every sentinel: otherwise all "+
			"replicas load at once, and the new master is alone meanwhile",
		"parallel-syncs 1", bad)
}

func (l *look) tilt() Check {
	var bad []string
	for _, v := range l.views {
		if v.info["sentinel_tilt"] == "1" {
			bad = append(bad, fmt.Sprintf("%s is in TILT since %s s", v.member.Addr,
				orUnknown(v.info["sentinel_tilt_since_seconds"])))
		}
	}
	return verdict("tilt", "No sentinel distrusts its clock",
		"sentinel_tilt:0 on every sentinel",
		"it ends 30 s after the clock runs evenly again; look for a stopped process, a "+
			"machine that was paused or moved, a clock that was set, too little processor. A "+
			"sentinel in TILT starts no failover",
		"no sentinel is in TILT", bad)
}

func (l *look) masterRole() Check {
	n := l.nodes[0]
	measured := "role " + orUnknown(n.facts.Role)
	if n.err != nil {
		measured = n.err.Error()
	}
	ok := n.err == nil && n.facts.Role == "master" && l.t.MasterFlags == "master"
	ch := Check{ID: "master-role", Title: "The server the sentinels name is a master", OK: ok,
		Limit:    "role master, flags master",
		Measured: fmt.Sprintf("%s: %s, flags %s", l.t.Master, measured, l.t.MasterFlags)}
	if !ok {
		ch.Next = "check that the server runs, that the sentinels have its password " +
			"(auth-pass), and that no failover is under way"
	}
	return ch
}

// authPass: a sentinel that cannot sign in sees a master that is up as down.
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
	return verdict("auth-pass", "Every sentinel can sign in to the master",
		"connected to a master that answers us",
		"SENTINEL SET "+l.t.Name+" auth-pass (and auth-user, with an access list) on that "+
			"sentinel; see ACL LOG on the master for what it lacks", "connected", bad)
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
	ch := Check{ID: "replicas", Title: "A replica can become the master", OK: n >= 1,
		Measured: fmt.Sprintf("%d of %d promotable: %s", n, len(l.t.Replicas),
			strings.Join(each, "; ")), Limit: "1 or more with link ok and priority above 0"}
	if !ch.OK {
		ch.Next = "start a replica, check its masterauth and its replica-priority"
	}
	return ch
}

func (l *look) priority() Check {
	var bad []string
	for _, n := range l.nodes {
		if n.err == nil && n.config["replica-priority"] == "0" {
			bad = append(bad, n.addr+" has replica-priority 0")
		}
	}
	for _, a := range l.excluded {
		bad = append(bad, a+" has replica-priority 0, or the sentinels cannot sign in to it")
	}
	return verdict("replica-priority", "Every data node may be elected",
		"replica-priority above 0 on every node, the master too",
		"CONFIG SET replica-priority 100 and CONFIG REWRITE on that node: with 0 no sentinel "+
			"elects it (NOGOODSLAVE when it is the only one left)",
		"above 0 on every node", bad)
}

// staleReplicas: replicas that the sentinels remember and the master does not have.
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
				r.Addr+" is known to the sentinels and not attached to the master")
		}
	}
	return verdict("stale-replicas", "Every replica that the sentinels know is there",
		"attached to the master, not down",
		"start it and check its masterauth; forget one that is gone for good: SENTINEL RESET "+
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
		text := fmt.Sprintf("%s %s, last heard %d s ago, %d bytes behind", r.addr, r.state,
			r.lag/time.Second, max(0, written-r.offset))
		if r.state != "online" || r.lag > maxLag || written-r.offset > maxBehind {
			bad = append(bad, text)
		} else {
			good = append(good, text)
		}
	}
	if m.err != nil {
		bad = append(bad, m.addr+" is not readable: "+m.err.Error())
	}
	return verdict("replication-lag", "Replicas keep up with the master",
		fmt.Sprintf("online, heard within %s, at most %d MB behind", maxLag, maxBehind>>20),
		"look for a slow disk or network, a full copy under way, or a replica that hangs: "+
			"what it does not have is lost when it becomes the master",
		orUnknown(strings.Join(good, "; ")), bad)
}

// announced: what is behind a translated address is known by one that nobody can reach.
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
		"Every address that the sentinels name can be reached from here",
		"each answers a connection",
		"set replica-announce-ip and replica-announce-port on that data node (sentinel "+
			"announce-ip on that sentinel), then SENTINEL RESET on one sentinel after the "+
			"other; or start what is down",
		"each answers", bad)
}

// onLoopback: the sentinels are configured at loopback addresses, so everything is on
// this machine.
func (l *look) onLoopback() bool {
	for _, s := range l.t.Sentinels {
		host, _, _ := net.SplitHostPort(s.Addr)
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
			return false
		}
	}
	return true
}

func (l *look) hosts() Check {
	of := func(addr string) string { host, _, _ := net.SplitHostPort(addr); return host }
	const (
		id, title = "same-host", "No single host takes a majority or all data with it"
		limit     = "without any one host a data node and a majority of the sentinels are left"
		next      = "move servers to other hosts; a sentinel on the master's host fails with it"
	)
	if l.onLoopback() && l.spread(of) == 1 {
		return verdict(id, title, limit, next,
			"everything is at one loopback address: a rehearsal, where hosts do not count", nil)
	}
	bad := l.lost("host", of)
	return verdict(id, title, limit, next,
		"holds for each of "+strconv.Itoa(l.spread(of))+" hosts", bad)
}

func (l *look) domains() Check {
	var bad []string
	for _, a := range l.servers() {
		if l.zones[a] == "" {
			bad = append(bad, a+" has no zone")
		}
	}
	of := func(addr string) string { return l.zones[addr] }
	if len(bad) == 0 {
		bad = l.lost("zone", of)
	}
	return verdict("failure-domain", "No single failure domain takes a majority or all data "+
		"with it", "without any one zone a data node and a majority of the sentinels are "+
		"left; every server has a zone",
		"give the zone of every server (source.sentinel.nodes[].zone and addrs), and move "+
			"servers until it holds",
		"holds for each of "+strconv.Itoa(l.spread(of))+" zones", bad)
}

// servers are the addresses of the sentinels and of the data nodes that count.
func (l *look) servers() []string {
	var out []string
	for _, s := range l.t.Sentinels {
		out = append(out, s.Addr)
	}
	for _, n := range l.nodes {
		out = append(out, n.addr)
	}
	return out
}

func (l *look) spread(of func(string) string) int {
	seen := map[string]bool{}
	for _, a := range l.servers() {
		seen[of(a)] = true
	}
	return len(seen)
}

// lost says which place the deployment could not lose.
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

// perNode are the checks of settings that every data node must have.
func (l *look) perNode() []Check {
	replicas := len(l.nodes) - 1
	return []Check{
		everyNode("noeviction", "No data node evicts keys", "noeviction on every node",
			"set maxmemory-policy noeviction on each node: a replica's own policy is in "+
				"force once it is the master", l.nodes,
			func(n node) (string, bool) {
				return "policy " + orUnknown(n.facts.MaxMemoryPolicy),
					n.facts.MaxMemoryPolicy == "noeviction"
			}),
		everyNode("persistence", "Every data node keeps its data on disk",
			"append-only file or snapshots on every node",
			"set appendonly yes on each node: a master that restarts empty makes its "+
				"replicas empty too", l.nodes,
			func(n node) (string, bool) {
				on := n.facts.AOFEnabled || n.facts.SavePoints != ""
				return "append-only file " + onOff(n.facts.AOFEnabled) + ", snapshots " +
					onOff(n.facts.SavePoints != ""), on
			}),
		everyNode("min-replicas", "Writes go on with one replica less",
			"min-replicas-to-write below the number of replicas ("+strconv.Itoa(replicas)+")",
			"lower min-replicas-to-write on each node: after a failover one replica is "+
				"missing, and the new master would refuse writes", l.nodes,
			func(n node) (string, bool) {
				return "min-replicas-to-write " + strconv.FormatInt(n.facts.MinReplicas, 10),
					n.facts.MinReplicas == 0 ||
						n.facts.MinReplicas > 0 && n.facts.MinReplicas < int64(replicas)
			}),
		everyNode("masterauth", "Every data node can sign in to a new master",
			"masteruser and masterauth are taken by the other nodes",
			"set masterauth (and masteruser) on each node, the master too: without it a "+
				"demoted master never follows the new one", l.nodes,
			func(n node) (string, bool) {
				if n.signIn != nil {
					return "masterauth does not fit: " + n.signIn.Error(), false
				}
				return "masterauth fits", true
			}),
		everyNode("version", "Every data node runs the same version", "equal on every node",
			"upgrade the replicas, then fail over, then upgrade the old master: a replica "+
				"that is older than its master may not read what it sends", l.nodes,
			func(n node) (string, bool) {
				return "version " + orUnknown(n.facts.Version),
					n.facts.Version != "" && n.facts.Version == l.nodes[0].facts.Version
			}),
	}
}

// everyNode makes one check of every node: it holds when it holds on each.
func everyNode(
	id, title, limit, next string, nodes []node, measure func(node) (string, bool),
) Check {
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
	if !ch.OK {
		ch.Next = next
	}
	return ch
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
