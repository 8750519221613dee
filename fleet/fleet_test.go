package fleet

import (
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func start() (*Fleet, *clock) {
	c := &clock{at: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	return New(c.now), c
}

func named(instance string) Who {
	return Who{Service: "ingestion", Instance: instance, Version: "1", Key: "worker_token",
		Address: "127.0.0.1", Set: "orders"}
}

func attest(t *testing.T, f *Fleet, instance string, revision int64) {
	t.Helper()
	if err := f.Attest(Attestation{Service: "ingestion", Instance: instance,
		Revision: revision},
		Who{Set: "orders", Key: "worker_token", Address: "127.0.0.1"}); err != nil {
		t.Fatal(err)
	}
}

func one(t *testing.T, f *Fleet) migration.Worker {
	t.Helper()
	all := f.Workers()
	if len(all) != 1 {
		t.Fatalf("%d workers, want 1: %+v", len(all), all)
	}
	return all[0]
}

func TestAnAttestationOutweighsWhatAStreamWasSentAndAPollClaims(t *testing.T) {
	f, _ := start()
	f.Poll(named("web.1"), 9)
	s := f.Open(named("web.1"), ViaStream)
	defer s.Close()
	s.Sent(8)
	if w := one(t, f); w.Revision != 8 {
		t.Errorf("revision %d, want the stream's 8", w.Revision)
	}
	attest(t, f, "web.1", 7)
	w := one(t, f)
	if w.Revision != 7 ||
		!slices.Equal(w.Via, []string{ViaAttestation, ViaStream, ViaPoll}) || !w.Live {
		t.Errorf("got %+v, want revision 7 by attestation, stream, poll", w)
	}
}

func TestTwoStreamsBehindOneNameCountByTheLowerRevision(t *testing.T) {
	f, _ := start()
	a, b := f.Open(named("web.1"), ViaStream), f.Open(named("web.1"), ViaStream)
	defer a.Close()
	defer b.Close()
	a.Sent(5)
	b.Sent(4)
	if w := one(t, f); w.Revision != 4 {
		t.Errorf("revision %d, want 4", w.Revision)
	}
}

func TestASilentWorkerIsListedButNotLive(t *testing.T) {
	f, c := start()
	attest(t, f, "web.1", 3)
	c.pass(liveFor + time.Millisecond)
	if w := one(t, f); w.Live {
		t.Error("live after its time")
	}
	if live := f.Live("orders"); len(live) != 0 {
		t.Errorf("live: %+v", live)
	}
	c.pass(rememberFor)
	attest(t, f, "web.2", 3)
	if w := one(t, f); w.Instance != "web.2" {
		t.Errorf("an hour later %s is still listed", w.Instance)
	}
}

func TestASlowPollerIsLiveForThreeOfItsIntervals(t *testing.T) {
	f, c := start()
	f.Poll(named("web.1"), 3)
	c.pass(30 * time.Second)
	f.Poll(named("web.1"), 3)
	c.pass(80 * time.Second)
	if w := one(t, f); !w.Live {
		t.Error("silent within three intervals counts as dead")
	}
	c.pass(11 * time.Second)
	if w := one(t, f); w.Live {
		t.Error("live after three intervals")
	}
}

func TestWhoAsksEachTimeIsNeverBehind(t *testing.T) {
	f, _ := start()
	f.Poll(named("web.1"), 0)
	if live := f.Live("orders"); len(live) != 0 {
		t.Errorf("a reader that holds nothing counts: %+v", live)
	}
	if w := one(t, f); !w.Live {
		t.Error("it is not listed as live")
	}
}

func TestAClosedStreamIsNoLongerLive(t *testing.T) {
	f, _ := start()
	s := f.Open(named("web.1"), ViaSSE)
	if w := one(t, f); !w.Live || w.Via[0] != ViaSSE {
		t.Errorf("got %+v", w)
	}
	s.Close()
	if all := f.Workers(); len(all) != 0 {
		t.Errorf("still listed: %+v", all)
	}
}

func TestAnSSEStreamTakesTheRevisionFromThePolls(t *testing.T) {
	f, _ := start()
	s := f.Open(named("web.1"), ViaSSE)
	defer s.Close()
	s.Sent(9) // told of, not yet fetched
	f.Poll(named("web.1"), 8)
	if w := one(t, f); w.Revision != 8 {
		t.Errorf("revision %d, want 8: that is what it holds", w.Revision)
	}
}

func TestWhoLeavesInGoodOrderIsForgottenAtOnce(t *testing.T) {
	f, _ := start()
	f.Poll(named("web.1"), 3)
	attest(t, f, "web.1", 3)
	if err := f.Attest(Attestation{Service: "ingestion", Instance: "web.1", Leaving: true},
		Who{Set: "orders"}); err != nil {
		t.Fatal(err)
	}
	if all := f.Workers(); len(all) != 0 {
		t.Errorf("still listed: %+v", all)
	}
}

func TestUnnamedReadersOfOneKeyAndAddressAreOneLine(t *testing.T) {
	f, _ := start()
	who := Who{Key: "checkout", Address: "10.0.0.7", Set: "orders"}
	f.Poll(who, 3)
	f.Poll(who, 3)
	if w := one(t, f); w.Identified || w.Key != "checkout" {
		t.Errorf("got %+v", w)
	}
}

func TestAnAttestationNeedsItsNames(t *testing.T) {
	f, _ := start()
	for _, a := range []Attestation{{Service: "x"}, {Instance: "x"}} {
		if err := f.Attest(a, Who{}); migration.KindOf(err) != migration.Invalid || err == nil {
			t.Errorf("%+v: %v", a, err)
		}
	}
}

func TestAnotherReplicasWorkersCountUntilItFallsSilent(t *testing.T) {
	f, c := start()
	g, _ := start()
	attest(t, g, "web.2", 4)
	f.Merge("b", g.Own())
	attest(t, f, "web.1", 5)
	if live := f.Live("orders"); len(live) != 2 || live[1].Revision != 4 {
		t.Errorf("live: %+v", live)
	}
	if own := f.Own(); len(own) != 1 {
		t.Errorf("what others hear is told on: %+v", own)
	}
	c.pass(liveFor + time.Millisecond)
	if all := f.Workers(); len(all) != 1 {
		t.Errorf("a silent replica's workers remain: %+v", all)
	}
}

func TestAFleetIsWarmOnceEveryWorkerHadTheTimeToSpeak(t *testing.T) {
	f, c := start()
	if f.Warm() {
		t.Error("warm at the start")
	}
	c.pass(liveFor)
	if !f.Warm() {
		t.Error("not warm after the time of a live worker")
	}
}

func TestCountingAPollAllocatesNothing(t *testing.T) {
	f, _ := start()
	who := named("web.1")
	f.Poll(who, 1)
	if n := testing.AllocsPerRun(100, func() { f.Poll(who, 2) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkPoll(b *testing.B) {
	f := New(time.Now)
	who := named("web.1")
	b.ReportAllocs()
	for b.Loop() {
		f.Poll(who, 2)
	}
}

func TestEveryLiveWorkerThatTakesOrdersTellsOfItsIntakeOrThatItHasNone(t *testing.T) {
	f, _ := start()
	for _, raw := range []string{
		`{"service":"s","instance":"with","connections":[{"role":"producer"}],"intake":{"backlog":3,"bytes":10,"maxBytes":100,"oldestMs":50,"accepted":4,"delivered":1,"refused":2,"damaged":1}}`,
		`{"service":"s","instance":"without","connections":[{"role":"producer"}]}`,
		`{"service":"s","instance":"works only","connections":[{"role":"worker"}]}`,
	} {
		var a Attestation
		if err := json.Unmarshal([]byte(raw), &a); err != nil {
			t.Fatal(err)
		}
		if err := f.Attest(a, Who{}); err != nil {
			t.Fatal(err)
		}
	}
	want := []evidence.IntakeInstance{{Instance: "with", Durable: true, Backlog: 3, Bytes: 10,
		MaxBytes: 100, OldestMS: 50, Accepted: 4, Refused: 2, Damaged: 1},
		{Instance: "without"}}
	if got := f.Intakes(); !slices.Equal(got.Instances, want) {
		t.Errorf("got %+v", got)
	} else if sum, all := got.Totals(); all || sum.Backlog != 3 {
		t.Errorf("totals %+v, %t", sum, all)
	}
}

func TestOnlyProducersOfLiveWorkersAttestTheirOptions(t *testing.T) {
	f, c := start()
	var a Attestation
	if err := json.Unmarshal([]byte(`{"service":"ingestion","instance":"i","connections":[
		{"side":"source","endpoint":"sentinel","role":"producer","queue":"q","options":{"enableOfflineQueue":false,"commandTimeout":2000,"skipWaitingForReady":true}},
		{"role":"producer","queue":"r","options":{"enableOfflineQueue":"no","commandTimeout":null}},
		{"role":"producer","queue":"s","options":{"enableOfflineQueue":null,"skipWaitingForReady":null}},
		{"role":"worker","queue":"q","options":{"enableOfflineQueue":true}}]}`), &a); err != nil {
		t.Fatal(err)
	}
	if err := f.Attest(a, Who{Set: "orders"}); err != nil {
		t.Fatal(err)
	}
	got := f.Producers().Producers
	if len(got) != 3 || got[0].SkipWaitingForReady == nil || !*got[0].SkipWaitingForReady ||
		got[0].EnableOfflineQueue == nil || *got[0].EnableOfflineQueue ||
		got[0].CommandTimeoutMS != 2000 || got[0].Instance != "i" {
		t.Fatalf("producers %+v", got)
	}
	if got[1].EnableOfflineQueue != nil || got[1].CommandTimeoutMS != 0 ||
		got[2].EnableOfflineQueue != nil || got[2].SkipWaitingForReady != nil {
		t.Fatalf("values that are none count: %+v", got[1:])
	}
	c.pass(liveFor + time.Second)
	if got := f.Producers().Producers; len(got) != 0 {
		t.Fatalf("a worker that is gone attests: %+v", got)
	}
}
