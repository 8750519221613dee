package environment

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
	"github.com/switchyard-dev/switchyard/providers/ingestiontest"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func followed(t *testing.T, j *ingestiontest.Journal, clk *clock) *Journal {
	t.Helper()
	tl := opened(j.URL, clk.now)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); tl.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return tl
}

// awaitOrders waits until the ledger is current and holds that many orders.
func awaitOrders(t *testing.T, tl *Journal, n int) migration.LedgerFacts {
	t.Helper()
	var f migration.LedgerFacts
	redistest.Eventually(t, patience, func() (err error) {
		if f, err = tl.Facts(); err == nil && f.Orders != n {
			err = fmt.Errorf("%d orders, want %d", f.Orders, n)
		}
		return err
	})
	return f
}

func TestCriterion_source_decommissioned_TheLedgerFollowsTheJournal(t *testing.T) {
	t.Parallel()
	j, clk := ingestiontest.NewJournal(t), &clock{}
	for i := range JournalPage { // three events each: several pages
		j.Order(fmt.Sprint("ord_", i), clk.now(), true)
	}
	j.Order("ord_pending", clk.now(), false)
	j.Order("ord_lost", clk.now().Add(-time.Hour), false)
	tl := followed(t, j, clk)
	f := awaitOrders(t, tl, JournalPage+2)
	if f.Fulfilled != JournalPage || f.Pending != 1 || f.PendingSource != 1 || f.Lost != 1 || len(f.Examples) != 1 || f.Examples[0] != "ord_lost" {
		t.Fatalf("facts %+v", f)
	}
	j.Order("ord_new", clk.now(), true)
	awaitOrders(t, tl, JournalPage+3)
}

func TestOrdersInTheAppsDurableIntakeAreHeldUntilTheIntakeIsEmpty(t *testing.T) {
	t.Parallel()
	j, clk := ingestiontest.NewJournal(t), &clock{}
	old := clk.now().Add(-time.Hour).UnixMilli()
	j.Set(func() {
		j.Events = []map[string]any{{"seq": 1, "at": old, "type": "kept", "order": "ord_1"}, {"seq": 2, "at": old, "type": "delivery", "status": 200, "order": "ord_1"}}
		j.Intake = map[string]any{"backlog": 1, "oldestAt": old - 5}
	})
	tl := followed(t, j, clk)
	if f := awaitOrders(t, tl, 1); f.Held != 1 || f.HeldLate != 1 || f.Pending != 1 || f.Lost != 0 {
		t.Fatalf("facts %+v", f)
	}
	j.Set(func() { j.Intake = nil }) // an app of before, or one that is started without it
	redistest.Eventually(t, patience, func() error {
		if f, err := tl.Facts(); err != nil || f.Lost != 1 {
			return fmt.Errorf("facts %+v, %v", f, err)
		}
		return nil
	})
}

func TestALedgerWithAGapIsNotShownAndGoesOnAfterIt(t *testing.T) {
	t.Parallel()
	j, clk := ingestiontest.NewJournal(t), &clock{}
	tl := opened(j.URL, clk.now)
	_, err := tl.Read()
	wantKind(t, err, migration.Unavailable, "still being read")
	tl = followed(t, j, clk)
	j.Order("ord_1", clk.now(), true)
	awaitOrders(t, tl, 1)
	j.Set(func() { j.Down = true })
	clk.advance(journalFresh + time.Second)
	redistest.Eventually(t, patience, func() error {
		_, err := tl.Facts()
		if migration.KindOf(err) != migration.Unavailable {
			return fmt.Errorf("the ledger is shown although the journal cannot be read: %w", err)
		}
		return nil
	})
	caughtUp := func(with time.Time) bool {
		_, told := tl.SoFar()
		return told >= with.UnixMilli()
	}
	if caughtUp(clk.now()) {
		t.Fatal("the ledger says that it has caught up")
	}
	j.Order("ord_2", clk.now(), true)
	j.Set(func() { j.Down = false })
	awaitOrders(t, tl, 2)
	moment := clk.now()
	redistest.Eventually(t, patience, func() error {
		if !caughtUp(moment) {
			return errors.New("the ledger does not say that it has caught up")
		}
		return nil
	})
	l, err := tl.Read()
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
			tl := opened(srv.URL, time.Now)
			if _, err := tl.Poll(t.Context()); err == nil {
				t.Fatal("no error")
			}
			_, err := tl.Read()
			wantKind(t, err, migration.Unavailable)
		})
	}
}

// clock is the time of a test: the real one, moved on by hand.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

const patience = 20 * time.Second

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantKind(t *testing.T, err error, k migration.Kind, says ...string) {
	t.Helper()
	if err == nil || migration.KindOf(err) != k {
		t.Fatalf("got %v (%s), want kind %s", err, migration.KindOf(err), k)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Fatalf("got %q, want it to say %q", err, s)
		}
	}
}

func opened(url string, now func() time.Time) *Journal {
	return newJournal(JournalOptions{
		Clients: map[string]*ingestion.Client{
			"ingestion": ingestion.New(url, "ingestion-token", nil),
		},
		Deadline: time.Minute, Queues: []string{"orders"},
		Log: slog.New(slog.DiscardHandler), Now: now,
	})
}
