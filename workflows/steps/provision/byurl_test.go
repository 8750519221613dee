package provision

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/byhand"
	"github.com/switchyard-dev/switchyard/providers/byurl"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

// urlRig is a source, a database that its owner made, and an app whose variables a person sets.
type urlRig struct {
	*stepstest.Bench
	source, managed *redistest.Server
}

// atURL opens a rig whose target is a server, by an address for TLS that it has besides its own.
func atURL(t *testing.T, source, managed *redistest.Server) *urlRig {
	t.Helper()
	port, caFile := stepstest.SecondPort(t, managed)
	url := fmt.Sprintf("rediss://default:%s@%s:%d", managedPassword, managed.Host, port)
	cfg := stepstest.Settings(t.TempDir())
	cfg.Source.Standalone.URL, cfg.Queues = migration.Secret(source.URL()), []string{"orders"}
	usd, none, size := 15.0, int64(0), int64(1<<30)
	cfg.Target = config.Target{Settings: byurl.Settings{URL: migration.Secret(url), CAFile: caFile,
		Plan: byurl.Plan{Service: "Redis Cloud", Title: "Essentials 1 GB", Region: "eu-central-1",
			MonthlyUSD: &usd, MaxBytes: &size, MaxConnections: &none,
			MaxCommandsPerSecond: &none, MaxRequestBytes: &none, MaxRecordBytes: &none,
			BandwidthBytes: &none}}}
	cfg.Ingestion.ConfigVars = byhand.Name
	rig := &urlRig{source: source, managed: managed}
	rig.Bench = stepstest.Open(t, cfg, func(b *stepstest.Bench) []engine.Step {
		return []engine.Step{partsOf(b).Step()}
	})
	rig.Clock.Advance(time.Minute) // workers have had the time to report
	return rig
}

func newURLRig(t *testing.T) *urlRig {
	t.Helper()
	return atURL(t, redistest.Start(t), redistest.Start(t, redistest.Password(managedPassword)))
}

// attest has an instance say whether it is connected to the managed Redis.
func (rig *urlRig) attest(t *testing.T, instance string, onTarget bool) {
	t.Helper()
	a := fleet.Attestation{Service: "shop", Instance: instance, Connections: []fleet.Connection{
		{Side: "source", Role: "producer", Status: "ready"}}}
	if onTarget {
		a.Connections = append(a.Connections,
			fleet.Connection{Side: "target", Role: "producer", Status: "ready"})
	}
	ok(t, rig.Env.Workers.Attest(a, fleet.Who{Set: stepstest.Migration}))
}

// awaitProgress waits until the run says what a person has to do.
func (rig *urlRig) awaitProgress(t *testing.T, id, says string) {
	t.Helper()
	redistest.Eventually(t, stepstest.Patience, func() error {
		r, err := rig.Store.Run(t.Context(), id)
		if err == nil && !strings.Contains(r.Progress, says) {
			err = fmt.Errorf("run %s (%s) says %q", r.State, r.Error, r.Progress)
		}
		return err
	})
}

func (rig *urlRig) proof(t *testing.T, check string) migration.Evidence {
	t.Helper()
	all, err := rig.Store.Evidence(t.Context(), stepstest.Migration, check, 1)
	ok(t, err)
	if len(all) == 0 {
		t.Fatalf("there is no evidence of %s", check)
	}
	return all[0]
}

func TestADatabaseAtAURLIsAdoptedAndWaitsForAPersonToTellTheApp(t *testing.T) {
	t.Parallel()
	rig := newURLRig(t)
	rig.attest(t, "web.1", false)
	plan, err := rig.Plan(t.Context(), migration.StepProvision, migration.Params{})
	ok(t, err)
	for _, id := range []string{"api", "plan", "tls", "eviction", "state", "apart", "app"} {
		if g := gate(t, plan, id); !g.OK {
			t.Errorf("%+v", g)
		}
	}
	if c := plan.ConfigVars; len(c) != 1 || !c[0].ByHand || c[0].Name != environment.TargetVar {
		t.Errorf("config vars %+v", c)
	}
	if !strings.Contains(plan.Impact, "$15 a month from now on (attested: target.plan") {
		t.Errorf("the price is not said to be somebody's word: %s", plan.Impact)
	}
	r := rig.Start(t, migration.StepProvision, migration.Params{})
	rig.awaitProgress(t, r.ID, "a person sets "+environment.TargetVar+" of the ingestion app to "+
		"the URL of target.url in Switchyard's configuration and restarts it")
	// One instance has it, the other does not yet.
	rig.attest(t, "web.1", true)
	rig.attest(t, "web.2", false)
	rig.awaitProgress(t, r.ID, "web.2 not")
	// Both say so, but nobody is connected to that database.
	rig.attest(t, "web.2", true)
	rig.awaitProgress(t, r.ID, "waiting for the app's connections to appear")
	app := rig.managed.Foreign("shop")
	ok(t, app.Ping(t.Context()).Err())
	r = rig.Await(t, r.ID, migration.RunSucceeded)

	e := rig.proof(t, evidence.TargetPlan)
	if e.Proof != migration.Attested || !strings.Contains(e.Source, "target.plan") {
		t.Errorf("its owner's word is %s by %s", e.Proof, e.Source)
	}
	rule, _ := evidence.Of(evidence.TargetPlan)
	if met, says, err := rule.Judge(e.Facts); !met || err != nil ||
		!strings.Contains(says, "Essentials 1 GB") {
		t.Errorf("%s, %v", says, err)
	}
	if e := rig.proof(t, evidence.TargetConn); e.Proof != migration.Observed {
		t.Errorf("the commands on the database are %s", e.Proof)
	}
	// Taken back, a person takes the variable away too.
	back := rig.Rollback(t, r)
	rig.awaitProgress(t, back.ID, "a person removes "+environment.TargetVar)
	rig.attest(t, "web.1", false)
	rig.attest(t, "web.2", false)
	rig.Await(t, back.ID, migration.RunSucceeded)
	log, err := rig.Store.Log(t.Context(), r.ID, 0, 100)
	ok(t, err)
	for _, v := range []any{plan, r, log, back} {
		if text, _ := json.Marshal(v); strings.Contains(string(text), "CANARY") {
			t.Errorf("a secret in %s", text)
		}
	}
}

func TestATargetAtAURLThatIsTheSourceItselfIsRefused(t *testing.T) {
	t.Parallel()
	source := redistest.Start(t, redistest.Password(managedPassword))
	rig := atURL(t, source, source)
	plan, err := rig.Plan(t.Context(), migration.StepProvision, migration.Params{})
	ok(t, err)
	g := gate(t, plan, "apart")
	if g.OK || !strings.Contains(g.Measured, "is the source itself") ||
		!strings.Contains(g.Next, "target.url") {
		t.Errorf("%+v", g)
	}
	r := rig.Await(t, rig.Start(t, migration.StepProvision, migration.Params{}).ID,
		migration.RunFailed)
	if !strings.Contains(r.Error, "is the source itself") {
		t.Error(r.Error)
	}
	if id, err := rig.Env.Servers.TargetID(t.Context()); id != "" || err != nil {
		t.Errorf("it became the target: %q, %v", id, err)
	}
	// The monitor would see it, too.
	ok(t, rig.Env.Servers.UseTarget(t.Context(), rig.Env.Managed.Service.Offer().Name))
	facts, err := rig.Env.Probe.Again(t.Context())
	ok(t, err)
	raw, _ := json.Marshal(facts)
	rule, _ := evidence.Of(evidence.TargetConn)
	if met, says, err := rule.Judge(raw); met || err != nil ||
		!strings.Contains(says, "is the source itself") {
		t.Errorf("%v, %s, %v", met, says, err)
	}
}

// Who cannot be asked could be the target.
func TestATargetAtAURLIsNotKnownToBeAnotherServerWhileASourceDoesNotAnswer(t *testing.T) {
	t.Parallel()
	rig := newURLRig(t)
	rig.source.Kill()
	plan, err := rig.Plan(t.Context(), migration.StepProvision, migration.Params{})
	ok(t, err)
	if g := gate(t, plan, "apart"); g.OK || g.Verdict != migration.Unknown ||
		!strings.Contains(g.Measured, "nobody could ask "+rig.source.Addr()) {
		t.Errorf("%+v", g)
	}
}

func TestWhatIsThereAtAURLIsRefusedAndLeftAsItIs(t *testing.T) {
	t.Parallel()
	rig := newURLRig(t)
	ok(t, rig.managed.Client().ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err())
	plan, err := rig.Plan(t.Context(), migration.StepProvision, migration.Params{})
	ok(t, err)
	if g := gate(t, plan, "eviction"); g.OK || !strings.Contains(g.Next, "have its owner") {
		t.Errorf("%+v", g)
	}
	r := rig.Await(t, rig.Start(t, migration.StepProvision, migration.Params{}).ID,
		migration.RunFailed)
	if !strings.Contains(r.Error, "changes nothing at a URL") {
		t.Error(r.Error)
	}
	if p := policy(t.Context(), rig.managed.Client()); p != "allkeys-lru" {
		t.Errorf("its policy was changed to %s", p)
	}
}

func policy(ctx context.Context, c redis.UniversalClient) string {
	return c.ConfigGet(ctx, "maxmemory-policy").Val()["maxmemory-policy"]
}

func TestNoLimitIsShownAsNoneWithWhoSaysSo(t *testing.T) {
	t.Parallel()
	rig := newURLRig(t)
	plan, err := rig.Plan(t.Context(), migration.StepProvision, migration.Params{})
	ok(t, err)
	for _, id := range []string{"commands", "request", "record"} {
		if g := gate(t, plan, id); !strings.HasPrefix(g.Limit, "none (attested: ") {
			t.Errorf("%+v", g)
		}
	}
	offer := rig.Env.Managed.Service.Offer()
	if got := Exports(offer); !slices.Equal(got, []string{"helm"}) {
		t.Errorf("exports %v", got)
	}
	if _, err := ExportFor("terraform", "x", offer,
		rig.Env.Vars.About()); migration.KindOf(err) != migration.Invalid {
		t.Errorf("Terraform of a database that nobody creates: %v", err)
	}
}
