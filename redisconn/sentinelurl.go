package redisconn

import (
	"net/url"
	"strings"

	"github.com/switchyard-dev/switchyard/migration"
)

// ParseSentinelURL parses
// redis+sentinel://user:password@host:port,host:port/master, or rediss+sentinel://
// with caFile for TLS. The sentinels use the same user and password. The error
// never contains the URL.
func ParseSentinelURL(u migration.Secret, caFile string) (Endpoint, error) {
	const want = "redis+sentinel://user:password@host:26379,host:26379/mymaster"
	invalid := func(why string) (Endpoint, error) {
		return Endpoint{}, migration.Errorf(migration.Invalid,
			"the Sentinel URL %s: expected %s", why, want)
	}
	scheme, rest, ok := strings.Cut(u.Reveal(), "://")
	if !ok || scheme != "redis+sentinel" && scheme != "rediss+sentinel" {
		return invalid("does not begin with redis+sentinel:// or rediss+sentinel://")
	}
	if (scheme == "rediss+sentinel") != (caFile != "") {
		return invalid("and the certificate authority's file go together: rediss+sentinel:// " +
			"with one, redis+sentinel:// without")
	}
	e := Endpoint{Name: "sentinel", Kind: Sentinel, CAFile: caFile}
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		user, password, ok := strings.Cut(rest[:at], ":")
		var errUser, errPassword error
		e.Username, errUser = url.PathUnescape(user)
		password, errPassword = url.PathUnescape(password)
		if !ok || errUser != nil || errPassword != nil {
			return invalid(
				"has no user:password before the @ (special characters are percent-encoded)")
		}
		e.Password = migration.Secret(password)
		e.SentinelUsername, e.SentinelPassword = e.Username, e.Password
		rest = rest[at+1:]
	}
	hosts, master, _ := strings.Cut(rest, "/")
	e.MasterName = master
	if hosts != "" {
		e.SentinelAddrs = strings.Split(hosts, ",")
	}
	return e, e.Validate()
}
