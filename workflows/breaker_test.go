package workflows

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/steps/breaker"
)

// attestProducers has an instance attest a safe producer of each queue.
func (b *bench) attestProducers(t *testing.T, instance string, queues ...string) {
	t.Helper()
	safe := map[string]json.RawMessage{"enableOfflineQueue": json.RawMessage("false"), "commandTimeout": json.RawMessage("2000"), "skipWaitingForReady": json.RawMessage("true")}
	a := fleet.Attestation{Service: "shop", Instance: instance, Connections: []fleet.Connection{{Role: "worker", Queue: "executed-only"}}}
	for _, q := range queues {
		a.Connections = append(a.Connections, fleet.Connection{Side: "source", Endpoint: "sentinel", Role: "producer", Queue: q, Options: safe})
	}
	ok(t, b.readers.Fleet.Attest(a, fleet.Who{Instance: instance}))
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
	cfg := settings(t.TempDir())
	cfg.Ingestion.URL, cfg.Queues = app.URL, []string{"orders"}
	whole := real(migration.StepBreakerDrill)
	b := openBench(t, cfg, planOf(false, whole, real("drill")), whole)
	for _, a := range b.steps[migration.StepBreakerDrill].Actions(migration.Params{}) {
		if a.ID == breaker.Bench {
			b.steps["drill"] = step("drill", migration.ApprovalNone, a)
		}
	}
	b.time.advance(5 * time.Second) // since the start: every worker has had the time to be heard
	b.attestProducers(t, "web.1", "reports", "orders", "audit")
	b.attestProducers(t, "web.2", "reports")
	plan, err := b.Plan(t.Context(), mid, migration.StepBreakerDrill, migration.Params{})
	if text := plan.Impact; !strings.Contains(text, "each of 3 queues (orders, audit, reports)") {
		t.Errorf("the plan says %q", text)
	}
	r := b.awaitState(t, b.begin(t, "drill").ID, migration.RunSucceeded)
	if want := []string{"orders", "audit", "reports"}; !slices.Equal(asked, want) {
		t.Fatalf("tried %v, want %v", asked, want)
	}
	var cases []evidence.BenchCase
	ok(t, json.Unmarshal(r.Actions[0].Output, &cases))
	for i, c := range cases {
		if good, why := c.OK(); good || c.Queue != asked[i] || !strings.Contains(why, "queue "+c.Queue+" is none of payments") {
			t.Errorf("%+v: %t %s", c, good, why)
		}
	}
}

func TestAProducerThatComesAfterTheDrillTakesTheAttestationBack(t *testing.T) {
	t.Parallel()
	b := openBench(t, settings(t.TempDir()), planOf(false))
	b.attestProducers(t, "web.1", "orders")
	want := func(met bool, says string) {
		t.Helper()
		facts, err := b.env.Workers.Attestation(t.Context(), mid)
		ok(t, err)
		raw, err := json.Marshal(facts)
		ok(t, err)
		check, _ := evidence.Of(evidence.Attestation)
		if got, text, err := check.Judge(raw); err != nil || got != met || !strings.Contains(text, says) {
			t.Errorf("%t %q %v, want %t %q", got, text, err, met, says)
		}
	}
	want(true, "skipWaitingForReady: 1") // nothing is left out before the first drill
	ok(t, b.engine.Record(t.Context(), mid, "", evidence.Drill, migration.Observed, "test", evidence.DrillFacts{Bench: []evidence.BenchCase{{Queue: "orders"}}}))
	want(true, "skipWaitingForReady: 1")
	b.attestProducers(t, "web.2", "orders", "reports")
	want(false, "the last drill did not try (reports)")
	ok(t, b.engine.Record(t.Context(), mid, "", evidence.Drill, migration.Observed, "test",
		evidence.DrillFacts{Attested: []string{"orders", "reports", "nightly"}, Bench: []evidence.BenchCase{{Queue: "orders"}, {Queue: "reports"}}}))
	scan := func(queues ...string) {
		facts := evidence.ScanFacts{Source: "shop"}
		for _, q := range queues {
			facts.Findings = append(facts.Findings, evidence.ScanFinding{ID: q, Queue: q})
		}
		ok(t, b.engine.Record(t.Context(), mid, "", evidence.Scan, migration.Attested, "test", facts))
	}
	scan("orders", "reports", "nightly") // nightly's app is restarting
	want(true, "skipWaitingForReady: 3")
	scan("orders", "mail")
	want(false, "producers that no app attests (mail)")
}

func TestQueuesOfTheSourceThatNobodyAttestsAreNamed(t *testing.T) {
	t.Parallel()
	scanned := evidence.ScanFacts{Findings: []evidence.ScanFinding{{Queue: "orders"}, {Queue: "mail"}, {Queue: "mail"}, {Queue: "reports"}, {Queue: ""}, {Queue: "audit"}}}
	should, only := environment.Unattested(scanned, []string{"orders", "elsewhere"}, []string{"reports", "unused"})
	if !slices.Equal(should, []string{"audit", "mail"}) || !slices.Equal(only, []string{"reports"}) {
		t.Errorf("should be attested %q, by the scan alone %q", should, only)
	}
	if should, only := environment.Unattested(evidence.ScanFacts{}, nil, []string{"reports"}); should != nil || only != nil {
		t.Errorf("without a scan: %q, %q", should, only)
	}
}

func TestTheMatrixKeepsTheDurableIntakeApart(t *testing.T) {
	t.Parallel()
	b := openBench(t, settings(t.TempDir()), planOf(false))
	ok(t, b.engine.Record(t.Context(), mid, "", evidence.Drill, migration.Observed, "test", evidence.DrillFacts{Bench: []evidence.BenchCase{
		{Queue: "orders", Fault: "frozen", Status: 503, MS: 2000, LimitMS: 2500, Instance: "web.1"},
		{Queue: "orders", Fault: "frozen", Intake: true, Status: 200, MS: 4, LimitMS: 2500, Left: 1, RecoveredMS: -1, Instance: "web.1"},
		{Queue: "reports", Refused: "queue reports is none of orders"}}}))
	proof, err := b.BreakerProof(t.Context(), mid)
	ok(t, err)
	by := map[string]QueueProof{}
	for _, q := range proof.Queues {
		by[q.Queue] = q
	}
	if q := by["orders"]; !q.Bench["frozen"].OK || len(q.Bench) != 1 || len(q.Intake) != 1 || q.Intake["frozen"].OK || !strings.Contains(q.Intake["frozen"].Why, "still on disk") || q.Instance != "web.1" || q.Refused != "" {
		t.Errorf("%+v", q)
	}
	if q := by["reports"]; q.Refused == "" || len(q.Bench) != 0 || q.Intake != nil {
		t.Errorf("%+v", q)
	}
}
