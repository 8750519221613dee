package redisconn

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
)

// Ping asks the server for a sign of life and turns the result into an error a
// person can act on (kind Unavailable). A server that does not check the password
// is not an error here; Facts.DefaultUserNoPass reports it. The result never
// contains the URL.
func Ping(ctx context.Context, c redis.UniversalClient) error {
	return Explain(c.Ping(ctx).Err())
}

// RunID identifies one run of a server: it changes with every start, and with a
// failover. "" if the server does not report it.
func RunID(ctx context.Context, c redis.UniversalClient) (string, error) {
	text, err := c.Info(ctx, "server").Result()
	return ParseInfo(text)["run_id"], err
}

// Explain says in plain words why a server could not be used. It returns nil for
// nil, and errors it does not know unchanged except for the kind Unavailable. The
// cause stays reachable with errors.Is and errors.As.
func Explain(err error) error {
	if err == nil {
		return nil
	}
	var certErr x509.UnknownAuthorityError
	var hostErr x509.HostnameError
	var invalidErr x509.CertificateInvalidError
	var netErr net.Error
	switch text := err.Error(); {
	case errors.Is(err, context.Canceled):
		return err
	case isPasswordError(text):
		return unavailable("wrong password", err)
	case strings.Contains(text, "NOPERM"):
		return unavailable("this user may not run the command", err)
	case strings.Contains(text, "connection refused"):
		return unavailable("unreachable: nothing listens at the address", err)
	case errors.As(err, &certErr):
		return unavailable("the server's certificate is signed by an authority that is not "+
			"trusted here: check the CA file", err)
	case errors.As(err, &hostErr), errors.As(err, &invalidErr):
		return unavailable("the server's certificate is not valid for it", err)
	case strings.Contains(text, "no such host"):
		return because("unreachable: the host name is unknown", err)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return because("unreachable: no answer in time", err)
	case strings.Contains(text, "all sentinels specified in configuration are unreachable"):
		return because("unreachable: no sentinel knows the master", err)
	default:
		return unavailable("unusable", err)
	}
}

// because leaves the cause to the log: what it says is said in words.
func because(what string, err error) error {
	return migration.Because(migration.Unavailable, err, "Redis "+what)
}

func unavailable(what string, err error) error {
	return migration.Errorf(migration.Unavailable, "Redis %s: %w", what, err)
}

func isPasswordError(text string) bool {
	return strings.Contains(text, "WRONGPASS") || strings.Contains(text, "NOAUTH") ||
		strings.Contains(text, "invalid password")
}

// isReply reports whether err is the server's reply, as opposed to a lost
// connection or a timeout.
func isReply(err error) bool {
	var r redis.Error
	return errors.As(err, &r)
}

// isDenied reports whether the server denies a command to this user or does not
// have it, as managed services do.
func isDenied(err error) bool {
	if err == nil || !isReply(err) {
		return false
	}
	text := strings.ToLower(err.Error())
	return strings.HasPrefix(text, "noperm") || strings.Contains(text, "unknown command") ||
		strings.Contains(text, "unknown subcommand") ||
		strings.Contains(text, "not supported") || strings.Contains(text, "not allowed")
}
