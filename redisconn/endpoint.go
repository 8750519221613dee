package redisconn

import (
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/switchyard-dev/switchyard/migration"
)

// Kind is how an endpoint is reached. The zero value is invalid.
type Kind string

const (
	// Standalone is one Redis server, reached by its URL.
	Standalone Kind = "standalone"
	// Sentinel is a master with replicas, found by asking Redis Sentinels.
	Sentinel Kind = "sentinel"
	// Managed is a hosting service's Redis, reached by its URL; many administrative
	// commands are denied there.
	Managed Kind = "managed"
)

// Endpoint says where a Redis deployment is and how to authenticate to it.
type Endpoint struct {
	Name string // for people: "linode", "sentinel", "upstash"
	Kind Kind
	URL  migration.Secret // redis:// or rediss://, with Standalone and Managed

	SentinelAddrs    []string // host:port of each sentinel, with Sentinel
	MasterName       string   // the name under which the sentinels monitor the master
	Username         string   // ACL user of the data nodes; empty for the default user
	Password         migration.Secret
	SentinelUsername string // ACL user of the sentinels; empty for the default user
	SentinelPassword migration.Secret

	CAFile string // optional PEM file; with Sentinel its presence also turns TLS on
}

// Validate reports the first invalid field and what is expected there. The text
// never contains a URL or a password.
func (e Endpoint) Validate() error {
	switch e.Kind {
	case Standalone, Managed:
		_, err := e.parseURL()
		return err
	case Sentinel:
		if e.MasterName == "" {
			return e.invalid("master name",
				"the name under which the sentinels monitor the master, for example mymaster")
		}
		if len(e.SentinelAddrs) == 0 {
			return e.invalid("sentinel addresses", "host:port of every sentinel")
		}
		for i, a := range e.SentinelAddrs {
			if !isHostPort(a) {
				return e.invalid("sentinel address "+strconv.Itoa(i+1), "host:port")
			}
		}
		return nil
	case "":
		return e.invalid("kind", "standalone, sentinel or managed; it is empty")
	default:
		return e.invalid("kind", "standalone, sentinel or managed")
	}
}

// Address is where the endpoint is, without credentials: "host:port", or
// "master@host:port,host:port" for a Sentinel deployment; "" for an invalid
// endpoint.
func (e Endpoint) Address() string {
	if e.Validate() != nil {
		return ""
	}
	if e.Kind == Sentinel {
		return e.MasterName + "@" + strings.Join(e.SentinelAddrs, ",")
	}
	u, err := e.parseURL()
	if err != nil {
		return ""
	}
	return hostPort(u)
}

// TLS reports whether connections to the endpoint are encrypted.
func (e Endpoint) TLS() bool {
	if e.Kind == Sentinel {
		return e.CAFile != ""
	}
	u, err := e.parseURL()
	return err == nil && u.Scheme == "rediss"
}

// parseURL checks the URL. Errors of url.Parse and redis.ParseURL quote the URL
// with its password, so they are never wrapped.
func (e Endpoint) parseURL() (*url.URL, error) {
	const want = "a URL like rediss://user:password@host:6379"
	if e.URL.IsZero() {
		return nil, e.invalid("URL", want+"; it is empty")
	}
	u, err := url.Parse(e.URL.Reveal())
	if err != nil {
		return nil, e.invalid("URL", want+"; it is not a redis:// URL (special characters in "+
			"the password must be percent-encoded)")
	}
	if u.Scheme != "redis" && u.Scheme != "rediss" {
		return nil, e.invalid("URL", want+"; it is not a redis:// URL")
	}
	if u.Hostname() == "" {
		return nil, e.invalid("URL", want+"; it has no host")
	}
	if p := u.Port(); p != "" && !isPort(p) {
		return nil, e.invalid("URL", want+"; its port is not between 1 and 65535")
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return nil, e.invalid("URL",
			want+"; it has a query or a fragment, which is not supported")
	}
	if db := strings.Trim(u.Path, "/"); db != "" {
		if n, err := strconv.Atoi(db); err != nil || n < 0 {
			return nil, e.invalid("URL", want+"; its path is not a database number")
		}
	}
	return u, nil
}

func (e Endpoint) invalid(field, want string) error {
	return migration.Errorf(migration.Invalid, "Redis endpoint %s: %s: expected %s", e.label(),
		field, want)
}

// label names the endpoint in messages.
func (e Endpoint) label() string {
	if e.Name != "" {
		return strconv.Quote(e.Name)
	}
	return "without a name"
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "6379"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func isHostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	return err == nil && host != "" && isPort(port)
}

func isPort(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 1 && n <= 65535
}
