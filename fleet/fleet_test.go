package fleet

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
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

func lines(f *Fleet) []Line { return f.Lines("orders") }

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
	f.Poll(named("web.1"), 9, true)
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

func TestASilentWorkerIsListedUntilItIsProvenToBeGone(t *testing.T) {
	f, c := start()
	attest(t, f, "web.1", 3)
	f.Poll(named("web.1"), 3, true)
	if l := lines(f)[0]; !l.Live || !l.Attesting || l.Overdue {
		t.Errorf("%+v", l)
	}
	c.pass(liveFor + time.Millisecond)
	if l := lines(f)[0]; l.Live || l.Attesting || !l.Overdue {
		t.Errorf("live after its time: %+v", l)
	}
	c.pass(100 * time.Hour)
	attest(t, f, "web.2", 3)
	all := lines(f)
	if len(all) != 2 {
		t.Fatalf("who is silent was forgotten: %+v", all)
	}
	f.Gone(all[0])
	if all := lines(f); len(all) != 1 || all[0].Instance != "web.2" {
		t.Errorf("who is gone is listed: %+v", all)
	}
	attest(t, f, "web.1", 4)
	if all := lines(f); len(all) != 2 || !all[0].Live {
		t.Errorf("who comes back is not: %+v", all)
	}
}

func TestASlowPollerIsLiveForThreeOfItsIntervals(t *testing.T) {
	f, c := start()
	f.Poll(named("web.1"), 3, true)
	c.pass(30 * time.Second)
	f.Poll(named("web.1"), 3, true)
	c.pass(80 * time.Second)
	if w := one(t, f); !w.Live {
		t.Error("silent within three intervals counts as dead")
	}
	c.pass(11 * time.Second)
	if w := one(t, f); w.Live {
		t.Error("live after three intervals")
	}
}

func TestWhatAReaderSaysIsToldFromWhatItWasSent(t *testing.T) {
	for _, tc := range []struct {
		rule  string
		polls func(f *Fleet, c *clock)
		spoke bool
		said  int64
	}{
		{"a single poll says nothing of who goes on", func(f *Fleet, _ *clock) {
			f.Poll(named("ci"), 9, true)
		}, false, 0},
		{"what was only sent is not held", func(f *Fleet, c *clock) {
			f.Poll(named("ci"), 9, false)
			c.pass(time.Second)
			f.Poll(named("ci"), 9, false)
		}, false, 0},
		{"who says it again holds it", func(f *Fleet, c *clock) {
			f.Poll(named("ci"), 9, true)
			c.pass(time.Second)
			f.Poll(named("ci"), 9, true)
		}, true, 9},
		{"who asks each time holds none", func(f *Fleet, c *clock) {
			f.Poll(named("ci"), 0, true)
			c.pass(time.Second)
			f.Poll(named("ci"), 0, true)
		}, true, 0},
		{"a stream says nothing", func(f *Fleet, _ *clock) {
			f.Open(named("ci"), ViaStream).Sent(9)
		}, false, 0},
	} {
		f, c := start()
		tc.polls(f, c)
		if l := lines(f)[0]; !l.Live || l.Spoke != tc.spoke || l.Said != tc.said {
			t.Errorf("%s: %+v", tc.rule, l)
		}
	}
}

func TestAReaderWhoseStreamEndedIsSilentAndNotGone(t *testing.T) {
	f, c := start()
	s := f.Open(named("web.1"), ViaSSE)
	if w := one(t, f); !w.Live || w.Via[0] != ViaSSE {
		t.Errorf("got %+v", w)
	}
	s.Close()
	if l := lines(f)[0]; l.Live || l.Overdue {
		t.Errorf("it may be connecting again: %+v", l)
	}
	c.pass(reconnectFor + time.Second)
	if l := lines(f)[0]; l.Live || !l.Overdue {
		t.Errorf("%+v", l)
	}
}

func TestAnSSEStreamTakesTheRevisionFromThePolls(t *testing.T) {
	f, _ := start()
	s := f.Open(named("web.1"), ViaSSE)
	defer s.Close()
	s.Sent(9) // told of, not yet fetched
	f.Poll(named("web.1"), 8, true)
	if w := one(t, f); w.Revision != 8 {
		t.Errorf("revision %d, want 8: that is what it holds", w.Revision)
	}
}

func TestWhoLeavesIsNotLiveAndRememberedWithTheConnectionsItHad(t *testing.T) {
	f, _ := start()
	who := Who{Set: "orders", Key: "worker_token", Address: "127.0.0.1"}
	for _, a := range []Attestation{
		{Service: "ingestion", Instance: "web.1", Process: "p",
			Connections: []Connection{{Role: "producer", ClientIDs: []int64{7}}}},
		{Service: "ingestion", Instance: "web.1", Process: "p", Leaving: true},
	} {
		if err := f.Attest(a, who); err != nil {
			t.Fatal(err)
		}
	}
	l := lines(f)[0]
	if l.Live || l.Attesting || !l.Left || len(l.Connections) != 1 {
		t.Errorf("%+v", l)
	}
}

func TestWhoIsWhoIsToldByWhatWasAuthenticatedFirst(t *testing.T) {
	worker := Who{Set: "orders", Key: "worker_token", KeyID: "k1", Address: "10.0.0.1"}
	stranger := Who{Set: "shop", Key: "worker_token", KeyID: "k2", Address: "10.0.0.9"}
	say := func(t *testing.T, f *Fleet, who Who, a Attestation) {
		t.Helper()
		if a.Service == "" {
			a.Service = "ingestion"
		}
		if err := f.Attest(a, who); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		rule string
		then func(t *testing.T, f *Fleet)
		live []int64 // revisions of live lines of set orders
		all  int     // lines of set orders
	}{
		{"a key of another set says the same name", func(t *testing.T, f *Fleet) {
			say(t, f, stranger, Attestation{Instance: "web.1", Revision: 9})
		}, []int64{4}, 1},
		{"a key of another set says that the name leaves", func(t *testing.T, f *Fleet) {
			say(t, f, stranger, Attestation{Instance: "web.1", Leaving: true})
		}, []int64{4}, 1},
		{"another key of the same set", func(t *testing.T, f *Fleet) {
			other := worker
			other.KeyID = "k3"
			say(t, f, other, Attestation{Instance: "web.1", Revision: 9})
		}, []int64{4, 9}, 2},
		{"another service of the same key", func(t *testing.T, f *Fleet) {
			say(t, f, worker, Attestation{Service: "reports", Instance: "web.1", Revision: 9})
		}, []int64{4, 9}, 2},
		{"another process of the same name", func(t *testing.T, f *Fleet) {
			say(t, f, worker, Attestation{Instance: "web.1", Process: "p2", Revision: 9})
		}, []int64{4, 9}, 2},
		{"the same name at another address, without a process id", func(t *testing.T, f *Fleet) {
			other := worker
			other.Address = "10.0.0.2"
			say(t, f, other, Attestation{Instance: "web.1", Revision: 9})
		}, []int64{4, 9}, 2},
		{"another process of the same name leaves", func(t *testing.T, f *Fleet) {
			say(t, f, worker, Attestation{Instance: "web.1", Process: "p2", Leaving: true})
		}, []int64{4}, 2},
		{"a name that is made to look like another key", func(t *testing.T, f *Fleet) {
			say(t, f, Who{Set: "orders", KeyID: "k1/ingestion"}, Attestation{Instance: "web.1",
				Revision: 9})
		}, []int64{4, 9}, 2},
	} {
		f, _ := start()
		say(t, f, worker, Attestation{Instance: "web.1", Revision: 4})
		tc.then(t, f)
		var live []int64
		ids := map[string]bool{}
		all := lines(f)
		for _, l := range all {
			ids[l.MemberKey()] = true
			if l.Live {
				live = append(live, l.Revision)
			}
		}
		slices.Sort(live)
		if !slices.Equal(live, tc.live) || len(all) != tc.all || len(ids) != tc.all {
			t.Errorf("%s: live on %v, want %v, of %d: %+v", tc.rule, live, tc.live, tc.all, all)
		}
	}
}

func TestWhatIsTooMuchIsRefusedAndNothingOfTheOthersIsLost(t *testing.T) {
	f, c := start()
	c.pass(liveFor)
	worker := Who{Set: "orders", KeyID: "k1", Key: "worker_token"}
	noisy := Who{Set: "orders", KeyID: "k2", Key: "noisy"}
	if err := f.Attest(Attestation{Service: "s", Instance: "web.1"}, worker); err != nil {
		t.Fatal(err)
	}
	var refused error
	for i := range 10_000 {
		who := noisy
		who.Instance = strconv.Itoa(i)
		f.Poll(who, 1, true)
		if err := f.Attest(Attestation{Service: "s", Instance: who.Instance}, noisy); err != nil {
			refused = err
		}
	}
	if migration.KindOf(refused) != migration.Unavailable ||
		!strings.Contains(refused.Error(), "key noisy has 1000 instances") {
		t.Errorf("refused with %v", refused)
	}
	if n := len(lines(f)); n > maxInstances+1 {
		t.Errorf("%d lines", n)
	}
	unheard := f.Unheard("orders")
	if len(unheard) != 1 || unheard[0].Key != "worker:orders/k2/*" || len(f.Unheard("shop")) != 0 {
		t.Errorf("who was refused is not unknown: %+v", unheard)
	}
	if err := f.Attest(Attestation{Service: "s", Instance: "web.2"}, worker); err != nil {
		t.Errorf("another key suffers: %v", err)
	}
	if err := f.Attest(Attestation{Service: "s", Instance: "7"}, noisy); err != nil {
		t.Errorf("one that is known suffers: %v", err)
	}
	for _, a := range []Attestation{
		{Service: strings.Repeat("s", 201), Instance: "i"},
		{Service: "s", Instance: "i", Process: strings.Repeat("s", 201)},
		{Service: "s", Instance: "i", Connections: make([]Connection, maxConnections+1)},
		{Service: "s", Instance: "i", Revision: -1},
	} {
		if err := f.Attest(a, worker); migration.KindOf(err) != migration.Invalid || err == nil {
			t.Errorf("taken: %v", err)
		}
	}
}

func TestAnUnnamedStreamIsSpokenForByTheProcessThatAttestsBesideIt(t *testing.T) {
	f, _ := start()
	who := Who{Key: "worker_token", Address: "127.0.0.1", Set: "orders"}
	defer f.Open(who, ViaStream).Close()
	if l := lines(f)[0]; l.SpokenFor {
		t.Error("by nobody")
	}
	attest(t, f, "web.1", 3)
	if l := lines(f)[0]; !l.SpokenFor {
		t.Errorf("%+v", l)
	}
	defer f.Open(who, ViaStream).Close()
	if l := lines(f)[0]; l.SpokenFor {
		t.Error("one process speaks for two streams")
	}
}

func TestUnnamedReadersOfOneKeyAndAddressAreOneLine(t *testing.T) {
	f, _ := start()
	who := Who{Key: "checkout", Address: "10.0.0.7", Set: "orders"}
	f.Poll(who, 3, true)
	f.Poll(who, 3, true)
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

func TestWhatAReplicaHeardThatSaysNothingMoreIsRememberedUntilItIsHeardAgain(t *testing.T) {
	f, c := start()
	g, d := start()
	attest(t, g, "web.2", 4)
	attest(t, f, "web.1", 5)
	said := d.now()
	f.Merge("b", g.Own(), said)
	if all := lines(f); len(all) != 2 || all[1].Live {
		t.Errorf("whether the replica is there is not known yet: %+v", all)
	}
	f.Merge("b", g.Own(), said.Add(time.Second))
	if all := lines(f); len(all) != 2 || !all[1].Attesting || all[1].Revision != 4 {
		t.Errorf("%+v", all)
	}
	if own := f.Own(); len(own) != 1 {
		t.Errorf("what others hear is told on: %+v", own)
	}
	for range 6 {
		c.pass(time.Second)
		f.Merge("b", g.Own(), said.Add(time.Second)) // the same words
		attest(t, f, "web.1", 5)
	}
	all := lines(f)
	if len(all) != 2 || all[1].Live || all[1].Attesting || len(f.Silent()) != 0 {
		t.Fatalf("a silent replica's workers: %+v", all)
	}
	c.pass(time.Second)
	attest(t, f, "web.2", 5)
	if all := lines(f); len(all) != 2 || !all[1].Attesting || all[1].Revision != 5 {
		t.Errorf("%+v", all)
	}
	if ids := f.Silent(); !slices.Equal(ids, []string{"b"}) {
		t.Errorf("nothing is open of %v", ids)
	}
	f.Forgotten("b")
	if n := len(lines(f)); n != 2 {
		t.Errorf("%d lines", n)
	}
}

func TestAReplicaThatIsNotAskedLeavesItsWorkersUnknown(t *testing.T) {
	f, c := start()
	c.pass(liveFor)
	if all := f.Unheard("orders"); len(all) != 0 {
		t.Errorf("%+v", all)
	}
	f.Blind("not asked yet")
	if all := f.Unheard("orders"); len(all) != 1 || all[0].Why != "not asked yet" {
		t.Errorf("%+v", all)
	}
	f.Blind("")
	f.Blind("the database does not answer")
	if all := f.Unheard("orders"); len(all) != 0 {
		t.Errorf("at once: %+v", all)
	}
	c.pass(liveFor + time.Second)
	if all := f.Unheard("orders"); len(all) != 1 {
		t.Errorf("%+v", all)
	}
}

func TestWhatIsHeardInTheFutureIsNotFresh(t *testing.T) {
	f, c := start()
	attest(t, f, "web.1", 3)
	c.pass(-time.Minute)
	if l := lines(f)[0]; l.Live || l.Attesting {
		t.Errorf("%+v", l)
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
	f.Poll(who, 1, true)
	if n := testing.AllocsPerRun(100, func() { f.Poll(who, 2, true) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkPoll(b *testing.B) {
	f := New(time.Now)
	who := named("web.1")
	b.ReportAllocs()
	for b.Loop() {
		f.Poll(who, 2, true)
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
	if got := f.Intakes(""); !slices.Equal(got.Instances, want) {
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
	got := f.Producers("orders").Producers
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
	if got := f.Producers("orders").Producers; len(got) != 0 {
		t.Fatalf("a worker that is gone attests: %+v", got)
	}
}
