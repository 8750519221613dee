package provision

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/providers/providerstest"
	"github.com/switchyard-dev/switchyard/providers/upstash"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

const managedPassword = "managed-CANARY"

// managedRig is a source with a few jobs, a managed service with one server to give, and an app that restarts at once.
type managedRig struct {
	*stepstest.Bench
	source  *redistest.Server
	managed *redistest.Server
	api     *providerstest.Upstash
	heroku  *providerstest.Heroku
	vars    *httptest.Server // Heroku's API
}

type oneServer struct{ srv *redistest.Server }

func (o oneServer) CreateDatabase(
	context.Context,
	providerstest.UpstashSpec,
) (string, int, string, error) {
	return o.srv.Host, o.srv.Port, managedPassword, nil
}
func (oneServer) DeleteDatabase(context.Context, string) error { return nil }
func (oneServer) Stats(context.Context, string) (providerstest.UpstashStats, error) {
	return providerstest.UpstashStats{}, nil
}

type restarts func(vars map[string]string)

func (r restarts) ConfigChanged(_ context.Context, _ string, vars map[string]string) error {
	r(vars)
	return nil
}

func newManagedRig(t *testing.T) *managedRig {
	t.Helper()
	rig := &managedRig{
		source:  redistest.Start(t),
		managed: redistest.Start(t, redistest.TLS(), redistest.Password(managedPassword)),
	}
	c := rig.source.Foreign("app")
	q := bullmq.Queue{Prefix: "bull", Name: "orders"}
	ok(
		t,
		errors.Join(
			c.HSet(t.Context(), q.Key("meta"), "version", "bullmq:6.7.0", "opts.maxLenEvents", "10000").
				Err(),
			c.HSet(t.Context(), q.Key("1"), "name", "order", "data", `{"id":1}`, "opts", "{}", "timestamp", "1").
				Err(),
			c.RPush(t.Context(), q.Key("wait"), "1").Err(),
		),
	)
	cfg := stepstest.Settings(t.TempDir())
	cfg.Source.Standalone.URL, cfg.Queues = migration.Secret(rig.source.URL()), []string{"orders"}
	var err error
	rig.api, err = providerstest.NewUpstash(
		providerstest.UpstashConfig{
			Email:   "ops@example.com",
			Key:     "upstash-CANARY",
			Backend: oneServer{rig.managed},
		},
	)
	ok(t, err)
	rig.heroku, err = providerstest.NewHeroku(
		providerstest.HerokuConfig{
			Token: "heroku-CANARY",
			Apps:  map[string]map[string]string{"shop": {"PORT": "0"}},
			Backend: restarts(func(vars map[string]string) {
				if vars[environment.TargetVar] != "" { // the app comes back, and its workers say so
					ok(
						t,
						rig.Env.Workers.Attest(
							fleet.Attestation{
								Service:  "shop",
								Instance: "web.1",
								Connections: []fleet.Connection{
									{Side: "source", Role: "producer", Status: "ready"},
									{
										Side:   "target",
										Role:   "producer",
										Status: "ready",
									},
								},
							},
							fleet.Who{Set: stepstest.Migration},
						),
					)
				}
			}),
		},
	)
	ok(t, err)
	up, hk := httptest.NewServer(rig.api), httptest.NewServer(rig.heroku)
	t.Cleanup(up.Close)
	t.Cleanup(hk.Close)
	rig.vars = hk
	u := &cfg.Target.Upstash
	u.API, u.Email, u.APIKey, u.CAFile, u.DatabaseName = up.URL+"/v2", "ops@example.com", "upstash-CANARY", rig.managed.CAFile, "orders"
	cfg.Heroku.API, cfg.Heroku.Token, cfg.Heroku.App = hk.URL, "heroku-CANARY", "shop"
	rig.Bench = stepstest.Open(t, cfg, func(b *stepstest.Bench) []engine.Step {
		// how long the service may take for what a request of unknown outcome has done
		b.Env.Managed.Service.(*upstash.Managed).Every = time.Millisecond
		return []engine.Step{partsOf(b).Step()}
	})
	return rig
}

func partsOf(b *stepstest.Bench) Parts {
	e := b.Env
	return Parts{
		Servers: e.Servers,
		Workers: e.Workers,
		Surveys: e.Surveys,
		Managed: e.Managed,
		Probe:   e.Probe,
		Vars:    e.Vars,
		Now:     b.Clock.Now,
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// succeed carries the step out, as somebody who approved it would have it.
func (rig *managedRig) succeed(t *testing.T) migration.Run {
	t.Helper()
	return rig.Await(
		t,
		rig.Start(t, migration.StepProvision, migration.Params{}).ID,
		migration.RunSucceeded,
	)
}

// look gives the plan, once the census of the source has been taken.
func (rig *managedRig) look(t *testing.T) migration.StepPlan {
	t.Helper()
	var p migration.StepPlan
	redistest.Eventually(t, stepstest.Patience, func() (err error) {
		if p, err = rig.Plan(t.Context(), migration.StepProvision, migration.Params{}); err == nil &&
			strings.Contains(gate(t, p, "request").Measured, "first time") {
			err = errors.New("no census yet")
		}
		return err
	})
	return p
}

func gate(t *testing.T, p migration.StepPlan, id string) migration.Gate {
	t.Helper()
	for _, g := range p.Gates {
		if g.ID == id {
			return g
		}
	}
	t.Fatalf("there is no gate %s in %+v", id, p.Gates)
	return migration.Gate{}
}

func (rig *managedRig) create(t *testing.T, change func(*upstash.CreateRequest)) upstash.Database {
	t.Helper()
	service := rig.Env.Managed.Service.(*upstash.Managed)
	req := service.Want
	change(&req)
	db, err := service.Client.Create(t.Context(), req)
	ok(t, err)
	return db
}

func TestProvisionShowsWhatItWouldDoAndDoesIt(t *testing.T) {
	t.Parallel()
	rig := newManagedRig(t)
	before := rig.look(t)
	if bad := migration.Failing(before.Gates); len(bad) > 0 || len(before.Gates) != 12 {
		t.Fatalf("%d gates, these do not hold: %+v", len(before.Gates), bad)
	}
	if want := (migration.ConfigVarChange{App: "shop", Name: environment.TargetVar, Change: "set", Restarts: true}); len(
		before.ConfigVars,
	) != 1 ||
		before.ConfigVars[0] != want {
		t.Errorf("config vars %+v", before.ConfigVars)
	}
	if vars, _ := rig.heroku.ConfigVars("shop"); len(rig.api.Databases()) != 0 || len(vars) != 1 {
		t.Fatal("planning has changed something")
	}
	run := rig.succeed(t)
	vars, _ := rig.heroku.ConfigVars("shop")
	if dbs := rig.api.Databases(); len(dbs) != 1 || dbs[0].Plan != upstash.Fixed1GB ||
		!strings.HasPrefix(vars[environment.TargetVar], "rediss://default:"+managedPassword+"@") {
		t.Errorf("databases %+v", rig.api.Databases())
	}
	history, err := rig.Store.Evidence(t.Context(), stepstest.Migration, evidence.TargetConn, 1)
	ok(t, err)
	var facts evidence.TargetConnFacts
	ok(t, json.Unmarshal(history[0].Facts, &facts))
	if len(facts.Refused) > 0 || len(facts.Answered) != 22 || facts.Pings != 20 ||
		facts.LatencyUS == 0 ||
		facts.LatencyP99 < facts.LatencyUS ||
		facts.WakeUS == 0 ||
		facts.RequestBytes != 1<<20 {
		t.Errorf("%+v", facts)
	}
	client := rig.managed.Client()
	if keys, err := client.Keys(t.Context(), "*").Result(); err != nil || len(keys) != 0 {
		t.Errorf("the trial left %v, %v", keys, err)
	}
	after := rig.look(t)
	if change := after.ConfigVars[0]; change.Change != "unchanged" || change.Restarts {
		t.Errorf("config var %+v", change)
	}
	log, err := rig.Store.Log(t.Context(), run.ID, 0, 100)
	ok(t, err)
	for _, v := range []any{before, after, run, history, log} {
		if text, _ := json.Marshal(v); strings.Contains(string(text), "CANARY") {
			t.Errorf("a secret in %s", text)
		}
	}
}

// The database exists after whatever happens to the request that creates it, once, and is on record.
func TestProvisionUnderFaults(t *testing.T) {
	t.Parallel()
	for _, kind := range []providerstest.Kind{providerstest.Throttled, providerstest.ErrorAfter, providerstest.BadGateway, providerstest.CutAfter, providerstest.Truncated, providerstest.Late} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			rig := newManagedRig(t)
			rig.look(t)
			rig.api.Partly(
				func(int) providerstest.Partial { return providerstest.Partial{ReadyAfter: 2} },
			)
			rig.api.Inject(func(r providerstest.Request) providerstest.Fault {
				if r.Method == http.MethodPost && r.N == 0 {
					return providerstest.Fault{Kind: kind, After: 3}
				}
				return providerstest.Fault{}
			})
			rig.succeed(t)
			if dbs := rig.api.Databases(); len(dbs) != 1 || len(rig.api.Seen()) != 1 {
				t.Errorf("%d databases after %v", len(dbs), rig.api.Seen())
			}
		})
	}
}

func TestProvisionRefuses(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct {
		there func(*testing.T, *managedRig)
		gate  string
		says  []string
	}{
		"a pay-as-you-go database, with what it would cost": {func(t *testing.T, rig *managedRig) {
			rig.create(t, func(r *upstash.CreateRequest) { r.Plan = upstash.PayAsYouGo })
		}, "plan", []string{"orders is on plan Pay as you go", "pay-as-you-go would cost about $", "commands/s; Fixed 1 GB costs $20"}},
		"a smaller plan": {func(t *testing.T, rig *managedRig) {
			rig.create(t, func(r *upstash.CreateRequest) { r.Plan = "fixed_250mb" })
		}, "plan", []string{"on plan Fixed 250 MB", "Fixed 1 GB costs $20"}},
		"another region": {func(t *testing.T, rig *managedRig) {
			rig.create(t, func(r *upstash.CreateRequest) { r.PrimaryRegion = "eu-west-1" })
		}, "region", []string{"orders is in eu-west-1, us-east-1 is configured"}},
		"two of one name": {func(t *testing.T, rig *managedRig) {
			for range 2 {
				rig.create(t, func(*upstash.CreateRequest) {})
			}
		}, "api", []string{"2 databases named"}},
		"a wrong key": {func(_ *testing.T, rig *managedRig) {
			service := rig.Env.Managed.Service.(*upstash.Managed)
			service.Client = upstash.New(rig.Config.Target.Upstash.API, "ops@example.com", "wrong", nil)
		},
			"api", []string{"401"}},
		"a cutover that has begun": {func(t *testing.T, rig *managedRig) {
			rig.Route(t, migration.Routing{Stage: migration.StageDualWrite,
				Source: migration.SourceStandalone})
		}, "stage", []string{"dual write"}},
		"an app whose configuration cannot be read": {
			func(_ *testing.T, rig *managedRig) { rig.vars.Close() }, "app", []string{"heroku"}},
		"a source that does not answer: its size is not known":      {func(_ *testing.T, rig *managedRig) { rig.source.Kill() }, "size", []string{"not known"}},
		"a source that does not answer: its rate is not known":      {func(_ *testing.T, rig *managedRig) { rig.source.Kill() }, "commands", []string{"not known"}},
		"a source that does not answer: its payloads are not known": {func(_ *testing.T, rig *managedRig) { rig.source.Kill() }, "request", []string{"not known"}},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			rig := newManagedRig(t)
			c.there(t, rig)
			before := len(rig.api.Databases())
			g := gate(t, rig.look(t), c.gate)
			for _, want := range c.says {
				if g.OK || !strings.Contains(g.Measured, want) || g.Next == "" || g.Limit == "" {
					t.Errorf("%+v does not say %q", g, want)
				}
			}
			refused, err := rig.Plan(t.Context(), migration.StepProvision, migration.Params{})
			ok(t, err)
			err = engine.Blocked(migration.StepProvision, refused.Gates)
			if migration.KindOf(err) != migration.Blocked ||
				!strings.Contains(err.Error(), g.Title) {
				t.Errorf("got %v, want it blocked by %q", err, g.Title)
			}
			if len(rig.api.Databases()) != before {
				t.Error("something was created")
			}
		})
	}
}

func TestProvisionSwitchesEvictionOff(t *testing.T) {
	t.Parallel()
	rig := newManagedRig(t)
	rig.create(t, func(r *upstash.CreateRequest) { r.Eviction = true })
	if g := gate(t, rig.look(t), "eviction"); !g.OK ||
		!strings.Contains(g.Measured, "switches it off") {
		t.Errorf("%+v", g)
	}
	rig.succeed(t)
	if dbs := rig.api.Databases(); len(dbs) != 1 || dbs[0].Eviction {
		t.Errorf("%+v", dbs)
	}
}

func TestGatesOfThePlansLimits(t *testing.T) {
	t.Parallel()
	parts := partsOf(
		stepstest.Open(
			t,
			stepstest.Settings(t.TempDir()),
			func(*stepstest.Bench) []engine.Step { return nil },
		),
	)
	plan, _ := upstash.PlanOf(upstash.Fixed1GB)
	p := bearing{plan, "the price list", ""}
	for rule, c := range map[string]struct {
		load sourceLoad
		gate string
		ok   bool
	}{
		"800 MB leave a quarter to grow":          {sourceLoad{UsedMemory: 800 << 20}, "size", true},
		"900 MB do not":                           {sourceLoad{UsedMemory: 900 << 20}, "size", false},
		"8,000 connections are 80 % of the limit": {sourceLoad{Clients: 8000}, "connections", true},
		"8,001 are more":                          {sourceLoad{Clients: 8001}, "connections", false},
		"8,000 commands per second are 80 %":      {sourceLoad{PerSecond: 8000}, "commands", true},
		"8,001 a second are more":                 {sourceLoad{PerSecond: 8001}, "commands", false},
	} {
		for _, g := range parts.loadGates(stepstest.Migration, p, c.load, nil) {
			if g.ID == c.gate &&
				(g.OK != c.ok || g.Measured == "" || g.Limit == "" || !g.OK && g.Next == "") {
				t.Errorf("%s: %+v", rule, g)
			}
		}
	}
	survey := func(payload int64, sampled int, waiting int64) environment.SideSurvey {
		return environment.SideSurvey{
			Survey: bullmq.Survey{
				At: time.Now(),
				Queues: []bullmq.QueueSurvey{
					{
						Queue:   bullmq.Queue{Name: "q"},
						Counts:  bullmq.Counts{Waiting: waiting},
						Payload: bullmq.Distribution{Sampled: sampled, Max: payload},
					},
				},
			},
		}
	}
	source := redistest.Start(t)
	ok(t, source.Client().RPush(t.Context(), "bull:q:wait", "1").Err())
	for rule, c := range map[string]struct {
		survey environment.SideSurvey
		ok     bool
	}{
		"9 MB, all jobs measured":      {survey(9<<20, 10, 10), true},
		"9 MB, only a sample measured": {survey(9<<20, 10, 11), false},
		"10 MB leave no room":          {survey(10<<20, 10, 10), false},
		"no census":                    {environment.SideSurvey{Error: "is being read for the first time"}, false},
		"an old census":                {environment.SideSurvey{Survey: survey(1, 1, 1).Survey, Error: "was last read 3m0s ago"}, false},
	} {
		gates := censusGates(t.Context(), p, c.survey, source.Client())
		if g := gates[0]; g.OK != c.ok || !g.OK && g.Next == "" {
			t.Errorf("%s: %+v", rule, g)
		}
		if g := gates[1]; g.OK != c.survey.Usable() {
			t.Errorf("%s: %+v", rule, g)
		}
	}
	p.MaxRecordBytes = 10
	if g := censusGates(t.Context(), p, survey(1, 1, 1), source.Client())[1]; g.OK ||
		!strings.Contains(g.Measured, "bull:q:wait") {
		t.Errorf("a key larger than a record: %+v", g)
	}
}

var update = flag.Bool("update", false, "write the golden files")

func TestExports(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	u := &cfg.Target.Upstash
	u.APIKey, u.Email, u.DatabaseName = "upstash-CANARY", "mail-CANARY@example.com", `orders "${x}" %{y}`
	cfg.Heroku.App = "shop"
	export := func(format string) (Export, error) {
		return ExportFor(format, "Orders of the shop", cfg.Managed(nil).Offer(), cfg.ConfigVars(nil, nil).About())
	}
	for format, golden := range map[string]string{"terraform": "managed-redis.tf", "helm": "managed-redis-values.yaml"} {
		got, err := export(format)
		ok(t, err)
		file := filepath.Join("testdata", golden)
		if *update {
			ok(t, os.MkdirAll("testdata", 0o755))
			ok(t, os.WriteFile(file, []byte(got.Text), 0o600))
		}
		want, err := os.ReadFile(file)
		ok(t, err)
		if got.Text != string(want) || got.File != golden || strings.Contains(got.Text, "CANARY") {
			t.Errorf(
				"%s is not %s; run go test ./workflows/steps/provision -run TestExports -update and read what has changed",
				format,
				file,
			)
		}
	}
	var values map[string]any
	text, err := os.ReadFile("testdata/managed-redis-values.yaml")
	ok(t, err)
	ok(t, yaml.Unmarshal(text, &values))
	byPerson := cfg.ConfigVars(nil, nil).About()
	byPerson.Key, byPerson.Can = "ingestion.config_vars", providers.VarsCan{}
	got, err := ExportFor("terraform", "Orders", cfg.Managed(nil).Offer(), byPerson)
	ok(t, err)
	if strings.Contains(got.Text, "heroku") || strings.Contains(got.Text, "HEROKU") ||
		!strings.Contains(got.Text, `output "managed_redis_url" {
  sensitive = true`) {
		t.Errorf("for an app whose variables a person sets:\n%s", got.Text)
	}
	if _, err := export("pulumi"); migration.KindOf(err) != migration.Invalid {
		t.Errorf("an unknown format: %v", err)
	}
}
