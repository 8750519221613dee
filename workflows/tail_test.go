package workflows

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// journal serves an ingestion app's journal.
type journal struct {
	*httptest.Server

	mu     sync.Mutex
	epoch  string
	events []map[string]any
	intake map[string]any // backlog, oldestAt
	down   bool
	asked  int
}

func newJournal(t *testing.T) *journal {
	t.Helper()
	j := &journal{epoch: "first"}
	j.Server = httptest.NewServer(j)
	t.Cleanup(j.Close)
	return j
}

func (j *journal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.asked++
	after, _ := strconv.Atoi(r.URL.Query().Get("after"))
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	if j.down {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	page := map[string]any{"epoch": j.epoch, "next": after, "events": []any{}}
	if j.intake != nil {
		page["intake"] = j.intake
	}
	if after < len(j.events) {
		end := min(after+limit, len(j.events))
		page["next"], page["events"] = end, j.events[after:end]
	}
	_ = json.NewEncoder(w).Encode(page)
}

// set changes the app while nobody reads.
func (j *journal) set(f func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f()
}

// order journals an order that was acknowledged at a time and, if applied, took effect.
func (j *journal) order(id string, at time.Time, applied bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	add := func(e map[string]any) {
		e["seq"], e["at"], e["order"] = len(j.events)+1, at.UnixMilli(), id
		j.events = append(j.events, e)
	}
	add(map[string]any{"type": "enqueued", "side": "source", "ok": true, "stage": "off"})
	add(map[string]any{"type": "delivery", "status": 200})
	if applied {
		add(map[string]any{"type": "executed", "side": "source", "mode": "authoritative", "outcome": "applied", "result": "r"})
	}
}

func followed(t *testing.T, j *journal, clk *clock) *tail {
	t.Helper()
	tl := newTail(ingestion.New(j.URL, "ingestion-token", nil), slog.New(slog.DiscardHandler), clk.now)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); tl.run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return tl
}

// awaitOrders waits until the ledger is current and holds that many orders.
func awaitOrders(t *testing.T, tl *tail, n int) migration.LedgerFacts {
	t.Helper()
	var f migration.LedgerFacts
	redistest.Eventually(t, patience, func() (err error) {
		if f, err = tl.facts(time.Minute); err == nil && f.Orders != n {
			err = fmt.Errorf("%d orders, want %d", f.Orders, n)
		}
		return err
	})
	return f
}

func TestCriterion_source_decommissioned_TheLedgerFollowsTheJournal(t *testing.T) {
	t.Parallel()
	j, clk := newJournal(t), &clock{}
	for i := range tailPage { // three events each: several pages
		j.order(fmt.Sprint("ord_", i), clk.now(), true)
	}
	j.order("ord_pending", clk.now(), false)
	j.order("ord_lost", clk.now().Add(-time.Hour), false)
	tl := followed(t, j, clk)
	f := awaitOrders(t, tl, tailPage+2)
	if f.Fulfilled != tailPage || f.Pending != 1 || f.PendingSource != 1 || f.Lost != 1 || len(f.Examples) != 1 || f.Examples[0] != "ord_lost" {
		t.Fatalf("facts %+v", f)
	}
	j.order("ord_new", clk.now(), true)
	awaitOrders(t, tl, tailPage+3)
}

func TestOrdersInTheAppsDurableIntakeAreHeldUntilTheIntakeIsEmpty(t *testing.T) {
	t.Parallel()
	j, clk := newJournal(t), &clock{}
	old := clk.now().Add(-time.Hour).UnixMilli()
	j.set(func() {
		j.events = []map[string]any{{"seq": 1, "at": old, "type": "kept", "order": "ord_1"}, {"seq": 2, "at": old, "type": "delivery", "status": 200, "order": "ord_1"}}
		j.intake = map[string]any{"backlog": 1, "oldestAt": old - 5}
	})
	tl := followed(t, j, clk)
	if f := awaitOrders(t, tl, 1); f.Held != 1 || f.HeldLate != 1 || f.Pending != 1 || f.Lost != 0 {
		t.Fatalf("facts %+v", f)
	}
	j.set(func() { j.intake = nil }) // an app of before, or one that is started without it
	redistest.Eventually(t, patience, func() error {
		if f, err := tl.facts(time.Minute); err != nil || f.Lost != 1 {
			return fmt.Errorf("facts %+v, %v", f, err)
		}
		return nil
	})
}

func TestTheLedgerStartsAgainWhenTheJournalIsReplaced(t *testing.T) {
	t.Parallel()
	j, clk := newJournal(t), &clock{}
	for i := range 5 {
		j.order(fmt.Sprint("ord_", i), clk.now(), true)
	}
	tl := followed(t, j, clk)
	awaitOrders(t, tl, 5)
	j.set(func() { j.epoch, j.events = "second", nil })
	awaitOrders(t, tl, 0)
	j.order("ord_a", clk.now(), true)
	if f := awaitOrders(t, tl, 1); f.Fulfilled != 1 {
		t.Fatalf("facts %+v", f)
	}
	// A longer journal of another epoch must be read from its start, too.
	j.set(func() { j.epoch = "third" })
	for i := range 9 {
		j.order(fmt.Sprint("ord_b", i), clk.now(), true)
	}
	awaitOrders(t, tl, 10)
}

func TestALedgerWithAGapIsNotShownAndGoesOnAfterIt(t *testing.T) {
	t.Parallel()
	j, clk := newJournal(t), &clock{}
	tl := newTail(ingestion.New(j.URL, "ingestion-token", nil), slog.New(slog.DiscardHandler), clk.now)
	_, err := tl.read()
	wantKind(t, err, migration.Unavailable, "still being read")
	tl = followed(t, j, clk)
	j.order("ord_1", clk.now(), true)
	awaitOrders(t, tl, 1)
	j.set(func() { j.down = true })
	clk.advance(tailFresh + time.Second)
	redistest.Eventually(t, patience, func() error {
		_, err := tl.facts(time.Minute)
		if migration.KindOf(err) != migration.Unavailable {
			return fmt.Errorf("the ledger is shown although the journal cannot be read: %w", err)
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := tl.asOf(ctx, clk.now()); err == nil {
		t.Fatal("the ledger says that it has caught up")
	}
	j.order("ord_2", clk.now(), true)
	j.set(func() { j.down = false })
	awaitOrders(t, tl, 2)
	l, err := tl.asOf(t.Context(), clk.now())
	ok(t, err)
	if s := l.Summary(clk.now(), time.Minute); s.Orders != 2 {
		t.Fatalf("%d orders", s.Orders)
	}
}

func TestAJournalThatMakesNoSenseGivesNoLedger(t *testing.T) {
	t.Parallel()
	for rule, body := range map[string]string{
		"no journal at all":         `not JSON`,
		"no epoch":                  `{"next":1,"events":[]}`,
		"events that do not end":    `{"epoch":"e","next":0,"events":[{"seq":1}]}`,
		"an event that is no event": `{"epoch":"e","next":1,"events":["x"]}`,
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
			t.Cleanup(srv.Close)
			tl := newTail(ingestion.New(srv.URL, "ingestion-token", nil), slog.New(slog.DiscardHandler), time.Now)
			if _, err := tl.poll(t.Context()); err == nil {
				t.Fatal("no error")
			}
			_, err := tl.read()
			wantKind(t, err, migration.Unavailable)
		})
	}
}
