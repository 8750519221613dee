package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
)

// whole is a valid configuration; every credential in it carries the word CANARY.
const whole = `addr: 127.0.0.1:9090
data_dir: data
worker_token: worker-CANARY-1
first_run_users:
  - { name: ada, role: engineer, password: password-CANARY-2 }
migration:
  name: Order pipeline
  event_date: "2026-12-24"
  ramp: [5, 50, 100]
  soak: 10m
queues: [order-ingestion]
source:
  standalone:
    url: redis://:redis-CANARY-3@10.0.0.1:6379
  sentinel:
    addrs: [10.0.0.2:26379]
    master: orders
    password: "sentinel-CANARY-4"
    sentinel_password: 'sentinel-CANARY-5'
target:
  upstash:
    email: ops@example.com
    api_key: upstash-CANARY-6
linode:
  token: linode-CANARY-7
heroku:
  token: heroku-CANARY-8
  app: shop
ingestion:
  url: http://127.0.0.1:3000
  token: ingestion-CANARY-9
shopify:
  shop: example.myshopify.com
  token: shopify-CANARY-10
clickfunnels:
  api: https://example.myclickfunnels.com
  workspace: 42
  token: clickfunnels-CANARY-11
`

func noEnv(string) string { return "" }

func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func load(t testing.TB, text string, getenv func(string) string) (config.Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "switchyard.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Load(file, getenv)
}

// spoil replaces one place of the valid configuration.
func spoil(t *testing.T, old, text string) string {
	t.Helper()
	out := strings.Replace(whole, old, text, 1)
	if out == whole {
		t.Fatalf("%q is not in the configuration", old)
	}
	return out
}

func TestAValidFileIsReadOverTheDefaults(t *testing.T) {
	t.Parallel()
	c, err := load(t, whole, noEnv)
	if err != nil {
		t.Fatal(err)
	}
	if c.Addr != "127.0.0.1:9090" || c.Migration.Soak != 10*time.Minute || c.Migration.Ramp[0] != 5 || c.Source.Sentinel.Password.Reveal() != "sentinel-CANARY-4" {
		t.Error("what the file says was lost")
	}
	if d := config.Default(); c.Migration.QuietWindow != d.Migration.QuietWindow || c.Linode.API != d.Linode.API || c.Target.Upstash.API != d.Target.Upstash.API {
		t.Error("a default was lost")
	}
}

func TestTheEnvironmentGoesBeforeTheFile(t *testing.T) {
	t.Parallel()
	c, err := load(t, whole, env(map[string]string{"SWITCHYARD_ADDR": ":1", "SWITCHYARD_DATA_DIR": "elsewhere", "SWITCHYARD_DATABASE_URL": "sqlite:///db.sqlite"}))
	if err != nil {
		t.Fatal(err)
	}
	if c.Addr != ":1" || c.DataDir != "elsewhere" || c.Database().Reveal() != "/db.sqlite" {
		t.Errorf("%s %s %s", c.Addr, c.DataDir, c.Database().Reveal())
	}
}

func TestASecretMayNameAVariable(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer("worker-CANARY-1", "env:WORKER", "redis://:redis-CANARY-3@10.0.0.1:6379", "env:REDIS_URL", "password-CANARY-2", "env:ADA").Replace(whole)
	vars := map[string]string{"WORKER": "w-CANARY", "REDIS_URL": "redis://:CANARY@h:1", "ADA": "a-long-CANARY"}
	c, err := load(t, text, env(vars))
	if err != nil {
		t.Fatal(err)
	}
	if c.WorkerToken.Reveal() != "w-CANARY" || c.Source.Standalone.URL.Reveal() != "redis://:CANARY@h:1" || c.FirstRunUsers[0].Password.Reveal() != "a-long-CANARY" {
		t.Error("a variable was not read")
	}
	delete(vars, "REDIS_URL")
	if _, err := load(t, text, env(vars)); migration.KindOf(err) != migration.Invalid || !strings.Contains(err.Error(), "REDIS_URL, which is not set") {
		t.Errorf("got %v", err)
	}
}

// As container platforms mount them: what a file holds, without the line break at its end.
func TestASecretMayNameAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "worker token")
	text := spoil(t, "worker_token: worker-CANARY-1", `worker_token: "file:`+file+`"`)
	for rule, c := range map[string]struct{ holds, says string }{
		"a line":             {"w-CANARY\n", ""},
		"no line break":      {"w-CANARY", ""},
		"another line break": {"w-CANARY\r\n", ""},
		"nothing":            {"\n", "worker_token: the file " + file + " is empty (line 3)"},
		"much too much":      {strings.Repeat("CANARY", 20_000), "is too long for a secret: 64 KiB"},
		"no file":            {"", "worker_token: the file " + file + " cannot be read: no such file"},
	} {
		_ = os.Remove(file)
		if c.holds != "" {
			if err := os.WriteFile(file, []byte(c.holds), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := load(t, text, noEnv)
		if c.says == "" {
			if err != nil || got.WorkerToken.Reveal() != "w-CANARY" {
				t.Errorf("%s: %v", rule, err)
			}
			continue
		}
		if migration.KindOf(err) != migration.Invalid || !strings.Contains(err.Error(), c.says) ||
			strings.Contains(err.Error(), "CANARY") || strings.Count(err.Error(), "\n- ") != 1 {
			t.Errorf("%s: %v", rule, err)
		}
	}
	c, err := load(t, strings.Replace(whole, "data_dir: data", "database_url: file:my.db", 1), noEnv)
	if err != nil || c.Database().Reveal() != "my.db" {
		t.Errorf("a database's file is no secret's: %v", err)
	}
}

// YAML takes host:port in braces for text: the colon of a group has a space behind it.
func TestAnAddressInBracesIsText(t *testing.T) {
	t.Parallel()
	text := spoil(t, "    addrs: [10.0.0.2:26379]\n", `    addrs: [10.0.0.2:26379]
    nodes:
      - {zone: a, addrs: [10.0.0.2:26379, redis-1.internal:6379]}
`)
	c, err := load(t, text, noEnv)
	if err != nil || !slices.Equal(c.Source.Sentinel.Nodes[0].Addrs,
		[]string{"10.0.0.2:26379", "redis-1.internal:6379"}) || c.Source.Sentinel.Nodes[0].Zone != "a" {
		t.Errorf("%v, %+v", err, c.Source.Sentinel.Nodes)
	}
	_, err = load(t, strings.Replace(text, "redis-1.internal:6379", "redis-1.internal: 6379", 1), noEnv)
	if err == nil || !strings.Contains(err.Error(), "nodes[0].addrs[1]: text is needed") {
		t.Errorf("a group there: %v", err)
	}
}

// One mistake elsewhere makes no others of what is only needed where it is given.
func TestAMistakeElsewhereLosesNoValue(t *testing.T) {
	t.Parallel()
	text := spoil(t, "  upstash:\n    email: ops@example.com\n    api_key: upstash-CANARY-6\n", `  url: rediss://u:p@h:6380
  plan: {service: S, title: T, region: r, monthly_usd: 20, max_bytes: 1, max_connections: 1,
    max_commands_per_second: 0, max_request_bytes: 0, max_record_bytes: 0, bandwidth_bytes: 0}
`)
	if _, err := load(t, text, noEnv); err != nil {
		t.Fatal(err)
	}
	_, err := load(t, strings.Replace(text, "queues:", "queus:", 1), noEnv)
	if err == nil || strings.Count(err.Error(), "\n- ") != 1 {
		t.Errorf("%v", err)
	}
}

func TestMistakesAreNamedAndNoSecretIsQuoted(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct{ old, text, says string }{
		"an unknown key":                       {"queues:", "queus:", "queus"},
		"an unknown key next to a password":    {"    master: orders", "    mastr: orders", "mastr"},
		"an unknown key that holds a secret":   {"  token: linode", "  tokn: linode", "tokn"},
		"no worker token":                      {"worker_token: worker-CANARY-1\n", "", "worker_token: is needed"},
		"no source":                            {"    url: redis://:redis-CANARY-3@10.0.0.1:6379\n", "", "source.standalone.url: is needed"},
		"a source that is no Redis":            {"redis://:redis-CANARY-3@10.0.0.1", "http://:redis-CANARY-3@10.0.0.1", "source.standalone.url: a URL like rediss://user:password@host:6379; it is not a redis:// URL"},
		"a mirror that is no Redis":            {"queues:", "flag_mirror_url: 10.0.0.1:CANARY\nqueues:", "flag_mirror_url: a URL like"},
		"a queue that is drilled, by the scan": {"queues: [order-ingestion]", "queues: [order-ingestion]\ndrill: {scan_only: [order-ingestion]}", "drill.scan_only"},
		"no queue":                             {"queues: [order-ingestion]", "queues: []", "queues: at least one"},
		"a queue without a name":               {"queues: [order-ingestion]", `queues: ["a:"]`, `"a:" is no queue: a name, or prefix:name`},
		"a queue with an empty prefix":         {"queues: [order-ingestion]", `queues: [":a"]`, `":a" is no queue: a name, or prefix:name`},
		"a queue with the default prefix":      {"queues: [order-ingestion]", `queues: ["bull:a"]`, `"bull:a": bull is the default prefix, write a`},
		"a queue that no flag can name":        {"queues: [order-ingestion]", `queues: ["--"]`, `"--": no flag can be named after it`},
		"two queues with the same flags":       {"queues: [order-ingestion]", `queues: ["s.a", "s:a"]`, `"s:a" would have the flags of "s.a": both are s.a-stage`},
		"a ramp that does not end at 100":      {"[5, 50, 100]", "[5, 50]", "migration.ramp: must end at 100"},
		"a ramp that does not ascend":          {"[5, 50, 100]", "[50, 5, 100]", "migration.ramp: percentages must ascend"},
		"a ramp with the same step twice":      {"[5, 50, 100]", "[5, 5, 100]", "migration.ramp: percentages must ascend"},
		"a ramp from zero":                     {"[5, 50, 100]", "[0, 100]", "migration.ramp: percentages must ascend"},
		"a ramp above 100":                     {"[5, 50, 100]", "[5, 101]", "migration.ramp: percentages must ascend"},
		"an empty ramp":                        {"[5, 50, 100]", "[]", "migration.ramp: must end at 100"},
		"a date that is none":                  {`"2026-12-24"`, `"2026-13-24"`, `"2026-13-24" is not a date`},
		"a duration that is none":              {"soak: 10m", "soak: ten", "migration.soak: a duration such as"},
		"a negative soak":                      {"soak: 10m", "soak: -1m", "migration.soak: must not be negative"},
		"a validation that needs no order":     {"  soak: 10m", "  min_validation_orders: 0", "min_validation_orders: must be positive"},
		"a short password":                     {"password-CANARY-2", "CANARY", "first_run_users[0].password: 12 characters"},
		"an unknown role":                      {"role: engineer", "role: admin", "first_run_users[0].role: viewer or engineer"},
		"sentinels without a master":           {"    master: orders\n", "", "source.sentinel.master"},
		"a channel without a name":             {"queues:", "notifications: [{type: slack, url: 'https://h/CANARY'}]\nqueues:", "notifications[0].name: a name of its own"},
		"two channels of one name":             {"queues:", "notifications: [{name: a, type: slack, url: CANARY}, {name: a, type: slack, url: CANARY}]\nqueues:", "notifications[1].name: a name of its own"},
		"a channel of no known type":           {"queues:", "notifications: [{name: a, type: pigeon, url: CANARY}]\nqueues:", "notifications[0].type: slack, pagerduty, webhook or email"},
		"a channel without its address":        {"queues:", "notifications: [{name: a, type: slack}]\nqueues:", "notifications[0].url: is needed for slack"},
		"a webhook that is not signed":         {"queues:", "notifications: [{name: a, type: webhook, url: CANARY}]\nqueues:", "notifications[0].secret: is needed for webhook"},
		"another channel's key":                {"queues:", "notifications: [{name: a, type: slack, url: CANARY, routing_key: CANARY}]\nqueues:", "notifications[0].routing_key: does not belong to slack"},
		"an event that is none":                {"queues:", "notifications: [{name: a, type: slack, url: CANARY, events: [alarm]}]\nqueues:", `"alarm" is none of approval`},
		"a severity that is none":              {"queues:", "notifications: [{name: a, type: slack, url: CANARY, min_severity: bad}]\nqueues:", "min_severity: info, warning, error or critical"},
		"mail with a user and no password":     {"queues:", "notifications: [{name: a, type: email, smtp: {addr: 'h:25', username: u}}]\nqueues:", "smtp.password: is needed beside username"},
		"mail by an unknown protection":        {"queues:", "notifications: [{name: a, type: email, smtp: {addr: 'h:25', security: some}}]\nqueues:", "smtp.security: starttls, tls or none"},
		"a public address with a path":         {"queues:", "public_url: https://host/path\nqueues:", "public_url: a URL such as"},
		"a public address with a password":     {"queues:", "public_url: https://u:CANARY@host\nqueues:", "public_url: a URL such as"},
		"outage alerts out of order":           {"queues:", "outage_alerts: {warning: 0.6, critical: 0.5}\nqueues:", "outage_alerts: shares of the time"},
		"a shop without its token":             {"  token: shopify-CANARY-10\n", "", "shopify.token: is needed beside shop"},
		"a token without its shop":             {"  shop: example.myshopify.com\n", "", "shopify.shop: is needed beside token"},
		"a shop that is none":                  {"example.myshopify.com", "shop.example.com", `"shop.example.com" is not a shop's address like example.myshopify.com`},
		"a shop's API with a password":         {"  shop: example.myshopify.com", "  api: https://u:CANARY@h", "shopify.api: an http(s) URL without credentials"},
		"a workspace without its address":      {"  api: https://example.myclickfunnels.com\n", "", "clickfunnels.api: is needed"},
		"a team without its workspace":         {"  workspace: 42\n", "", "clickfunnels.workspace: the workspace's number"},
		"a workspace without its token":        {"  token: clickfunnels-CANARY-11\n", "", "clickfunnels.token: is needed"},
		"a team that is no URL":                {"https://example.myclickfunnels.com", "example.myclickfunnels.com", "clickfunnels.api: an http(s) URL"},
		"an API address with a password":       {"http://127.0.0.1:3000", "http://u:CANARY@127.0.0.1:3000", "ingestion.url: an http(s) URL without credentials"},
		"an API address that is none":          {"http://127.0.0.1:3000", "127.0.0.1:3000", "ingestion.url: an http(s) URL"},
		"another database":                     {"data_dir: data", "database_url: mysql://u:CANARY@h/db", "database_url: a SQLite file or postgres://"},
		"YAML broken after a password":         {"    sentinel_password:", "   sentinel_password:", "config file"},
		"YAML broken before a password":        {"    master: orders", "    master: [orders", "config file"},
		"a password with an open quote":        {`"sentinel-CANARY-4"`, `"sentinel-CANARY-4`, "config file"},
		"a password after a forgotten colon":   {"password: password-CANARY-2", "password password-CANARY-2", "first_run_users[0].?: there is no such key (line 5)"},
		"a password with a comma":              {"password: password-CANARY-2", "password: pass,word-CANARY-2", "first_run_users[0].?: there is no such key (line 5)"},
		"a password without its space":         {"worker_token: worker", "worker_token:worker", "config file"},
		"a password where a list belongs":      {"password: password-CANARY-2", "password: [password-CANARY-2]", "first_run_users[0].password: text is needed"},
		"a password where a number belongs":    {"  standalone:\n", "  standalone:\n    linode_id: CANARY\n", "source.standalone.linode_id: a number is needed"},
		"a password where a group belongs":     {"linode:\n  token: linode-CANARY-7", "linode: linode-CANARY-7", "linode: a group of keys is needed"},
		"a password where a date belongs":      {`"2026-12-24"`, "[CANARY-4]", "migration.event_date: text is needed"},
		"the same key twice, with a password":  {"  token: linode-CANARY-7\n", "  token: linode-CANARY-7\n  token: linode-CANARY-7\n", "linode.token: is there twice, again in line 26: remove either"},
		"a list item in the middle of a group": {"  token: heroku-CANARY-8\n", "  - token: heroku-CANARY-8\n", "config file"},
		"a tab before a password":              {"  token: heroku", "\ttoken: heroku", "config file"},
		"a password that is an alias":          {"linode-CANARY-7", "*linode-CANARY-7", "config file"},
		"a password with a percent sign":       {"linode-CANARY-7", "%linode-CANARY-7 %", ""},
		"a password with a directive":          {"linode-CANARY-7", "@linode-CANARY-7", "config file"},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, spoil(t, c.old, c.text), noEnv)
			if c.says == "" {
				if err != nil && strings.Contains(err.Error(), "CANARY") {
					t.Fatalf("quotes a secret: %v", err)
				}
				return
			}
			if migration.KindOf(err) != migration.Invalid || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, want it to say %s", err, c.says)
			}
			if strings.Contains(err.Error(), "CANARY") {
				t.Fatalf("quotes a secret: %v", err)
			}
		})
	}
}

func TestEveryMistakeIsListedInTheOrderOfTheFile(t *testing.T) {
	t.Parallel()
	_, err := load(t, `
stripe: {api: stripe.com, types: checkout}
queues: ["a:"]
adddr: 127.0.0.1:9090
migration:
  ramp: [5, 50]
  soak: ten
  order_deadlines: {b: 1m, a: 1m}
  name: ""
ingestion: {url: http://127.0.0.1:3000}
notifications:
  - {type: slack, secret: env:NOT_SET, name: a}
  - name: a
    type: pigeon
first_run_users: [{role: admin, password: env:NOT_SET_EITHER}]
cors_origins: [https://shop.example.com, https://shop.example.com/path]
drill: yes
clickfunnels:
  workspace: 42
`, noEnv)
	if migration.KindOf(err) != migration.Invalid {
		t.Fatal(err)
	}
	lines := strings.Split(err.Error(), "\n- ")
	if !strings.HasSuffix(lines[0], "switchyard.yaml has 22 mistakes:") {
		t.Error(lines[0])
	}
	want := []string{
		"stripe.api: an http(s) URL without credentials is needed (line 2)",
		"stripe.types: a list is needed (line 2)",
		`queues[0]: "a:" is no queue: a name, or prefix:name (line 3)`,
		"adddr: there is no such key (line 4)",
		"migration.ramp: must end at 100 (line 6)",
		"migration.soak: a duration such as 15s, 10m or 72h is needed (line 7)",
		"migration.order_deadlines.b: must be of one of queues, positive and at most " +
			"order_deadline, after which an order counts as lost (line 8)",
		"migration.order_deadlines.a: must be of one of queues, positive and at most " +
			"order_deadline, after which an order counts as lost (line 8)",
		"migration.name: is needed (line 9)",
		"notifications[0].url: is needed for slack",
		"notifications[0].secret: refers to the environment variable NOT_SET, which is not set (line 12)",
		"notifications[1].name: a name of its own is needed: up to 40 letters, digits, dots, " +
			"dashes and underscores (line 13)",
		"notifications[1].type: slack, pagerduty, webhook or email (line 14)",
		"first_run_users[0].name: is needed",
		"first_run_users[0].role: viewer or engineer (line 15)",
		"first_run_users[0].password: refers to the environment variable NOT_SET_EITHER, which " +
			"is not set (line 15)",
		"cors_origins[1]: an origin like https://shop.example.com is needed (line 16)",
		"drill: a group of keys is needed (line 17)",
		"clickfunnels.api: is needed: the team's address, as https://example.myclickfunnels.com",
		"clickfunnels.token: is needed: an API token of the team",
		"worker_token: is needed: workers read their flags with it",
		"source.standalone.url: is needed: redis://:password@host:port",
	}
	if got := lines[1:]; !slices.Equal(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Aliases are read by the library; where one mistake is elsewhere, they are found all the same.
func TestAliasesAreNoMistakes(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer(
		"soak: 10m", "soak: &short 10m\n  fence_window: *short",
		"role: engineer", "role: admin",
	).Replace(whole)
	c, err := load(t, text, noEnv)
	if err == nil || strings.Count(err.Error(), "\n- ") != 1 || c.Migration.FenceWindow != 10*time.Minute {
		t.Errorf("%v, %s", err, c.Migration.FenceWindow)
	}
	_, err = load(t, strings.Replace(text, "queues:", "queus:", 1), noEnv)
	if err == nil || strings.Count(err.Error(), "\n- ") != 2 {
		t.Errorf("%v", err)
	}
}

// However the file is damaged, an error about it quotes no secret of it.
func TestNoDamageOfTheFileMakesAnErrorQuoteASecret(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		at := rapid.IntRange(1, len(whole)-1).Draw(rt, "at")
		text := rapid.SampledFrom([]string{
			whole[:at], whole[:at] + whole[at+1:],
			whole[:at] + rapid.SampledFrom(strings.Split("\n| |\t|:|: |-|- |[|]|{|}|\"|'|#| #|&|*|!|>|%|@|`|,|? ", "|")).Draw(rt, "inserted") + whole[at:],
		}).Draw(rt, "damaged")
		_, err := load(t, text, noEnv)
		if err != nil && (strings.Contains(err.Error(), "CANARY") || strings.Contains(err.Error(), "ARY-")) {
			rt.Fatalf("%v\n%s", err, text)
		}
	})
}

func TestAMissingFileIsAMistake(t *testing.T) {
	t.Parallel()
	if _, err := config.Load(filepath.Join(t.TempDir(), "gone.yaml"), noEnv); migration.KindOf(err) != migration.Invalid || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := config.Load("", noEnv); migration.KindOf(err) != migration.Invalid || !strings.Contains(err.Error(), "worker_token") {
		t.Errorf("without any file: %v", err)
	}
}

func TestTheDatabaseFileMayBeGivenInSeveralForms(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"":                            filepath.Join("data", "switchyard.db"),
		"my.db":                       "my.db",
		"/var/lib/my.db":              "/var/lib/my.db",
		"sqlite:///var/lib/my.db":     "/var/lib/my.db",
		"sqlite://my.db":              "my.db",
		"sqlite:my.db":                "my.db",
		"file:///var/lib/my.db":       "/var/lib/my.db",
		"file:/var/lib/my.db":         "/var/lib/my.db",
		"file:my.db":                  "my.db",
		"/var/lib/file:my.db":         "/var/lib/file:my.db",
		"sqlite:///var/lib/a file.db": "/var/lib/a file.db",
	} {
		c := config.Config{DataDir: "data", DatabaseURL: migration.Secret(given)}
		if got := c.Database().Reveal(); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
}

func TestTheEventIsTheGivenDateOrFourWeeksFromNow(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 8, 24, 15, 4, 5, 0, time.UTC)
	if got := (config.Config{}).Event(now); !got.Equal(time.Date(2026, 9, 21, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("without a date: %s", got)
	}
	if got := (config.Config{Migration: config.Migration{EventDate: "2026-12-24"}}).Event(now); !got.Equal(time.Date(2026, 12, 24, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("with a date: %s", got)
	}
}

func TestOfASecretItIsToldWhereItIsFromAndNotWhatItIs(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("file-CANARY\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("worker-CANARY-1", "env:WORKER", "linode-CANARY-7", "file:"+file).
		Replace(whole)
	c, err := load(t, text, env(map[string]string{
		"WORKER": "env-CANARY", "SWITCHYARD_DATABASE_URL": "sqlite:///CANARY"}))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]config.SecretKey{}
	for _, k := range c.Secrets() {
		if strings.Contains(k.Key+k.From, "CANARY") {
			t.Errorf("%+v", k)
		}
		got[k.Key] = k
	}
	for key, want := range map[string]config.SecretKey{
		"worker_token":                {Set: true, From: "env:WORKER"},
		"linode.token":                {Set: true, From: "file:" + file},
		"database_url":                {Set: true, From: "env:SWITCHYARD_DATABASE_URL"},
		"heroku.token":                {Set: true},
		"first_run_users[0].password": {Set: true},
		"target.url":                  {},
		"stripe.key":                  {},
	} {
		if want.Key = key; got[key] != want {
			t.Errorf("%+v, want %+v", got[key], want)
		}
	}
}
