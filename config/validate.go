package config

import (
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

var (
	shopHost    = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*\.myshopify\.com$`)
	channelName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$`)
)

// mistakes lists every key that could not work.
func (c Config) mistakes() mistakes {
	var m mistakes
	m.server(c)
	m.migration(c.Migration, c.Queues)
	m.move(c.Move)
	m.drill(c.Drill, c.Queues)
	m.need(len(c.Queues) > 0, "queues", "at least one queue name is needed")
	m.queues(c.Queues)
	m.source(c.Source)
	m.address("target.upstash.api", c.Target.Upstash.API)
	m.address("linode.api", c.Linode.API)
	m.address("heroku.api", c.Heroku.API)
	m.address("ingestion.url", c.Ingestion.URL)
	for _, u := range c.Ingestion.Instances {
		m.address("ingestion.instances", u)
	}
	m.address("stripe.api", c.Stripe.API)
	m.shopify(c.Shopify)
	m.clickFunnels(c.ClickFunnels)
	m.providers(c.Providers)
	c.validateServices(func(ok bool, key, want string) { m.need(ok, key, "%s", want) })
	a := c.OutageAlerts
	m.need(a.Warning > 0 && a.Warning <= a.Critical && a.Critical <= 1, "outage_alerts",
		"shares of the time to the first loss are needed, 0 < warning <= critical <= 1")
	m.need(c.PublicURL == "" || isOrigin(strings.TrimSuffix(c.PublicURL, "/")), "public_url",
		"a URL such as https://switchyard.example.com is needed, without a path")
	for i, n := range c.Notifications {
		m.notification(item("notifications", i), n, c.Notifications[:i])
	}
	m.digest(c.Digest)
	return m
}

// server judges how Switchyard itself is reached and keeps its data.
func (m *mistakes) server(c Config) {
	m.need(c.Addr != "", "addr", "host:port is needed")
	m.need(c.SyncAddr != "", "sync_addr", "host:port is needed, or off")
	m.need((c.SyncTLS.CertFile == "") == (c.SyncTLS.KeyFile == ""), "sync_tls",
		"cert_file and key_file go together")
	if scheme, _, ok := strings.Cut(c.DatabaseURL.Reveal(), "://"); ok {
		known := []string{"sqlite", "file", "postgres", "postgresql"}
		m.need(slices.Contains(known, scheme), "database_url",
			"a SQLite file or postgres:// is needed")
	}
	for i, u := range c.FirstRunUsers {
		key := item("first_run_users", i)
		m.need(u.Name != "", key+".name", "is needed")
		m.need(u.Role == migration.RoleViewer || u.Role == migration.RoleEngineer, key+".role",
			"viewer or engineer")
		m.need(len(u.Password.Reveal()) >= 12, key+".password",
			"12 characters or more are needed")
	}
	m.redis("flag_mirror_url", c.FlagMirrorURL)
	m.need(!c.WorkerToken.IsZero(), "worker_token", "is needed: workers read their flags with it")
	for i, o := range c.CORSOrigins {
		m.need(isOrigin(o), item("cors_origins", i),
			"an origin like https://shop.example.com is needed")
	}
}

// isOrigin reports whether a URL has a scheme and a host, and nothing else.
func isOrigin(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return false
	}
	return u.User == nil && u.Path == "" && u.RawQuery == ""
}

// address judges where an API is.
func (m *mistakes) address(key, text string) {
	u, err := url.Parse(text)
	ok := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
	m.need(ok && u.User == nil, key, "an http(s) URL without credentials is needed")
}

// redis judges the address of a Redis, where there is one.
func (m *mistakes) redis(key string, url migration.Secret) {
	if url.IsZero() {
		return
	}
	if err := (redisconn.Endpoint{Kind: redisconn.Standalone, URL: url}).Validate(); err != nil {
		_, want, _ := strings.Cut(err.Error(), "expected ")
		m.add(key, "%s", want)
	}
}

func (m *mistakes) hostPort(key, text string) {
	_, port, err := net.SplitHostPort(text)
	m.need(err == nil && port != "", key, "%q is not host:port", text)
}

// queues are names, or prefix:name.
func (m *mistakes) queues(all []string) {
	flags := map[string]string{}
	for i, q := range all {
		at := strings.LastIndexByte(q, ':')
		prefix, name := q[:max(at, 0)], q[at+1:]
		m.need(name != "" && (at < 0 || prefix != ""), item("queues", i),
			"%q is no queue: a name, or prefix:name", q)
		m.need(prefix != "bull", item("queues", i),
			"%q: bull is the default prefix, write %s", q, name)
		key := migration.FlagQueue(q)
		m.need(key != "", item("queues", i), "%q: no flag can be named after it", q)
		other, taken := flags[key]
		m.need(!taken, item("queues", i), "%q would have the flags of %q: both are %s-stage", q,
			other, key)
		flags[key] = q
	}
}

func (m *mistakes) migration(c Migration, queues []string) {
	m.need(c.Name != "", "migration.name", "is needed")
	if c.EventDate != "" {
		_, err := time.Parse(time.DateOnly, c.EventDate)
		m.need(err == nil, "migration.event_date", "%q is not a date like 2026-12-24", c.EventDate)
	}
	m.need(c.MonitorInterval > 0, "migration.monitor_interval", "must be positive")
	m.need(c.QuietWindow > 0, "migration.quiet_window", "must be positive")
	m.need(c.FenceWindow > 0, "migration.fence_window", "must be positive")
	m.need(c.Soak >= 0, "migration.soak", "must not be negative")
	m.need(c.MinValidationOrders > 0, "migration.min_validation_orders", "must be positive")
	m.need(c.OrderDeadline > 0, "migration.order_deadline", "must be positive")
	for _, q := range slices.Sorted(maps.Keys(c.OrderDeadlines)) {
		d := c.OrderDeadlines[q]
		ok := slices.Contains(queues, q) && d > 0 && d <= c.OrderDeadline
		m.need(ok, "migration.order_deadlines."+q, "must be of one of queues, positive and at "+
			"most order_deadline, after which an order counts as lost")
	}
	for key, d := range map[string]time.Duration{
		"window": c.Guardrails.Window, "max_held": c.Guardrails.MaxHeld,
		"max_latency": c.Guardrails.MaxLatency, "max_silence": c.Guardrails.MaxSilence,
		"add_within": c.Guardrails.AddWithin, "watch": c.Guardrails.Watch,
	} {
		m.need(d > 0, "migration.guardrails."+key, "must be positive")
	}
	m.need(c.Guardrails.MaxRefused >= 0, "migration.guardrails.max_refused",
		"must not be negative")
	last, ascends := 0, true
	for _, p := range c.Ramp {
		ascends = ascends && p > last && p <= 100
		last = p
	}
	m.need(ascends, "migration.ramp", "percentages must ascend from 1 to 100")
	m.need(!ascends || last == 100, "migration.ramp", "must end at 100")
}

func (m *mistakes) move(c Move) {
	m.need(c.SourceRate >= 0, "move.source_rate", "commands per second, or 0 for no limit")
	m.need(c.TargetRate >= 0, "move.target_rate", "commands per second, or 0 for no limit")
	m.need(c.MaxLatency >= 0, "move.max_latency", "must not be negative; 0 is no limit")
	m.need(c.MaxFreeze >= 0, "move.max_freeze", "must not be negative; 0 is no limit")
}

func (m *mistakes) drill(c Drill, queues []string) {
	if c.Listen != "" {
		m.hostPort("drill.listen", c.Listen)
	}
	if c.Advertise != "" {
		m.hostPort("drill.advertise", c.Advertise)
		m.need(c.Listen != "", "drill.listen", "is needed beside drill.advertise")
	}
	for i, q := range c.ScanOnly {
		m.need(q != "" && !slices.Contains(queues, q), item("drill.scan_only", i),
			"%q: a queue that is not one of queues; those are attested and drilled", q)
	}
}

func (m *mistakes) source(c Source) {
	m.need(!c.Standalone.URL.IsZero(), "source.standalone.url",
		"is needed: redis://:password@host:port")
	m.redis("source.standalone.url", c.Standalone.URL)
	s := c.Sentinel
	if len(s.Addrs) == 0 {
		return
	}
	m.need(s.Master != "", "source.sentinel.master", "the master's name is needed")
	zone := map[string]string{}
	for i, n := range s.Nodes {
		key := item("source.sentinel.nodes", i)
		m.need((n.Zone == "") == (len(n.Addrs) == 0), key,
			"zone and addrs go together: the failure domain, and host:port of what runs there")
		for j, a := range n.Addrs {
			at := item(key+".addrs", j)
			m.hostPort(at, a)
			other, twice := zone[a]
			m.need(!twice, at, "%s is already in zone %s", a, other)
			zone[a] = n.Zone
		}
	}
}

func (m *mistakes) shopify(c Shopify) {
	if c.API != "" {
		m.address("shopify.api", c.API)
	}
	m.need(c.Shop == "" || shopHost.MatchString(c.Shop), "shopify.shop",
		"%.60q is not a shop's address like example.myshopify.com", c.Shop)
	m.need(c.Token.IsZero() || c.Shop != "" || c.API != "", "shopify.shop",
		"is needed beside token: example.myshopify.com")
	m.need(!c.Token.IsZero() || c.Shop == "" && c.API == "", "shopify.token",
		"is needed beside shop: one of the Admin API with read_orders and read_customers")
}

func (m *mistakes) clickFunnels(c ClickFunnels) {
	if c.API == "" && c.Workspace == 0 && c.Token.IsZero() {
		return
	}
	m.need(c.API != "", "clickfunnels.api",
		"is needed: the team's address, as https://example.myclickfunnels.com")
	if c.API != "" {
		m.address("clickfunnels.api", c.API)
	}
	m.need(c.Workspace > 0, "clickfunnels.workspace", "the workspace's number is needed")
	m.need(!c.Token.IsZero(), "clickfunnels.token", "is needed: an API token of the team")
}

func (m *mistakes) providers(all []Provider) {
	for i, p := range all {
		key := item("providers", i)
		same := func(o Provider) bool { return o.ID == p.ID }
		m.need(p.ID != "" && !slices.ContainsFunc(all[:i], same), key+".id",
			"each provider once, by its id")
		m.need(p.OrdersPerMinute >= 0 && p.OrdersPerMinute <= 1e6, key+".orders_per_minute",
			"between 0 and a million")
		m.need(p.MeanValue >= 0 && p.MeanValue <= 1e9, key+".mean_value",
			"between 0 and a billion")
		m.need(p.MeanValue == 0 || len(p.Currency) == 3, key+".currency",
			"three letters such as EUR are needed beside mean_value")
	}
}

// channelKeys are the keys of a channel that depend on its type, and whether they are needed.
var channelKeys = map[string]map[string]bool{
	"slack":     {"url": true},
	"pagerduty": {"routing_key": true, "url": false},
	"webhook":   {"url": true, "secret": true},
	"email":     {"smtp": true},
}

// notification names what is missing, and what does not belong there: a key of another type would
// be a mistake that nobody notices. Whether an address works is found when the channel is opened.
func (m *mistakes) notification(key string, n Notification, before []Notification) {
	same := func(o Notification) bool { return o.Name == n.Name }
	m.need(channelName.MatchString(n.Name) && !slices.ContainsFunc(before, same), key+".name",
		"a name of its own is needed: up to 40 letters, digits, dots, dashes and underscores")
	takes, known := channelKeys[n.Type]
	m.need(known, key+".type", "slack, pagerduty, webhook or email")
	for _, k := range []struct {
		name  string
		given bool
	}{
		{"url", !n.URL.IsZero()},
		{"routing_key", !n.RoutingKey.IsZero()},
		{"secret", !n.Secret.IsZero()},
		{"smtp", n.SMTP.Addr != "" || n.SMTP.From != "" || len(n.SMTP.To) > 0},
	} {
		needed, belongs := takes[k.name]
		m.need(!known || belongs || !k.given, key+"."+k.name, "does not belong to %s", n.Type)
		m.need(!needed || k.given, key+"."+k.name, "is needed for %s", n.Type)
	}
	if n.Type == "email" {
		security := []string{"", "starttls", "tls", "none"}
		m.need(slices.Contains(security, n.SMTP.Security), key+".smtp.security",
			"starttls, tls or none")
		m.need(n.SMTP.Username == "" || !n.SMTP.Password.IsZero(), key+".smtp.password",
			"is needed beside username")
	}
	for i, e := range n.Events {
		m.need(slices.Contains([]string{"approval", "change", "alert"}, e), item(key+".events", i),
			"%q is none of approval, change, alert", e)
	}
	severities := []string{"", "info", "warning", "error", "critical"}
	m.need(slices.Contains(severities, n.MinSeverity), key+".min_severity",
		"info, warning, error or critical")
	m.need(!n.Digest || n.Type != "pagerduty", key+".digest",
		"a pager gets no digest: choose another channel for it")
}
