package breaker

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/drill"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

func partsOf(b *stepstest.Bench) Parts {
	return Parts{
		Servers:     b.Env.Servers,
		Debts:       b.Env.Debts,
		Workers:     b.Env.Workers,
		App:         b.Env.App,
		Queues:      b.Config.Queues,
		Drill:       b.Config.Drill,
		AppURL:      b.Config.Ingestion.URL,
		RedisServer: b.Config.RedisServer,
	}
}

// attestProducers has an instance attest a safe producer of each queue.
func attestProducers(t *testing.T, workers *fleet.Fleet, instance string, queues ...string) {
	t.Helper()
	safe := map[string]json.RawMessage{
		"enableOfflineQueue":  json.RawMessage("false"),
		"commandTimeout":      json.RawMessage("2000"),
		"skipWaitingForReady": json.RawMessage("true"),
	}
	a := fleet.Attestation{
		Service:     "shop",
		Instance:    instance,
		Connections: []fleet.Connection{{Role: "worker", Queue: "executed-only"}},
	}
	for _, q := range queues {
		a.Connections = append(
			a.Connections,
			fleet.Connection{
				Side:     "source",
				Endpoint: "sentinel",
				Role:     "producer",
				Queue:    q,
				Options:  safe,
			},
		)
	}
	if err := workers.Attest(a, fleet.Who{Set: stepstest.Migration, Instance: instance}); err != nil {
		t.Fatal(err)
	}
}

func TestADrillTriesEveryQueueThatIsAttestedAndSaysWhichTheAppRefuses(t *testing.T) {
	t.Parallel()
	var asked []string
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Op, Queue string }
		if json.NewDecoder(r.Body).Decode(&in) == nil && in.Op == "open" {
			asked = append(asked, in.Queue)
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = w.Write([]byte(`{"error":"queue ` + in.Queue + ` is none of payments"}`))
		}
	}))
	t.Cleanup(app.Close)
	cfg := stepstest.Settings(t.TempDir())
	cfg.Ingestion.URL, cfg.Queues = app.URL, []string{"orders"}
	b := stepstest.Open(t, cfg, func(b *stepstest.Bench) []engine.Step {
		whole := partsOf(b).Step()
		all := whole.Actions(migration.Params{})
		bench := all[slices.IndexFunc(all, func(a engine.Action) bool { return a.ID == Bench })]
		return []engine.Step{whole, stepstest.Step("drill", bench)}
	})
	b.Clock.Advance(5 * time.Second) // since the start: every worker has had the time to be heard
	attestProducers(t, b.Fleet, "web.1", "reports", "orders", "audit")
	attestProducers(t, b.Fleet, "web.2", "reports")
	plan, err := b.Plan(t.Context(), migration.StepBreakerDrill, migration.Params{})
	if err != nil {
		t.Fatal(err)
	}
	if text := plan.Impact; !strings.Contains(text, "each of 3 queues (orders, audit, reports)") {
		t.Errorf("the plan says %q", text)
	}
	r := b.Await(t, b.Start(t, "drill", migration.Params{}).ID, migration.RunSucceeded)
	if want := []string{"orders", "audit", "reports"}; !slices.Equal(asked, want) {
		t.Fatalf("tried %v, want %v", asked, want)
	}
	var cases []evidence.BenchCase
	if err := json.Unmarshal(r.Actions[0].Output, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) != len(asked) {
		t.Fatalf("%+v", cases)
	}
	for i, c := range cases {
		if good, why := c.OK(); good || c.Queue != asked[i] ||
			!strings.Contains(why, "queue "+c.Queue+" is none of payments") {
			t.Errorf("%+v: %t %s", c, good, why)
		}
	}
}

// What is judged as a whole drill is what a drill does.
func TestAWholeDrillIsEveryFaultThatIsInjected(t *testing.T) {
	t.Parallel()
	var source, bench []string
	for _, f := range faults {
		source = append(source, f.name)
	}
	for _, f := range drill.Faults {
		bench = append(bench, f.ID)
	}
	if !slices.Equal(source, evidence.SourceFaults) || !slices.Equal(bench, evidence.BenchFaults) {
		t.Errorf("%v and %v are injected", source, bench)
	}
}

func TestTheLimitOfADrillIsTheFastestProvidersDeadline(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule      string
		providers []string
		want      time.Duration
	}{
		{"the one that is configured", []string{"stripe"}, 10 * time.Second},
		{"the fastest of several", []string{"stripe", "shopify"}, 5 * time.Second},
		{"the fastest of all where none is", nil, 5 * time.Second},
	} {
		s := Parts{}
		for _, id := range tc.providers {
			s.Providers = append(s.Providers, config.Provider{ID: id})
		}
		if got := s.answerLimit(); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.rule, got, tc.want)
		}
	}
}
