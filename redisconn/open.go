package redisconn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/switchyard-dev/switchyard/migration"
)

// ClientName begins the CLIENT SETNAME of every connection that Switchyard makes. What
// tells a process's own from all others follows it; see Self.
const ClientName = "switchyard"

// The options of every connection, all explicit: go-redis's defaults differ between
// releases.
const (
	dialTimeout  = 2 * time.Second
	readTimeout  = 3 * time.Second
	writeTimeout = 3 * time.Second
	poolTimeout  = 4 * time.Second
	poolSize     = 8 // managed plans cap connections
	noRetries    = -1
	idleTimeout  = 5 * time.Minute
)

// Open makes a client for an endpoint. It does not dial; Ping does. Close the
// client when done.
//
// Commands are never retried by the client: go-redis repeats a write whose reply
// was lost, so an LPUSH would run twice. A timeout therefore means "unknown", not
// "failed".
func Open(e Endpoint) (redis.UniversalClient, error) { return open(e, readTimeout, writeTimeout) }

// OpenBulk is Open for work in large batches: a reply may take so long, so that some megabytes
// from a busy server, or over a slow line, do not count as a lost connection.
func OpenBulk(e Endpoint, within time.Duration) (redis.UniversalClient, error) {
	return open(e, within, within)
}

func open(e Endpoint, read, write time.Duration) (redis.UniversalClient, error) {
	if err := e.Validate(); err != nil {
		return nil, err
	}
	tlsConfig, err := e.tlsConfig()
	if err != nil {
		return nil, err
	}
	if e.Kind != Sentinel {
		u, err := e.parseURL()
		if err != nil {
			return nil, err
		}
		o := options(hostPort(u), tlsConfig)
		o.ReadTimeout, o.WriteTimeout = read, write
		o.Username = u.User.Username()
		o.Password, _ = u.User.Password()
		o.DB, _ = strconv.Atoi(strings.Trim(u.Path, "/")) // validated; "" is 0
		return newConn(redis.NewClient(o), o.Addr), nil
	}
	c := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName:            e.MasterName,
		SentinelAddrs:         e.SentinelAddrs,
		SentinelUsername:      e.SentinelUsername,
		SentinelPassword:      e.SentinelPassword.Reveal(),
		Username:              e.Username,
		Password:              e.Password.Reveal(),
		ClientName:            self,
		Protocol:              2,
		MaxRetries:            noRetries,
		DialTimeout:           dialTimeout,
		DialerRetries:         1,
		ReadTimeout:           read,
		WriteTimeout:          write,
		ContextTimeoutEnabled: true,
		PoolSize:              poolSize,
		PoolTimeout:           poolTimeout,
		PipelinePoolSize:      -1,
		ConnMaxIdleTime:       idleTimeout,
		DisableIdentity:       true,
		TLSConfig:             tlsConfig,
	})
	return newConn(c, e.Address()), nil
}

// Node makes a client for one data node of a Sentinel deployment, by its address,
// with the deployment's password and TLS settings. It does not dial; if the CA file
// cannot be read, the first command returns the error.
func Node(e Endpoint, addr string) redis.UniversalClient {
	o := e.nodeOptions(addr)
	o.Username, o.Password = e.Username, e.Password.Reveal()
	return newConn(redis.NewClient(o), addr)
}

// SentinelNode makes a client for one sentinel of a Sentinel deployment, like Node.
func SentinelNode(e Endpoint, addr string) *redis.SentinelClient {
	o := e.nodeOptions(addr)
	o.Username, o.Password = e.SentinelUsername, e.SentinelPassword.Reveal()
	c := redis.NewSentinelClient(o)
	c.AddHook(contextual{})
	return c
}

// SignIn tries whether a server at addr accepts a user and password, as a replica
// or a sentinel would send them; it needs no rights. An empty password means that
// the server must not require one.
func SignIn(ctx context.Context, e Endpoint, addr string, as Credentials) error {
	o := e.nodeOptions(addr)
	o.ClientName = ""
	client := newConn(redis.NewClient(o), addr)
	defer client.Close()
	c := client.Conn()
	defer func() { _ = c.Close() }()
	// HELLO names the connection, so that nobody takes it for an application's;
	// CLIENT SETNAME may be forbidden to this user. Whether HELLO succeeds does not
	// matter: a server without a password accepts any here, while AUTH, which
	// replicas send, is refused there.
	hello := []any{"hello", 2, "setname", self}
	auth := []any{"auth", as.Password.Reveal()}
	switch {
	case as.Password.IsZero():
		auth = []any{"ping"}
	case as.User == "":
		hello = []any{"hello", 2, "auth", "default", as.Password.Reveal(),
			"setname", self}
	default:
		hello = []any{"hello", 2, "auth", as.User, as.Password.Reveal(), "setname", self}
		auth = []any{"auth", as.User, as.Password.Reveal()}
	}
	_ = c.Process(ctx, redis.NewCmd(ctx, hello...))
	return Explain(c.Process(ctx, redis.NewCmd(ctx, auth...)))
}

// TakesName tries whether a server names a connection that signs in as a sentinel does: AUTH,
// and then CLIENT SETNAME, whatever came of the first. Without a name nobody can tell a
// sentinel's connection from an app's.
func TakesName(ctx context.Context, e Endpoint, addr string, as Credentials) error {
	o := e.nodeOptions(addr)
	o.ClientName = ""
	client := newConn(redis.NewClient(o), addr)
	defer client.Close()
	c := client.Conn()
	defer func() { _ = c.Close() }()
	auth := []any{"auth", as.Password.Reveal()}
	if as.User != "" {
		auth = []any{"auth", as.User, as.Password.Reveal()}
	}
	if !as.Password.IsZero() {
		_ = c.Process(ctx, redis.NewCmd(ctx, auth...))
	}
	return Explain(c.ClientSetName(ctx, self).Err())
}

func (e Endpoint) nodeOptions(addr string) *redis.Options {
	tlsConfig, err := e.tlsConfig()
	o := options(addr, tlsConfig)
	if err != nil {
		o.Dialer = func(context.Context, string, string) (net.Conn, error) { return nil, err }
	}
	return o
}

// options are the settings of a connection to one server.
func options(addr string, tlsConfig *tls.Config) *redis.Options {
	if tlsConfig != nil && tlsConfig.ServerName == "" {
		tlsConfig = tlsConfig.Clone()
		tlsConfig.ServerName, _, _ = net.SplitHostPort(addr)
	}
	return &redis.Options{
		Addr:                  addr,
		ClientName:            self,
		Protocol:              2,
		MaxRetries:            noRetries,
		DialTimeout:           dialTimeout,
		DialerRetries:         1,
		ReadTimeout:           readTimeout,
		WriteTimeout:          writeTimeout,
		ContextTimeoutEnabled: true,
		PoolSize:              poolSize,
		PoolTimeout:           poolTimeout,
		PipelinePoolSize:      -1,
		ConnMaxIdleTime:       idleTimeout,
		DisableIdentity:       true,
		TLSConfig:             tlsConfig,
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled,
		},
	}
}

// tlsConfig is nil for a plaintext endpoint. The server's certificate is always
// verified, against CAFile if given.
func (e Endpoint) tlsConfig() (*tls.Config, error) {
	if !e.TLS() {
		return nil, nil //nolint:nilnil // no TLS is no error
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if e.CAFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(e.CAFile)
	if err != nil {
		return nil, migration.Errorf(migration.Invalid, "Redis endpoint %s: CA file: %w",
			e.label(), err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, e.invalid("CA file", "PEM certificates; "+e.CAFile+" holds none")
	}
	return c, nil
}

// LogTo sends go-redis's own log messages (a failed dial, a sentinel's answer) to a
// logger, at debug level: every failure is also returned as an error. Without it
// go-redis prints them to standard error. It is a process-wide setting; call it
// once, before Open.
func LogTo(l *slog.Logger) { redis.SetLogger(remarks{l}) }

type remarks struct{ log *slog.Logger }

// Printf implements go-redis's logging interface.
func (r remarks) Printf(ctx context.Context, format string, v ...any) {
	r.log.DebugContext(ctx, "go-redis", "remark", fmt.Sprintf(format, v...))
}
