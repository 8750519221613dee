package server

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/servertest"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows"
	"github.com/switchyard-dev/switchyard/workflows/environment"
)

// withJournal serves an application's journal.
func withJournal(t *testing.T, events ...ledger.Event) func(*config.Config) {
	t.Helper()
	raw := []json.RawMessage{}
	for i, e := range events {
		e.Seq, e.At = int64(i+1), 1_795_500_000_000+int64(i)
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		raw = append(raw, b)
	}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		after, _ := strconv.Atoi(r.URL.Query().Get("after"))
		page := map[string]any{"epoch": "e", "next": len(raw), "now": time.Now().UnixMilli(),
			"events": raw[min(after, len(raw)):]}
		_ = json.NewEncoder(w).Encode(page)
	}))
	t.Cleanup(app.Close)
	return func(cfg *config.Config) { cfg.Ingestion.URL = app.URL }
}

// withExceptions puts exceptions into the database, as a ledger that ran before has left them.
func withExceptions(t *testing.T, found ...ledger.Exception) func(*config.Config) {
	t.Helper()
	return func(cfg *config.Config) {
		log := slog.New(slog.DiscardHandler)
		readers, err := workflows.NewReaders(*cfg, log)
		if err != nil {
			t.Fatal(err)
		}
		c, err := workflows.Open(t.Context(), *cfg, readers, log) // makes the migration
		if err == nil {
			err = c.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		st, err := store.Open(t.Context(), filepath.Join(cfg.DataDir, "switchyard.db"))
		if err != nil {
			t.Fatal(err)
		}
		state, err := environment.LedgerState(ledger.Checkpoint{Exceptions: found})
		if err == nil {
			err = st.SaveLedger(t.Context(), mid, state, 0, 1)
		}
		if err == nil {
			err = st.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

const hostile = `<script>alert(1)</script>/../"'%2e`

func someExceptions() []ledger.Exception {
	found := []ledger.Exception{
		{
			Queue: "order-ingestion", Job: hostile, Verdict: ledger.Loss,
			At: 1_795_500_000_000, Detail: "<b>gone</b>",
		},
		{
			Queue: "order-ingestion", Job: "settled", Verdict: ledger.Double,
			At: 1_795_500_000_000, Detail: "completed 2 times", SettledBy: "the record",
			SettledAt: 1_795_500_001_000,
		},
	}
	for i := range 120 {
		found = append(
			found,
			ledger.Exception{
				Queue: "order-ingestion", Job: fmt.Sprint("late-", i), Verdict: ledger.Late,
				At: 1_795_500_000_000 + int64(i), Detail: "not ended",
			},
		)
	}
	return found
}

func exceptionsOn(r response) (jobs []string) {
	r.find("[data-exception]").Each(func(_ int, e *goquery.Selection) {
		jobs = append(jobs, e.AttrOr("data-exception", ""))
	})
	return jobs
}

func link(r response, rel string) string {
	return r.find(`a[rel="`+rel+`"]`).AttrOr("href", "")
}

func TestEveryExceptionIsReachedByPageAndFilterAndLeadsToItsOrder(t *testing.T) {
	t.Parallel()
	st := serveOn(t, withExceptions(t, someExceptions()...))
	b := st.browser(t, "grace", viewerPass) // viewers may read
	path := "/m/" + mid + "/ledger"
	seen := map[string]int{}
	pages, last := 0, ""
	for next := path; next != ""; pages++ {
		r := b.get(next)
		if r.status != http.StatusOK || strings.Contains(r.text, "<script>alert") ||
			strings.Contains(r.text, "<b>gone") {
			t.Fatalf("%s: %d %s", next, r.status, r.text)
		}
		for _, job := range exceptionsOn(r) {
			seen[job]++
			last = job
		}
		if pages > 0 && link(r, "prev") == "" {
			t.Errorf("%s: no way back", next)
		}
		next = link(r, "next")
	}
	if pages != 3 || len(seen) != 122 || last != "settled" {
		t.Errorf(
			"%d pages with %d exceptions, the last is %s, want 3, 122 and the settled one",
			pages, len(seen), last,
		)
	}
	for query, want := range map[string]int{
		"?verdict=loss": 1, "?verdict=late&state=settled": 0, "?state=settled": 1,
		"?verdict=late&state=open&offset=100": 20, "?offset=1000": 0,
	} {
		if got := exceptionsOn(b.get(path + query)); len(got) != want {
			t.Errorf("%s shows %v, want %d", query, got, want)
		}
	}
	for _, query := range []string{
		"?verdict=odd", "?state=odd", "?offset=x", "?offset=-1",
		"?offset=99999999999999999999",
	} {
		if r := b.get(path + query); r.status != http.StatusBadRequest &&
			r.status != http.StatusUnprocessableEntity {
			t.Errorf("%s gives %d", query, r.status)
		}
	}
	r := b.get(path + "?verdict=loss")
	to := r.find(`a[href^="`+path+`/"]:contains("script")`).AttrOr("href", "")
	for _, address := range []string{to, path + "?" + url.Values{"id": {hostile}}.Encode()} {
		r = b.get(address)
		h1 := r.find("h1").Text()
		if r.status != http.StatusOK || h1 != hostile || len(exceptionsOn(r)) != 1 ||
			strings.Contains(r.text, "<script>alert") {
			t.Errorf("%s: %d %s", address, r.status, r.text)
		}
	}
	if r = b.get(path); !strings.Contains(r.find("#late").Text(), "120 orders are overdue") || !strings.Contains(r.find("#reasons").Text(), "The queues' events show 1 unresolved loss") {
		t.Errorf("a broken ledger does not say so: %s", r.text)
	}
	alert := b.get("/m/" + mid).find("#ledger-alert").Text()
	if !says(alert, "Broken", "120 orders are over") {
		t.Errorf("the overview does not warn of it")
	}
	m := b.get("/metrics").text
	for _, want := range []string{
		`switchyard_ledger_verdict{migration="order-pipeline",verdict="broken"} 1`,
		`switchyard_ledger_late_orders{migration="order-pipeline"} 120`,
		`switchyard_ledger_exceptions{migration="order-pipeline",state="settled",verdict="double"} 1`,
		`switchyard_ledger_exceptions_total{migration="order-pipeline",verdict="loss"} 1`,
	} {
		if !strings.Contains(m, want+"\n") {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	if strings.Contains(m, "late-1") || strings.Contains(m, "script") {
		t.Error("/metrics names an order")
	}
}

func TestACleanLedgerShowsItsFiguresAndAnOrdersLife(t *testing.T) {
	t.Parallel()
	st := serveOn(t, withJournal(
		t,
		ledger.Event{
			Type: ledger.EventEnqueued, Order: "ord_1", JobID: "evt_1", Side: ledger.Source,
			OK: true, Stage: "off", Digest: "d1",
		},
		ledger.Event{Type: ledger.EventDelivery, Order: "ord_1", Status: 200},
		ledger.Event{
			Type: ledger.EventExecuted, Order: "ord_1", JobID: "evt_1", Side: ledger.Source,
			Outcome: ledger.OutcomeApplied, Digest: "d1",
		},
	))
	for i, fields := range [][]any{
		{"event", "added", "jobId", "evt_1"},
		{"event", "waiting", "jobId", "evt_1"},
		{"event", "active", "jobId", "evt_1"},
		{"event", "completed", "jobId", "evt_1", "returnvalue", "null"},
	} {
		if err := st.redis.Client().XAdd(t.Context(), &redis.XAddArgs{Stream: "bull:order-ingestion:events", ID: fmt.Sprintf("1795500000000-%d", i+1), Values: fields}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	b := st.browser(t, "grace", viewerPass)
	path := "/m/" + mid + "/ledger"
	var r response
	servertest.Eventually(t, "a clean ledger", func() bool {
		r = b.get(path)
		return r.there(`[data-tone="ok"]:contains("Clean")`)
	})
	figure := r.find("#orders-journal-acknowledged").Text()
	if !says(figure, "1") || r.there("#reasons") || r.there("#late") {
		t.Errorf("%s", r.text)
	}
	if !says(r.find(`[role="img"]`).AttrOr("aria-label", ""), "min verified") {
		t.Error("the minutes are not told in text")
	}
	if b.get("/m/" + mid).there("#ledger-alert") {
		t.Error("the overview warns of a clean ledger")
	}
	r = b.get(path + "/ord_1")
	life := r.find("#timeline").Text()
	for _, want := range []string{
		"added to source in stage off", "a delivery was answered 200",
		"run on source: applied", "added to order-ingestion as evt_1",
		"completed, 1 attempt",
	} {
		if !strings.Contains(life, want) {
			t.Errorf("the life lacks %q: %s", want, life)
		}
	}
	if !r.there(`[href$="/jobs?id=ord_1"]`) {
		t.Error("no way to the job itself")
	}
}

func TestALedgerThatCannotTellSaysWhyAndAnUnknownOrderGetsAPage(t *testing.T) {
	t.Parallel()
	st := serve(t) // no journal
	b := st.browser(t, "grace", viewerPass)
	path := "/m/" + mid + "/ledger"
	r := b.get(path)
	if r.status != http.StatusOK || !strings.Contains(r.text, "Inconclusive") ||
		!r.there("#reasons") ||
		!strings.Contains(r.text, "journal is not up to date") ||
		len(exceptionsOn(r)) != 0 {
		t.Errorf("%d %s", r.status, r.text)
	}
	if !says(b.get("/m/"+mid).find("#ledger-alert").Text(), "Inconclusive") {
		t.Error("the overview does not warn of it")
	}
	for _, id := range []string{"nobody", hostile, "..", "."} {
		r := b.get(path + "?" + url.Values{"id": {id}}.Encode())
		if r.status != http.StatusNotFound || !r.there("#unknown") || !r.there("#order-id") ||
			strings.Contains(r.text, "<script>alert") {
			t.Errorf("%q: %d %s", id, r.status, r.text)
		}
	}
	for _, address := range []string{"?id=", "?id=" + strings.Repeat("x", 513)} {
		if r := b.get(path + address); r.status != http.StatusBadRequest &&
			r.status != http.StatusUnprocessableEntity {
			t.Errorf("%.20s: %d", address, r.status)
		}
	}
	if r := st.browser(t, "", "").get(path); r.path == path {
		t.Errorf("a stranger sees the ledger: %d", r.status)
	}
}

func TestTheLedgerTellsWhatItFollowsAndIsNotCleanWithoutTheAppsJournal(t *testing.T) {
	t.Parallel()
	st := serve(t)
	for _, event := range []string{"added", "waiting"} {
		if err := st.redis.Client().XAdd(t.Context(), &redis.XAddArgs{Stream: "bull:order-ingestion:events", Values: []any{"event", event, "jobId", "evt_1"}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	c := st.as(t, "grace", viewerPass)
	var l workflows.LedgerOverview
	servertest.Eventually(t, "the source's events are followed", func() bool {
		var err error
		if l, err = c.Ledger(t.Context(), mid); err != nil {
			t.Fatal(err)
		}
		for _, lane := range l.Lanes {
			if lane.Lane.Side == ledger.Source && !lane.Lane.Shadow && lane.Current &&
				lane.Entries == 2 {
				return true
			}
		}
		return false
	})
	if l.Verdict != workflows.LedgerInconclusive || len(l.Reasons) == 0 || l.Journal != nil {
		t.Errorf("without a journal nothing is proven: %+v", l)
	}
	o, err := c.LedgerOrder(t.Context(), mid, "evt_1")
	if err != nil || len(o.Lives) != 1 || o.Lives[0].Stays[0] == nil ||
		o.Lives[0].Stays[0].State != "waiting" ||
		o.Journal != nil {
		t.Errorf("%+v %v", o, err)
	}
	if _, err := c.LedgerOrder(t.Context(), mid, "nobody"); migration.KindOf(
		err,
	) != migration.NotFound {
		t.Errorf("an order that nobody knows: %v", err)
	}
	b := st.browser(t, "grace", viewerPass)
	for path, want := range map[string]int{
		"?verdict=loss": http.StatusOK, "?verdict=odd": http.StatusBadRequest,
		"?limit=x": http.StatusBadRequest, "?limit=0": http.StatusBadRequest,
		"?offset=-1": http.StatusBadRequest, "?offset=x": http.StatusBadRequest,
		"?state=odd": http.StatusBadRequest, "?state=open&offset=5": http.StatusOK,
	} {
		if r := b.get("/api/v1/migrations/" + mid + "/ledger/exceptions" + path); r.status != want {
			t.Errorf("%s gives %d, want %d: %s", path, r.status, want, r.text)
		}
	}
}
