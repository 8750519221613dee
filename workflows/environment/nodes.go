package environment

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// Node is one server that holds jobs, with a connection of its own.
type Node struct {
	Address string
	Client  redis.UniversalClient
	Close   func() error
}

// SourceNodes gives every server behind the present source side: the single server, or each
// data node of the Sentinel deployment, because any of them may become the master.
func (s *Servers) SourceNodes(ctx context.Context, mid string) ([]Node, error) {
	r, err := s.routing.Read(ctx, mid)
	if err != nil {
		return nil, err
	}
	switch r.Source {
	case migration.SourceStandalone:
		return []Node{
			{s.StandaloneEndpoint.Address(), s.Standalone, func() error { return nil }},
		}, nil
	case migration.SourceSentinel:
		return s.SentinelNodes(ctx)
	}
	return nil, migration.Errorf(migration.NotFound, "the flags no longer name a source server")
}

func (s *Servers) SentinelNodes(ctx context.Context) ([]Node, error) {
	if s.Cluster == nil {
		return nil, ErrNoSentinel()
	}
	addrs, err := s.Cluster.NodeAddrs(ctx)
	if err != nil {
		return nil, err
	}
	var nodes []Node
	for _, a := range addrs {
		c := redisconn.Node(s.SentinelEndpoint, a)
		nodes = append(nodes, Node{a, c, c.Close})
	}
	return nodes, nil
}

// ErrNoSentinel says that a step needs a deployment that is not configured.
func ErrNoSentinel() error {
	return migration.Errorf(
		migration.Blocked,
		"no Sentinel deployment is configured: set source.sentinel in the configuration",
	)
}

// CloseNodes closes the connections.
func CloseNodes(nodes []Node) {
	for _, n := range nodes {
		_ = n.Close() // a connection nobody needs any more
	}
}

// MasterNode opens a connection to the present Sentinel master.
func (s *Servers) MasterNode(ctx context.Context) (Node, error) {
	addr, err := s.Cluster.Master(ctx)
	if err != nil {
		return Node{}, err
	}
	c := redisconn.Node(s.SentinelEndpoint, addr)
	return Node{addr, c, c.Close}, nil
}

// SourceMaster opens a connection to the present master of the source side.
func (s *Servers) SourceMaster(ctx context.Context, mid string) (Node, error) {
	r, err := s.routing.Read(ctx, mid)
	if err != nil {
		return Node{}, err
	}
	if r.Source == migration.SourceSentinel {
		return s.MasterNode(ctx)
	}
	return Node{s.StandaloneEndpoint.Address(), s.Standalone, func() error { return nil }}, nil
}

// Old opens a connection to an old data server by its address.
func (s *Servers) Old(address string) Node {
	if address == s.StandaloneEndpoint.Address() {
		return Node{address, s.Standalone, func() error { return nil }}
	}
	c := redisconn.Node(s.SentinelEndpoint, address)
	return Node{address, c, c.Close}
}

// aloneFor bounds a question to a server that others do not wait for.
const aloneFor = 2 * time.Second

// Alive gives an error unless the target answers now. It stands for this side's network
// where an old server does not answer: while the target, which every order needs, answers
// from here, the reason is not a network that is down here.
func (s *Servers) Alive(ctx context.Context) error {
	c, endpoint, err := s.Target(ctx)
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, aloneFor)
	defer cancel()
	if err := redisconn.Ping(bounded, c); err != nil {
		return fmt.Errorf("the target at %s does not answer either: %w", endpoint.Address(), err)
	}
	return nil
}

// SameAs names the old servers, the single one and every Sentinel node, that are this very
// server, and those that could not be asked, each with why. Unavailable: the server does
// not tell its run_id.
func (s *Servers) SameAs(
	ctx context.Context, c redis.UniversalClient,
) (same, unasked []string, err error) {
	id, err := redisconn.RunID(ctx, c)
	if err == nil && id == "" {
		err = migration.Errorf(migration.Unavailable, "INFO on the target tells no run_id")
	}
	if err != nil {
		return nil, nil, redisconn.Explain(err)
	}
	nodes := []Node{s.Old(s.StandaloneEndpoint.Address())}
	if s.Cluster != nil {
		others, err := s.SentinelNodes(ctx)
		if err != nil {
			unasked = append(unasked, "the Sentinel nodes: "+InWords(err))
		}
		nodes = append(nodes, others...)
	}
	defer CloseNodes(nodes)
	// which Sentinel knows too, once it follows the new master
	single := nodes[0].Address
	nodes = append(nodes[:1:1], slices.DeleteFunc(slices.Clone(nodes[1:]),
		func(n Node) bool { return n.Address == single })...)
	ids, errs := make([]string, len(nodes)), make([]error, len(nodes))
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() {
			bounded, cancel := context.WithTimeout(ctx, aloneFor)
			defer cancel()
			ids[i], errs[i] = redisconn.RunID(bounded, n.Client)
		})
	}
	all.Wait()
	for i, n := range nodes {
		switch {
		case errs[i] != nil:
			unasked = append(unasked, n.Address+": "+InWords(errs[i]))
		case ids[i] == "":
			unasked = append(unasked, n.Address+": INFO tells no run_id")
		case ids[i] == id:
			same = append(same, n.Address)
		}
	}
	return same, unasked, nil
}

// Reachable is the gate that a server answers.
func Reachable(
	ctx context.Context,
	c redis.UniversalClient,
	endpoint redisconn.Endpoint,
) migration.Gate {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	claim := migration.Claim{
		ID:       "reachable:" + endpoint.Name,
		Title:    "Redis " + endpoint.Name + " answers",
		Measured: endpoint.Address() + " answers",
		Limit:    "PING answers",
		Next: "check that the server is running, and the address and password in the " +
			"configuration",
	}
	err := redisconn.Ping(ctx, c)
	if err != nil {
		claim.Measured = err.Error()
	}
	return claim.About("server", endpoint.Address(), err == nil, nil)
}
