package providerstest_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/httpapi"
	"github.com/switchyard-dev/switchyard/providers/providerstest"
	"github.com/switchyard-dev/switchyard/providers/upstash"
)

const key = "key-9f3a71"

// cloud is an UpstashBackend that starts nothing.
type cloud struct {
	mu      sync.Mutex
	running map[string]providerstest.UpstashSpec
	fail    error
	block   chan struct{} // when set, CreateDatabase waits for it
	created chan string   // when set, receives the id of a database created
}

func (c *cloud) CreateDatabase(_ context.Context, spec providerstest.UpstashSpec) (string, int, string, error) {
	if c.block != nil {
		<-c.block
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		return "", 0, "", c.fail
	}
	if c.running == nil {
		c.running = map[string]providerstest.UpstashSpec{}
	}
	c.running[spec.ID] = spec
	if c.created != nil {
		c.created <- spec.ID
	}
	return "127.0.0.1", 6390, "p@ss/word", nil
}

func (c *cloud) DeleteDatabase(_ context.Context, id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.running, id)
	return nil
}

func (c *cloud) Stats(context.Context, string) (providerstest.UpstashStats, error) {
	return providerstest.UpstashStats{StorageBytes: 4096, Connections: 7, Keys: 12}, nil
}

type upstashRig struct {
	api     *providerstest.Upstash
	backend *cloud
	client  *upstash.Client
	base    string
	state   string
}

func newUpstash(t *testing.T) upstashRig {
	t.Helper()
	rig := upstashRig{backend: &cloud{}, state: filepath.Join(t.TempDir(), "upstash.json")}
	api, err := providerstest.NewUpstash(providerstest.UpstashConfig{Email: "ops@example.com", Key: key, Backend: rig.backend, StatePath: rig.state})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(api)
	t.Cleanup(srv.Close)
	rig.api, rig.base = api, srv.URL+"/v2"
	rig.client = upstash.New(rig.base, "ops@example.com", key, srv.Client())
	return rig
}

var request = upstash.CreateRequest{DatabaseName: "orders", Platform: "aws", PrimaryRegion: "us-east-1", Plan: upstash.Fixed1GB, TLS: true}

func TestUpstashCreateFindGetDelete(t *testing.T) {
	t.Parallel()
	rig, ctx := newUpstash(t), t.Context()
	if _, found, err := rig.client.FindByName(ctx, "orders"); found || err != nil {
		t.Fatalf("before create: found %v, err %v", found, err)
	}
	made, err := rig.client.Create(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	if ok, why := made.Fixed1GB(); !ok || made.Eviction || !made.TLS || made.State != "active" || made.MaxEntrySize != 200<<20 {
		t.Errorf("created database: %+v (%s)", made, why)
	}
	if got := made.URL().Reveal(); got != "rediss://default:p%40ss%2Fword@127.0.0.1:6390" {
		t.Errorf("URL %q", got)
	}
	found, ok, err := rig.client.FindByName(ctx, "orders")
	if err != nil || !ok || found.ID != made.ID || !found.Password.IsZero() {
		t.Errorf("adopt: %+v, %v, %v", found, ok, err)
	}
	open, err := rig.client.Get(ctx, made.ID, true)
	if err != nil || open.Password.Reveal() != "p@ss/word" {
		t.Errorf("get with credentials: %v", err)
	}
	hidden, err := rig.client.Get(ctx, made.ID, false)
	if err != nil || !hidden.Password.IsZero() || hidden.URL() != "" {
		t.Errorf("get without credentials: %v", err)
	}
	stats, err := rig.client.Stats(ctx, made.ID)
	if err != nil || stats.CurrentStorage != 4096 || len(stats.ConnectionCount) != 1 || stats.ConnectionCount[0].Value != 7 {
		t.Errorf("stats: %+v, %v", stats, err)
	}
	if err := rig.client.Delete(ctx, made.ID); err != nil {
		t.Fatal(err)
	}
	if len(rig.backend.running) != 0 {
		t.Error("the backend still runs the database")
	}
	for what, err := range map[string]error{"delete again": rig.client.Delete(ctx, made.ID), "get": second(rig.client.Get(ctx, made.ID, false)),
		"stats": second(rig.client.Stats(ctx, made.ID)), "change plan": rig.client.ChangePlan(ctx, made.ID, upstash.Fixed1GB)} {
		if httpapi.Status(err) != http.StatusNotFound {
			t.Errorf("%s of a deleted database: %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestUpstashPlanAndEvictionCanBePutRight(t *testing.T) {
	t.Parallel()
	rig, ctx := newUpstash(t), t.Context()
	wrong := request
	wrong.Plan, wrong.Eviction = "payg", true
	db, err := rig.client.Create(ctx, wrong)
	if err != nil {
		t.Fatal(err)
	}
	if ok, why := db.Fixed1GB(); ok || !strings.Contains(why, "payg") || !db.Eviction {
		t.Errorf("pay-as-you-go taken for Fixed 1 GB: %s", why)
	}
	for range 2 { // both are idempotent
		if err := errors.Join(rig.client.ChangePlan(ctx, db.ID, upstash.Fixed1GB), rig.client.DisableEviction(ctx, db.ID)); err != nil {
			t.Fatal(err)
		}
	}
	db, err = rig.client.Get(ctx, db.ID, false)
	if ok, why := db.Fixed1GB(); err != nil || !ok || db.Eviction || db.DBEviction || db.AutoUpgrade {
		t.Errorf("after the repair: %+v, %s, %v", db, why, err)
	}
	if err := rig.client.ChangePlan(ctx, db.ID, "fixed_2gb"); httpapi.Status(err) != http.StatusBadRequest || !strings.Contains(err.Error(), "fixed_2gb") {
		t.Errorf("unknown plan: %v", err)
	}
}

func TestUpstashRefusesBadRequests(t *testing.T) {
	t.Parallel()
	rig, ctx := newUpstash(t), t.Context()
	for name, change := range map[string]func(*upstash.CreateRequest){
		"plan that does not exist":     func(r *upstash.CreateRequest) { r.Plan = "fixed_2gb" },
		"region of the other platform": func(r *upstash.CreateRequest) { r.PrimaryRegion = "us-central1" },
		"unknown platform":             func(r *upstash.CreateRequest) { r.Platform = "linode" },
		"blank name":                   func(r *upstash.CreateRequest) { r.DatabaseName = " " },
	} {
		req := request
		change(&req)
		if _, err := rig.client.Create(ctx, req); httpapi.Status(err) != http.StatusBadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	unplanned := request
	unplanned.Plan = ""
	if _, err := rig.client.Create(ctx, unplanned); migration.KindOf(err) != migration.Invalid {
		t.Errorf("without a plan, which would be pay-as-you-go: %v", err)
	}
	if _, err := rig.client.Get(ctx, "", false); migration.KindOf(err) != migration.Invalid {
		t.Errorf("empty id: %v", err)
	}
	if dbs, err := rig.client.List(ctx); err != nil || len(dbs) != 0 {
		t.Errorf("refused requests left %d databases (%v)", len(dbs), err)
	}
}

func TestUpstashTwoOfTheSameNameAreNotAdopted(t *testing.T) {
	t.Parallel()
	rig, ctx := newUpstash(t), t.Context()
	for range 2 {
		if _, err := rig.client.Create(ctx, request); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := rig.client.FindByName(ctx, "orders"); migration.KindOf(err) != migration.Conflict {
		t.Errorf("got %v, want a conflict", err)
	}
}

func TestUpstashRateLimit(t *testing.T) {
	t.Parallel()
	rig, ctx := newUpstash(t), t.Context()
	rig.api.Limit(2, 0)
	if _, err := rig.client.Create(ctx, request); err != nil {
		t.Errorf("two refusals are not outlasted: %v", err)
	}
	rig.api.Limit(1, 3600)
	_, err := rig.client.List(ctx)
	apiErr, ok := errors.AsType[*upstash.APIError](err)
	if !ok || apiErr.Status != http.StatusTooManyRequests || apiErr.RetryAfter != time.Hour {
		t.Errorf("a limit of an hour must be reported, not waited for: %v", err)
	}
	rig.api.Limit(10, 0)
	if err := second(rig.client.List(ctx)); httpapi.Status(err) != http.StatusTooManyRequests {
		t.Errorf("attempts must be bounded: %v", err)
	}
}

func TestUpstashWrongKeyIsNamedWithoutTheKey(t *testing.T) {
	t.Parallel()
	rig := newUpstash(t)
	for _, c := range []*upstash.Client{upstash.New(rig.base, "ops@example.com", "wrong-7c1", nil), upstash.New(rig.base, "else@example.com", key, nil)} {
		_, err := c.List(t.Context())
		if httpapi.Status(err) != http.StatusUnauthorized || strings.Contains(err.Error(), "wrong-7c1") || strings.Contains(err.Error(), key) {
			t.Errorf("got %v", err)
		}
	}
}

// The request times out, the database exists all the same: the next attempt must find it.
func TestUpstashCreateWithUnknownOutcomeIsAdopted(t *testing.T) {
	t.Parallel()
	rig := newUpstash(t)
	rig.backend.block, rig.backend.created = make(chan struct{}), make(chan string, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := rig.client.Create(ctx, request)
	if !errors.Is(err, context.DeadlineExceeded) || httpapi.Status(err) != 0 {
		t.Fatalf("create: %v", err)
	}
	close(rig.backend.block)
	id := <-rig.backend.created
	eventually(t, func() bool {
		db, found, err := rig.client.FindByName(t.Context(), "orders")
		return err == nil && found && db.ID == id
	})
}

func TestUpstashStateSurvivesARestart(t *testing.T) {
	t.Parallel()
	rig, ctx := newUpstash(t), t.Context()
	made, err := rig.client.Create(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(rig.state); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("state file: %v, %v", info.Mode(), err)
	}
	again, err := providerstest.NewUpstash(providerstest.UpstashConfig{Email: "ops@example.com", Key: key, Backend: rig.backend, StatePath: rig.state})
	if err != nil {
		t.Fatal(err)
	}
	dbs := again.Databases()
	if len(dbs) != 1 || dbs[0].ID != made.ID || dbs[0].Plan != upstash.Fixed1GB || dbs[0].Port != 6390 || dbs[0].Password.Reveal() != "p@ss/word" {
		t.Errorf("after a restart: %+v", dbs)
	}
}

func TestUpstashUndocumentedPathsAndMethods(t *testing.T) {
	t.Parallel()
	rig := newUpstash(t)
	for call, want := range map[string]int{"PUT /redis/database/x": 405, "GET /redis/nothing": 404, "GET /redis": 404, "POST /redis/x/y/z": 404,
		"GET /redis/x/change-plan": 404, "POST /redis/database": 400} {
		method, path, _ := strings.Cut(call, " ")
		api := httpapi.Client{API: "upstash", Base: rig.base, Email: "ops@example.com", Key: key}
		if err := api.Do(t.Context(), method, path, nil, nil); httpapi.Status(err) != want {
			t.Errorf("%s: %v, want %d", call, err, want)
		}
	}
}

func TestUpstashBackendFailureIsA500(t *testing.T) {
	t.Parallel()
	rig := newUpstash(t)
	rig.backend.fail = errors.New("no port left")
	if _, err := rig.client.Create(t.Context(), request); httpapi.Status(err) != 500 || !strings.Contains(err.Error(), "no port left") {
		t.Errorf("got %v", err)
	}
}

// eventually polls until ok, for at most five seconds.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("not so after 5 s")
		}
	}
}

func ensure(t *testing.T, rig upstashRig) (upstash.Database, bool, error) {
	t.Helper()
	return rig.client.Ensure(t.Context(), request, upstash.EnsureOptions{Looks: 4, Every: time.Millisecond})
}

func TestUpstashEnsureRefusesWhatItMayNotChange(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*upstash.CreateRequest){
		"its plan is payg, not fixed_1gb":                      func(r *upstash.CreateRequest) { r.Plan = upstash.PayAsYouGo },
		"its plan is fixed_250mb, not fixed_1gb":               func(r *upstash.CreateRequest) { r.Plan = "fixed_250mb" },
		"its primary region is eu-west-1, not us-east-1":       func(r *upstash.CreateRequest) { r.PrimaryRegion = "eu-west-1" },
		"its plan is not known, not fixed_1gb (a fixed 100 GB": func(r *upstash.CreateRequest) { r.Plan = "fixed_100gb" },
	} {
		rig := newUpstash(t)
		req := request
		change(&req)
		made, err := rig.client.Create(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		_, created, err := ensure(t, rig)
		if migration.KindOf(err) != migration.Blocked || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), made.ID) || created {
			t.Errorf("%s: %v", want, err)
		}
		if dbs := rig.api.Databases(); len(dbs) != 1 || dbs[0].Plan != req.Plan {
			t.Errorf("%s: %+v", want, dbs)
		}
	}
}

func TestUpstashEnsureTellsTheIDBeforeAnythingElse(t *testing.T) {
	t.Parallel()
	rig := newUpstash(t)
	stop := errors.New("the disk is full")
	var told string
	_, created, err := rig.client.Ensure(t.Context(), request, upstash.EnsureOptions{Looks: 1, Every: time.Millisecond, Found: func(db upstash.Database, made bool) error {
		if told = db.ID; !made || !db.Password.IsZero() {
			t.Errorf("made %v, password %v", made, db.Password)
		}
		return stop
	}})
	if !errors.Is(err, stop) || !created || told == "" || rig.api.Databases()[0].ID != told {
		t.Errorf("told %q, %v", told, err)
	}
	if db, created, err := ensure(t, rig); err != nil || created || db.ID != told {
		t.Errorf("the next call makes another: %v, %v", db, err)
	}
}

func TestUpstashPartialCreation(t *testing.T) {
	t.Parallel()
	t.Run("a database that becomes active later is waited for", func(t *testing.T) {
		t.Parallel()
		rig := newUpstash(t)
		rig.api.Partly(func(int) providerstest.Partial { return providerstest.Partial{ReadyAfter: 3} })
		if db, _, err := ensure(t, rig); err != nil || db.State != "active" {
			t.Errorf("%+v, %v", db, err)
		}
	})
	t.Run("one that never does is named and found again", func(t *testing.T) {
		t.Parallel()
		rig := newUpstash(t)
		rig.api.Partly(func(int) providerstest.Partial { return providerstest.Partial{ReadyAfter: 1000} })
		for range 2 {
			_, _, err := ensure(t, rig)
			if dbs := rig.api.Databases(); migration.KindOf(err) != migration.Unavailable || len(dbs) != 1 || !strings.Contains(err.Error(), dbs[0].ID) || !strings.Contains(err.Error(), "passive (creating)") {
				t.Errorf("%v", err)
			}
		}
	})
	t.Run("one that is gone again is said to be, and the next call makes another", func(t *testing.T) {
		t.Parallel()
		rig := newUpstash(t)
		rig.api.Partly(func(nth int) providerstest.Partial { return providerstest.Partial{GoneAfter: 1 - nth} })
		if _, _, err := ensure(t, rig); migration.KindOf(err) != migration.NotFound || !strings.Contains(err.Error(), "gone again") {
			t.Errorf("%v", err)
		}
		if _, created, err := ensure(t, rig); err != nil || !created || len(rig.api.Databases()) != 1 {
			t.Errorf("created %v, %v", created, err)
		}
	})
	t.Run("a create that takes effect after it was given up is found as a second one", func(t *testing.T) {
		t.Parallel()
		rig := newUpstash(t)
		rig.api.Inject(func(r providerstest.Request) providerstest.Fault {
			if r.Method == http.MethodPost && r.N == 0 {
				return providerstest.Fault{Kind: providerstest.Late, After: 100}
			}
			return providerstest.Fault{}
		})
		if _, _, err := ensure(t, rig); migration.KindOf(err) != migration.Unavailable || !strings.Contains(err.Error(), "not known") || len(rig.api.Databases()) != 0 {
			t.Errorf("first: %v", err)
		}
		if _, created, err := ensure(t, rig); err != nil || !created {
			t.Errorf("second: %v", err)
		}
		rig.api.Land()
		_, _, err := ensure(t, rig)
		for _, d := range rig.api.Databases() {
			if migration.KindOf(err) != migration.Conflict || !strings.Contains(err.Error(), d.ID) {
				t.Errorf("third: %v does not name %s", err, d.ID)
			}
		}
	})
}
