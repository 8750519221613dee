package config

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"

	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/providers/byhand"
	"github.com/switchyard-dev/switchyard/providers/byurl"
	"github.com/switchyard-dev/switchyard/providers/heroku"
	"github.com/switchyard-dev/switchyard/providers/linode"
	"github.com/switchyard-dev/switchyard/providers/upstash"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// This file is the one place that knows which services there are: it checks what is
// configured of each, and opens them. A new managed Redis is a package of its own, and a
// key of Target here.

// Target is the managed Redis: a database at Upstash, or one that exists already, at a
// URL.
type Target struct {
	Upstash        Upstash `yaml:"upstash"`
	byurl.Settings `yaml:",inline"`
}

// Values of source.machines and ingestion.config_vars; both default to the first of
// theirs.
var (
	hosts = []string{"linode", byhand.Name}
	vars  = []string{"heroku", byhand.Name}
)

// Managed opens the managed service that the target is configured at.
func (c Config) Managed(hc *http.Client) providers.Managed {
	if !c.Target.Settings.IsZero() {
		return byurl.Open(c.Target.Settings)
	}
	u := c.Target.Upstash
	return &upstash.Managed{
		Client: upstash.New(u.API, u.Email, u.APIKey, hc),
		Want: upstash.CreateRequest{DatabaseName: u.DatabaseName, Platform: u.Platform,
			PrimaryRegion: u.PrimaryRegion, Plan: upstash.Fixed1GB, TLS: true},
		CAFile: u.CAFile,
	}
}

// TargetPlan is the plan that the managed Redis is to be on, and its price in dollars a month.
func (c Config) TargetPlan() (title string, monthlyUSD float64) {
	if !c.Target.Settings.IsZero() {
		p := byurl.Open(c.Target.Settings).Offer().Plan
		return p.Title, p.MonthlyUSD
	}
	p, _ := upstash.PlanOf(upstash.Fixed1GB)
	return p.Title, p.MonthlyUSD
}

// Host opens the host of the old servers' machines. Where people look after them, what
// they confirm goes to keeper, and alive tells a machine that does not answer from a
// network that is down on this side.
func (c Config) Host(
	hc *http.Client, keeper byhand.Keeper, alive func(context.Context) error,
) (providers.Host, error) {
	if c.Source.Machines == byhand.Name {
		return byhand.NewHost(byhand.HostConfig{Machines: c.byHand(), Keeper: keeper,
			SilentFor: c.Source.SilentFor, Alive: alive}), nil
	}
	client, err := linode.New(c.Linode.API, c.Linode.Token, hc)
	return linode.Host{Client: client}, err
}

// ConfigVars opens where the app gets its configuration from. attests says, where a
// person sets the variables, what the running app uses.
func (c Config) ConfigVars(hc *http.Client, attests byhand.Attests) providers.ConfigVars {
	if c.Ingestion.ConfigVars == byhand.Name {
		return byhand.Vars{App: "the ingestion app", Attests: attests}
	}
	return heroku.Vars{Client: heroku.New(c.Heroku.API, c.Heroku.Token, hc), App: c.Heroku.App}
}

// OldMachines lists the machines of the old servers that are configured.
func (s Source) OldMachines() []providers.Machine {
	var out []providers.Machine
	if m, is := s.SingleMachine(); is {
		out = append(out, m)
	}
	return append(out, s.NodeMachines()...)
}

// SingleMachine gives the machine of the single server, and whether one is configured.
func (s Source) SingleMachine() (providers.Machine, bool) {
	if s.Machines == byhand.Name {
		single := redisconn.Endpoint{Kind: redisconn.Standalone, URL: s.Standalone.URL}.Address()
		return byHand(s.Standalone.Machine, single), true
	}
	return atLinode(s.Standalone.LinodeID, s.Standalone.LinodeLabel), s.Standalone.LinodeID != 0
}

// NodeMachines lists the machines of the Sentinel deployment, in the order of its nodes.
func (s Source) NodeMachines() []providers.Machine {
	var out []providers.Machine
	for _, n := range s.Sentinel.Nodes {
		if s.Machines == byhand.Name {
			out = append(out, byHand(n.Machine, n.Addrs...))
			continue
		}
		m := atLinode(n.LinodeID, n.LinodeLabel)
		m.Addrs = n.Addrs
		out = append(out, m)
	}
	return out
}

func atLinode(id int, label string) providers.Machine {
	return providers.Machine{ID: strconv.Itoa(id), Label: label}
}

func byHand(m byhand.Machine, addrs ...string) providers.Machine {
	all := slices.Concat(addrs, m.Addrs)
	slices.Sort(all)
	return providers.Machine{ID: m.Label, Label: m.Label, Addrs: slices.Compact(all)}
}

// byHand lists the machines without an API as they are configured.
func (c Config) byHand() []byhand.Machine {
	out := []byhand.Machine{c.Source.Standalone.Machine}
	for _, n := range c.Source.Sentinel.Nodes {
		out = append(out, n.Machine)
	}
	return out
}

// validateServices names what could not work of who hosts what.
func (c Config) validateServices(need func(ok bool, key, want string)) {
	u := c.Target.Upstash
	if byURL := c.Target.Settings; !byURL.IsZero() {
		need(u == Default().Target.Upstash, "target",
			"upstash and url are two targets, and there is one: remove either")
		byURL.Check(c.Source.Standalone.URL, need)
	}
	need((u.Email == "") == u.APIKey.IsZero(), "target.upstash", "email and api_key go together")
	need(c.Source.Machines == "" || slices.Contains(hosts, c.Source.Machines), "source.machines",
		fmt.Sprintf("%.40q is none of linode and by-hand", c.Source.Machines))
	c.validateMachines(need)
	v := c.Ingestion.ConfigVars
	need(v == "" || slices.Contains(vars, v), "ingestion.config_vars",
		fmt.Sprintf("%.40q is none of heroku and by-hand", v))
	need(v != byhand.Name || c.Heroku.App == "" && c.Heroku.Token.IsZero(), "heroku",
		"does not belong beside ingestion.config_vars: by-hand")
}

// validateMachines names what could not work of the old servers' machines.
func (c Config) validateMachines(need func(ok bool, key, want string)) {
	s := c.Source
	manual := s.Machines == byhand.Name
	need(!manual || c.Linode.Token.IsZero(), "linode",
		"does not belong beside source.machines: by-hand")
	need(!manual || s.SilentFor > 0, "source.silent_for", "must be positive")
	labels := map[string]bool{}
	check := func(key string, m byhand.Machine, id int, label string, addrs int) {
		if !manual {
			need(m.Label == "" && len(m.Addrs) == 0 && m.MonthlyUSD == nil && m.PriceFrom == "",
				key+".machine", "belongs to source.machines: by-hand")
			return
		}
		need(id == 0 && label == "", key,
			"linode_id and linode_label do not belong beside source.machines: by-hand")
		need(m.Label != "" && !labels[m.Label], key+".machine.label",
			"a name of its own is needed, with source.machines: by-hand")
		labels[m.Label] = true
		need(addrs+len(m.Addrs) > 0, key+".machine.addrs",
			"host:port of what runs there is needed: it shows whether the machine is off")
		for _, a := range m.Addrs {
			host, port, err := net.SplitHostPort(a)
			need(err == nil && host != "" && port != "", key+".machine.addrs",
				fmt.Sprintf("%.60q is not host:port", a))
		}
		need(m.MonthlyUSD == nil || *m.MonthlyUSD >= 0, key+".machine.monthly_usd",
			"must not be negative")
	}
	check("source.standalone", s.Standalone.Machine, s.Standalone.LinodeID,
		s.Standalone.LinodeLabel, 1)
	for i, n := range s.Sentinel.Nodes {
		check(fmt.Sprintf("source.sentinel.nodes[%d]", i), n.Machine, n.LinodeID, n.LinodeLabel,
			len(n.Addrs))
	}
}
