// Package sentinel knows a Redis Sentinel deployment: what its sentinels report,
// whether a failover would work, how long one takes and what it loses from an
// application's point of view, and how a standalone server's data moves onto it by
// replication.
//
// It only reaches the servers over the network; it never starts, stops or signals a
// process.
package sentinel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// ErrSuspended means that no sentinel monitors the master: Suspend was called and
// Resume was not.
var ErrSuspended = errors.New(
	"no sentinel monitors the master: monitoring is suspended or was never set up")

// pollEvery is how often waiting functions look again.
const pollEvery = 50 * time.Millisecond

// Cluster is one Sentinel deployment. It is safe for concurrent use.
type Cluster struct {
	// Zones maps addresses of servers to failure domains, as far as they are known.
	// Set it before use.
	Zones map[string]string
	// Followers are servers, as host:port, that may replicate from the master
	// without belonging to the deployment. Set it before use.
	Followers []string

	endpoint  redisconn.Endpoint
	sentinels []member

	mu    sync.Mutex
	nodes map[string]redis.UniversalClient // by address, opened on first use
}

// member is one sentinel as configured.
type member struct {
	addr   string
	client *redis.SentinelClient
}

// New makes a Cluster for a Sentinel endpoint. It does not dial. Close it when done.
func New(e redisconn.Endpoint) *Cluster {
	c := &Cluster{endpoint: e, nodes: map[string]redis.UniversalClient{}}
	for _, a := range e.SentinelAddrs {
		c.sentinels = append(c.sentinels, member{addr: a, client: redisconn.SentinelNode(e, a)})
	}
	return c
}

// Close closes every connection.
func (c *Cluster) Close() {
	for _, s := range c.sentinels {
		_ = s.client.Close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.nodes {
		_ = n.Close()
	}
	c.nodes = map[string]redis.UniversalClient{}
}

// Node returns the client of one data node. The Cluster closes it.
func (c *Cluster) Node(addr string) redis.UniversalClient {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, ok := c.nodes[addr]
	if !ok {
		n = redisconn.Node(c.endpoint, addr)
		c.nodes[addr] = n
	}
	return n
}

// each queries every sentinel concurrently; answer i is sentinel i's.
func each[T any](c *Cluster, ask func(s member) (T, error)) ([]T, []error) {
	out, errs := make([]T, len(c.sentinels)), make([]error, len(c.sentinels))
	var wg sync.WaitGroup
	for i, s := range c.sentinels {
		wg.Go(func() { out[i], errs[i] = ask(s) })
	}
	wg.Wait()
	return out, errs
}

// Master returns the address that the majority of the configured sentinels name.
// Without a majority the error says who says what; if no reachable sentinel
// monitors the master it wraps ErrSuspended.
func (c *Cluster) Master(ctx context.Context) (string, error) {
	answers, errs := each(c, func(s member) (string, error) { return c.masterBy(ctx, s) })
	votes := map[string]int{}
	var said []string
	reached, suspended := 0, 0
	for i, s := range c.sentinels {
		switch {
		case errors.Is(errs[i], ErrSuspended):
			reached, suspended = reached+1, suspended+1
			said = append(said, s.addr+" monitors no such master")
		case errs[i] != nil:
			said = append(said, s.addr+" is unreachable: "+redisconn.Explain(errs[i]).Error())
		default:
			reached++
			votes[answers[i]]++
			said = append(said, s.addr+" says "+answers[i])
		}
	}
	for addr, n := range votes {
		if n > len(c.sentinels)/2 {
			return addr, nil
		}
	}
	if reached > 0 && suspended == reached {
		return "", fmt.Errorf("master %s: %w", c.endpoint.MasterName, ErrSuspended)
	}
	return "", migration.Errorf(migration.Unavailable,
		"no majority of the sentinels agrees on a master %s: %s", c.endpoint.MasterName,
		strings.Join(said, "; "))
}

func (c *Cluster) masterBy(ctx context.Context, s member) (string, error) {
	got, err := s.client.GetMasterAddrByName(ctx, c.endpoint.MasterName).Result()
	if errors.Is(err, redis.Nil) {
		return "", ErrSuspended
	}
	if err != nil {
		return "", err
	}
	if len(got) != 2 {
		return "", fmt.Errorf("unexpected answer of %d parts", len(got))
	}
	return net.JoinHostPort(got[0], got[1]), nil
}

// NodeAddrs returns the address of every data node of the deployment: the master
// first, then the replicas that could become it. See Replica.Member.
func (c *Cluster) NodeAddrs(ctx context.Context) ([]string, error) {
	t, err := c.Topology(ctx)
	if err != nil {
		return nil, err
	}
	return t.nodes(), nil
}

func (t Topology) nodes() []string {
	out := []string{t.Master}
	for _, r := range t.Replicas {
		if r.Member {
			out = append(out, r.Addr)
		}
	}
	return out
}

// Topology is the combined knowledge of the sentinels.
type Topology struct {
	Name              string    `json:"name"`
	Master            string    `json:"master"` // address, by majority
	MasterFlags       string    `json:"master_flags"`
	Quorum            int       `json:"quorum"`
	DownAfterMS       int64     `json:"down_after_ms"`
	FailoverTimeoutMS int64     `json:"failover_timeout_ms"`
	ParallelSyncs     int       `json:"parallel_syncs"`
	Replicas          []Replica `json:"replicas"`
	Sentinels         []Member  `json:"sentinels"`
}

// Replica is a replica as the sentinels know it. After a failover the former master
// is one, at first with flags s_down.
type Replica struct {
	Addr     string `json:"addr"`
	Flags    string `json:"flags"`  // "slave" alone is healthy
	Link     string `json:"link"`   // master-link-status: ok or err
	Offset   int64  `json:"offset"` // slave-repl-offset, bytes
	Priority int    `json:"priority"`
	// Member means a node of the deployment, up or down. A server that only follows
	// the master is not one: it has priority 0, or no sentinel could ever
	// authenticate to it. The standalone server that Switch made a replica is such
	// a follower.
	Member bool `json:"member"`
}

// Promotable reports whether a sentinel could make this replica the master.
func (r Replica) Promotable() bool {
	return r.Flags == "slave" && r.Link == "ok" && r.Priority > 0
}

// Member is one configured sentinel.
type Member struct {
	Addr      string `json:"addr"`
	Reachable bool   `json:"reachable"`
	Error     string `json:"error,omitempty"`
	Master    string `json:"master"` // the address it names
	Flags     string `json:"flags"`  // of the master, from its point of view
	CKQuorum  string `json:"ckquorum"`
	QuorumOK  bool   `json:"quorum_ok"`
	Replicas  int    `json:"replicas"` // it knows of
	Others    int    `json:"others"`   // other sentinels it knows of
}

// view is one sentinel's answers.
type view struct {
	master    map[string]string
	replicas  []map[string]string
	sentinels []map[string]string // the others
	info      map[string]string   // INFO server and sentinel
	member    Member
}

// Topology asks every sentinel and combines the answers. It fails only if there is
// no majority on the master.
func (c *Cluster) Topology(ctx context.Context) (Topology, error) {
	master, err := c.Master(ctx)
	if err != nil {
		return Topology{}, err
	}
	views, _ := each(c, func(s member) (view, error) { return c.view(ctx, s), nil })
	return c.topology(master, views), nil
}

func (c *Cluster) topology(master string, views []view) Topology {
	t := Topology{Name: c.endpoint.MasterName, Master: master}
	for _, v := range views {
		t.Sentinels = append(t.Sentinels, v.member)
		if t.MasterFlags != "" || v.member.Master != master {
			continue
		}
		t.MasterFlags = v.master["flags"]
		t.Quorum, t.ParallelSyncs = number(v.master["quorum"]),
			number(v.master["parallel-syncs"])
		t.DownAfterMS, t.FailoverTimeoutMS = int64(number(v.master["down-after-milliseconds"])),
			int64(number(v.master["failover-timeout"]))
	}
	t.Replicas = replicas(views, master)
	return t
}

// replicas merges what the sentinels say about the replicas: a replica is only as
// healthy as its worst report.
func replicas(views []view, master string) []Replica {
	byAddr := map[string]Replica{}
	for _, v := range views {
		if v.member.Master != master {
			continue
		}
		for _, m := range v.replicas {
			r := Replica{Addr: net.JoinHostPort(m["ip"], m["port"]), Flags: m["flags"],
				Link:     m["master-link-status"],
				Offset:   int64(number(m["slave-repl-offset"])),
				Priority: number(m["slave-priority"])}
			r.Member = r.Priority > 0 && m["runid"] != ""
			known, ok := byAddr[r.Addr]
			member := r.Member || known.Member
			if ok && !known.Promotable() {
				r = known
			}
			r.Member = member
			byAddr[r.Addr] = r
		}
	}
	out := make([]Replica, 0, len(byAddr))
	for _, r := range byAddr {
		out = append(out, r)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Addr < out[j].Addr })
	return out
}

func (c *Cluster) view(ctx context.Context, s member) view {
	v := view{member: Member{Addr: s.addr}}
	var err error
	if v.master, err = s.client.Master(ctx, c.endpoint.MasterName).Result(); err != nil {
		v.member.Error = redisconn.Explain(err).Error()
		var reply redis.Error
		v.member.Reachable = errors.As(err, &reply)
		return v
	}
	v.member.Reachable = true
	v.member.Master, v.member.Flags = net.JoinHostPort(v.master["ip"], v.master["port"]),
		v.master["flags"]
	v.member.Replicas, v.member.Others = number(v.master["num-slaves"]),
		number(v.master["num-other-sentinels"])
	if v.replicas, err = s.client.Replicas(ctx, c.endpoint.MasterName).Result(); err != nil {
		v.member.Error = redisconn.Explain(err).Error()
	}
	if v.sentinels, err = s.client.Sentinels(ctx, c.endpoint.MasterName).Result(); err != nil {
		v.member.Error = redisconn.Explain(err).Error()
	}
	info := redis.NewStringCmd(ctx, "info")
	if err := s.client.Process(ctx, info); err != nil {
		v.member.Error = redisconn.Explain(err).Error()
	}
	v.info = redisconn.ParseInfo(info.Val())
	answer, err := s.client.CkQuorum(ctx, c.endpoint.MasterName).Result()
	if err != nil {
		answer = migration.PlainError(err)
	}
	v.member.CKQuorum, v.member.QuorumOK = answer, err == nil
	return v
}

// await polls until ok returns nil; the error of a deadline or a cancellation
// carries the last reason.
func await(ctx context.Context, what string, ok func() error) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		last := ok()
		if last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return migration.Errorf(migration.Unavailable, "%s: %v: %w", what, last,
				context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// healthy reports the first thing that is not as it should be after a failover:
// disagreement, a replica missing or not following, a sentinel that does not see
// all others.
func (c *Cluster) healthy(ctx context.Context, nodes []string) error {
	t, err := c.Topology(ctx)
	if err != nil {
		return err
	}
	if t.MasterFlags != "master" {
		return fmt.Errorf("the master %s has flags %s", t.Master, t.MasterFlags)
	}
	for _, s := range t.Sentinels {
		if s.Master != t.Master || s.Replicas < len(nodes)-1 || s.Others != len(c.sentinels)-1 {
			return fmt.Errorf(
				"sentinel %s: master %s, %d of %d replicas, %d of %d other sentinels %s",
				s.Addr, s.Master, s.Replicas, len(nodes)-1, s.Others,
				len(c.sentinels)-1, s.Error)
		}
	}
	for _, r := range t.Replicas {
		if slices.Contains(nodes, r.Addr) && (r.Flags != "slave" || r.Link != "ok") {
			return fmt.Errorf("replica %s: flags %s, link %s", r.Addr, r.Flags, r.Link)
		}
	}
	for _, n := range nodes {
		if !slices.Contains(t.nodes(), n) {
			return fmt.Errorf("the sentinels do not know node %s", n)
		}
	}
	return nil
}
