package config_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/providers/byhand"
	"github.com/switchyard-dev/switchyard/providers/byurl"
	"github.com/switchyard-dev/switchyard/providers/heroku"
	"github.com/switchyard-dev/switchyard/providers/linode"
	"github.com/switchyard-dev/switchyard/providers/upstash"
)

// alone is a valid configuration without an account at any service.
const alone = `worker_token: worker-CANARY-1
source:
  machines: by-hand
  silent_for: 5s
  standalone:
    url: redis://:redis-CANARY-3@10.0.0.1:6379
    machine: {label: redis-prod, addrs: ["10.0.0.1:22"], monthly_usd: 12, price_from: invoice}
  sentinel:
    addrs: [10.0.0.2:26379]
    master: orders
    nodes:
      - {machine: {label: sentinel-1, addrs: ["10.0.0.2:26379"]}}
target:
  url: rediss://default:target-CANARY-6@managed.example.com:6380
  ca_file: ca.pem
  plan:
    service: Acme
    title: Fixed 1 GB
    region: us-east-1
    monthly_usd: 20
    max_bytes: 1073741824
    max_connections: 10000
    max_commands_per_second: 0
    max_request_bytes: 0
    max_record_bytes: 0
    bandwidth_bytes: 0
ingestion:
  url: http://127.0.0.1:3000
  token: ingestion-CANARY-9
  config_vars: by-hand
`

// changed replaces one place of the configuration without accounts.
func changed(t *testing.T, old, text string) string {
	t.Helper()
	out := strings.Replace(alone, old, text, 1)
	if out == alone {
		t.Fatalf("%q is not in the configuration", old)
	}
	return out
}

func noneAttests(context.Context, string) (using, without []string, err error) {
	return nil, nil, nil
}

func TestEachServiceIsOpenedAsConfigured(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		managed, host, vars any
		machines            []providers.Machine
	}{
		whole: {&upstash.Managed{}, linode.Host{}, heroku.Vars{}, nil},
		alone: {&byurl.Managed{}, &byhand.Host{}, byhand.Vars{}, []providers.Machine{
			{
				ID: "redis-prod", Label: "redis-prod",
				Addrs: []string{"10.0.0.1:22", "10.0.0.1:6379"},
			},
			{ID: "sentinel-1", Label: "sentinel-1", Addrs: []string{"10.0.0.2:26379"}},
		}},
	} {
		c, err := load(t, text, noEnv)
		if err != nil {
			t.Fatal(err)
		}
		host, err := c.Host(http.DefaultClient, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		m, v := c.Managed(http.DefaultClient), c.ConfigVars(http.DefaultClient, noneAttests)
		same(t, m, want.managed)
		same(t, host, want.host)
		same(t, v, want.vars)
		if got := c.Source.OldMachines(); !slices.EqualFunc(
			got,
			want.machines,
			func(a, b providers.Machine) bool {
				return a.ID == b.ID && a.Label == b.Label && slices.Equal(a.Addrs, b.Addrs)
			},
		) {
			t.Errorf("machines %+v, want %+v", got, want.machines)
		}
	}
}

// same compares types.
func same(t *testing.T, got, want any) {
	t.Helper()
	if g, w := fmt.Sprintf("%T", got), fmt.Sprintf("%T", want); g != w {
		t.Errorf("opened %s, want %s", g, w)
	}
}

func TestTheAttestedPlanIsReadWhole(t *testing.T) {
	t.Parallel()
	c, err := load(t, alone, noEnv)
	if err != nil {
		t.Fatal(err)
	}
	o := c.Managed(nil).Offer()
	want := providers.Plan{
		Name:           "Fixed 1 GB",
		Title:          "Fixed 1 GB",
		MonthlyUSD:     20,
		MaxBytes:       1 << 30,
		MaxConnections: 10_000,
	}
	if o.Plan != want || o.Service != "Acme" || o.Region != "us-east-1" ||
		o.Name != "managed.example.com:6380" || o.Price.Proof != migration.Attested {
		t.Errorf("%+v", o)
	}
	host, err := c.Host(nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	price, err := host.Price(t.Context(), c.Source.OldMachines()[0])
	if err != nil || price.Machine != 12 || price.Basis.Source != "invoice" {
		t.Errorf("%+v, %v", price, err)
	}
}

// known gives the configuration whose plan is a known one, with these lines beside.
func known(t *testing.T, name, beside string) string {
	t.Helper()
	from, to := strings.Index(alone, "    service: Acme"), strings.Index(alone, "ingestion:")
	if from < 0 || to < from {
		t.Fatal("the configuration has no plan")
	}
	return alone[:from] + "    known: " + name + "\n    region: us-east-1\n" + beside + alone[to:]
}

func TestAKnownPlanSaysWhatIsNotGiven(t *testing.T) {
	t.Parallel()
	c, err := load(t, known(t, "upstash/fixed-1gb", "    max_connections: 10000\n    max_bytes: 5\n"),
		noEnv)
	if err != nil {
		t.Fatal(err)
	}
	o := c.Managed(nil).Offer()
	want, _ := upstash.PlanOf(upstash.Fixed1GB)
	want.Name, want.MaxBytes = want.Title, 5
	if o.Plan != want || o.Price.Proof != migration.Documented ||
		o.Limits.Proof != migration.Documented || o.Connections.Proof != migration.Attested {
		t.Errorf("%+v", o)
	}
	if title, usd := c.TargetPlan(); title != "Fixed 1 GB" || usd != 20 {
		t.Errorf("%s, $%g", title, usd)
	}
}

// Upstash by its API and Upstash at a URL have the same limits.
func TestTheKnownPlansOfUpstashAreThoseOfItsAPI(t *testing.T) {
	t.Parallel()
	const places = "fixed_250mb fixed_1gb fixed_5gb fixed_10gb fixed_50gb fixed_100gb fixed_500gb " +
		upstash.PayAsYouGo
	for _, name := range strings.Fields(places) {
		want, is := upstash.PlanOf(name)
		if !is {
			t.Fatalf("there is no %s", name)
		}
		known := "upstash/" + strings.ReplaceAll(name, "_", "-")
		if name == upstash.PayAsYouGo {
			known = "upstash/pay-as-you-go"
		}
		o := byurl.Open(byurl.Settings{Plan: byurl.Plan{Known: known}}).Offer()
		want.Name, want.MaxConnections = want.Title, 0 // its owner has to say how many
		if o.Plan != want {
			t.Errorf("%s: %+v, want %+v", known, o.Plan, want)
		}
		if !strings.Contains(o.Limits.Source, upstash.PricedAt) ||
			!strings.Contains(o.Limits.Source, upstash.PriceSource) {
			t.Errorf("%s is from %s", known, o.Limits.Source)
		}
	}
}

func TestWhatCouldNotWorkOfTheServicesIsNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{changed(t, "  url: rediss:",
			"  upstash: {email: a@example.com, api_key: x}\n  url: rediss:"),
			"target: upstash and url are two targets"},
		{changed(t, "  url: rediss://default:target-CANARY-6@managed.example.com:6380\n", ""),
			"target.url: is needed beside"},
		{changed(t, "rediss://default", "redis://default"),
			"target.url: rediss:// is needed"},
		{changed(t, "managed.example.com:6380", "10.0.0.1:6379"),
			"target.url: is the server of source.standalone.url"},
		{changed(t, "rediss://default:target-CANARY-6@managed.example.com:6380",
			"https://default:target-CANARY-6@x"),
			"target.url: a URL like"},
		{changed(t, "    title: Fixed 1 GB\n", ""),
			"target.plan.title: is needed"},
		{changed(t, "    region: us-east-1\n", ""),
			"target.plan.region: is needed"},
		{changed(t, "    monthly_usd: 20\n", ""),
			"target.plan.monthly_usd: is needed"},
		{changed(t, "    max_record_bytes: 0\n", ""),
			"target.plan.max_record_bytes: is needed"},
		{changed(t, "max_connections: 10000", "max_connections: -1"),
			"target.plan.max_connections: must not be negative"},
		{known(t, "redis-cloud/essentials-1gb", ""),
			"target.plan.monthly_usd: is needed: Redis Cloud does not document it (https://redis.io/"},
		{known(t, "digitalocean-valkey/1gib", ""),
			"target.plan.bandwidth_bytes: is needed: DigitalOcean Managed Valkey does not"},
		{known(t, "redis-cloud/essentials-2gb", ""),
			`target.plan.known: "redis-cloud/essentials-2gb" is none of the known plans: ` +
				"redis-cloud/essentials-250mb, "},
		{known(t, "acme/one", ""), "is none of the known plans: upstash/pay-as-you-go, "},
		{changed(t, "    title:", "    titel:"),
			"titel"},
		{changed(t, "machines: by-hand", "machines: hetzner"),
			`source.machines: "hetzner" is none of linode and by-hand`},
		{changed(t, "  machines: by-hand\n", ""),
			"source.standalone.machine: belongs to source.machines: by-hand"},
		{changed(t, "silent_for: 5s", "silent_for: 0s"),
			"source.silent_for: must be positive"},
		{changed(t, "source:", "linode: {token: linode-CANARY-7}\nsource:"),
			"linode: does not belong"},
		{changed(t, "    machine: {label: redis-prod",
			"    linode_id: 3\n    machine: {label: redis-prod"),
			"source.standalone: linode_id and linode_label do not belong"},
		{changed(t, "label: redis-prod, ", ""),
			"source.standalone.machine.label: a name of its own is needed"},
		{changed(t, "label: sentinel-1", "label: redis-prod"),
			"source.sentinel.nodes[0].machine.label: a name of its own"},
		{changed(t, `, addrs: ["10.0.0.2:26379"]`, ""),
			"source.sentinel.nodes[0].machine.addrs: host:port"},
		{changed(t, `["10.0.0.1:22"]`, `["10.0.0.1"]`),
			`source.standalone.machine.addrs: "10.0.0.1" is not host:port`},
		{changed(t, "monthly_usd: 12,", "monthly_usd: -12,"),
			"source.standalone.machine.monthly_usd: must not be negative"},
		{changed(t, "config_vars: by-hand", "config_vars: envfile"),
			`ingestion.config_vars: "envfile" is none of heroku and by-hand`},
		{changed(t, "ingestion:", "heroku: {app: shop}\ningestion:"),
			"heroku: does not belong"},
		{spoil(t, "    email: ops@example.com\n", ""),
			"target.upstash: email and api_key go together"},
		{spoil(t, "  standalone:\n", "  standalone:\n    machine: {label: x}\n"),
			"source.standalone.machine: belongs to source.machines: by-hand"},
	} {
		_, err := load(t, c.text, noEnv)
		if migration.KindOf(err) != migration.Invalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "CANARY") {
			t.Errorf("a credential is in %v", err)
		}
	}
	// A name that is not known is the one mistake.
	_, err := load(t, known(t, "redis-cloud/essentials-2gb", ""), noEnv)
	if err == nil || !strings.Contains(err.Error(), "has 1 mistake") ||
		strings.Contains(err.Error(), "upstash") {
		t.Errorf("%v", err)
	}
}

func TestNoServiceAtAllIsAllowedUntilAStepNeedsOne(t *testing.T) {
	t.Parallel()
	const text = `worker_token: x
ingestion: {url: http://127.0.0.1:1}
source: {standalone: {url: redis://h}}
`
	c, err := load(t, text, noEnv)
	if err != nil {
		t.Fatal(err)
	}
	for key, ask := range map[string]func() error{
		"target.upstash.email": func() error {
			_, err := c.Managed(nil).Find(t.Context())
			return err
		},
		"heroku.app": func() error {
			v := c.ConfigVars(nil, noneAttests)
			_, err := v.Look(t.Context(), providers.Var{Name: "X", Value: "y"})
			return err
		},
	} {
		if err := ask(); migration.KindOf(err) != migration.Blocked ||
			!strings.Contains(err.Error(), key) {
			t.Errorf("%v does not name %s", err, key)
		}
	}
	if got := c.Source.OldMachines(); len(got) != 0 {
		t.Errorf("machines %v", got)
	}
	var none config.Config
	if _, err := none.Host(nil, nil, nil); err != nil {
		t.Error(err)
	}
}
