package twin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/heroku"
	"github.com/switchyard-dev/switchyard/providers/linode"
	"github.com/switchyard-dev/switchyard/providers/upstash"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/sentinel"
)

// serveInstead answers Switchyard's health check at the address that the configuration
// gives, and nothing else.
const serveInstead = `
const [, , flag, file] = process.argv;
const [, host, port] = /^addr: (.+):(\d+)$/m.exec(require("fs").readFileSync(file, "utf8"));
const ok = (req) => flag === "--config" && req.url === "/healthz";
const answer = (req, res) => res.writeHead(ok(req) ? 200 : 503).end();
require("http").createServer(answer).listen(Number(port), host);
process.on("SIGTERM", () => process.exit(0));
`

func estateConfig(t *testing.T, dir string) Config {
	t.Helper()
	script := filepath.Join(t.TempDir(), "serve.js")
	if err := os.WriteFile(script, []byte(serveInstead), 0o600); err != nil {
		t.Fatal(err)
	}
	return Config{Dir: dir, IngestionDir: filepath.Join("..", "examples", "ingestion"), Rate: 20,
		Serve: []string{"node", script}}
}

// estate starts a twin for a test; what the test leaves running ends with it.
func estate(t *testing.T, dir string) *Twin {
	t.Helper()
	begin := time.Now()
	tw, err := Start(t.Context(), estateConfig(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("started in %s", time.Since(begin).Round(time.Millisecond))
	t.Cleanup(func() { _ = tw.Close() })
	return tw
}

// built builds the ingestion app when nobody has.
func built(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(filepath.Join("..", "examples", "ingestion", "dist",
		"main.js")); err == nil {
		return
	}
	cmd := exec.CommandContext(t.Context(), "make", "node")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make node: %v\n%s", err, out)
	}
}

func pidOf(t *testing.T, tw *Twin, name string) int {
	t.Helper()
	return written(t, tw.pids.path)[name].PID
}

// none fails the test when a recorded process still runs.
func none(t *testing.T, pids map[string]recorded) {
	t.Helper()
	for name, r := range pids {
		if runs(r) {
			t.Errorf("%s (pid %d) still runs", name, r.PID)
		}
	}
}

func open(t *testing.T, e redisconn.Endpoint) redis.UniversalClient {
	t.Helper()
	c, err := redisconn.Open(e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestTheEstateFromItsFirstStartToItsThird(t *testing.T) {
	built(t)
	dir := t.TempDir()
	tw := estate(t, dir)
	everything := written(t, tw.pids.path)
	for _, name := range []string{"linode", "node-1", "node-2", "node-3", "sentinel-1",
		"sentinel-2", "sentinel-3", "serve", "ingestion"} {
		if !runs(everything[name]) {
			t.Errorf("%s does not run", name)
		}
	}
	onlyOne(t, dir)
	configuration(t, tw)
	policies(t, tw)
	flows(t, tw)
	db := managed(t, tw)
	restartsTheApp(t, tw, db)
	restarted(t, tw, KillServe, "serve")
	restarted(t, tw, KillIngestion, "ingestion")
	freezes(t, tw)
	master := losesTheMaster(t, tw)
	powerOff(t, tw, 1, "linode")

	accounts, url, orders := tw.Accounts(), tw.URL(), tw.Traffic().Stats().Sent
	everything = written(t, tw.pids.path)
	for range 2 {
		if err := tw.Close(); err != nil {
			t.Fatal(err)
		}
	}
	none(t, everything)

	tw = estate(t, dir)
	if !slices.Equal(tw.Accounts(), accounts) || tw.URL() != url {
		t.Errorf("accounts or address changed: %s, then %s", url, tw.URL())
	}
	if now, err := tw.MasterAddr(t.Context()); err != nil || now != master {
		t.Errorf("the master was %s and is %s after a restart (%v)", master, now, err)
	}
	managed := redisconn.Endpoint{Name: "managed", Kind: redisconn.Managed, URL: db.URL(),
		CAFile: tw.caFile}
	if got, err := open(t, managed).Get(t.Context(), "kept").Result(); err != nil || got != "yes" {
		t.Errorf("the managed Redis has %q after a restart (%v)", got, err)
	}
	if !strings.Contains(environment(t, tw), "TARGET_REDIS_URL=rediss://") {
		t.Error("the app's configuration was not kept")
	}
	if _, on := written(t, tw.pids.path)["linode"]; on {
		t.Error("a machine that was powered off came back with the next start")
	}
	tw.Traffic().SetRate(20)
	soon(t, 10*time.Second, "orders that go on", func() error {
		if s := tw.Traffic().Stats(); s.Sent <= orders {
			return fmt.Errorf("%d orders, %d before", s.Sent, orders)
		}
		return nil
	})

	if err := powerOff(t, tw, 4, "sentinel-3").Delete(t.Context(), 4, "sentinel-3"); err != nil {
		t.Fatal(err)
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	tw = estate(t, dir) // a deleted machine is not waited for
	if _, on := written(t, tw.pids.path)["sentinel-3"]; on {
		t.Error("a machine that was deleted came back with the next start")
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	// A port that somebody else took meanwhile is named, not waited for.
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", tw.state.address("node-2"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Start(t.Context(), estateConfig(t, dir))
	if migration.KindOf(err) != migration.Conflict || !strings.Contains(err.Error(), "node-2") {
		t.Errorf("with a port taken: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Reset(dir, tw.log); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there after a reset: %v", err)
	}
}

func onlyOne(t *testing.T, dir string) {
	t.Helper()
	_, err := Start(t.Context(), estateConfig(t, dir))
	if migration.KindOf(err) != migration.Conflict ||
		!strings.Contains(err.Error(), fmt.Sprintf("pid %d", os.Getpid())) {
		t.Errorf("a second twin on the same folder: %v", err)
	}
}

func configuration(t *testing.T, tw *Twin) {
	t.Helper()
	c, err := config.Load(tw.ConfigFile(), func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	if "http://"+c.Addr != tw.URL() || len(c.Source.Sentinel.Addrs) != 3 ||
		len(c.FirstRunUsers) != 3 {
		t.Errorf("the configuration says addr %s, sentinels %v, %d users", c.Addr,
			c.Source.Sentinel.Addrs, len(c.FirstRunUsers))
	}
	if info, err := os.Stat(tw.ConfigFile()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the configuration holds secrets, and its mode is %v (%v)", info.Mode(), err)
	}
}

func policies(t *testing.T, tw *Twin) {
	t.Helper()
	for name, want := range map[string]string{"linode": "allkeys-lru", "node-1": "noeviction",
		"node-2": "noeviction", "node-3": "noeviction"} {
		f, err := redisconn.Inspect(t.Context(), open(t, tw.endpoint(name)))
		if err != nil || f.MaxMemoryPolicy != want || !f.AOFEnabled || f.DefaultUserNoPass {
			t.Errorf(
				"%s: policy %s (want %s), append-only file %v, open without a password %v (%v)",
				name, f.MaxMemoryPolicy, want, f.AOFEnabled, f.DefaultUserNoPass, err)
		}
	}
}

// flows waits until orders have gone all the way to the app's sink, then stops the
// traffic.
func flows(t *testing.T, tw *Twin) {
	t.Helper()
	soon(t, 20*time.Second, "orders at the sink", func() error {
		applied, err := tw.Sink(t.Context())
		if err != nil {
			return err
		}
		for id, n := range applied {
			if n != 1 {
				t.Fatalf("order %s took effect %d times", id, n)
			}
		}
		if len(applied) < 30 {
			return fmt.Errorf("%d orders took effect; provider %+v", len(applied),
				tw.Traffic().Stats())
		}
		return nil
	})
	tw.Traffic().SetRate(0)
	if err := tw.Traffic().Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// managed creates the managed Redis and checks that it is what the service documents.
func managed(t *testing.T, tw *Twin) upstash.Database {
	t.Helper()
	ctx := t.Context()
	api := upstash.New("http://"+tw.state.address("upstash")+"/v2", "ops@example.com",
		migration.Secret(tw.state.Secrets["upstash"]), nil)
	spec := upstash.CreateRequest{DatabaseName: "orders-bullmq", Platform: "aws",
		PrimaryRegion: "us-east-1", Plan: upstash.Fixed1GB, TLS: true}
	created, err := api.Create(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	db, err := api.Get(ctx, created.ID, true)
	if err != nil {
		t.Fatal(err)
	}
	e := redisconn.Endpoint{Name: "managed", Kind: redisconn.Managed, URL: db.URL(),
		CAFile: tw.caFile}
	c := open(t, e)
	if err := c.Set(ctx, "kept", "yes", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Create(ctx, spec); err == nil {
		t.Error("a second database on the one server was promised")
	}
	if got, err := c.Get(ctx, "kept").Result(); err != nil || got != "yes" {
		t.Errorf("a second create took the first one's data: %q (%v)", got, err)
	}
	e.CAFile = ""
	if err := redisconn.Ping(ctx, open(t, e)); err == nil {
		t.Error("a client that does not know the authority was let in")
	}
	for _, command := range []string{
		"CONFIG GET maxmemory-policy", "CONFIG SET maxmemory 0", "CLIENT KILL ID 1",
		"CLIENT PAUSE 1", "CLIENT NO-EVICT on", "REPLICAOF NO ONE", "SLAVEOF NO ONE",
		"PSYNC ? -1", "SYNC", "ROLE", "FAILOVER ABORT", "DEBUG SLEEP 0", "MONITOR",
		"SLOWLOG GET", "LATENCY LATEST", "OBJECT ENCODING kept", "SAVE", "BGSAVE", "LASTSAVE",
		"MIGRATE 127.0.0.1 1 kept 0 1", "SWAPDB 0 1", "MOVE kept 1", "SHUTDOWN NOSAVE",
		"SORT kept",
	} {
		if err := c.Do(ctx, words(command)...).Err(); err == nil ||
			!strings.Contains(err.Error(), "NOPERM") &&
				!strings.Contains(err.Error(), "DEBUG command not allowed") {
			t.Errorf("%s: %v; the managed service does not offer it", command, err)
		}
	}
	// What BullMQ and the mover use.
	for _, command := range []string{
		"INFO", "CLIENT SETNAME x", "CLIENT LIST", "CLIENT ID",
		"EVAL return{redis.call('incr',KEYS[1]),cjson.encode({1}),cmsgpack.pack({1})} 1 n",
		"SCRIPT LOAD return", "HSET h a 1 b 2", "HGETALL h", "HMGET h a b", "LPUSH l 1 2",
		"LRANGE l 0 -1", "RPOPLPUSH l m", "LMOVE l m LEFT RIGHT", "ZADD z 1 a", "ZRANGE z 0 -1",
		"BZPOPMIN z 0.1", "XADD s * a 1", "XREAD COUNT 1 STREAMS s 0", "XTRIM s MAXLEN 10",
		"SCAN 0", "TYPE h", "DUMP h", "PEXPIRETIME h", "SET k v PX 1000 NX", "PEXPIRE k 10",
		"WAIT 0 10", "DBSIZE", "SADD g 1", "SMEMBERS g", "COPY h h2", "RENAME h2 h3",
		"DEL h h3 l m s n g", "TIME", "PING",
	} {
		if err := c.Do(ctx, words(command)...).Err(); err != nil && !errors.Is(err, redis.Nil) {
			t.Errorf("%s: %v; the managed service offers it", command, err)
		}
	}
	if f, err := redisconn.Inspect(ctx, c); err != nil || f.MaxMemoryPolicy != "noeviction" ||
		f.PolicySource != "INFO memory" {
		t.Errorf("the managed Redis has policy %q by %q (%v)", f.MaxMemoryPolicy, f.PolicySource,
			err)
	}
	return db
}

func words(command string) []any {
	var out []any
	for _, w := range strings.Fields(command) {
		out = append(out, w)
	}
	return out
}

// environment is what the running app was started with.
func environment(t *testing.T, tw *Twin) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pidOf(t, tw, "ingestion")))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\x00", "\n")
}

func restartsTheApp(t *testing.T, tw *Twin, db upstash.Database) {
	t.Helper()
	before := pidOf(t, tw, "ingestion")
	if env := environment(t, tw); strings.Contains(env, "TARGET_REDIS_URL=") ||
		!strings.Contains(env, "TARGET_REDIS_CA=") {
		t.Error(
			"before the managed Redis exists, the app is to have its authority and not its address",
		)
	}
	target := db.URL()
	api := heroku.New("http://"+tw.state.address("heroku"),
		migration.Secret(tw.state.Secrets["heroku"]), nil)
	if _, err := api.SetConfigVars(t.Context(), herokuApp,
		map[string]*migration.Secret{"TARGET_REDIS_URL": &target}); err != nil {
		t.Fatal(err)
	}
	soon(t, 20*time.Second, "the app with its new variable", func() error {
		if pid := pidOf(t, tw, "ingestion"); pid == before || pid == 0 {
			return fmt.Errorf("pid %d, %d before", pid, before)
		}
		if !strings.Contains(environment(t, tw), "TARGET_REDIS_URL="+target.Reveal()) {
			return errors.New("the variable is not in its environment")
		}
		return tw.client(tw.cfg.instances()[0]).Healthy(t.Context())
	})
}

// restarted makes a fault and waits until the program is there again.
func restarted(t *testing.T, tw *Twin, fault, name string) {
	t.Helper()
	before := written(t, tw.pids.path)[name]
	if err := tw.Fault(t.Context(), fault); err != nil {
		t.Fatal(err)
	}
	soon(t, 10*time.Second, name, func() error {
		if now := written(t, tw.pids.path)[name]; now.PID == before.PID || !runs(now) {
			return fmt.Errorf("%+v", now)
		}
		return nil
	})
	none(t, map[string]recorded{name: before})
}

// losesTheMaster kills the master and gives the next one, once the old one follows it.
func losesTheMaster(t *testing.T, tw *Twin) string {
	t.Helper()
	old, err := tw.MasterAddr(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	if err := tw.Fault(t.Context(), KillMaster); err != nil {
		t.Fatal(err)
	}
	var master string
	soon(t, 20*time.Second, "a new master", func() error {
		master, err = tw.MasterAddr(t.Context())
		if err == nil && master == old {
			err = errors.New("still the old one")
		}
		return err
	})
	t.Logf("a new master after %s", time.Since(killed).Round(time.Millisecond))
	c := sentinel.New(tw.sentinelEndpoint())
	defer c.Close()
	soon(t, 40*time.Second, "the old master as a replica", func() error {
		top, err := c.Topology(t.Context())
		if err != nil {
			return err
		}
		good := 0
		for _, r := range top.Replicas {
			if r.Promotable() {
				good++
			}
		}
		if top.Master != master || good != 2 {
			return fmt.Errorf("master %s with replicas %+v", top.Master, top.Replicas)
		}
		return nil
	})
	if took := time.Since(killed); took < redisRestart {
		t.Errorf(
			"the killed master was back after %s; the empty server could have been taken "+
				"for healthy",
			took,
		)
	}
	t.Logf("the old master follows after %s", time.Since(killed).Round(time.Millisecond))
	return master
}

// freezes checks that the single Redis, while it is the source, stands still for a while
// and then goes on.
func freezes(t *testing.T, tw *Twin) {
	t.Helper()
	c := open(t, tw.endpoint("linode"))
	over := make(chan error, 1)
	go func() { over <- tw.Fault(t.Context(), FreezeSource) }()
	soon(t, freezeFor, "the freeze", func() error {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pidOf(t, tw, "linode")))
		if err == nil && !strings.Contains(string(text), ") T ") {
			err = errors.New("it is not stopped")
		}
		return err
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := c.Ping(ctx).Err(); err == nil {
		t.Error("a frozen server answered")
	}
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	if err := awaitRedis(t.Context(), tw.endpoint("linode")); err != nil {
		t.Error(err)
	}
}

// powerOff switches a machine off through the API and checks that one of its programs is
// gone.
func powerOff(t *testing.T, tw *Twin, id int, program string) *linode.Client {
	t.Helper()
	before := written(t, tw.pids.path)[program]
	api, err := linode.New("http://"+tw.state.address("linode-api"),
		migration.Secret(tw.state.Secrets["linode-api"]), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := api.Shutdown(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := api.WaitStatus(t.Context(), id, linode.Offline); err != nil {
		t.Fatal(err)
	}
	none(t, map[string]recorded{program: before})
	return api
}
