package environment

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/providerstest"
	"github.com/switchyard-dev/switchyard/providers/upstash"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// noServer is a managed service whose databases nobody connects to.
type noServer struct{}

func (noServer) CreateDatabase(
	context.Context,
	providerstest.UpstashSpec,
) (string, int, string, error) {
	return "127.0.0.1", 1, "managed-CANARY", nil
}
func (noServer) DeleteDatabase(context.Context, string) error { return nil }
func (noServer) Stats(context.Context, string) (providerstest.UpstashStats, error) {
	return providerstest.UpstashStats{}, nil
}

func TestTheMonitorSeesASecondDatabaseAndADeletedOne(t *testing.T) {
	t.Parallel()
	api, err := providerstest.NewUpstash(
		providerstest.UpstashConfig{
			Email:   "ops@example.com",
			Key:     "upstash-CANARY",
			Backend: noServer{},
		},
	)
	ok(t, err)
	service := httptest.NewServer(api)
	t.Cleanup(service.Close)
	cfg := config.Default()
	u := &cfg.Target.Upstash
	u.API, u.Email, u.APIKey, u.DatabaseName = service.URL+"/v2", "ops@example.com", "upstash-CANARY", "orders"
	rig := openRig(t, cfg)
	account := rig.Managed.Service.(*upstash.Managed).Client
	create := func() upstash.Database {
		t.Helper()
		db, err := account.Create(
			t.Context(),
			upstash.CreateRequest{DatabaseName: "orders", Platform: "aws",
				PrimaryRegion: "us-east-1", Plan: upstash.Fixed1GB, TLS: true},
		)
		ok(t, err)
		return db
	}
	first, second := create(), create()
	facts, as, err := rig.Managed.Plan(t.Context(), first.ID)
	ok(t, err)
	if as.Proof != migration.Observed || as.Source != "developer API" {
		t.Errorf("the API is a basis of %+v", as)
	}
	raw, _ := json.Marshal(facts)
	check, _ := evidence.Of(evidence.TargetPlan)
	if met, measured, err := check.Judge(raw); met || err != nil ||
		!strings.Contains(measured, second.ID) {
		t.Errorf("%v, %s, %v", met, measured, err)
	}
	ok(t, account.Delete(t.Context(), first.ID))
	if facts, _, err = rig.Managed.Plan(t.Context(), first.ID); err != nil ||
		facts.State != "deleted" {
		t.Errorf("%+v, %v", facts, err)
	}
}

// The monitor asks often; the commands are tried seldom.
func TestTheTargetIsNotTriedAtEveryLook(t *testing.T) {
	t.Parallel()
	managed := redistest.Start(t)
	rig := openRig(t, config.Default())
	rig.Servers.target, rig.Servers.targetEndpoint = managed.Client(), managed.Endpoint()
	commands := func() int64 {
		t.Helper()
		var n int64
		text, err := managed.Client().Info(t.Context(), "stats").Result()
		ok(t, err)
		for line := range strings.Lines(text) {
			if v, found := strings.CutPrefix(line, "total_commands_processed:"); found {
				_, err = fmt.Sscan(v, &n)
			}
		}
		ok(t, err)
		return n
	}
	_, err := rig.Probe.Again(t.Context())
	ok(t, err)
	start := commands()
	facts, err := rig.Probe.Again(t.Context())
	ok(t, err)
	few := commands() - start
	if len(facts.Answered) != 22 || facts.Pings != watchPings || few > 20 {
		t.Errorf("%d commands, %+v", few, facts)
	}
	rig.clk.advance(tryAgain + time.Second)
	start = commands()
	_, err = rig.Probe.Again(t.Context())
	ok(t, err)
	if many := commands() - start; many < few+20 {
		t.Errorf("%d commands after %s", many, tryAgain)
	}
}
