// Package upstash is a client of the Upstash developer API, redis part, as documented at
// https://upstash.com/docs/devops/developer-api (OpenAPI document 1.0.0, August 2026). It
// never creates a second database to make sure of the first: callers look for one by name,
// create, and look again when the outcome of a create is unknown.
package upstash

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/httpapi"
)

// DefaultBase is the address of the API.
const DefaultBase = "https://api.upstash.com/v2"

// Fixed1GB is the API's name of the plan that the initiative asks for.
const Fixed1GB = "fixed_1gb"

// APIError is an answer that the API gave instead of the expected one.
type APIError = httpapi.Error

// Client talks to the API on behalf of one account. It is safe for concurrent use.
type Client struct{ api httpapi.Client }

// New returns a client. An empty base means DefaultBase; hc may be nil. The API accepts
// native accounts only, not those of a marketplace, with email and API key as HTTP Basic.
func New(base, email string, key migration.Secret, hc *http.Client) *Client {
	if base == "" {
		base = DefaultBase
	}
	// The API asks automated clients to name themselves.
	header := http.Header{"User-Agent": {"switchyard"}}
	return &Client{
		httpapi.Client{
			API:    "upstash",
			Base:   base,
			Email:  email,
			Key:    key,
			HTTP:   hc,
			Header: header,
		},
	}
}

// Database is a managed Redis as the API describes it: schema Database, the fields that
// decide something here. Sizes are in bytes, durations in nanoseconds.
type Database struct {
	ID             string `json:"database_id"`
	Name           string `json:"database_name"`
	Region         string `json:"region"` // always "global"
	PrimaryRegion  string `json:"primary_region"`
	Endpoint       string `json:"endpoint"` // a slug or a host name: use Addr
	Port           int    `json:"port"`
	TLS            bool   `json:"tls"`
	State          string `json:"state"` // active, suspended, passive
	ModifyingState string `json:"modifying_state"`
	Type           string `json:"type"` // free, payg, pro, paid
	CreationTime   int64  `json:"creation_time"`
	Eviction       bool   `json:"eviction"`
	DBEviction     bool   `json:"db_eviction"`
	AutoUpgrade    bool   `json:"auto_upgrade"`

	MaxClients        int64 `json:"db_max_clients"`
	MaxRequestSize    int64 `json:"db_max_request_size"`
	MaxEntrySize      int64 `json:"db_max_entry_size"`
	DiskThreshold     int64 `json:"db_disk_threshold"`
	MemoryThreshold   int64 `json:"db_memory_threshold"`
	CommandsPerSecond int64 `json:"db_max_commands_per_second"`
	RequestLimit      int64 `json:"db_request_limit"`
	ConnIdleTimeout   int64 `json:"db_conn_idle_timeout"`
	LuaTimeout        int64 `json:"db_lua_timeout"`
	LuaCreditsPerMin  int64 `json:"db_lua_credits_per_min"`

	ProdPackEnabled    bool `json:"prod_pack_enabled"`
	DailyBackupEnabled bool `json:"daily_backup_enabled"`

	// Password is of the user "default"; empty when credentials were hidden.
	Password migration.Secret `json:"password"`
}

// PlanName tells the plan of an existing database by the names that Create and ChangePlan
// take; why says from what, or why it cannot be told, in which case name is empty.
//
// No documented field names the plan. The schema gives type (free, payg, pro, paid) and
// db_disk_threshold ("total disk size limit that can be used for the database currently"),
// and the vendor's plan table gives every plan its data size. A fixed plan is therefore a
// paid type whose limit is that plan's data size. A pay-as-you-go database has 100 GB, and
// the document's own example shows type "paid" with 100 GB: for that size a paid type does
// not tell fixed from pay-as-you-go.
func (d Database) PlanName() (name, why string) {
	seen := fmt.Sprintf("type %q, db_disk_threshold %d bytes", d.Type, d.DiskThreshold)
	switch d.Type {
	case "free", "payg":
		return d.Type, seen
	case "paid", "pro":
	default:
		return "", "the API's documents do not know this type: " + seen
	}
	i := slices.IndexFunc(
		plans,
		func(p Plan) bool { return p.MonthlyUSD > 0 && p.MaxBytes == d.DiskThreshold },
	)
	switch {
	case i < 0:
		return "", "no plan has this data size: " + seen
	case plans[i].Name == "fixed_100gb":
		return "", "a fixed 100 GB plan and pay-as-you-go look the same: " + seen
	}
	return plans[i].Name, seen
}

// Fixed1GB reports whether the database is on the plan Fixed 1 GB, and from what that was
// told (see PlanName).
func (d Database) Fixed1GB() (ok bool, why string) {
	name, why := d.PlanName()
	if name != Fixed1GB && name != "" {
		why = "plan " + name + ": " + why
	}
	return name == Fixed1GB, why
}

// Host is the host name to connect to. The API may give a slug such as
// beloved-stallion-58500 instead, which is the first label of a name under upstash.io.
func (d Database) Host() string {
	if d.Endpoint == "" || d.Endpoint == "localhost" || strings.ContainsAny(d.Endpoint, ".:") {
		return d.Endpoint
	}
	return d.Endpoint + ".upstash.io"
}

// Addr is host:port for a Redis client.
func (d Database) Addr() string { return net.JoinHostPort(d.Host(), strconv.Itoa(d.Port)) }

// URL is the connection URL, rediss:// when TLS is on. It carries the password, hence a
// secret; empty without a password.
func (d Database) URL() migration.Secret {
	if d.Password.IsZero() {
		return ""
	}
	u := url.URL{
		Scheme: "redis",
		User:   url.UserPassword("default", d.Password.Reveal()),
		Host:   d.Addr(),
	}
	if d.TLS {
		u.Scheme = "rediss"
	}
	return migration.Secret(u.String())
}

// CreateRequest asks for a database (schema CreateDatabaseRequest). Name, platform and
// region are required by the API.
type CreateRequest struct {
	DatabaseName  string `json:"database_name"`
	Platform      string `json:"platform"`       // aws or gcp
	PrimaryRegion string `json:"primary_region"` // such as us-east-1
	// Plan by its API name. Without one the account's default is used, pay-as-you-go or
	// free; Create refuses that.
	Plan     string `json:"plan"`
	Eviction bool   `json:"eviction"`
	TLS      bool   `json:"tls"`
}

// Stats are the figures of a database that are used here (schema DatabaseStats).
type Stats struct {
	CurrentStorage        int64       `json:"current_storage"` // bytes
	TotalMonthlyBandwidth int64       `json:"total_monthly_bandwidth"`
	TotalMonthlyRequests  int64       `json:"total_monthly_requests"`
	TotalMonthlyBilling   float64     `json:"total_monthly_billing"` // USD
	QueueOptimized        bool        `json:"queue_optimized"`
	ConnectionCount       []DataPoint `json:"connection_count"`
	Keyspace              []DataPoint `json:"keyspace"`
	Throughput            []DataPoint `json:"throughput"`
	Latency99             []DataPoint `json:"latency_99"`
}

// DataPoint is one value of a time series; At is the API's text, such as "2023-05-22
// 10:59:23.426 +0000 UTC".
type DataPoint struct {
	At    string  `json:"x"`
	Value float64 `json:"y"`
}

// List returns the databases of the account. Rely on Get for credentials: the documents do
// not promise them here.
func (c *Client) List(ctx context.Context) ([]Database, error) {
	var dbs []Database
	if err := c.api.Do(ctx, http.MethodGet, "/redis/databases", nil, &dbs); err != nil {
		return nil, fmt.Errorf("list databases: %w", err)
	}
	return dbs, nil
}

// FindByName returns the database of that name, without its password, and whether there is
// one. Two of the same name are an error of kind Conflict: the API does not promise that
// names are unique, and choosing one could lose the other's jobs.
func (c *Client) FindByName(ctx context.Context, name string) (db Database, found bool, err error) {
	dbs, err := c.List(ctx)
	if err != nil {
		return Database{}, false, err
	}
	named := Named(dbs, name)
	if len(named) > 1 {
		var ids []string
		for _, d := range named {
			ids = append(ids, d.ID)
		}
		return Database{}, false, migration.Errorf(
			migration.Conflict,
			"upstash has %d databases named %q (%s): delete or rename those that are not wanted; nothing was changed",
			len(named),
			name,
			strings.Join(ids, ", "),
		)
	}
	if len(named) == 0 {
		return Database{}, false, nil
	}
	return named[0], true, nil
}

// Named picks the databases of a name, without their passwords.
func Named(dbs []Database, name string) []Database {
	var out []Database
	for _, d := range dbs {
		if d.Name == name {
			d.Password = ""
			out = append(out, d)
		}
	}
	return out
}

// Get returns one database, with its password only when asked.
func (c *Client) Get(ctx context.Context, id string, withCredentials bool) (Database, error) {
	path, err := idPath("/redis/database/", id, "")
	if err != nil {
		return Database{}, err
	}
	if !withCredentials {
		path += "?credentials=hide"
	}
	var db Database
	if err := c.api.Do(ctx, http.MethodGet, path, nil, &db); err != nil {
		return Database{}, fmt.Errorf("get database %s: %w", id, err)
	}
	return db, nil
}

// Create makes a database and returns it, with its password. It is not idempotent: when it
// fails without an APIError the database may exist all the same, so ask FindByName before
// trying again.
//
// Use Ensure, which does.
func (c *Client) Create(ctx context.Context, req CreateRequest) (Database, error) {
	if req.DatabaseName == "" || req.Platform == "" || req.PrimaryRegion == "" || req.Plan == "" {
		return Database{}, migration.Errorf(
			migration.Invalid,
			"a database needs name (%q), platform (%q), primary region (%q) and plan (%q)",
			req.DatabaseName,
			req.Platform,
			req.PrimaryRegion,
			req.Plan,
		)
	}
	var db Database
	if err := c.api.Do(ctx, http.MethodPost, "/redis/database", req, &db); err != nil {
		return Database{}, fmt.Errorf("create database %s: %w", req.DatabaseName, err)
	}
	if db.ID == "" {
		return Database{}, fmt.Errorf(
			"create database %s: upstash answered without a database_id",
			req.DatabaseName,
		)
	}
	return db, nil
}

// Delete removes a database and its data. It cannot be undone. One that does not exist is
// an APIError with status 404.
func (c *Client) Delete(ctx context.Context, id string) error {
	return c.change(ctx, http.MethodDelete, "/redis/database/", id, "", nil, "delete database")
}

// ChangePlan moves a database to another plan, such as Fixed1GB, with automatic upgrades
// off: they would change the price.
func (c *Client) ChangePlan(ctx context.Context, id, plan string) error {
	body := map[string]any{"plan_name": plan, "auto_upgrade": false}
	return c.change(
		ctx,
		http.MethodPost,
		"/redis/",
		id,
		"/change-plan",
		body,
		"change plan of database",
	)
}

// DisableEviction makes a full database refuse writes instead of dropping keys, which is
// what BullMQ needs.
func (c *Client) DisableEviction(ctx context.Context, id string) error {
	return c.change(
		ctx,
		http.MethodPost,
		"/redis/disable-eviction/",
		id,
		"",
		nil,
		"disable eviction of database",
	)
}

// DisableAutoUpgrade keeps the database on its plan when it is full.
func (c *Client) DisableAutoUpgrade(ctx context.Context, id string) error {
	return c.change(
		ctx,
		http.MethodPost,
		"/redis/disable-autoupgrade/",
		id,
		"",
		nil,
		"disable automatic upgrades of database",
	)
}

// Stats returns usage figures of a database.
func (c *Client) Stats(ctx context.Context, id string) (Stats, error) {
	path, err := idPath("/redis/stats/", id, "")
	if err != nil {
		return Stats{}, err
	}
	var s Stats
	if err := c.api.Do(ctx, http.MethodGet, path, nil, &s); err != nil {
		return Stats{}, fmt.Errorf("stats of database %s: %w", id, err)
	}
	return s, nil
}

func (c *Client) change(
	ctx context.Context,
	method, before, id, after string,
	body any,
	what string,
) error {
	path, err := idPath(before, id, after)
	if err != nil {
		return err
	}
	if err := c.api.Do(ctx, method, path, body, nil); err != nil {
		return fmt.Errorf("%s %s: %w", what, id, err)
	}
	return nil
}

// idPath refuses an empty id, which would turn a call about one database into another call.
func idPath(before, id, after string) (string, error) {
	if id == "" || id == "." || id == ".." {
		return "", migration.Errorf(migration.Invalid, "%q is not a database id", id)
	}
	return before + url.PathEscape(id) + after, nil
}
