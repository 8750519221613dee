package byurl

import (
	"fmt"
	"slices"
	"strings"

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
	// Plan is what its owner says of it, or what is known of its service. Nobody can observe it,
	// so it counts as attested or documented.
	Plan Plan `yaml:"plan"`
}

// Plan is what the owner of a database says of it. Of the limits, which are in bytes
// where their names say so, each is needed: 0 says that the service sets none.
type Plan struct {
	// Known is a plan of known.yaml such as redis-cloud/essentials-1gb, which says what is
	// not given here.
	Known   string `yaml:"known"`
	Service string `yaml:"service"` // such as Redis Cloud; for people
	Title   string `yaml:"title"`   // such as Fixed 1 GB
	Region  string `yaml:"region"`
	// MonthlyUSD is its price; 0 where it costs nothing more.
	MonthlyUSD *float64 `yaml:"monthly_usd"`
	// Metered: it is billed by use, which the step refuses. Not given: false.
	Metered *bool `yaml:"metered"`
	// Eviction: it drops keys when it is full. For a server that does not say its policy.
	Eviction *bool `yaml:"eviction"`

	MaxBytes             *int64 `yaml:"max_bytes"`
	MaxConnections       *int64 `yaml:"max_connections"`
	MaxCommandsPerSecond *int64 `yaml:"max_commands_per_second"`
	MaxRequestBytes      *int64 `yaml:"max_request_bytes"`
	MaxRecordBytes       *int64 `yaml:"max_record_bytes"`
	BandwidthBytes       *int64 `yaml:"bandwidth_bytes"` // a month
}

// offered is the plan as other services give theirs. What is not given is 0.
func (p Plan) offered() providers.Plan {
	return providers.Plan{
		Name: p.Title, Title: p.Title, Metered: value(p.Metered), MonthlyUSD: value(p.MonthlyUSD),
		MaxBytes: value(p.MaxBytes), BandwidthBytes: value(p.BandwidthBytes),
		MaxCommandsPerSecond: value(p.MaxCommandsPerSecond),
		MaxConnections:       value(p.MaxConnections),
		MaxRequestBytes:      value(p.MaxRequestBytes), MaxRecordBytes: value(p.MaxRecordBytes),
	}
}

func value[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
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
	s.Plan.check(need)
}

// check names what neither the owner nor the known plan says.
func (p Plan) check(need func(ok bool, key, want string)) {
	const key = "target.plan."
	_, of, is := find(p.Known)
	if p.Known != "" && !is { // then nobody knows what is missing
		need(false, key+"known", fmt.Sprintf("%.60q is none of the known plans: %s", p.Known,
			strings.Join(names(p.Known), ", ")))
		return
	}
	const owner = "as the database's owner says it"
	given := func(ok bool, name, example string) {
		want := "is needed beside url, " + owner
		if slices.Contains(of.Undocumented, name) {
			want = fmt.Sprintf("is needed: %s does not document it (%s); give it %s", of.Title,
				of.Source, owner)
		}
		need(ok, key+name, want+example)
	}
	p, _ = p.whole()
	given(p.Title != "", "title", ": such as Fixed 1 GB")
	given(p.Region != "", "region", ": such as us-east-1")
	given(p.MonthlyUSD != nil, "monthly_usd", "; 0 if it costs nothing more")
	need(p.MonthlyUSD == nil || *p.MonthlyUSD >= 0, key+"monthly_usd", "must not be negative")
	for _, l := range p.limits() {
		given(*l.value != nil, l.key, "; 0 if the service sets no such limit")
		need(value(*l.value) >= 0, key+l.key, "must not be negative")
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
