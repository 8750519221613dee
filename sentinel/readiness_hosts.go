package sentinel

import (
	"net"
	"strconv"
)

func (l *look) hosts() Check {
	of := func(addr string) string { host, _, _ := net.SplitHostPort(addr); return host }
	const (
		id, title = "same-host", "No single host takes a majority or all data with it"
		limit     = "without any one host a data node and a majority of the sentinels are left"
		next      = "move servers to other hosts: a sentinel on the master's host fails " +
			"together with it"
	)
	if l.onLoopback() && l.spread(of) == 1 {
		return verdict(id, title, limit, next,
			"everything is on one loopback address: in a rehearsal hosts do not count", nil)
	}
	bad := l.lost("host", of)
	return verdict(id, title, limit, next,
		"true for each of "+strconv.Itoa(l.spread(of))+" hosts", bad)
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
		"true for each of "+strconv.Itoa(l.spread(of))+" zones", bad)
}

// servers returns the addresses of the sentinels and of the data nodes that count.
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
