package workflows

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

func TestAWorkerIsLiveForSomeSecondsAndForgottenAfterAnHour(t *testing.T) {
	t.Parallel()
	clk := &clock{}
	f := newFleet(clk.now)
	wantKind(t, f.attest(Attestation{Instance: "i"}), migration.Invalid)
	wantKind(t, f.attest(Attestation{Service: "s"}), migration.Invalid)
	say := func(instance string, revision int64) {
		t.Helper()
		ok(t, f.attest(Attestation{Service: "ingestion", Instance: instance, Revision: revision}))
	}
	say("b", 1)
	say("a", 1)
	say("a", 2)
	if live := f.live(); len(live) != 2 || live[0].Instance != "a" || live[0].Revision != 2 {
		t.Fatalf("live %+v", live)
	}
	clk.advance(liveFor - time.Second)
	say("b", 3)
	clk.advance(2 * time.Second)
	if live := f.live(); len(live) != 1 || live[0].Instance != "b" {
		t.Fatalf("live %+v", live)
	}
	if all := f.all(); len(all) != 2 || all[0].Live || !all[1].Live || all[1].Revision != 3 {
		t.Fatalf("all %+v", all)
	}
	clk.advance(2 * time.Hour)
	say("c", 1)
	if all := f.all(); len(all) != 1 || all[0].Instance != "c" {
		t.Fatalf("all %+v", all)
	}
}

func TestCriterion_circuit_breaker_OnlyProducersOfLiveWorkersAttest(t *testing.T) {
	t.Parallel()
	clk := &clock{}
	f := newFleet(clk.now)
	var a Attestation
	ok(t, json.Unmarshal([]byte(`{"service":"ingestion","instance":"i","connections":[
		{"side":"source","endpoint":"sentinel","role":"producer","queue":"q","options":{"enableOfflineQueue":false,"commandTimeout":2000}},
		{"role":"producer","queue":"r","options":{"enableOfflineQueue":"no","commandTimeout":null}},
		{"role":"worker","queue":"q","options":{"enableOfflineQueue":true}}]}`), &a))
	ok(t, f.attest(a))
	got := f.producers().Producers
	if len(got) != 2 || got[0].EnableOfflineQueue == nil || *got[0].EnableOfflineQueue || got[0].CommandTimeoutMS != 2000 || got[0].Instance != "i" {
		t.Fatalf("producers %+v", got)
	}
	if got[1].EnableOfflineQueue != nil || got[1].CommandTimeoutMS != 0 {
		t.Fatalf("values that are none count: %+v", got[1])
	}
	clk.advance(liveFor + time.Second)
	if got := f.producers().Producers; len(got) != 0 {
		t.Fatalf("a worker that is gone attests: %+v", got)
	}
}
