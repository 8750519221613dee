// Package config reads Switchyard's configuration: one YAML file plus a few environment
// variables. Unknown keys are errors, and so is every value that could not work, each named
// with what is expected.
package config

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/byhand"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// Config is everything that `switchyard serve` needs to know. A Secret may be given as
// "env:NAME", which reads the variable NAME, so that the file itself can be kept anywhere.
type Config struct {
	// Addr is where the pages, the API and the flags are served; SWITCHYARD_ADDR.
	Addr string `yaml:"addr"`
	// SyncAddr is where workers that evaluate by themselves get whole flag sets (gRPC,
	// flagd.sync.v1); SWITCHYARD_SYNC_ADDR. "off": nowhere.
	SyncAddr string `yaml:"sync_addr"`
	// SyncTLS is the certificate of SyncAddr; without it the stream is plain text, for
	// loopback and private networks.
	SyncTLS TLS `yaml:"sync_tls"`
	// DataDir holds the database, the last known good flags and backups; SWITCHYARD_DATA_DIR.
	DataDir string `yaml:"data_dir"`
	// DatabaseURL is a SQLite file, or postgres://… for several replicas;
	// SWITCHYARD_DATABASE_URL. Default: switchyard.db in DataDir.
	DatabaseURL migration.Secret `yaml:"database_url"`
	// FirstRunUsers are created when there is no account yet. Without any, two engineers
	// get random passwords that are printed once.
	FirstRunUsers []User `yaml:"first_run_users"`
	// WorkerToken is what ingestion workers send to read flags and to attest.
	WorkerToken migration.Secret `yaml:"worker_token"`
	// FlagMirrorURL is a Redis that keeps a second copy of the last known good flags. Optional.
	FlagMirrorURL migration.Secret `yaml:"flag_mirror_url"`
	// CORSOrigins are web pages, as https://host, whose scripts may read flags.
	CORSOrigins []string `yaml:"cors_origins"`
	// SecureCookies is for serving behind TLS.
	SecureCookies bool `yaml:"secure_cookies"`
	// TrustedProxies are the addresses whose X-Forwarded-* headers count.
	TrustedProxies []string `yaml:"trusted_proxies"`

	Migration Migration `yaml:"migration"`
	Move      Move      `yaml:"move"`
	Drill     Drill     `yaml:"drill"`
	// RedisServer is the redis-server that breaker drills, and the check of the last
	// backup, run for a while. Empty: the one of the PATH; "off": none, so that the backup
	// is only read back and a drill cannot run.
	RedisServer string `yaml:"redis_server"`
	// Queues are the BullMQ queues to move: a name, or prefix:name where the prefix is not bull.
	Queues    []string  `yaml:"queues"`
	Source    Source    `yaml:"source"`
	Target    Target    `yaml:"target"`
	Linode    Linode    `yaml:"linode"`
	Heroku    Heroku    `yaml:"heroku"`
	Ingestion Ingestion `yaml:"ingestion"`
	// Stripe, Shopify and ClickFunnels are asked for what was lost. Each is optional.
	Stripe       Stripe       `yaml:"stripe"`
	Shopify      Shopify      `yaml:"shopify"`
	ClickFunnels ClickFunnels `yaml:"clickfunnels"`
	// Providers are the payment providers that send orders, for the outage clock. Without
	// any, those seen in the app's journal count.
	Providers []Provider `yaml:"providers"`
	// OutageAlerts are the thresholds of the outage clock.
	OutageAlerts OutageAlerts `yaml:"outage_alerts"`
	// PublicURL is where people reach the pages, for links in notifications. Empty: no links.
	PublicURL string `yaml:"public_url"`
	// Notifications are the places that approvals, changes and alerts are told to.
	Notifications []Notification `yaml:"notifications"`

	// Digest is when the weekly digest goes to the channels that take it.
	Digest Digest `yaml:"digest"`

	// from is env:NAME or file:PATH of each secret that is not written in the file itself, by key.
	from map[string]string
}

// OutageAlerts are shares of the time to the first loss that may pass before an alert: a
// warning, and a critical one.
type OutageAlerts struct {
	Warning  float64 `yaml:"warning"`
	Critical float64 `yaml:"critical"`
}

// Notification is one channel; see docs/notifications.md.
type Notification struct {
	Name string `yaml:"name"`
	Type string `yaml:"type"` // slack, pagerduty, webhook, email
	// URL of slack and webhook is a credential. PagerDuty's is the Events API of another
	// service region than the US.
	URL        migration.Secret `yaml:"url"`
	RoutingKey migration.Secret `yaml:"routing_key"` // pagerduty
	Secret     migration.Secret `yaml:"secret"`      // webhook: what it is signed with, whsec_…
	SMTP       SMTP             `yaml:"smtp"`        // email
	// Events are approval, change and alert. Empty: all.
	Events []string `yaml:"events"`
	// MinSeverity is the least severe alert that is told: info, warning, error or critical.
	// Empty: warning. Approvals and changes have none.
	MinSeverity string `yaml:"min_severity"`
	// Digest says whether the channel gets the weekly digest. A pager cannot.
	Digest bool `yaml:"digest"`
}

// SMTP is a mail server and who writes to whom.
type SMTP struct {
	Addr string `yaml:"addr"` // host:port
	// starttls, tls, or none on this machine. Empty: starttls
	Security string           `yaml:"security"`
	Username string           `yaml:"username"`
	Password migration.Secret `yaml:"password"`
	From     string           `yaml:"from"`
	To       []string         `yaml:"to"`
}

// Stripe is the account whose events may be read: what was not delivered, and what was lost.
type Stripe struct {
	API string           `yaml:"api"`
	Key migration.Secret `yaml:"key"` // restricted: read events
	// Types are the types of events that are orders.
	Types []string `yaml:"types"`
}

// Shopify is the shop whose orders may be read.
type Shopify struct {
	// API is asked instead of the shop's address, for a stand-in.
	API   string           `yaml:"api"`
	Shop  string           `yaml:"shop"`  // example.myshopify.com
	Token migration.Secret `yaml:"token"` // of the Admin API: read_orders and read_customers
}

// ClickFunnels is the workspace whose orders may be read.
type ClickFunnels struct {
	// the team's address: https://example.myclickfunnels.com
	API       string           `yaml:"api"`
	Workspace int              `yaml:"workspace"` // its number
	Token     migration.Secret `yaml:"token"`
}

// Provider is one sender of orders.
type Provider struct {
	ID string `yaml:"id"` // stripe, shopify, clickfunnels, copecart, cope
	// Variant is another setup of the same provider, such as "sandbox"; see
	// docs/webhooks.md. Empty: the one that is planned with.
	Variant string `yaml:"variant"`
	// OrdersPerMinute is what it sends on average. 0: measured from the app's journal.
	OrdersPerMinute float64 `yaml:"orders_per_minute"`
	// MeanValue is an order's, in Currency. 0: not known, and then no value at risk is told.
	MeanValue float64 `yaml:"mean_value"`
	Currency  string  `yaml:"currency"`
}

// TLS is a server certificate.
type TLS struct {
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// User is an account made at the first start.
type User struct {
	Name     string           `yaml:"name"`
	Role     migration.Role   `yaml:"role"`
	Password migration.Secret `yaml:"password"`
}

// Migration says what is created at the first start, and how patient its steps are.
type Migration struct {
	Name      string `yaml:"name"`
	EventDate string `yaml:"event_date"` // YYYY-MM-DD
	PlanFile  string `yaml:"plan"`       // empty: the embedded initiative
	// MonitorInterval is how often what was shown once is observed again.
	MonitorInterval time.Duration `yaml:"monitor_interval"`
	// QuietWindow is how long nobody may use the source before it is powered off.
	QuietWindow time.Duration `yaml:"quiet_window"`
	// FenceWindow is how long the fenced source is held, without anybody knocking, before
	// it may be powered off.
	FenceWindow time.Duration `yaml:"fence_window"`
	// Soak is how long a new stage is watched before its move counts as done.
	Soak time.Duration `yaml:"soak"`
	// MinValidationOrders is how many orders a dual-write validation must see.
	MinValidationOrders int `yaml:"min_validation_orders"`
	// OrderDeadline is how long an acknowledged order may take until it counts as lost.
	OrderDeadline time.Duration `yaml:"order_deadline"`
	// OrderDeadlines are shorter ones of single queues, after which an order of theirs is late.
	OrderDeadlines map[string]time.Duration `yaml:"order_deadlines"`
	// Ramp lists the percentages of the live stage, ascending, the last being 100.
	Ramp []int `yaml:"ramp"`
	// Guardrails are what a move forward needs of both sides before, during and after it.
	Guardrails Guardrails `yaml:"guardrails"`
}

// Guardrails are limits that a move forward must keep. Beyond one of them the queue goes back
// by itself.
type Guardrails struct {
	// Window is how far back refusals and failed adds count.
	Window time.Duration `yaml:"window"`
	// MaxRefused is how many webhooks the app may answer with an error within Window, and how
	// many of its adds may fail on either side.
	MaxRefused int `yaml:"max_refused"`
	// MaxHeld is how long an order may wait on the disk of the app's durable intake.
	MaxHeld time.Duration `yaml:"max_held"`
	// MaxLatency is how long an add of our own on the target, and an answer of the source, may take.
	MaxLatency time.Duration `yaml:"max_latency"`
	// MaxSilence is for how long either side may be slower than that, or its events unread,
	// before it counts while a move is watched; before a move no moment of it does.
	MaxSilence time.Duration `yaml:"max_silence"`
	// AddWithin is how old the app's last add to the target may be, once it adds there.
	AddWithin time.Duration `yaml:"add_within"`
	// Watch is how long after a move forward the guardrails take it back.
	Watch time.Duration `yaml:"watch"`
}

// Move bounds what the moves of queues and of what is left ask of both servers.
type Move struct {
	// SourceRate and TargetRate are commands per second; 0 is no limit.
	SourceRate int `yaml:"source_rate"`
	TargetRate int `yaml:"target_rate"`
	// MaxLatency slows a move down while the source answers 1 in 100 of our PINGs later; 0
	// is no limit.
	MaxLatency time.Duration `yaml:"max_latency"`
	// MaxFreeze refuses to let queues stand still that would do so for longer, by the
	// prediction; 0 is no limit.
	MaxFreeze time.Duration `yaml:"max_freeze"`
}

// Drill is how the ingestion app reaches the server that a breaker drill runs.
type Drill struct {
	// Listen is host:port. Empty: the address of this machine that leads to the app, and a
	// port of the system's choice.
	Listen string `yaml:"listen"`
	// Advertise is the host:port that the app is told, where that differs from Listen.
	Advertise string `yaml:"advertise"`
	// ScanOnly are queues whose producers are made by commands that end: they attest
	// nothing and take no drill, so the scan of the source alone speaks for them.
	ScanOnly []string `yaml:"scan_only"`
}

// Source is where the queues are now, and the Sentinel deployment they move to first.
type Source struct {
	// Machines is who switches the servers' machines off and deletes them: linode, which is the
	// default, or by-hand, a person.
	Machines string `yaml:"machines"`
	// SilentFor is for how long nothing may answer at a machine before a person's word
	// counts that it is off.
	SilentFor  time.Duration `yaml:"silent_for"`
	Standalone Standalone    `yaml:"standalone"`
	Sentinel   Sentinel      `yaml:"sentinel"`
}

// Followers are the servers that replicate from the Sentinel deployment without belonging to it:
// the single server does once the queues have moved.
func (s Source) Followers() []string {
	if s.Standalone.URL.IsZero() {
		return nil
	}
	e := redisconn.Endpoint{Kind: redisconn.Standalone, URL: s.Standalone.URL}
	return []string{e.Address()}
}

// Standalone is the single Redis.
type Standalone struct {
	URL         migration.Secret `yaml:"url"`
	LinodeID    int              `yaml:"linode_id"`
	LinodeLabel string           `yaml:"linode_label"`
	Machine     byhand.Machine   `yaml:"machine"` // with machines: by-hand
}

// Sentinel is a Sentinel deployment.
type Sentinel struct {
	Addrs  []string `yaml:"addrs"`
	Master string   `yaml:"master"`
	// ACL user of the data nodes; empty: the default user
	Username         string           `yaml:"username"`
	Password         migration.Secret `yaml:"password"`
	SentinelUsername string           `yaml:"sentinel_username"`
	SentinelPassword migration.Secret `yaml:"sentinel_password"`
	CAFile           string           `yaml:"ca_file"` // turns TLS on, for data nodes and sentinels
	Nodes            []Node           `yaml:"nodes"`
}

// Endpoint is how the deployment is reached.
func (s Sentinel) Endpoint() redisconn.Endpoint {
	return redisconn.Endpoint{
		Name: "sentinel", Kind: redisconn.Sentinel, SentinelAddrs: s.Addrs, MasterName: s.Master,
		Username: s.Username, Password: s.Password, SentinelUsername: s.SentinelUsername,
		SentinelPassword: s.SentinelPassword, CAFile: s.CAFile,
	}
}

// Zones gives the failure domain of each address that has one.
func (s Sentinel) Zones() map[string]string {
	out := map[string]string{}
	for _, n := range s.Nodes {
		for _, a := range n.Addrs {
			out[a] = n.Zone
		}
	}
	return out
}

// Node is one machine of the Sentinel deployment.
type Node struct {
	// Addrs are the host:port of what runs there, data node and sentinel, as the sentinels
	// know them.
	Addrs []string `yaml:"addrs"`
	// Zone is the failure domain: what fails together has the same one.
	Zone        string         `yaml:"zone"`
	LinodeID    int            `yaml:"linode_id"`
	LinodeLabel string         `yaml:"linode_label"`
	Machine     byhand.Machine `yaml:"machine"` // with machines: by-hand
}

// Upstash is an account of the managed service and the database to create or adopt there.
type Upstash struct {
	API           string           `yaml:"api"`
	Email         string           `yaml:"email"`
	APIKey        migration.Secret `yaml:"api_key"`
	DatabaseName  string           `yaml:"database_name"`
	Platform      string           `yaml:"platform"`
	PrimaryRegion string           `yaml:"primary_region"`
	CAFile        string           `yaml:"ca_file"` // only for a private certificate authority
}

// Linode is the hosting account of the old servers.
type Linode struct {
	API   string           `yaml:"api"`
	Token migration.Secret `yaml:"token"`
}

// Heroku is where the ingestion app gets its configuration from.
type Heroku struct {
	API   string           `yaml:"api"`
	Token migration.Secret `yaml:"token"`
	App   string           `yaml:"app"`
}

// Ingestion is the app that receives webhooks.
type Ingestion struct {
	URL string `yaml:"url"`
	// Instances are the addresses of the app's instances, each of which has a journal of its
	// own. Without them the journals are read at URL, of whichever instance answers.
	Instances []string         `yaml:"instances"`
	Token     migration.Secret `yaml:"token"`
	// ConfigVars is who sets the app's variables: heroku, which is the default, or by-hand,
	// a person.
	ConfigVars string `yaml:"config_vars"`
}

// Default returns the configuration that applies where nothing is given.
func Default() Config {
	return Config{
		Addr:     "127.0.0.1:8080",
		SyncAddr: "127.0.0.1:8015",
		DataDir:  ".switchyard/data",
		Queues:   []string{"order-ingestion"},
		Migration: Migration{
			Name:                "Order pipeline",
			MonitorInterval:     15 * time.Second,
			QuietWindow:         72 * time.Hour,
			FenceWindow:         24 * time.Hour,
			Soak:                10 * time.Minute,
			MinValidationOrders: 1000,
			OrderDeadline:       15 * time.Minute,
			Ramp:                []int{10, 50, 100},
			Guardrails: Guardrails{
				Window:     2 * time.Minute,
				MaxRefused: 10,
				MaxHeld:    time.Minute,
				MaxLatency: time.Second,
				MaxSilence: 10 * time.Second,
				AddWithin:  15 * time.Minute,
				Watch:      30 * time.Minute,
			},
		},
		// The plan that the target has to be on allows 10,000 commands per second for everybody.
		Move: Move{
			TargetRate: 8000,
			MaxLatency: 20 * time.Millisecond,
			MaxFreeze:  5 * time.Second,
		},
		Source: Source{SilentFor: time.Minute},
		Target: Target{
			Upstash: Upstash{
				API:           "https://api.upstash.com/v2",
				Platform:      "aws",
				PrimaryRegion: "us-east-1",
				DatabaseName:  "orders-bullmq",
			},
		},
		Linode: Linode{API: "https://api.linode.com"},
		Heroku: Heroku{API: "https://api.heroku.com"},
		Stripe: Stripe{
			API:   "https://api.stripe.com",
			Types: []string{"checkout.session.completed"},
		},
		// Retries thin out, so little is tried in the second half.
		OutageAlerts: OutageAlerts{Warning: 0.25, Critical: 0.5},
	}
}

// Database is what store.Open takes: postgres://…, or the path of the SQLite file.
func (c Config) Database() migration.Secret {
	file := c.DatabaseURL.Reveal()
	if file == "" {
		return migration.Secret(filepath.Join(c.DataDir, "switchyard.db"))
	}
	for _, scheme := range []string{"sqlite://", "file://", "sqlite:", "file:"} {
		if rest, ok := strings.CutPrefix(file, scheme); ok {
			return migration.Secret(rest)
		}
	}
	return c.DatabaseURL
}

// Event is the event's date; without one, four weeks from now.
func (c Config) Event(now time.Time) time.Time {
	if t, err := time.Parse(time.DateOnly, c.Migration.EventDate); err == nil {
		return t
	}
	return now.AddDate(0, 0, 28).UTC().Truncate(24 * time.Hour)
}
