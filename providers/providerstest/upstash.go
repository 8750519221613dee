package providerstest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// UpstashBackend does what the managed service does behind its API.
type UpstashBackend interface {
	// CreateDatabase starts the database and returns once it accepts connections: host name
	// or address, port, password.
	CreateDatabase(
		ctx context.Context,
		spec UpstashSpec,
	) (endpoint string, port int, password string, err error)
	// DeleteDatabase stops it and drops its data.
	DeleteDatabase(ctx context.Context, id string) error
	// Stats reads figures off the running database.
	Stats(ctx context.Context, id string) (UpstashStats, error)
}

// UpstashSpec is a database as asked for.
type UpstashSpec struct {
	ID        string
	Name      string
	Region    string
	Plan      string // API name, such as fixed_1gb
	DiskBytes int64  // data size limit of the plan
	Eviction  bool
	TLS       bool
}

// UpstashStats are the figures of a running database that the stand-in reports.
type UpstashStats struct {
	StorageBytes int64
	Connections  int64
	Keys         int64
}

// UpstashConfig configures the stand-in.
type UpstashConfig struct {
	Email, Key string
	Backend    UpstashBackend
	// StatePath is a JSON file for the databases, passwords included (mode 0600). Empty:
	// state is lost with the process.
	StatePath string
	// UniqueNames refuses a second database of one name with 400. Whether the service does
	// is not documented; off is the harder case.
	UniqueNames bool
}

// UpstashDatabase is a database that the stand-in knows, for whoever must start it again
// after a restart.
type UpstashDatabase struct {
	UpstashSpec
	Endpoint string
	Port     int
	Password migration.Secret
}

// Upstash is a stand-in for the Upstash developer API, redis part
// (https://api.upstash.com/v2, OpenAPI document 1.0.0 as published in August 2026).
//
// Kept: HTTP Basic email:key; list, get with credentials=hide, create, delete, change-plan,
// enable- and disable-eviction and -autoupgrade, stats; required fields, the enums of
// platform, region and plan; the fields of Database that clients decide by; error bodies
// {"code","message"}; statuses 400 401 404 405 429 500. A database without a named plan is
// pay-as-you-go.
//
// Chosen where the document is silent: an unknown database is 404, names need not be unique
// (the harder case for adoption), a list carries no passwords, every fixed plan has type
// "paid" and the data size of its plan as db_disk_threshold, and creation answers only when
// the database is ready.
//
// Left out: teams, backups, budgets, read regions, TLS switching, REST tokens, time series
// other than the last point; eviction changes the API's answer, not the backend.
type Upstash struct {
	Faults
	cfg UpstashConfig
	// changing serialises requests that change something, so that a slow backend does not hold mu.
	changing sync.Mutex
	mu       sync.Mutex
	dbs      map[string]upstashRecord
	partial  func(nth int) Partial
	made     int
	partly   map[string]*Partial
}

// Partial is a creation that is not complete when it is answered.
type Partial struct {
	// ReadyAfter is how many reads (list or get) see the new database passive, with a
	// change under way.
	ReadyAfter int
	// GoneAfter is after how many reads the new database is gone again; 0: it stays.
	GoneAfter int
}

// Partly has choose say how the nth creation from now (from 0) goes on after its answer;
// nil ends it.
func (u *Upstash) Partly(choose func(nth int) Partial) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.partial, u.made, u.partly = choose, 0, map[string]*Partial{}
}

// look gives a database as a read sees it now; ok is false when it is gone.
func (u *Upstash) look(r upstashRecord) (_ upstashRecord, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	p := u.partly[r.DB.ID]
	if p == nil {
		return r, true
	}
	if p.ReadyAfter--; p.ReadyAfter >= 0 {
		r.DB.State, r.DB.ModifyingState = "passive", "creating"
	}
	if p.GoneAfter > 0 {
		if p.GoneAfter--; p.GoneAfter == 0 {
			delete(u.dbs, r.DB.ID)
			return r, false
		}
	}
	return r, true
}

type upstashRecord struct {
	Plan string          `json:"plan"`
	DB   upstashDatabase `json:"database"`
}

// upstashDatabase is the documented Database schema, with the password that the API returns
// unless told to hide it.
type upstashDatabase struct {
	ID                 string          `json:"database_id"`
	Name               string          `json:"database_name"`
	Region             string          `json:"region"`
	Port               int             `json:"port"`
	CreationTime       int64           `json:"creation_time"`
	State              string          `json:"state"`
	Endpoint           string          `json:"endpoint"`
	TLS                bool            `json:"tls"`
	Password           string          `json:"password,omitempty"`
	MaxClients         int64           `json:"db_max_clients"`
	MaxRequestSize     int64           `json:"db_max_request_size"`
	DiskThreshold      int64           `json:"db_disk_threshold"`
	MaxEntrySize       int64           `json:"db_max_entry_size"`
	MemoryThreshold    int64           `json:"db_memory_threshold"`
	CommandsPerSecond  int64           `json:"db_max_commands_per_second"`
	RequestLimit       int64           `json:"db_request_limit"`
	Type               string          `json:"type"`
	Budget             int64           `json:"budget"`
	PrimaryRegion      string          `json:"primary_region"`
	PrimaryMembers     []string        `json:"primary_members"`
	AllMembers         []string        `json:"all_members"`
	ReadRegions        []string        `json:"read_regions"`
	Eviction           bool            `json:"eviction"`
	DBEviction         bool            `json:"db_eviction"`
	AutoUpgrade        bool            `json:"auto_upgrade"`
	Consistent         bool            `json:"consistent"`
	ModifyingState     string          `json:"modifying_state"`
	ResourceSize       string          `json:"db_resource_size"`
	DBType             string          `json:"db_type"`
	ConnIdleTimeout    int64           `json:"db_conn_idle_timeout"`
	LuaTimeout         int64           `json:"db_lua_timeout"`
	LuaCreditsPerMin   int64           `json:"db_lua_credits_per_min"`
	ACLEnabled         string          `json:"db_acl_enabled"`
	ACLDefaultUser     string          `json:"db_acl_default_user_status"`
	LastPlanUpgrade    int64           `json:"last_plan_upgrade_time"`
	Replicas           int             `json:"replicas"`
	CustomerID         string          `json:"customer_id"`
	DailyBackupEnabled bool            `json:"daily_backup_enabled"`
	ProdPackEnabled    bool            `json:"prod_pack_enabled"`
	SecurityAddons     map[string]bool `json:"securityAddons"`
}

const (
	mib = 1 << 20
	gib = 1 << 30
)

// upstashPlans are the API's plan names with the limits of the vendor's plan table (August 2026).
var upstashPlans = map[string]struct {
	kind                      string
	disk, maxRequest, maxItem int64
	perSecond                 int64
}{
	"free":        {"free", 256 * mib, 10 * mib, 100 * mib, 10_000},
	"payg":        {"payg", 100 * gib, 10 * mib, 100 * mib, 10_000},
	"fixed_250mb": {"paid", 250 * mib, 10 * mib, 100 * mib, 10_000},
	"fixed_1gb":   {"paid", 1 * gib, 10 * mib, 200 * mib, 10_000},
	"fixed_5gb":   {"paid", 5 * gib, 20 * mib, 300 * mib, 10_000},
	"fixed_10gb":  {"paid", 10 * gib, 30 * mib, 400 * mib, 10_000},
	"fixed_50gb":  {"paid", 50 * gib, 50 * mib, 500 * mib, 10_000},
	"fixed_100gb": {"paid", 100 * gib, 75 * mib, 1 * gib, 16_000},
	"fixed_500gb": {"paid", 500 * gib, 100 * mib, 5 * gib, 16_000},
}

var upstashRegions = map[string][]string{
	"aws": {
		"us-east-1",
		"us-east-2",
		"us-west-1",
		"us-west-2",
		"ca-central-1",
		"eu-central-1",
		"eu-west-1",
		"eu-west-2",
		"sa-east-1",
		"ap-south-1",
		"ap-northeast-1",
		"ap-southeast-1",
		"ap-southeast-2",
		"af-south-1",
	},
	"gcp": {"us-central1", "us-east4", "europe-west1", "asia-northeast1"},
}

// NewUpstash returns the stand-in. Errors: incomplete configuration, unreadable state file.
func NewUpstash(cfg UpstashConfig) (*Upstash, error) {
	if cfg.Email == "" || cfg.Key == "" || cfg.Backend == nil {
		return nil, errors.New("upstash stand-in needs Email, Key and Backend")
	}
	u := &Upstash{cfg: cfg, dbs: map[string]upstashRecord{}}
	return u, loadState(cfg.StatePath, &u.dbs)
}

// ServeHTTP implements http.Handler. Paths start with /v2.
func (u *Upstash) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	email, key, ok := r.BasicAuth()
	if !ok || !same(email, u.cfg.Email) || !same(key, u.cfg.Key) {
		upstashError(w, http.StatusUnauthorized, "invalid email or API key")
		return
	}
	u.serve(w, r, upstashError, u.route)
}

func (u *Upstash) route(w http.ResponseWriter, r *http.Request) {
	// Matched by hand: /redis/{id}/change-plan and /redis/disable-eviction/{id} overlap,
	// which ServeMux refuses.
	path := strings.Split(strings.Trim(strings.TrimPrefix(r.URL.Path, "/v2"), "/"), "/")
	if !strings.HasPrefix(r.URL.Path, "/v2/redis/") || len(path) > 3 {
		upstashError(w, http.StatusNotFound, "no such endpoint")
		return
	}
	var id string
	var handler http.HandlerFunc
	switch route := r.Method + " " + path[1]; {
	case len(path) == 2 && route == "GET databases":
		handler = u.list
	case len(path) == 2 && route == "POST database":
		handler = u.create
	case len(path) == 3 && route == "GET database":
		id, handler = path[2], u.get
	case len(path) == 3 && route == "DELETE database":
		id, handler = path[2], u.remove
	case len(path) == 3 && route == "GET stats":
		id, handler = path[2], u.stats
	case len(path) == 3 && route == "POST enable-eviction":
		id, handler = path[2], u.eviction(true)
	case len(path) == 3 && route == "POST disable-eviction":
		id, handler = path[2], u.eviction(false)
	case len(path) == 3 && route == "POST enable-autoupgrade":
		id, handler = path[2], u.autoUpgrade(true)
	case len(path) == 3 && route == "POST disable-autoupgrade":
		id, handler = path[2], u.autoUpgrade(false)
	case len(path) == 3 && r.Method == "POST" && path[2] == "change-plan":
		id, handler = path[1], u.changePlan
	case slices.Contains([]string{"databases", "database", "stats", "enable-eviction", "disable-eviction", "enable-autoupgrade", "disable-autoupgrade"}, path[1]):
		upstashError(w, http.StatusMethodNotAllowed, "method not allowed")
		return
	default:
		upstashError(w, http.StatusNotFound, "no such endpoint")
		return
	}
	if r.Method != http.MethodGet {
		u.changing.Lock()
		defer u.changing.Unlock()
	}
	if id != "" {
		if _, ok := u.record(id); !ok {
			upstashError(w, http.StatusNotFound, "database not found")
			return
		}
		r.SetPathValue("id", id)
	}
	handler(w, r)
}

func (u *Upstash) list(w http.ResponseWriter, _ *http.Request) {
	dbs := []upstashDatabase{}
	for _, r := range u.records() {
		if r, ok := u.look(r); ok {
			r.DB.Password = ""
			dbs = append(dbs, r.DB)
		}
	}
	send(w, http.StatusOK, dbs)
}

func (u *Upstash) get(w http.ResponseWriter, r *http.Request) {
	rec, _ := u.record(r.PathValue("id"))
	rec, ok := u.look(rec)
	if !ok {
		upstashError(w, http.StatusNotFound, "database not found")
		return
	}
	if r.URL.Query().Get("credentials") == "hide" {
		rec.DB.Password = ""
	}
	send(w, http.StatusOK, rec.DB)
}

func (u *Upstash) create(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Name     string `json:"database_name"`
		Platform string `json:"platform"`
		Region   string `json:"primary_region"`
		Plan     string `json:"plan"`
		Eviction bool   `json:"eviction"`
		TLS      *bool  `json:"tls"`
		Budget   int64  `json:"budget"`
	}
	if err := decode(w, r, &req); err != nil {
		upstashError(w, http.StatusBadRequest, "invalid request body")
		return
	}
	if req.Plan == "" {
		req.Plan = "payg"
	}
	plan, known := upstashPlans[req.Plan]
	regions := upstashRegions[req.Platform]
	switch {
	case strings.TrimSpace(req.Name) == "":
		upstashError(w, http.StatusBadRequest, "database_name is required")
		return
	case regions == nil:
		upstashError(w, http.StatusBadRequest, "platform must be aws or gcp")
		return
	case !slices.Contains(regions, req.Region):
		upstashError(
			w,
			http.StatusBadRequest,
			fmt.Sprintf("primary_region %q is not a region of %s", req.Region, req.Platform),
		)
		return
	case !known:
		upstashError(w, http.StatusBadRequest, fmt.Sprintf("plan %q does not exist", req.Plan))
		return
	}
	if u.cfg.UniqueNames &&
		slices.ContainsFunc(
			u.records(),
			func(r upstashRecord) bool { return r.DB.Name == req.Name },
		) {
		upstashError(w, http.StatusBadRequest, fmt.Sprintf("database name %q is taken", req.Name))
		return
	}
	// TLS cannot be switched off on the real service, whatever the request says.
	spec := UpstashSpec{
		ID:        uuid(),
		Name:      req.Name,
		Region:    req.Region,
		Plan:      req.Plan,
		DiskBytes: plan.disk,
		Eviction:  req.Eviction,
		TLS:       true,
	}
	// A client that gives up does not stop the service from creating the database.
	endpoint, port, password, err := u.cfg.Backend.CreateDatabase(
		context.WithoutCancel(r.Context()),
		spec,
	)
	if err != nil {
		upstashError(
			w,
			http.StatusInternalServerError,
			"database could not be created: "+err.Error(),
		)
		return
	}
	rec := upstashRecord{Plan: req.Plan, DB: upstashDatabase{
		ID: spec.ID, Name: req.Name, Region: "global", Port: port, CreationTime: time.Now().Unix(), State: "active", Endpoint: endpoint,
		TLS: true, Password: password, MaxClients: 10_000, MemoryThreshold: 3 * gib, RequestLimit: 8024278031528736858, Budget: req.Budget,
		PrimaryRegion: req.Region, PrimaryMembers: []string{req.Region}, AllMembers: []string{req.Region}, ReadRegions: []string{},
		Eviction: req.Eviction, DBEviction: req.Eviction, ResourceSize: "L", DBType: "pebble",
		ConnIdleTimeout: int64(
			6 * time.Hour,
		), LuaTimeout: int64(250 * time.Millisecond), LuaCreditsPerMin: int64(10 * time.Second),
		ACLEnabled: "false", ACLDefaultUser: "true", Replicas: 5, CustomerID: u.cfg.Email,
		SecurityAddons: map[string]bool{
			"ipWhitelisting":   false,
			"vpcPeering":       false,
			"privateLink":      false,
			"tlsMutualAuth":    false,
			"encryptionAtRest": false,
		},
	}}
	rec.setPlan(req.Plan)
	u.answer(w, func() {
		u.dbs[spec.ID] = rec
		if u.partial != nil {
			p := u.partial(u.made)
			u.partly[spec.ID] = &p
			u.made++
		}
	}, rec.DB)
}

func (u *Upstash) remove(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if err := u.cfg.Backend.DeleteDatabase(context.WithoutCancel(r.Context()), id); err != nil {
		upstashError(
			w,
			http.StatusInternalServerError,
			"database could not be deleted: "+err.Error(),
		)
		return
	}
	u.answer(w, func() { delete(u.dbs, id) }, "OK")
}

func (u *Upstash) changePlan(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Plan        string `json:"plan_name"`
		AutoUpgrade *bool  `json:"auto_upgrade"`
		ProdPack    *bool  `json:"prod_pack_enabled"`
	}
	if err := decode(w, r, &req); err != nil {
		upstashError(w, http.StatusBadRequest, "invalid request body")
		return
	}
	if _, ok := upstashPlans[req.Plan]; !ok {
		upstashError(w, http.StatusBadRequest, fmt.Sprintf("plan_name %q does not exist", req.Plan))
		return
	}
	rec, _ := u.record(r.PathValue("id"))
	rec.setPlan(req.Plan)
	rec.DB.LastPlanUpgrade = time.Now().Unix()
	if req.AutoUpgrade != nil {
		rec.DB.AutoUpgrade = *req.AutoUpgrade
	}
	if req.ProdPack != nil {
		rec.DB.ProdPackEnabled = *req.ProdPack
	}
	u.answer(w, func() { u.dbs[rec.DB.ID] = rec }, "OK")
}

func (u *Upstash) eviction(on bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		rec, _ := u.record(r.PathValue("id"))
		rec.DB.Eviction, rec.DB.DBEviction = on, on
		u.answer(w, func() { u.dbs[rec.DB.ID] = rec }, "OK")
	}
}

func (u *Upstash) autoUpgrade(on bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		rec, _ := u.record(r.PathValue("id"))
		rec.DB.AutoUpgrade = on
		u.answer(w, func() { u.dbs[rec.DB.ID] = rec }, "OK")
	}
}
