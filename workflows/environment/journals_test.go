package environment

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
	"github.com/switchyard-dev/switchyard/providers/ingestiontest"
	"github.com/switchyard-dev/switchyard/store"
)

// polled reads every address until its end; it gives up after some pages.
func polled(t *testing.T, j *Journal) error {
	t.Helper()
	var err error
	for range 12 {
		if _, err = j.Poll(t.Context()); err != nil {
			return err
		}
	}
	return nil
}

// says is what Read refuses with; "" when it does not.
func says(j *Journal) string {
	if _, err := j.Read(); err != nil {
		return err.Error()
	}
	return ""
}

func wantSays(t *testing.T, j *Journal, parts ...string) {
	t.Helper()
	got := says(j)
	for _, p := range parts {
		if !strings.Contains(got, p) {
			t.Errorf("it says %q, want %q", got, p)
		}
	}
	for _, g := range []migration.Gate{j.Gate(false), j.Gate(true), j.ClosedGate()} {
		if g.OK || g.Measured == "" || g.Limit == "" || g.Next == "" {
			t.Errorf("the gate does not block with words: %+v", g)
		}
	}
	if _, err := j.Facts(); err == nil {
		t.Error("there are facts all the same")
	}
}

// later makes what was read before older than a journal may be.
func later(clk *clock) { clk.advance(journalFresh + time.Second) }

func TestAJournalThatIsReplacedTakesNothingWithIt(t *testing.T) {
	t.Parallel()
	app, clk := ingestiontest.NewJournal(t), &clock{}
	app.Order("ord_lost", clk.now().Add(-time.Hour), false)
	j := opened(app.URL, clk.now)
	ok(t, polled(t, j))
	if f, err := j.Facts(); err != nil || f.Lost != 1 {
		t.Fatalf("%+v, %v", f, err)
	}
	first := app.Events
	app.Set(func() { app.Epoch, app.Events = "second", nil })
	app.Order("ord_new", clk.now(), true)
	later(clk)
	ok(t, polled(t, j))
	wantSays(t, j, "journal first", "nothing says that it ended")
	if g := j.Gate(false); g.Verdict != migration.Unmet {
		t.Errorf("the lost order is forgotten: %+v", g)
	}
	l, _ := j.SoFar()
	if s := l.Summary(clk.now(), time.Minute); s.Lost != 1 || s.Fulfilled != 1 {
		t.Errorf("%+v", s)
	}
	// A person decides that nothing more is to come of it; the order stays lost.
	j.waivers = func(context.Context) ([]migration.Waiver, error) {
		return []migration.Waiver{{Member: "journal:first:end:2", By: "ann", At: clk.now(),
			Until: clk.now().Add(time.Hour)}}, nil
	}
	j.decide(t.Context())
	if f, err := j.Facts(); err != nil || f.Lost != 1 {
		t.Errorf("%+v, %v", f, err)
	}
	// It does come back: the decision was not about that.
	app.Set(func() { app.Epoch, app.Events = "first", first })
	app.Order("ord_more", clk.now(), true)
	ok(t, polled(t, j))
	later(clk)
	app.Set(func() { app.Epoch, app.Events = "third", nil })
	ok(t, polled(t, j))
	wantSays(t, j, "journal first")
}

func TestAJournalThatSaysThatItEndedIsWhole(t *testing.T) {
	t.Parallel()
	app, clk := ingestiontest.NewJournal(t), &clock{}
	app.Order("a", clk.now(), true)
	app.Finish(clk.now())
	j := opened(app.URL, clk.now)
	ok(t, polled(t, j))
	app.Set(func() { app.Epoch, app.Events = "second", nil })
	app.Order("b", clk.now(), true)
	later(clk)
	ok(t, polled(t, j))
	if f, err := j.Facts(); err != nil || f.Fulfilled != 2 {
		t.Fatalf("%+v, %v", f, err)
	}
}

func TestInstancesThatAnswerInTurnAreOneRecord(t *testing.T) {
	t.Parallel()
	front, clk := ingestiontest.NewJournal(t), &clock{}
	one := &ingestiontest.Journal{Epoch: "A", Instance: "web.1"}
	two := &ingestiontest.Journal{Epoch: "B", Instance: "web.2"}
	front.Turn = []*ingestiontest.Journal{one, two}
	one.Order("ord_lost", clk.now().Add(-time.Hour), false)
	for i := range JournalPage / 2 { // B's are more than one page
		two.Order(fmt.Sprint("ord_", i), clk.now(), true)
	}
	j := opened(front.URL, clk.now)
	ok(t, polled(t, j))
	if f, err := j.Facts(); err != nil || f.Lost != 1 || f.Fulfilled != JournalPage/2 {
		t.Fatalf("%+v, %v", f, err)
	}
	front.Set(func() { front.Turn = front.Turn[1:] }) // the first one is gone
	later(clk)
	ok(t, polled(t, j))
	wantSays(t, j, "journal A", "web.1")
	if g := j.Gate(false); g.Verdict != migration.Unmet {
		t.Errorf("the loss vanished with its instance: %+v", g)
	}
}

func TestAnInstanceWhoseJournalIsNotReadIsNamed(t *testing.T) {
	t.Parallel()
	producer := []fleet.Connection{{Queue: "orders", Role: "producer"}}
	for _, tc := range []struct {
		rule     string
		attested []fleet.Attestation
		instance string // of the page
		says     string // "": all is known
	}{
		{"it attests the journal that is read",
			[]fleet.Attestation{{Instance: "web.1", Journal: "first", Connections: producer}},
			"web.1", ""},
		{"another instance attests one that is not",
			[]fleet.Attestation{{Instance: "web.1", Journal: "first", Connections: producer},
				{Instance: "web.2", Journal: "second", Connections: producer}}, "web.1",
			"journal second (web.2 writes it, and it was never read to its end)"},
		{"an older client attests no journal, and is named by the page",
			[]fleet.Attestation{{Instance: "web.1", Connections: producer}}, "web.1", ""},
		{"another one is not",
			[]fleet.Attestation{{Instance: "web.1", Connections: producer},
				{Instance: "web.2", Connections: producer}}, "web.1", "journal of web.2"},
		{"neither client nor page tell: one of each",
			[]fleet.Attestation{{Instance: "web.1", Connections: producer}}, "", ""},
		{"neither tell: two instances have one journal",
			[]fleet.Attestation{{Instance: "web.1", Connections: producer},
				{Instance: "web.2", Connections: producer}}, "", "journal of web.1"},
		{"it takes no part in the queue",
			[]fleet.Attestation{{Instance: "cron", Journal: "cron",
				Connections: []fleet.Connection{{Queue: "reports"}}}}, "web.1", ""},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			app, clk := ingestiontest.NewJournal(t), &clock{}
			app.Instance = tc.instance
			app.Order("a", clk.now(), true)
			var live []migration.Worker
			for _, a := range tc.attested {
				a.Service = "shop"
				raw, err := json.Marshal(a)
				ok(t, err)
				live = append(live, migration.Worker{Instance: a.Instance, Live: true,
					Attestation: raw})
			}
			j := opened(app.URL, clk.now)
			j.workers = func() []migration.Worker { return live }
			j.discover()
			ok(t, polled(t, j))
			j.discover() // as it does every second
			if tc.says == "" {
				if got := says(j); got != "" {
					t.Fatal(got)
				}
				return
			}
			wantSays(t, j, tc.says)
			live = nil // its journal is not known better when it is gone
			wantSays(t, j, tc.says)
		})
	}
}

// That the journal of a worker was read once says nothing of the one that it writes now.
func TestAWorkerWhoseJournalIsReadNoMoreIsNamed(t *testing.T) {
	t.Parallel()
	app, clk := ingestiontest.NewJournal(t), &clock{}
	app.Order("a", clk.now(), true)
	raw, err := json.Marshal(fleet.Attestation{Service: "shop", Instance: "web.1",
		Connections: []fleet.Connection{{Queue: "orders"}}})
	ok(t, err)
	j := opened(app.URL, clk.now)
	j.workers = func() []migration.Worker {
		return []migration.Worker{{Instance: "web.1", Live: true, Attestation: raw}}
	}
	for _, c := range []struct{ instance, says string }{
		{"web.1", ""}, {"web.2", "journal of web.1"}, {"web.1", ""},
	} {
		app.Instance = c.instance
		j.discover()
		ok(t, polled(t, j))
		j.discover()
		if c.says == "" {
			if got := says(j); got != "" {
				t.Fatal(got)
			}
			continue
		}
		wantSays(t, j, c.says)
	}
}

func TestTheAppsClockIsMeasured(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		ahead time.Duration
		says  string
	}{
		{0, ""}, {20 * time.Second, ""}, {24 * time.Hour, "24 h ahead"},
		{-10 * time.Minute, "10 min behind"},
	} {
		app, clk := ingestiontest.NewJournal(t), &clock{}
		app.Ahead = tc.ahead
		app.Order("a", clk.now().Add(tc.ahead), true)
		j := opened(app.URL, clk.now)
		ok(t, polled(t, j))
		if tc.says != "" {
			wantSays(t, j, "the clock of", tc.says)
			continue
		}
		g := j.Gate(true)
		if warned := strings.Contains(g.Measured, "is off by"); !g.OK || warned != (tc.ahead > 0) {
			t.Errorf("%s ahead: %+v", tc.ahead, g)
		}
	}
}

func TestWhatIsSaidOfOrdersNeedsOrders(t *testing.T) {
	t.Parallel()
	app, clk := ingestiontest.NewJournal(t), &clock{}
	j := opened(app.URL, clk.now)
	ok(t, polled(t, j))
	if g := j.Gate(false); !g.OK || !strings.Contains(g.Measured, "no orders yet") {
		t.Errorf("%+v", g)
	}
	for _, g := range []migration.Gate{j.Gate(true), j.ClosedGate()} {
		if g.OK || g.Verdict != migration.Unknown {
			t.Errorf("%+v", g)
		}
	}
	app.Order("a", clk.now(), true)
	ok(t, polled(t, j))
	for _, g := range []migration.Gate{j.Gate(true), j.ClosedGate()} {
		if !g.OK {
			t.Errorf("%+v", g)
		}
	}
	app.Order("b", clk.now(), false)
	ok(t, polled(t, j))
	if g := j.ClosedGate(); g.OK || !strings.Contains(g.Measured, "1 on the source") {
		t.Errorf("%+v", g)
	}
}

// kept is a Journal whose record is saved.
func kept(t *testing.T, st *store.Store, url string, now func() time.Time) *Journal {
	t.Helper()
	j := opened(url, now)
	j.store, j.loaded = st, false
	ok(t, j.adopt(t.Context()))
	return j
}

func TestTheRecordOutlivesSwitchyardAndTheAppsDisk(t *testing.T) {
	t.Parallel()
	r := openRig(t, config.Config{})
	app, clk := ingestiontest.NewJournal(t), r.clk
	app.Order("ord_lost", clk.now().Add(-time.Hour), false)
	app.Order("ord_once", clk.now(), true)
	j := kept(t, r.store, app.URL, clk.now)
	ok(t, j.save(t.Context(), true))
	ok(t, polled(t, j))
	ok(t, j.save(t.Context(), false))

	again := kept(t, r.store, app.URL, clk.now)
	ok(t, polled(t, again))
	if f, err := again.Facts(); err != nil || f.Lost != 1 || f.Fulfilled != 1 || f.Duplicated != 0 {
		t.Fatalf("after a restart: %+v, %v", f, err)
	}
	app.Set(func() { app.Epoch, app.Events = "second", nil })
	app.Order("ord_once", clk.now(), true) // it runs again from the new disk
	last := kept(t, r.store, app.URL, clk.now)
	ok(t, polled(t, last))
	wantSays(t, last, "journal first")
	l, _ := last.SoFar()
	if s := l.Summary(clk.now(), time.Minute); s.Lost != 1 || s.Duplicated != 1 {
		t.Errorf("after both: %+v", s)
	}
	r.Environment.Streams.journal = last
	if o, err := r.Environment.Streams.Overview(t.Context(), mid); err != nil ||
		o.Verdict != LedgerBroken || o.Journal == nil || o.Journal.Lost != 1 {
		t.Errorf("a lost order is hidden by what is unknown: %+v, %v", o, err)
	}
	// A replica that read another state may not save over it.
	ok(t, last.save(t.Context(), true))
	ok(t, polled(t, last))
	ok(t, last.save(t.Context(), false))
	again.ledger.Keep(true)
	app.Order("ord_3", clk.now(), true)
	ok(t, polled(t, again))
	if err := again.save(t.Context(), false); migration.KindOf(err) != migration.Conflict {
		t.Errorf("it saved over another replica's: %v", err)
	}
}

func TestAJournalThatLiesIsUnknownWithWords(t *testing.T) {
	t.Parallel()
	at := time.Now().UnixMilli()
	page := func(epoch string, next int, events ...string) string {
		return fmt.Sprintf(`{"epoch":%q,"next":%d,"now":%d,"events":[%s]}`, epoch, next,
			time.Now().UnixMilli(), strings.Join(events, ","))
	}
	event := func(seq int, more string) string {
		return fmt.Sprintf(`{"seq":%d,"at":%d,"type":"delivery","status":200,"order":"o%d"%s}`, seq,
			at, seq, more)
	}
	for _, tc := range []struct {
		rule  string
		pages []string // by request; the last one again and again
		says  string
	}{
		{"an event is missing", []string{page("e", 3, event(1, ""), event(3, "")),
			page("e", 3, event(3, ""))}, "event 2 is missing"},
		{"it does not begin at its beginning", []string{page("e", 8, event(8, ""))},
			"it begins with event 8"},
		{"it goes back", []string{page("e", 1, event(2, ""), event(1, ""))}, "cannot be read"},
		{"it was cut short", []string{page("e", 2, event(1, ""), event(2, "")), page("e", 2)},
			"cannot be read"},
		{"it was written anew", []string{page("e", 2, event(1, ""), event(2, "")),
			page("e", 2, event(2, `,"jobId":"another"`))}, "cannot be read"},
		{"next is another one than the last", []string{page("e", 9, event(1, ""))}, "cannot be read"},
		{"an event of 100 kB", []string{page("e", 1, event(1,
			`,"error":"`+strings.Repeat("x", 100_000)+`"`))},
			"event 1 cannot be told: it has"},
		{"an id that is no text", []string{page("e", 1, strings.ReplaceAll(event(1, ""), "o1",
			"o\xff"))}, "event 1 cannot be told: it is no text"},
		{"an id that is half a character", []string{page("e", 1, strings.ReplaceAll(event(1, ""),
			"o1", `\ud800`))}, "event 1 cannot be told: it names"},
		{"a time before all times", []string{page("e", 1, `{"seq":1,"at":-5,"type":"kept",`+
			`"order":"o"}`)}, "event 1 cannot be told: it has no time"},
		{"a type that is a number", []string{page("e", 1, `{"seq":1,"type":7}`)},
			"event 1 cannot be told: it is no event"},
		{"a number without end", []string{page("e", 1, `{"seq":1e99}`)}, "cannot be read"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			asked := 0
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte(tc.pages[min(asked, len(tc.pages)-1)]))
				asked++
			}))
			t.Cleanup(srv.Close)
			j := opened(srv.URL, time.Now)
			for range 6 {
				_, err := j.Poll(t.Context())
				j.sources[0].err = err
				if err != nil {
					j.sources[0].answered = time.Time{} // as after a while
				}
			}
			wantSays(t, j, tc.says)
			c := j.Coverage()
			if tc.says == "cannot be read" && len(j.epochs) > 0 && len(c.Unknown()) < 2 {
				t.Errorf("it is forgotten what was wrong: %s", c)
			}
		})
	}
}

// Whatever the app answers: no crash, and what is not whole is not green.
func FuzzJournalPage(f *testing.F) {
	for _, s := range []string{
		`{"seq":1,"at":5,"type":"delivery","status":200,"order":"o"}`,
		`{"seq":-1}`, `[]`, `{"seq":1,"at":5,"order":"\ud800"}`, "\xff", `{"seq":1,"sent":[]}`,
	} {
		f.Add([]byte(s), int64(1))
	}
	f.Fuzz(func(t *testing.T, raw []byte, next int64) {
		j := opened("http://127.0.0.1:1", time.Now)
		page := ingestion.Journal{Epoch: "e", Next: next, Events: []json.RawMessage{raw, raw},
			Clock: ingestion.Clock{Known: true}}
		s := j.sources[0]
		if _, err := j.take(s, page, "e", 0, time.Now(), true); err == nil && says(j) == "" {
			t.Errorf("%q twice is a whole journal", raw)
		}
		page.Events = page.Events[:1]
		_, _ = j.take(s, page, "e", 0, time.Now(), true)
		_ = j.Gate(true)
		l, _ := j.SoFar()
		_ = l.Findings(time.Now(), time.Minute, 1)
		var e ledger.Event
		_ = damageOf(raw, &e)
	})
}
