package environment

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

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
	if err := workers.Attest(a, fleet.Who{Set: mid, Instance: instance}); err != nil {
		t.Fatal(err)
	}
}

func TestAWorkerOfAnotherContractIsUnknownAndNamed(t *testing.T) {
	t.Parallel()
	for version, says := range map[int]string{
		0: "", 1: "", migration.Contract: "",
		migration.Contract + 1: "it keeps version 3 of the contract, and this Switchyard knows " +
			"1 to 2: update Switchyard first",
	} {
		b := openRig(t, config.Default())
		b.clk.advance(10 * time.Second)
		a := fleet.Attestation{Service: "shop", Instance: "web.1", Revision: 5, Contract: version}
		ok(t, b.Workers.Fleet.Attest(a, fleet.Who{Set: mid, Instance: "web.1"}))
		c := b.Workers.asHeard(mid, 5, true)
		if got := c.Verdict(); (got == migration.Met) != (says == "") {
			t.Errorf("version %d is %s: %s", version, got, c)
		}
		if !strings.Contains(c.String(), says) {
			t.Errorf("version %d: %s", version, c)
		}
	}
}

// Each row is a look at the workers, in ms, and whether it ends the wait.
func TestWorkersAreAwaitedUntilEveryLookWasGoodForAWhile(t *testing.T) {
	t.Parallel()
	var s steady
	for i, look := range []struct {
		at         int64
		good, ends bool
	}{
		{0, true, false}, {2900, true, false}, {2950, false, false}, {3100, true, false},
		{6099, true, false}, {6100, true, true},
		{5000, true, false}, {3000, true, false}, // the clock was set back
		{5999, true, false}, {6000, true, true}, {6001, false, false}, {9999, true, false},
	} {
		if got := s.look(time.UnixMilli(look.at), look.good); got != look.ends {
			t.Errorf("look %d at %d: %v", i, look.at, got)
		}
	}
}

func TestAProducerThatComesAfterTheDrillTakesTheAttestationBack(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.Queues = []string{"orders"}
	b := openRig(t, cfg)
	b.clk.advance(10 * time.Second) // everybody had the time to be heard
	attestProducers(t, b.Workers.Fleet, "web.1", "orders")
	want := func(met bool, says string) {
		t.Helper()
		facts, err := b.Workers.Attestation(t.Context(), mid)
		ok(t, err)
		raw, err := json.Marshal(facts)
		ok(t, err)
		check, _ := evidence.Of(evidence.Attestation)
		if got, text, err := check.Judge(raw); err != nil || got != met ||
			!strings.Contains(text, says) {
			t.Errorf("%t %q %v, want %t %q", got, text, err, met, says)
		}
	}
	want(true, "skipWaitingForReady: 1") // nothing is left out before the first drill
	b.record(
		t,
		evidence.Drill,
		migration.Observed,
		evidence.DrillFacts{Bench: []evidence.BenchCase{{Queue: "orders"}}},
	)
	want(true, "skipWaitingForReady: 1")
	attestProducers(t, b.Workers.Fleet, "web.2", "orders", "reports")
	want(false, "the last drill did not try (reports)")
	b.record(
		t,
		evidence.Drill,
		migration.Observed,
		evidence.DrillFacts{
			Attested: []string{"orders", "reports", "nightly"},
			Bench:    []evidence.BenchCase{{Queue: "orders"}, {Queue: "reports"}},
		},
	)
	scan := func(queues ...string) {
		facts := evidence.ScanFacts{Source: "shop"}
		for _, q := range queues {
			facts.Findings = append(facts.Findings, evidence.ScanFinding{ID: q, Queue: q})
		}
		b.record(t, evidence.Scan, migration.Attested, facts)
	}
	scan("orders", "reports", "nightly") // nightly's app is restarting
	want(true, "skipWaitingForReady: 3")
	scan("orders", "mail")
	want(false, "producers that no app attests (mail)")
}

func TestQueuesOfTheSourceThatNobodyAttestsAreNamed(t *testing.T) {
	t.Parallel()
	scanned := evidence.ScanFacts{
		Findings: []evidence.ScanFinding{
			{Queue: "orders"},
			{Queue: "mail"},
			{Queue: "mail"},
			{Queue: "reports"},
			{Queue: ""},
			{Queue: "audit"},
		},
	}
	should, only := Unattested(
		scanned,
		[]string{"orders", "elsewhere"},
		[]string{"reports", "unused"},
	)
	if !slices.Equal(should, []string{"audit", "mail"}) ||
		!slices.Equal(only, []string{"reports"}) {
		t.Errorf("should be attested %q, by the scan alone %q", should, only)
	}
	if should, only := Unattested(evidence.ScanFacts{}, nil, []string{"reports"}); should != nil ||
		only != nil {
		t.Errorf("without a scan: %q, %q", should, only)
	}
}

// A routed queue of which nobody attests a producer is not part of what was shown.
func TestEveryRoutedQueueNeedsAProducerThatAttests(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.Queues = []string{"orders", "shop:refunds"}
	b := openRig(t, cfg)
	b.clk.advance(10 * time.Second) // everybody had the time to be heard
	for _, tc := range []struct {
		attests []string
		want    []string
	}{
		{[]string{"orders"}, []string{"shop:refunds"}},
		{[]string{"orders", "shop:refunds"}, nil},
		{[]string{"funds", "shop:refunds"}, []string{"orders"}},
		// another queue of that name, of the default prefix
		{[]string{"orders", "refunds"}, []string{"shop:refunds"}},
	} {
		attestProducers(t, b.Workers.Fleet, "web.1", tc.attests...)
		facts, err := b.Workers.Attestation(t.Context(), mid)
		ok(t, err)
		if !slices.Equal(facts.Unproduced, tc.want) {
			t.Errorf("%v attested: %v, want %v", tc.attests, facts.Unproduced, tc.want)
		}
	}
}

func TestAWorkerIsOnTheTargetForAllThatItDoesOnTheSource(t *testing.T) {
	t.Parallel()
	at := func(side, role, status string) fleet.Connection {
		return fleet.Connection{Side: side, Role: role, Status: status}
	}
	for name, tt := range map[string]struct {
		have []fleet.Connection
		want migration.Verdict
	}{
		"nothing":         {nil, migration.Unmet},
		"the source only": {[]fleet.Connection{at("source", "worker", "ready")}, migration.Unmet},
		"a web process": {[]fleet.Connection{at("source", "producer", "ready"),
			at("target", "producer", "ready")}, migration.Met},
		"a worker process": {[]fleet.Connection{at("source", "worker", "ready"),
			at("target", "worker", "ready")}, migration.Met},
		"both, and only adds there": {[]fleet.Connection{at("source", "producer", "ready"),
			at("source", "worker", "ready"), at("target", "producer", "ready")}, migration.Unmet},
		"not ready": {[]fleet.Connection{at("source", "worker", "ready"),
			at("target", "worker", "reconnecting")}, migration.Unmet},
		"copies run when the stage wants them": {[]fleet.Connection{
			at("source", "shadow-worker", "ready"), at("target", "producer", "ready")}, migration.Met},
	} {
		if got, why := onTarget(tt.have); got != tt.want {
			t.Errorf("%s: %s (%s), want %s", name, got, why, tt.want)
		}
	}
}
