// Package deploy renders the files of a Sentinel deployment: configuration of every
// server, access control lists, certificates, and how to run them under systemd,
// Compose or Kubernetes. It is pure: a Spec goes in, files come out; nothing is
// dialled or written.
package deploy

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/switchyard-dev/switchyard/migration"
)

// Role is what a host runs; a host may have several.
type Role string

// Roles of a host. Master is where the data is first; after a failover it may be
// any data node.
const (
	Master   Role = "master"
	Replica  Role = "replica"
	Sentinel Role = "sentinel"
)

// Host is one machine (or a rehearsal of one).
type Host struct {
	Name string `yaml:"name"`
	// IP address or DNS name at which the other hosts and the applications reach it
	Address string `yaml:"address"`
	Zone    string `yaml:"zone"` // failure domain: hosts that fail together share one
	Roles   []Role `yaml:"roles"`

	RedisPort    int `yaml:"redis_port,omitempty"`    // default 6379
	SentinelPort int `yaml:"sentinel_port,omitempty"` // default 26379
	// default: the address; needed behind address translation (NAT)
	Bind string `yaml:"bind,omitempty"`
	// data and configuration; the servers rewrite the latter. Default
	// /var/lib/switchyard-redis
	Dir string `yaml:"dir,omitempty"`
}

// Has reports whether the host has that role.
func (h Host) Has(r Role) bool { return slices.Contains(h.Roles, r) }

// Data reports whether the host runs a data node.
func (h Host) Data() bool { return h.Has(Master) || h.Has(Replica) }

// RedisAddr is host:port of the data node.
func (h Host) RedisAddr() string { return net.JoinHostPort(h.Address, fmt.Sprint(h.RedisPort)) }

// SentinelAddr is host:port of the sentinel.
func (h Host) SentinelAddr() string {
	return net.JoinHostPort(h.Address, fmt.Sprint(h.SentinelPort))
}

// Prefer says what a single replica is to give up; with two, nothing has to be.
type Prefer string

// With one replica: PreferWrites continues without a replica; PreferCopies refuses
// writes that no replica could receive.
const (
	PreferWrites Prefer = "writes"
	PreferCopies Prefer = "copies"
)

// Secrets are the passwords of the deployment's users. An empty one becomes a
// placeholder, ${REDIS_ADMIN_PASSWORD} and so on.
type Secrets struct {
	Admin   migration.Secret // user switchyard: everything
	App     migration.Secret // user app: what BullMQ needs
	Replica migration.Secret // user replica: between data nodes
	// user sentinel: from sentinels to data nodes and other sentinels
	Sentinel migration.Secret
}

// Spec is a deployment. Zero fields get the default named with the field.
type Spec struct {
	// the sentinels' name for the master. Default mymaster
	MasterName string `yaml:"master_name,omitempty"`
	Hosts      []Host `yaml:"hosts"`
	Prefer     Prefer `yaml:"prefer,omitempty"` // writes or copies; needed with one replica
	// in the syntax of redis.conf. Default 768mb, for a machine of 1 GB
	MaxMemory string `yaml:"max_memory,omitempty"`
	// no TLS: only if nobody else is on the network
	PlainText bool `yaml:"plain_text,omitempty"`
	// where ca.crt, redis.crt and redis.key are on each host. Default Dir/tls
	TLSDir string `yaml:"tls_dir,omitempty"`
	// Rehearsal allows several hosts on one address, which is no redundancy.
	Rehearsal bool   `yaml:"rehearsal,omitempty"`
	Namespace string `yaml:"namespace,omitempty"` // of the Kubernetes manifests. Default redis
	// for Compose and Kubernetes. Default redis:7.4-alpine
	Image   string  `yaml:"image,omitempty"`
	Secrets Secrets `yaml:"-"`
}

// The times in the generated configuration. See the comments in
// templates/sentinel.conf for the reasons.
const (
	DownAfter       = 2 * time.Second
	FailoverTimeout = 6 * time.Second
	// RestartDelay is how long a data node that died stays down: by then another
	// one is the master.
	RestartDelay = DownAfter + 6*time.Second
	maxLag       = 3 // seconds, min-replicas-max-lag
)

// Parse reads a Spec from YAML; unknown keys are errors.
func Parse(text []byte) (Spec, error) {
	var s Spec
	if err := yaml.UnmarshalWithOptions(text, &s, yaml.DisallowUnknownField()); err != nil {
		return s, migration.Errorf(migration.Invalid,
			"the deployment file cannot be parsed: %s",
			yaml.FormatError(err, false, true))
	}
	return s, nil
}

// withDefaults fills in what was omitted.
func (s Spec) withDefaults() Spec {
	orDefault := func(v *string, d string) {
		if *v == "" {
			*v = d
		}
	}
	orDefault(&s.MasterName, "mymaster")
	orDefault(&s.MaxMemory, "768mb")
	orDefault(&s.Namespace, "redis")
	orDefault(&s.Image, "redis:7.4-alpine")
	s.Hosts = slices.Clone(s.Hosts)
	for i := range s.Hosts {
		h := &s.Hosts[i]
		orDefault(&h.Dir, "/var/lib/switchyard-redis")
		orDefault(&h.Bind, bindFor(h.Address))
		if h.RedisPort == 0 {
			h.RedisPort = 6379
		}
		if h.SentinelPort == 0 {
			h.SentinelPort = 26379
		}
	}
	return s
}

// bindFor returns the address itself and loopback, or all addresses if the address
// is a name.
func bindFor(address string) string {
	ip := net.ParseIP(address)
	switch {
	case ip == nil:
		return "* -::*"
	case ip.IsLoopback():
		return address
	case ip.To4() == nil:
		return address + " ::1"
	}
	return address + " 127.0.0.1"
}

func (s Spec) with(role func(Host) bool) []Host {
	var out []Host
	for _, h := range s.Hosts {
		if role(h) {
			out = append(out, h)
		}
	}
	return out
}

// DataHosts returns the hosts that run a data node, the master first.
func (s Spec) DataHosts() []Host {
	return append(s.with(func(h Host) bool {
		return h.Has(Master)
	}), s.with(func(h Host) bool { return h.Has(Replica) })...)
}

// SentinelHosts returns the hosts that run a sentinel.
func (s Spec) SentinelHosts() []Host {
	return s.with(func(h Host) bool { return h.Has(Sentinel) })
}

// Replicas returns the number of replicas.
func (s Spec) Replicas() int { return len(s.DataHosts()) - 1 }

// Zones returns the failure domain of every server, by host:port.
func (s Spec) Zones() map[string]string {
	out := map[string]string{}
	for _, h := range s.withDefaults().Hosts {
		for _, a := range usedAddrs(h) {
			out[a] = h.Zone
		}
	}
	return out
}

// Quorum returns a majority of the sentinels.
func (s Spec) Quorum() int { return len(s.SentinelHosts())/2 + 1 }

// MinReplicas returns min-replicas-to-write: 1 with two replicas, and with one if
// copies are preferred.
func (s Spec) MinReplicas() int {
	if s.Replicas() >= 2 || s.Prefer == PreferCopies {
		return 1
	}
	return 0
}

var (
	word     = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)
	memory   = regexp.MustCompile(`^[1-9][0-9]*(kb|mb|gb)$`)
	password = regexp.MustCompile(`^[A-Za-z0-9_.~+/=-]{16,512}$`)
	path     = regexp.MustCompile(`^/[A-Za-z0-9_./-]*[A-Za-z0-9_-]$`)
	bindable = regexp.MustCompile(`^[0-9A-Fa-f.:* -]+$`)
)

// Validate reports all mistakes at once, each with what is expected.
func (s Spec) Validate() error {
	var bad []string
	need := func(ok bool, format string, args ...any) {
		if !ok {
			bad = append(bad, fmt.Sprintf(format, args...))
		}
	}
	s = s.withDefaults()
	need(word.MatchString(s.MasterName),
		"master_name: %q must be letters, digits, dots and dashes", s.MasterName)
	need(memory.MatchString(s.MaxMemory), "max_memory: %q is not a size such as 768mb or 2gb",
		s.MaxMemory)
	need(word.MatchString(s.Namespace) && !strings.Contains(s.Namespace, "."),
		"namespace: %q is not a Kubernetes name", s.Namespace)
	need(s.TLSDir == "" || path.MatchString(s.TLSDir),
		"tls_dir: %q is not an absolute path without spaces", s.TLSDir)
	need(!strings.ContainsAny(s.Image, " \t\n\"'"), "image: %q is not an image name", s.Image)
	names, addrs, taken := map[string]bool{}, map[string]string{}, map[string]string{}
	for i, h := range s.Hosts {
		at := fmt.Sprintf("hosts[%d]", i)
		if h.Name != "" {
			at += " " + h.Name
		}
		need(word.MatchString(h.Name),
			"%s: name: %q must be letters, digits, dots and dashes", at, h.Name)
		need(!names[h.Name], "%s: the name is used twice", at)
		names[h.Name] = true
		need(net.ParseIP(h.Address) != nil || word.MatchString(h.Address),
			"%s: address: %q is neither an IP address nor a DNS name, and has no port",
			at, h.Address)
		if ip := net.ParseIP(h.Address); ip != nil && !s.Rehearsal {
			need(!ip.IsLoopback() && !ip.IsUnspecified(),
				"%s: address: %s is not reachable from another host", at, h.Address)
		}
		if other, ok := addrs[h.Address]; ok && !s.Rehearsal {
			need(false, "%s: address: %s is also that of %s; two servers on one machine fail "+
				"together (rehearsal: true allows it)", at, h.Address, other)
		}
		addrs[h.Address] = h.Name
		need(h.Zone != "",
			"%s: zone: expected the failure domain, for example data centre and physical host",
			at)
		need(len(h.Roles) > 0,
			"%s: roles: expected one or more of master, replica, sentinel", at)
		for _, r := range h.Roles {
			need(r == Master || r == Replica || r == Sentinel,
				"%s: roles: %q is not master, replica or sentinel", at, r)
		}
		need(!h.Has(Master) || !h.Has(Replica),
			"%s: roles: a data node is the master or a replica at first, not both", at)
		need(h.RedisPort > 0 && h.RedisPort < 65536 && h.SentinelPort > 0 &&
			h.SentinelPort < 65536, "%s: redis_port, sentinel_port: between 1 and 65535", at)
		for _, a := range usedAddrs(h) {
			other, twice := taken[a]
			need(!twice, "%s: %s is also an address of %s", at, a, other)
			taken[a] = h.Name
		}
		need(path.MatchString(h.Dir),
			"%s: dir: %q is not an absolute path without spaces", at, h.Dir)
		need(bindable.MatchString(h.Bind),
			"%s: bind: %q is not a list of IP addresses", at, h.Bind)
	}
	masters, sentinels := len(s.with(func(h Host) bool {
		return h.Has(Master)
	})), len(s.SentinelHosts())
	need(masters == 1, "hosts: expected exactly one with the role master, got %d", masters)
	need(s.Replicas() == 1 || s.Replicas() == 2,
		"hosts: expected 1 or 2 replicas, got %d", s.Replicas())
	need(sentinels >= 3 && sentinels%2 == 1, "hosts: expected an odd number of 3 or more "+
		"sentinels, got %d: with fewer the loss of one leaves no majority, and an even "+
		"number adds no safety", sentinels)
	need(s.Prefer == "" || s.Prefer == PreferWrites || s.Prefer == PreferCopies,
		"prefer: %q is not writes or copies", s.Prefer)
	need(s.Replicas() != 1 || s.Prefer != "", "prefer: with one replica, say what matters "+
		"more when it is lost: writes (continue, although unreplicated writes can be lost) "+
		"or copies (refuse writes until it is back)")
	if len(bad) == 0 {
		bad = append(bad, s.zones()...)
	}
	for name, v := range map[string]migration.Secret{
		"admin":    s.Secrets.Admin,
		"app":      s.Secrets.App,
		"replica":  s.Secrets.Replica,
		"sentinel": s.Secrets.Sentinel,
	} {
		need(v.IsZero() || password.MatchString(v.Reveal()),
			"the %s password must be 16 to 512 of the characters A-Z a-z 0-9 _ . ~ + / = -",
			name)
	}
	if len(bad) > 0 {
		slices.Sort(bad)
		return migration.Errorf(migration.Invalid, "the deployment has %d mistakes:\n- %s",
			len(bad), strings.Join(bad, "\n- "))
	}
	return nil
}

func usedAddrs(h Host) []string {
	var out []string
	if h.Data() {
		out = append(out, h.RedisAddr())
	}
	if h.Has(Sentinel) {
		out = append(out, h.SentinelAddr())
	}
	return out
}

// zones says which failure domain the deployment could not lose.
func (s Spec) zones() []string {
	var bad []string
	seen := map[string]bool{}
	for _, h := range s.Hosts {
		if seen[h.Zone] {
			continue
		}
		seen[h.Zone] = true
		outside := func(hosts []Host) int {
			n := 0
			for _, o := range hosts {
				if o.Zone != h.Zone {
					n++
				}
			}
			return n
		}
		if n := outside(s.SentinelHosts()); n < s.Quorum() {
			bad = append(bad, fmt.Sprintf("zone %s: without it %d of %d sentinels are left, "+
				"%d are needed to elect a master; put sentinels in three zones", h.Zone, n,
				len(s.SentinelHosts()), s.Quorum()))
		}
		if outside(s.DataHosts()) == 0 {
			bad = append(bad, fmt.Sprintf(
				"zone %s: without it no data node is left; put the replica in another zone",
				h.Zone))
		}
	}
	return bad
}
