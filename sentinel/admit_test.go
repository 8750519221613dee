package sentinel_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/sentinel"
)

// A demoted server whose password is not the deployment's: the sentinels' connections have no
// name there and nobody can tell whose they are, until it admits them. Somebody else's without
// a name stays nobody's.
func TestTheSentinelsHaveTheirNamesOnAServerThatAdmitsThem(t *testing.T) {
	t.Parallel()
	s := newSwap(t)
	ctx := t.Context()
	s.replicate(t)
	if _, err := s.forward(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.c.Resume(ctx, s.monitor); err != nil {
		t.Fatal(err)
	}
	seen := func() (sentinels map[string]bool, nameless []redisconn.Client) {
		all, err := redisconn.Clients(ctx, s.src)
		if err != nil {
			t.Fatal(err)
		}
		sentinels = map[string]bool{}
		for _, cl := range all {
			if cl.Sentinel() {
				sentinels[cl.SentinelID()] = true
			}
			if cl.Sent() && cl.Name == "" && !cl.Replicates() {
				nameless = append(nameless, cl)
			}
		}
		return sentinels, nameless
	}
	redistest.Eventually(t, 30*time.Second, func() error {
		sentinels, nameless := seen()
		if len(sentinels) > 0 || len(nameless) < 3 {
			return fmt.Errorf("%v, nameless %+v", sentinels, nameless)
		}
		for _, cl := range nameless { // nothing on the list tells them from an app
			if cl.User != "default" {
				return fmt.Errorf("user %s", cl.User)
			}
		}
		return nil
	})
	data := redisconn.Credentials{Password: "data"}
	a, err := sentinel.AdmissionFor(ctx, s.src, s.source.Endpoint(), data)
	if err != nil || a != sentinel.AdmitPassword {
		t.Fatal(a, err)
	}
	app := s.source.Foreign("")
	for range 2 {
		if err := sentinel.Admit(ctx, s.src, data, a); err != nil {
			t.Fatal(err)
		}
	}
	redistest.Eventually(t, 40*time.Second, func() error {
		if err := app.Ping(ctx).Err(); err != nil {
			return err
		}
		sentinels, nameless := seen()
		if len(sentinels) != 3 || len(nameless) != 1 {
			return fmt.Errorf("%v, nameless %+v", sentinels, nameless)
		}
		return nil
	})
	foreign, err := redisconn.ForeignClients(ctx, s.src)
	if err != nil || len(foreign) != 1 || foreign[0].Name != "" {
		t.Errorf("the app is not seen: %+v %v", foreign, err)
	}
	// It is a follower as before, also where the sentinels know it by another address.
	_, port, _ := net.SplitHostPort(s.source.Addr())
	for _, addr := range []string{s.source.Addr(), "127.0.0.2:" + port} {
		s.c.Followers = []string{addr}
		checks, err := s.c.Readiness(ctx)
		if failing := migration.Failing(checks); err != nil || len(failing) > 0 {
			t.Errorf("%s: %+v %v", addr, failing, err)
		}
	}
}

// Its own password stays, also over a restart, and what was there before is not taken away.
func TestAnAdmissionTakesNothingAwayAndIsTakenBackWhole(t *testing.T) {
	t.Parallel()
	data := redisconn.Credentials{Password: "data"}
	watch := redisconn.Credentials{User: "watcher", Password: "data"}
	for name, tc := range map[string]struct {
		password string
		rules    string // an ACL SETUSER of before
		as       redisconn.Credentials
		want     sentinel.Admission
		kind     migration.Kind
	}{
		"another password":   {"old", "", data, sentinel.AdmitPassword, ""},
		"the same password":  {"data", "", data, sentinel.AdmitNothing, ""},
		"no password at all": {"", "", data, sentinel.AdmitNothing, ""},
		"both passwords":     {"old", "default >data", data, sentinel.AdmitNothing, ""},
		"no such user":       {"old", "", watch, sentinel.AdmitUser, ""},
		"a user of another password": {"old", "watcher on >other &* +@all", watch,
			sentinel.AdmitPassword, ""},
		"a user that may name nothing": {"old", "watcher on >data +ping", watch,
			sentinel.AdmitNothing, migration.Blocked},
		"a deployment without a password": {"old", "", redisconn.Credentials{},
			sentinel.AdmitNothing, migration.Blocked},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t, redistest.Password(tc.password))
			ctx, c, e := t.Context(), s.Client(), s.Endpoint()
			lets := func() error { return redisconn.TakesName(ctx, e, s.Addr(), tc.as) }
			if tc.rules != "" {
				args := []any{"ACL", "SETUSER"}
				for _, word := range strings.Fields(tc.rules) {
					args = append(args, word)
				}
				if err := errors.Join(c.Do(ctx, args...).Err(), c.ConfigRewrite(ctx).Err()); err != nil {
					t.Fatal(err)
				}
			}
			before := c.Do(ctx, "ACL", "LIST").Val()
			a, err := sentinel.AdmissionFor(ctx, c, e, tc.as)
			if a != tc.want || (err == nil) != (tc.kind == "") ||
				err != nil && migration.KindOf(err) != tc.kind {
				t.Fatalf("%q %v", a, err)
			}
			if err := sentinel.Admit(ctx, c, tc.as, a); err != nil {
				t.Fatal(err)
			}
			if err := lets(); err != nil && tc.kind == "" {
				t.Errorf("after the admission: %v", err)
			}
			s.Restart()
			if err := errors.Join(c.Ping(ctx).Err(), lets()); err != nil && tc.kind == "" {
				t.Errorf("after a restart: %v", err)
			}
			for range 2 {
				if err := sentinel.Dismiss(ctx, c, tc.as, a); err != nil {
					t.Fatal(err)
				}
			}
			if after := c.Do(ctx, "ACL", "LIST").Val(); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("%v, before: %v", after, before)
			}
		})
	}
}

// A server that keeps its users to itself says so, without repeating what it was sent.
func TestAServerThatLetsNobodyChangeItsUsersIsToldApart(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Password("old"),
		redistest.Config("rename-command ACL \"\""))
	_, err := sentinel.AdmissionFor(t.Context(), s.Client(), s.Endpoint(),
		redisconn.Credentials{Password: "data"})
	if migration.KindOf(err) != migration.Blocked || strings.Contains(err.Error(), "data") {
		t.Errorf("%v", err)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := redisconn.Endpoint{Kind: redisconn.Standalone,
		URL: migration.Secret("redis://" + l.Addr().String())}
	_ = l.Close()
	if _, err := sentinel.AdmissionFor(t.Context(), s.Client(), gone,
		redisconn.Credentials{Password: "data"}); migration.KindOf(err) != migration.Unavailable {
		t.Errorf("%v", err)
	}
}
