package ledger_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

// record is a record with something of everything: orders in order in several minutes and
// queues, open ones, canaries, two providers and two instances.
func rich() *script {
	s := new(script).
		whole(start, "first", "orders/1").
		whole(start+60_000, "second", "orders/2", "refunds/2").
		whole(start+61_000, "third", "refunds/3").
		whole(start+120_000, "nameless", "orders/").
		job(start+130_000, added, "canary_1", "orders", "c1", canary).
		job(start+130_001, ran, "canary_1", "orders", "c1", outcome(ledger.OutcomeCanary)).
		job(start+140_000, added, "lost", "orders", "5").answered(start+140_000, "lost", 200).
		job(start+150_000, added, "twice", "orders", "6").answered(start+150_000, "twice", 200).
		job(start+150_001, ran, "twice", "orders", "6").job(start+150_002, ran, "twice", "orders", "6").
		job(start+160_000, added, "half", "orders", "7").job(start+160_000, added, "half", "refunds", "7").
		job(start+160_000, added, "half", "mails", "").
		job(start+160_001, ran, "half", "orders", "7").answered(start+160_002, "half", 200).
		kept(start+170_000, "kept").answered(start+170_000, "kept", 200)
	for i, provider := range []string{"stripe", "adyen", "stripe", "stripe"} {
		s.add(start+3_600_000*int64(i), ledger.Event{Type: ledger.EventDelivery, Status: 503,
			Order: fmt.Sprint("refused", i), Provider: provider, EventID: fmt.Sprint("e", i)})
	}
	for i := range s.events {
		if s.events[i].Epoch = "A"; i%2 == 0 {
			s.events[i].Epoch = "B"
		}
	}
	return s
}

func canary(e *ledger.Event) { e.Canary = true }

// tells is all that a record says of its orders, but for what is not kept of those in order.
func tells(j *ledger.Journal) string {
	now, grace := time.UnixMilli(start+10_000_000), time.Minute
	out := fmt.Sprintf("%+v\nsince %d, rates %v\n", j.Summary(now, grace), j.Since(),
		j.Rates(start+3_600_000, now.UnixMilli()))
	for m := range int64(5) {
		s := j.Window(start+m*60_000, start+(m+1)*60_000, now, grace)
		s.AloneIDs = nil // names are not kept
		out += fmt.Sprintf("minute %d: %+v\n", m, s)
	}
	for _, queue := range []string{"orders", "refunds", "mails"} {
		for _, id := range []string{"1", "2", "3", "c1", "5", "6", "7", "8", ""} {
			f := j.Job(queue, id)
			f.Sent = [4]bool{}
			out += fmt.Sprintf("%s %s: %+v\n", queue, id, f)
		}
	}
	for _, id := range []string{"first", "1", "2", "3", "nameless", "lost", "5", "7", "c1", "canary_1"} {
		s, ok := j.Find(id)
		out += fmt.Sprint(id, " ", ok, s.Acknowledged, s.Applied, s.Contradiction, "\n")
	}
	findings := j.Findings(now, grace, 100)
	for _, id := range slices.Sorted(maps.Keys(findings)) {
		out += id + ": " + findings[id] + "\n"
	}
	return out + fmt.Sprint(retold(j.Retries(0)), keptOf(j.Kept(0, 1<<60)))
}

// withoutNames leaves out which orders had no copy: of those in order it is not kept.
func withoutNames(s string) string {
	i := strings.Index(s, "AloneIDs:[")
	return s[:i] + s[i+strings.IndexByte(s[i:], ']'):]
}

func same(t *testing.T, what string, got, want *ledger.Journal) {
	t.Helper()
	if g, w := withoutNames(tells(got)), withoutNames(tells(want)); g != w {
		gs, ws := strings.Split(g, "\n"), strings.Split(w, "\n")
		t.Errorf("%s:\n got %s\nwant %s", what, without(gs, ws), without(ws, gs))
	}
}

func keeping(t *testing.T, j *ledger.Journal) *ledger.Journal {
	t.Helper()
	j.Keep(true)
	return j
}

// All of a record is in what is saved of it, however often; what did not change is not saved
// again, and what is saved later comes on top of what was there.
func TestAllOfARecordIsSaved(t *testing.T) {
	t.Parallel()
	s := rich()
	j, db := keeping(t, ledger.NewJournal("orders", "refunds")), &saved{}
	for i, e := range s.events {
		if j.Apply(e); i == len(s.events)/2 {
			db.save(t, j, e.At)
		}
	}
	db.save(t, j, start+200_000)
	same(t, "saved in two parts", restored(t, db), j)
	again := keeping(t, restored(t, db))
	if c, err := again.Changes(time.UnixMilli(start+200_000), time.Hour); err != nil ||
		len(c.Gone)+len(c.Minutes)+len(c.Known)+len(c.KnownJobs) != 0 || len(c.Orders) != len(db.Orders) {
		t.Errorf("what may have changed before it was to be kept: %+v, %v", c, err)
	}
	for what, j := range map[string]*ledger.Journal{"gone on": j, "restored": again} {
		c, err := j.Changes(time.UnixMilli(start+200_000), time.Hour)
		if err != nil || len(c.Orders)+len(c.Gone)+len(c.Minutes)+len(c.Known)+len(c.KnownJobs) != 0 {
			t.Errorf("%s: nothing has happened since: %+v, %v", what, c, err)
		}
	}
	// one more in a minute that was counted, and one that gets in order
	more := new(script).whole(start+60_500, "fourth", "orders/8").
		job(start+160_010, ran, "half", "refunds", "7").job(start+160_010, ran, "half", "mails", "")
	for i, e := range more.events {
		e.Seq, e.Epoch = int64(1000+i), "A"
		j.Apply(e)
		again.Apply(e)
	}
	same(t, "gone on from what was saved", again, j)
	db.save(t, again, start+200_000)
	if _, there := db.Orders["half"]; there {
		t.Error("an order that is in order has a row")
	}
	same(t, "saved once more", restored(t, db), j)
	// folded before anybody saved it
	early := ledger.NewJournal("orders", "refunds")
	early.KeepOrders(1)
	for _, e := range rich().ticks(start + 9_000_000).events {
		early.Apply(e)
	}
	if got := folded(early, "first", "second", "third"); len(got) != 3 {
		t.Fatalf("folded are %q", got)
	}
	keeping(t, early)
	for _, e := range new(script).whole(start+60_500, "fourth", "orders/8").
		whole(start+120_500, "fifth", "orders/9").whole(start+500, "zeroth", "orders/0").events {
		e.Seq += 1000
		early.Apply(e)
	}
	db = &saved{}
	db.save(t, early, start+200_000)
	for m, want := range map[int64]int{0: 2, 1: 3, 2: 2} {
		var of struct {
			Orders int `json:"orders"`
		}
		if err := json.Unmarshal(db.Minutes[start+m*60_000], &of); err != nil || of.Orders != want {
			t.Errorf("minute %d has %d orders, want %d: %v", m, of.Orders, want, err)
		}
	}
	// what nobody keeps is folded again
	later := new(script).whole(start, "sixth", "orders/10").ticks(start + 9_000_000).events
	for i, e := range later {
		e.Seq = int64(5000 + i)
		if early.Apply(e); i == 2 {
			early.Keep(false)
		}
	}
	if got := folded(early, "sixth"); len(got) != 1 {
		t.Error("it is not folded")
	}
}

// The rows of a first save: whole orders have none, and none goes.
func TestAnOrderThatIsInOrderNeverHadARow(t *testing.T) {
	t.Parallel()
	j := keeping(t, ledger.NewJournal("orders"))
	for _, e := range new(script).whole(start, "a", "orders/1").
		job(start, added, "canary_1", "orders", "c", canary).
		job(start, ledger.EventFailed, "canary_2", "orders", "d").
		job(start, added, "canary_2", "orders", "d", canary).events {
		j.Apply(e)
	}
	c, err := j.Changes(time.UnixMilli(start), time.Minute)
	if err != nil || len(c.Gone)+len(c.Orders) != 0 || len(c.Minutes) != 1 || len(c.KnownJobs) != 1 ||
		len(c.Known) != 6 {
		t.Errorf("%+v, %v", c, err)
	}
	for i := range int64(3) { // nothing new of the canaries
		j.Apply(ledger.Event{Seq: 90 + i, At: start, Type: ran, Order: "canary_1", Queue: "orders",
			JobID: "c", Outcome: ledger.OutcomeCanary})
	}
	if c, err := j.Changes(time.UnixMilli(start), time.Minute); err != nil || len(c.Known) != 0 {
		t.Errorf("%+v, %v", c, err)
	}
}

// Every order that was open when its record was restored is found lost, when it is.
func TestOrdersThatAreRestoredAreFoundLost(t *testing.T) {
	t.Parallel()
	s, db := new(script), &saved{}
	for _, id := range []string{"a", "b", "c"} {
		s.job(start, added, id, "orders", id).answered(start, id, 200)
	}
	j := s.fold("orders")
	keeping(t, j)
	db.save(t, j, start)
	lost := func(j *ledger.Journal, now int64) int {
		t.Helper()
		c, err := j.Changes(time.UnixMilli(now), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(fmt.Sprintf("%s", slices.Collect(maps.Values(c.Orders))), "lost_at")
	}
	again := keeping(t, restored(t, db))
	if n := lost(again, start+70_000); n != 3 {
		t.Errorf("%d are lost", n)
	}
	fresh := keeping(t, s.fold("orders")) // it may not have read on yet
	if n := lost(fresh, start+70_000); n != 0 {
		t.Errorf("%d are lost at once", n)
	}
	if n := lost(fresh, start+70_000); n != 3 {
		t.Errorf("%d are lost then", n)
	}
}

// A row that is damaged is named, and nothing is gone on from without it.
func TestADamagedRecordIsNotGoneOnFrom(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule  string
		state ledger.JournalState
		want  string
	}{
		{"a minute", ledger.JournalState{Minutes: map[int64]json.RawMessage{
			60_000: json.RawMessage(`{"orders":"x"}`)}}, "a minute of the order ledger is damaged"},
		{"an order", ledger.JournalState{Orders: map[string]json.RawMessage{
			"a": json.RawMessage(`{`)}}, `order "a" of the order ledger is damaged`},
		{"an order without an id", ledger.JournalState{Orders: map[string]json.RawMessage{
			"": json.RawMessage(`{`)}}, `order "" of the order ledger is damaged`},
		{"another order's row", ledger.JournalState{Orders: map[string]json.RawMessage{
			"a": json.RawMessage(`{"id":"b"}`)}}, `order "a" of the order ledger is damaged`},
	} {
		if _, err := ledger.RestoreJournal(tc.state); err == nil ||
			!strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.rule, err)
		}
	}
}

// An order is found lost once: its row is written then, and says since when.
func TestALostOrdersRowSaysSinceWhen(t *testing.T) {
	t.Parallel()
	s := new(script).job(start, added, "a", "orders", "1").answered(start, "a", 200).
		answered(start, "never sent", 200).
		answered(start, "done", 503).whole(start, "done", "orders/2")
	j := keeping(t, ledger.NewJournal("orders"))
	for _, e := range s.events {
		j.Apply(e)
	}
	rows := func(at int64) (out []string) {
		c, err := j.Changes(time.UnixMilli(at), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for id, row := range c.Orders {
			var o struct {
				LostAt int64 `json:"lost_at"`
			}
			if err := json.Unmarshal(row, &o); err != nil {
				t.Fatal(err)
			}
			out = append(out, fmt.Sprint(id, " ", o.LostAt))
		}
		slices.Sort(out)
		return out
	}
	for _, tc := range []struct {
		at   int64
		want []string
	}{
		{start, []string{"a 0", "done 0", "never sent 0"}},
		{start + 60_000, nil},
		{start + 60_001, []string{fmt.Sprint("a ", start+60_001),
			fmt.Sprint("never sent ", start+60_001)}},
		{start + 90_000, nil},
		{start, nil},
	} {
		if got := rows(tc.at); !slices.Equal(got, tc.want) {
			t.Errorf("%d ms later: %q, want %q", tc.at-start, got, tc.want)
		}
	}
}

// What was taken for an order, and turned out to be a canary, has no row any more, nor a job.
func TestACanaryThatWasTakenForAnOrderLeavesNothing(t *testing.T) {
	t.Parallel()
	first := new(script).job(start, ledger.EventFailed, "canary_a", "orders", "1").
		job(start, ledger.EventFailed, "canary_a", "orders", "2").
		job(start, added, "other", "orders", "2")
	j, db := keeping(t, ledger.NewJournal("orders")), &saved{}
	for _, e := range first.events {
		j.Apply(e)
	}
	db.save(t, j, start)
	if len(db.Orders) != 2 {
		t.Fatalf("%v", db.Orders)
	}
	j.Apply(ledger.Event{Seq: 90, At: start, Type: added, Order: "canary_a", Queue: "orders",
		JobID: "1", OK: true, Canary: true})
	db.save(t, j, start)
	if _, there := db.Orders["canary_a"]; there || len(db.Orders) != 1 {
		t.Errorf("%v", db.Orders)
	}
	for what, j := range map[string]*ledger.Journal{"gone on": j, "restored": restored(t, db)} {
		if got := j.Summary(time.UnixMilli(start), time.Minute); got.Orders != 1 {
			t.Errorf("%s: %+v", what, got)
		}
		if got := j.Job("orders", "1"); !got.Canary {
			t.Errorf("%s, its job: %+v", what, got)
		}
		if s, ok := j.Find("1"); ok {
			t.Errorf("%s, found by its job: %+v", what, s)
		}
		for range 2 { // what the canary did is nothing of anybody's
			j.Apply(ledger.Event{Seq: 91, At: start, Type: ran, Order: "canary_a", Queue: "orders",
				JobID: "1", Outcome: ledger.OutcomeCanary})
		}
		if got := j.Summary(time.UnixMilli(start), time.Minute); got.Orders != 1 ||
			got.Contradicted != 0 {
			t.Errorf("%s, its run: %+v", what, got)
		}
	}
}

// What an event has to say for what was called a canary to be an order after all: that a
// provider was promised something, or that it took effect.
func TestWhatIsPromisedOrTookEffectIsNoCanary(t *testing.T) {
	t.Parallel()
	answered := func(status int) ledger.Event {
		return ledger.Event{Type: ledger.EventDelivery, Status: status}
	}
	run := func(outcome string) ledger.Event {
		return ledger.Event{Type: ran, Queue: "orders", JobID: "1", Outcome: outcome}
	}
	for _, tc := range []struct {
		rule string
		then ledger.Event
		real bool
	}{
		{"it was acknowledged", answered(200), true},
		{"it was accepted", answered(299), true},
		{"it was answered before that", answered(199), false},
		{"it was moved", answered(300), false},
		{"it was refused", answered(503), false},
		{"something of it was added", ledger.Event{Type: added, Queue: "orders", JobID: "1",
			OK: true, Status: 200}, false},
		{"an attempt failed", ledger.Event{Type: ledger.EventFailed, Queue: "orders", JobID: "1"}, false},
		{"it took effect", run(ledger.OutcomeApplied), true},
		{"it was found done", run(ledger.OutcomeSuppressed), true},
		{"it ran as a copy", run(ledger.OutcomeCompared), false},
		{"it was misrouted", run(ledger.OutcomeMisrouted), false},
	} {
		for _, calls := range []bool{false, true} { // the event itself calls it a canary
			for _, restarts := range []bool{false, true} {
				j, db := keeping(t, ledger.NewJournal("orders", "refunds")), &saved{}
				j.Apply(ledger.Event{Seq: 1, At: start, Type: added, Order: "c", Queue: "orders",
					JobID: "1", OK: true, Canary: true})
				if restarts {
					db.save(t, j, start)
					j = restored(t, db)
				}
				e := tc.then
				e.Seq, e.At, e.Order, e.Canary = 2, start, "c", calls
				j.Apply(e)
				want := 0
				if tc.real && !calls {
					want = 1
				}
				if restarts {
					j.Keep(true)
					db.save(t, j, start)
					j = restored(t, db)
				}
				// what is added to it since has to take effect
				j.Apply(ledger.Event{Seq: 3, At: start, Type: ledger.EventDelivery, Order: "c",
					Status: 503})
				j.Apply(ledger.Event{Seq: 4, At: start, Type: added, Order: "c", Queue: "refunds",
					JobID: "2", OK: true})
				if got := j.Summary(time.UnixMilli(start), time.Minute); got.Orders != want ||
					got.Contradicted != want || got.Rejected503 != want {
					t.Errorf("%s, called a canary: %v, restarted: %v: %+v", tc.rule, calls, restarts,
						got)
				}
				if got := j.Job("refunds", "2"); got.Canary == (want == 1) {
					t.Errorf("%s, its later job: %+v", tc.rule, got)
				}
			}
		}
	}
}

// A canary's job is none of an order's: whoever names it contradicts the other, also after a
// restart, and says so once.
func TestACanarysJobIsNoOrders(t *testing.T) {
	t.Parallel()
	for _, restarts := range []bool{false, true} {
		j, db := keeping(t, ledger.NewJournal("orders", "refunds")), &saved{}
		seq := int64(0)
		tell := func(e ledger.Event) {
			seq++
			if restarts {
				db.save(t, j, start)
				j = keeping(t, restored(t, db))
			}
			e.Seq, e.At = seq, start
			j.Apply(e)
		}
		facts := func(rule string, want ledger.Facts) {
			t.Helper()
			got := j.Job("orders", "1")
			if got.Sent = [4]bool{}; got != want {
				t.Errorf("restarts: %v, %s: %+v, want %+v", restarts, rule, got, want)
			}
		}
		tell(ledger.Event{Type: ledger.EventDelivery, Order: "canary_a", Status: 200, Canary: true})
		tell(ledger.Event{Type: ledger.EventFailed, Order: "canary_a", Queue: "orders", Canary: true})
		facts("it has no job yet", ledger.Facts{})
		if got := j.Job("orders", ""); got.Known {
			t.Errorf("restarts: %v: what has no id is somebody's: %+v", restarts, got)
		}
		tell(ledger.Event{Type: added, Order: "a", Queue: "orders", OK: true})
		tell(ledger.Event{Type: added, Order: "canary_a", Queue: "orders", JobID: "1", OK: true,
			Canary: true})
		facts("a canary's", ledger.Facts{Known: true, Canary: true})
		tell(ledger.Event{Type: added, Order: "b", Queue: "refunds", JobID: "1", OK: true})
		tell(ledger.Event{Type: added, Order: "c", Queue: "orders", JobID: "1", OK: true})
		facts("an order names it", ledger.Facts{Known: true})
		if got := j.Summary(time.UnixMilli(start), time.Minute); got.Orders != 3 ||
			!slices.Equal(got.ContradictedIDs, []string{"c"}) {
			t.Errorf("restarts: %v: %+v", restarts, got)
		}
		tell(ledger.Event{Type: added, Order: "canary_d", Queue: "refunds", JobID: "1", OK: true,
			Canary: true})
		if got := j.Summary(time.UnixMilli(start), time.Minute); !slices.Equal(got.ContradictedIDs,
			[]string{"b", "c"}) {
			t.Errorf("restarts: %v, another canary names an order's: %+v", restarts, got)
		}
	}
}
