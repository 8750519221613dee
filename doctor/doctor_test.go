package doctor_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/doctor"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// examine gives what was found, by key; of several with one key the first that is not ok.
func examine(t *testing.T, c config.Config) map[string]doctor.Finding {
	t.Helper()
	out := map[string]doctor.Finding{}
	doctor.Examine(t.Context(), c, func(f doctor.Finding) {
		if strings.Contains(fmt.Sprint(f), "CANARY") {
			t.Errorf("a credential is told: %+v", f)
		}
		if (f.State == doctor.OK) != (f.Next == "") {
			t.Errorf("what to do: %+v", f)
		}
		old, twice := out[f.Key]
		switch {
		case twice && old.State != doctor.OK:
			return
		case twice && f.State == doctor.OK:
			f.Said = old.Said + "; " + f.Said
		}
		out[f.Key] = f
	})
	return out
}

// configured is a configuration for a source.
func configured(t *testing.T, source string) config.Config {
	t.Helper()
	c := config.Default()
	c.Addr, c.SyncAddr = "127.0.0.1:0", "127.0.0.1:0"
	c.DataDir = filepath.Join(t.TempDir(), "new", "data")
	c.WorkerToken = "token-CANARY"
	c.Source.Standalone.URL = migration.Secret(source)
	c.Queues = []string{"orders"}
	c.Ingestion.URL = "http://127.0.0.1:1"
	return c
}

func TestASourceIsAskedForItsQueuesAndRights(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	admin := s.Client()
	ctx := t.Context()
	const key = "source.standalone.url"
	acl := func(rules ...any) {
		t.Helper()
		args := append([]any{"ACL", "SETUSER", "app", "reset", "on", ">pw-CANARY", "~*", "&*"}, rules...)
		if err := admin.Do(ctx, args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	acl("+@all")
	as := fmt.Sprintf("redis://app:pw-CANARY@%s", s.Addr())

	found := examine(t, configured(t, as))
	if f := found[key]; f.State != doctor.OK || !strings.Contains(f.Said, "Redis 7") ||
		!strings.Contains(f.Said, ", no TLS, maxmemory-policy noeviction") {
		t.Errorf("all rights: %+v", f)
	}
	if f := found["queues"]; f.State != doctor.Fails || !strings.Contains(f.Said, "not there: orders") ||
		!strings.Contains(f.Said, "the server holds no queue") {
		t.Errorf("without the queue: %+v", f)
	}
	admin.HSet(ctx, "bull:orders:meta", "version", "bullmq:5.81.3", "opts.maxLenEvents", "10000")
	if f := examine(t, configured(t, as))["queues"]; f.State != doctor.OK ||
		!strings.Contains(f.Said, "orders") {
		t.Errorf("with the queue: %+v", f)
	}

	acl("+@all", "-config|set", "-replicaof")
	f := examine(t, configured(t, as))[key]
	if f.State != doctor.Fails || f.Said != "this user may not run CONFIG SET, REPLICAOF" ||
		f.Next != "On the server: ACL SETUSER app +config|set +replicaof" ||
		!slices.Contains(f.For, "failover-test") || slices.Contains(f.For, "dual-write") {
		t.Errorf("two rights less: %+v", f)
	}
	// what the answer says to do is enough
	if err := admin.Do(ctx, "ACL", "SETUSER", "app", "+config|set", "+replicaof").Err(); err != nil {
		t.Fatal(err)
	}
	if f := examine(t, configured(t, as))[key]; f.State != doctor.OK {
		t.Errorf("given them: %+v", f)
	}

	acl("+@all", "-acl")
	f = examine(t, configured(t, as))[key]
	if f.State != doctor.Unknown || !strings.Contains(f.Said, "CONFIG SET, REPLICAOF, CLIENT PAUSE") ||
		strings.Contains(f.Said, "SCAN") {
		t.Errorf("nobody tells: %+v", f)
	}
	acl("+@all", "-acl", "-scan", "-hgetall")
	f = examine(t, configured(t, as))[key]
	if f.State != doctor.Fails || f.Said != "this user may not run SCAN, HGETALL" {
		t.Errorf("nobody tells, and two were tried: %+v", f)
	}

	for rule, url := range map[string]string{
		"a wrong password": fmt.Sprintf("redis://app:other-CANARY@%s", s.Addr()),
		"nobody there":     "redis://app:pw-CANARY@127.0.0.1:1",
	} {
		if f := examine(t, configured(t, url))[key]; f.State != doctor.Fails || len(f.For) < 10 {
			t.Errorf("%s: %+v", rule, f)
		}
	}
}

func TestWhatIsHereIsLookedAtAndLeftAsItIs(t *testing.T) {
	t.Parallel()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for rule, tc := range map[string]struct {
		change func(c *config.Config)
		key    string
		state  doctor.State
		said   string
	}{
		"a new folder":    {func(*config.Config) {}, "data_dir", doctor.OK, "can be made"},
		"a folder":        {func(c *config.Config) { c.DataDir = filepath.Dir(file) }, "data_dir", doctor.OK, "can be written to"},
		"a file":          {func(c *config.Config) { c.DataDir = file }, "data_dir", doctor.Fails, "is no folder"},
		"below a file":    {func(c *config.Config) { c.DataDir = filepath.Join(file, "data") }, "data_dir", doctor.Fails, ""},
		"a free address":  {func(*config.Config) {}, "addr", doctor.OK, "is free"},
		"a taken address": {func(c *config.Config) { c.Addr = ln.Addr().String() }, "addr", doctor.Fails, "another program listens"},
		"a taken stream":  {func(c *config.Config) { c.SyncAddr = ln.Addr().String() }, "sync_addr", doctor.Fails, "another program listens"},
		"no such address": {func(c *config.Config) { c.Addr = "192.0.2.1:80" }, "addr", doctor.Fails, ""},
		"no redis-server": {func(c *config.Config) { c.RedisServer = file }, "redis_server", doctor.Fails, "does not run here"},
		"drills are off":  {func(c *config.Config) { c.RedisServer = "off" }, "redis_server", doctor.Absent, ""},
		"no PostgreSQL":   {func(c *config.Config) { c.DatabaseURL = "postgres://u:CANARY@127.0.0.1:1/db" }, "database_url", doctor.Fails, "does not let us in"},
		"no target":       {func(*config.Config) {}, "target", doctor.Absent, "no managed Redis"},
		"no target there": {func(c *config.Config) { c.Target.URL = "redis://u:CANARY@127.0.0.1:1" }, "target.url", doctor.Fails, "127.0.0.1:1"},
		"no Sentinel":     {func(*config.Config) {}, "source.sentinel", doctor.Absent, ""},
		"no Sentinel there": {func(c *config.Config) {
			c.Source.Sentinel = config.Sentinel{Addrs: []string{"127.0.0.1:1"}, Master: "m"}
		}, "source.sentinel", doctor.Fails, ""},
		"no host's account": {func(*config.Config) {}, "linode.token", doctor.Absent, ""},
		"a person's host": {func(c *config.Config) {
			c.Source.Machines, c.Source.Standalone.Machine.Label = "by-hand", "redis-prod"
		}, "source.machines", doctor.OK, "a person looks after redis-prod"},
		"no app's variables": {func(*config.Config) {}, "heroku", doctor.Absent, ""},
		"a person's":         {func(c *config.Config) { c.Ingestion.ConfigVars = "by-hand" }, "ingestion.config_vars", doctor.OK, ""},
		"no app":             {func(*config.Config) {}, "ingestion.url", doctor.Fails, "connection refused"},
	} {
		c := configured(t, "redis://127.0.0.1:1")
		tc.change(&c)
		f := examine(t, c)[tc.key]
		if f.State != tc.state || !strings.Contains(f.Said, tc.said) {
			t.Errorf("%s: %+v", rule, f)
		}
	}
	left, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestEachInstanceIsAskedForItsJournal(t *testing.T) {
	t.Parallel()
	serve := func(answer string, code int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer token-CANARY-2" {
				code = http.StatusUnauthorized
			}
			w.WriteHeader(code)
			_, _ = w.Write([]byte(answer))
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	for rule, tc := range map[string]struct {
		answer string
		code   int
		state  doctor.State
		said   string
	}{
		"a journal":           {`{"epoch":"e","instance":"web-1","next":0,"events":[]}`, 200, doctor.OK, "journal of web-1"},
		"of nobody's name":    {`{"epoch":"e","next":0,"events":[]}`, 200, doctor.OK, "does not tell its name"},
		"another clock":       {`{"epoch":"e","next":0,"events":[],"now":1000}`, 200, doctor.Fails, "clock is off by"},
		"another program":     {`<html>`, 200, doctor.Fails, ""},
		"another token there": {``, 401, doctor.Fails, "401"},
	} {
		c := configured(t, "redis://127.0.0.1:1")
		c.Ingestion.Token = "token-CANARY-2"
		good := serve(`{"epoch":"f","instance":"web-2","next":0,"events":[]}`, 200)
		c.Ingestion.Instances = []string{serve(tc.answer, tc.code), good}
		if f := examine(t, c)["ingestion.instances"]; f.State != tc.state ||
			!strings.Contains(f.Said, tc.said) {
			t.Errorf("%s: %+v", rule, f)
		}
	}
}

func TestACriterionIsMissingWhatItsChecksNeed(t *testing.T) {
	t.Parallel()
	p := migration.Plan{Criteria: []migration.Criterion{
		{ID: "mine", Requires: []migration.Requirement{{Check: "a"}, {Check: "b"}}},
		{ID: "other", Requires: []migration.Requirement{{Check: "c"}}},
	}}
	got := doctor.Missing(p, []doctor.Finding{
		{Key: "x", State: doctor.Fails, For: []string{"b"}},
		{Key: "x", State: doctor.Unknown, For: []string{"a"}},
		{Key: "y", State: doctor.Absent, For: []string{"a", "d"}},
		{Key: "z", State: doctor.OK, For: []string{"c"}},
	})
	if len(got) != 1 || !slices.Equal(got["mine"], []string{"x", "y"}) {
		t.Errorf("%v", got)
	}
}

func TestOnlyTheServersThatAreNamedAreProbed(t *testing.T) {
	t.Parallel()
	managed := redistest.Start(t, redistest.TLS(), redistest.Password("pw-CANARY"))
	var c config.Config
	c.Target.URL = migration.Secret("rediss://:pw-CANARY@" + managed.Addr())
	c.Target.CAFile = managed.CAFile
	var found []doctor.Finding
	doctor.Probe(t.Context(), c, func(f doctor.Finding) { found = append(found, f) })
	if len(found) != 1 || found[0].Key != "target.url" || found[0].State != doctor.OK ||
		!strings.Contains(found[0].Said, ", active, Redis 7") ||
		!strings.HasSuffix(found[0].Said, ", TLS, maxmemory-policy noeviction") ||
		strings.Contains(found[0].Said, "CANARY") {
		t.Errorf("%+v", found)
	}
}

func TestAnExaminationThatIsInterruptedEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	doctor.Examine(ctx, configured(t, "redis://127.0.0.1:1"), func(doctor.Finding) {
		n++
		cancel()
	})
	if n != 1 {
		t.Errorf("%d findings", n)
	}
}
