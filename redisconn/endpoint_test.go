package redisconn_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func TestValidateNamesTheFieldAndNeverTheSecret(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	standalone := func(u string) redisconn.Endpoint {
		return redisconn.Endpoint{Name: "linode", Kind: redisconn.Standalone,
			URL: migration.Secret(u)}
	}
	for _, tt := range []struct {
		rule string
		e    redisconn.Endpoint
		want string // "" means valid
	}{
		{"a plain URL is valid", standalone("redis://:" + secret + "@host:6379"), ""},
		{"a TLS URL with user and database is valid",
			standalone("rediss://app:" + secret + "@host:6379/0"), ""},
		{"an IPv6 address is valid", standalone("redis://[::1]:6379"), ""},
		{"a missing port is the default port", standalone("redis://host"), ""},
		{"another scheme is refused", standalone("https://:" + secret + "@host"),
			"not a redis:// URL"},
		{"no scheme is refused", standalone("host:6379?password=" + secret),
			"not a redis:// URL"},
		{"an unescaped password is refused", standalone("redis://:" + secret + "%zz@host:6379"),
			"percent-encoded"},
		{"a bad port is refused", standalone("redis://:" + secret + "@host:99999"), "port"},
		{"no host is refused", standalone("redis://:" + secret + "@:6379"), "no host"},
		{"options in the URL are refused",
			standalone("redis://host:6379?password=" + secret), "query"},
		{"a path that is no database is refused", standalone("redis://host:6379/" + secret),
			"database number"},
		{"an empty URL is refused", standalone(""), "empty"},
		{"no kind is refused", redisconn.Endpoint{}, "kind"},
		{"an unknown kind is refused", redisconn.Endpoint{Kind: "cluster"}, "kind"},
		{"sentinels need a master name", redisconn.Endpoint{Kind: redisconn.Sentinel,
			SentinelAddrs: []string{"h:1"}}, "master name"},
		{"sentinels need addresses", redisconn.Endpoint{Kind: redisconn.Sentinel,
			MasterName: "m"}, "sentinel addresses"},
		{"a sentinel address is host:port", redisconn.Endpoint{Kind: redisconn.Sentinel,
			MasterName: "m", SentinelAddrs: []string{"h:1", "h"}}, "sentinel address 2"},
	} {
		err := tt.e.Validate()
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.rule, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) ||
			migration.KindOf(err) != migration.Invalid {
			t.Errorf("%s: got %v, want an invalid error about %q", tt.rule, err, tt.want)
		}
		_, openErr := redisconn.Open(tt.e)
		if all := fmt.Sprintf("%v %+v %#v %s", err, tt.e, tt.e,
			openErr); strings.Contains(all, secret) {
			t.Errorf("%s: the password shows in %s", tt.rule, all)
		}
	}
}

func TestAddressHasNoCredentials(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]redisconn.Endpoint{
		"host:6379":  {Kind: redisconn.Standalone, URL: "redis://user:pw@host"},
		"[::1]:7000": {Kind: redisconn.Managed, URL: "rediss://:pw@[::1]:7000/0"},
		"m@a:1,b:2": {Kind: redisconn.Sentinel, MasterName: "m",
			SentinelAddrs: []string{"a:1", "b:2"}, Password: "pw"},
		"": {Kind: redisconn.Standalone, URL: "pw"},
	} {
		if got := e.Address(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestPingSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Password("right"))
	open := redistest.Start(t)
	secure := redistest.Start(t, redistest.TLS())
	ping := func(e redisconn.Endpoint) error {
		c, err := redisconn.Open(e)
		if err != nil {
			return err
		}
		defer c.Close()
		return redisconn.Ping(t.Context(), c)
	}
	at := func(u string) redisconn.Endpoint {
		return redisconn.Endpoint{Kind: redisconn.Standalone, URL: migration.Secret(u)}
	}
	noCA := secure.Endpoint()
	noCA.CAFile = ""
	frozen := redistest.Start(t)
	frozen.Freeze()
	dead := redistest.Start(t)
	dead.Kill()
	deadNode := redisconn.Endpoint{Kind: redisconn.Sentinel, MasterName: "m",
		SentinelAddrs: []string{dead.Addr()}}
	for _, tt := range []struct {
		rule string
		e    redisconn.Endpoint
		want string
	}{
		{"right password", s.Endpoint(), ""},
		{"a server that does not check the password is no error",
			at("redis://:whatever@" + open.Addr()), ""},
		{"TLS with the CA", secure.Endpoint(), ""},
		{"wrong password", at("redis://:sesame@" + s.Addr()), "wrong password"},
		{"no password", at("redis://" + s.Addr()), "wrong password"},
		{"nothing listens", at("redis://:sesame@" + dead.Addr()), "nothing listens"},
		{"frozen server", at("redis://:sesame@" + frozen.Addr()), "no answer in time"},
		{"unknown CA", noCA, "not trusted"},
		// Redis waits for the end of the line
		{"TLS to a plaintext port", at("rediss://:sesame@" + open.Addr()), "no answer in time"},
		{"sentinels gone", deadNode, "unreachable"},
	} {
		err := ping(tt.e)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.rule, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) ||
			migration.KindOf(err) != migration.Unavailable):
			t.Errorf("%s: got %v, want unavailable with %q", tt.rule, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "sesame") {
			t.Errorf("%s: the password shows: %v", tt.rule, err)
		}
	}
}
