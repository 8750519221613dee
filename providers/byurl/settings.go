package byurl

import (
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// Settings is the part of the configuration that a database at a URL needs.
type Settings struct {
	// URL is where the database is: rediss://user:password@host:port.
	URL migration.Secret `yaml:"url"`
	// CAFile is for a private certificate authority; empty: those of the system.
	CAFile string `yaml:"ca_file"`
	// Plan is what its owner says of it. Nobody can observe it, so it counts as attested.
	Plan Plan `yaml:"plan"`
}

// Plan is what the owner of a database says of it. Of the limits, which are in bytes
// where their names say so, each is needed: 0 says that the service sets none.
type Plan struct {
	Service string `yaml:"service"` // such as Redis Cloud; for people
	Title   string `yaml:"title"`   // such as Fixed 1 GB
	Region  string `yaml:"region"`
	// MonthlyUSD is its price; 0 where it costs nothing more.
	MonthlyUSD *float64 `yaml:"monthly_usd"`
	// Metered: it is billed by use, which the step refuses.
	Metered bool `yaml:"metered"`
	// Eviction: it drops keys when it is full. For a server that does not say its policy.
	Eviction *bool `yaml:"eviction"`

	MaxBytes             *int64 `yaml:"max_bytes"`
	MaxConnections       *int64 `yaml:"max_connections"`
	MaxCommandsPerSecond *int64 `yaml:"max_commands_per_second"`
	MaxRequestBytes      *int64 `yaml:"max_request_bytes"`
	MaxRecordBytes       *int64 `yaml:"max_record_bytes"`
	BandwidthBytes       *int64 `yaml:"bandwidth_bytes"` // a month
}

func (p Plan) limits() providers.Plan {
	value := func(n *int64) int64 {
		if n == nil {
			return 0
		}
		return *n
	}
	out := providers.Plan{
		Name: p.Title, Title: p.Title, Metered: p.Metered,
		MaxBytes: value(p.MaxBytes), BandwidthBytes: value(p.BandwidthBytes),
		MaxCommandsPerSecond: value(
			p.MaxCommandsPerSecond,
		), MaxConnections: value(p.MaxConnections),
		MaxRequestBytes: value(p.MaxRequestBytes), MaxRecordBytes: value(p.MaxRecordBytes),
	}
	if p.MonthlyUSD != nil {
		out.MonthlyUSD = *p.MonthlyUSD
	}
	return out
}

// IsZero reports whether nothing is said.
func (s Settings) IsZero() bool { return s == Settings{} }

// Check names what is missing or could not work, by the keys below target. source is the
// URL that the queues are moved away from.
func (s Settings) Check(source migration.Secret, need func(ok bool, key, want string)) {
	need(
		!s.URL.IsZero(),
		"target.url",
		"is needed beside ca_file and plan: rediss://user:password@host:port",
	)
	if !s.URL.IsZero() {
		s.checkURL(source, need)
	}
	p := s.Plan
	const owner = "is needed beside url, as the database's owner says it"
	need(p.Title != "", "target.plan.title", owner+": such as Fixed 1 GB")
	need(p.Region != "", "target.plan.region", owner+": such as us-east-1")
	need(p.MonthlyUSD != nil, "target.plan.monthly_usd", owner+"; 0 if it costs nothing more")
	need(p.MonthlyUSD == nil || *p.MonthlyUSD >= 0, "target.plan.monthly_usd",
		"must not be negative")
	for _, l := range []struct {
		key   string
		value *int64
	}{
		{"max_bytes", p.MaxBytes}, {"max_connections", p.MaxConnections},
		{"max_commands_per_second", p.MaxCommandsPerSecond},
		{"max_request_bytes", p.MaxRequestBytes}, {"max_record_bytes", p.MaxRecordBytes},
		{"bandwidth_bytes", p.BandwidthBytes},
	} {
		need(l.value != nil, "target.plan."+l.key, owner+"; 0 if the service sets no such limit")
		need(l.value == nil || *l.value >= 0, "target.plan."+l.key, "must not be negative")
	}
}

func (s Settings) checkURL(source migration.Secret, need func(ok bool, key, want string)) {
	m := Open(s)
	err := m.endpoint().Validate()
	need(err == nil, "target.url", "a URL like rediss://user:password@host:6379 is needed")
	if err != nil {
		return
	}
	need(m.endpoint().TLS(), "target.url",
		"rediss:// is needed: orders and the password cross networks that are not yours")
	from := redisconn.Endpoint{Kind: redisconn.Standalone, URL: source}
	need(m.address() != from.Address(), "target.url", "is the server of source.standalone.url")
}
