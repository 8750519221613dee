package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// Address asks a Redis that is not configured yet whether it answers and lets us in, what it is,
// and what it would lack as a source. It repeats nothing of the URL but the address, and nothing
// that another kind of server answers. It takes patience at most.
func Address(ctx context.Context, url migration.Secret) []Finding {
	const reachable = "reachable"
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	endpoint := redisconn.Endpoint{Name: "to test", Kind: redisconn.Standalone, URL: url}
	c, err := redisconn.Open(endpoint)
	if err != nil {
		return []Finding{failed(reachable, err, "Correct the URL.", all...)}
	}
	defer func() { _ = c.Close() }()
	where, began := endpoint.Address(), time.Now()
	if err := redisconn.Ping(ctx, c); err != nil {
		said, next := unreachable(err, endpoint.TLS())
		return []Finding{{Key: reachable, State: Fails, Said: where + ": " + said, Next: next,
			For: all}}
	}
	out := []Finding{ok(reachable, where+" answered within "+
		migration.Words(time.Since(began).Round(time.Millisecond)+time.Millisecond))}
	if endpoint.TLS() {
		out = append(out, ok("tls", "encrypted; the certificate is valid for the address"))
	} else {
		out = append(out, Finding{Key: "tls", State: Absent, Said: "not encrypted",
			Next: "Use rediss:// unless the network is private."})
	}
	facts, err := redisconn.Inspect(ctx, c)
	if err != nil {
		return append(out, Finding{Key: "version", State: Fails,
			Said: "this user may not run INFO, or its answer came too late",
			Next: "Let the user run INFO: ACL SETUSER name +info.", For: all})
	}
	return append(out, version(facts), role(facts), policy(facts), rights(ctx, c, "rights"))
}

// unreachable says why a server could not be used without what it answered: that may be no Redis,
// and its answers are nobody's business.
func unreachable(err error, encrypted bool) (said, next string) {
	const check = "Check the address, the password and whether this machine may connect."
	said = err.Error()
	if cause := errors.Unwrap(err); cause != nil {
		said = strings.TrimSuffix(said, ": "+migration.PlainError(cause))
	}
	if _, is := errors.AsType[tls.RecordHeaderError](err); is {
		return "what listens there does not speak TLS", "Use redis:// if the network is private, " +
			"or give the port that takes TLS."
	}
	if dial, is := errors.AsType[*net.OpError](err); is && dial.Op == "dial" &&
		strings.HasSuffix(said, "unusable") {
		return "this machine cannot connect to it", check
	}
	if strings.HasSuffix(said, "unusable") {
		said = "what listens there does not answer as Redis does"
		if !encrypted {
			return said, "Check the port. If it takes TLS alone, use rediss://."
		}
	}
	return said, check
}

func version(f redisconn.Facts) Finding {
	if f.Version == "" {
		return Finding{Key: "version", State: Unknown, Said: "the server does not tell its version",
			Next: "Ask whoever runs it: BullMQ needs Redis 6.2 or later."}
	}
	return ok("version", "Redis "+f.Version+" (the audit judges its security fixes)")
}

func role(f redisconn.Facts) Finding {
	switch f.Role {
	case "master":
		return ok("role", "primary")
	case "slave":
		return Finding{Key: "role", State: Fails,
			Said: "a replica of " + net.JoinHostPort(f.MasterHost, f.MasterPort),
			Next: "Give the address of the primary: nothing can be added to a replica.", For: all}
	}
	return Finding{Key: "role", State: Unknown, Said: "the server does not tell its role",
		Next: "Make sure that it is a primary."}
}

func policy(f redisconn.Facts) Finding {
	const key = "eviction_policy"
	switch f.MaxMemoryPolicy {
	case "noeviction":
		return ok(key, f.MaxMemoryPolicy)
	case "":
		return Finding{Key: key, State: Unknown, Said: "the server does not tell its policy",
			Next: "Let the user run CONFIG GET, or look it up at the service.", For: noeviction}
	}
	return Finding{Key: key, State: Fails, Said: f.MaxMemoryPolicy + ": jobs can be evicted",
		Next: "On the server: CONFIG SET maxmemory-policy noeviction, and the same in its " +
			"configuration file.", For: noeviction}
}
