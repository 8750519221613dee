package alarm

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/costs"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/outage"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

// receiver stands in for PagerDuty's Events API, for Slack and for any webhook: it notes what it
// takes, and can be down.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int // 0: the one that each of them gives when it takes a message
	got    []string
	wait   string // Retry-After
	text   string // of the last message to Slack
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		var e struct {
			Action   string `json:"event_action"`
			DedupKey string `json:"dedup_key"`
			Text     string
			Payload  struct{ Summary, Severity string }
		}
		_ = json.Unmarshal(body, &e)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.status != 0 {
			w.Header().Set("Retry-After", r.wait)
			w.WriteHeader(r.status)
			_, _ = w.Write(body) // as careless as can be
			return
		}
		said := strings.TrimSpace(
			strings.Join([]string{e.Action, e.DedupKey, e.Payload.Severity}, " "),
		)
		switch {
		case strings.HasPrefix(req.URL.Path, "/services/"):
			said, r.text, _ = strings.Cut(e.Text, "\n")
		case req.URL.Path == "/v2/change/enqueue":
			said = "change " + e.Payload.Summary
			fallthrough
		default:
			w.WriteHeader(http.StatusAccepted)
		}
		r.got = append(r.got, said)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answer(status int, wait string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status, r.wait = status, wait
}

// took gives what was taken since the last call.
func (r *receiver) took() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	// These benches read no queue's events.
	unread := func(s string) bool { return strings.Contains(s, "ledger/unknown") }
	got := slices.DeleteFunc(r.got, unread)
	r.got = nil
	return got
}

func wantTook(t *testing.T, r *receiver, lines ...string) {
	t.Helper()
	if got := r.took(); !slices.Equal(got, lines) {
		t.Fatalf("took\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
}

func pagerAndSlack(pager, slack *receiver) []config.Notification {
	return []config.Notification{
		{
			Name:       "pager",
			Type:       "pagerduty",
			URL:        migration.Secret(pager.URL),
			RoutingKey: "CANARY-routing-key",
		},
		{
			Name:        "slack",
			Type:        "slack",
			URL:         migration.Secret(slack.URL + "/services/CANARY"),
			MinSeverity: "error",
			Events:      []string{"alert"},
		},
	}
}

// flush sends what is due, once.
func (b *bench) flush(t *testing.T) {
	t.Helper()
	for _, o := range b.notifier.outlets {
		for more := true; more; {
			var err error
			more, err = b.notifier.sendDue(t.Context(), o)
			ok(t, err)
		}
	}
}

func (b *bench) observe(t *testing.T) {
	t.Helper()
	mig, err := b.Store.Migration(t.Context(), mid)
	ok(t, err)
	ok(t, b.notifier.Observe(t.Context(), mig))
}

const mid = stepstest.Migration

// bench is a notifier over a real store and environment, and an engine that carries out some steps.
type bench struct {
	*stepstest.Bench
	notifier *Notifier
}

// openBench opens a bench on the configured database, which may be that of an earlier bench. The
// migration has the steps, and one criterion.
func openBench(t *testing.T, cfg config.Config, steps ...engine.Step) *bench {
	t.Helper()
	b := &bench{Bench: stepstest.Open(t, cfg, func(b *stepstest.Bench) []engine.Step {
		create(t, b, steps)
		return steps
	})}
	e := b.Env
	clock := &outage.Clock{
		Journal: e.Journal,
		Workers: e.Workers,
		App:     e.App,
		Config:  cfg,
		Now:     b.Clock.Now,
	}
	book := &costs.Book{
		Servers:  e.Servers,
		Routing:  e.Routing,
		Load:     e.Load,
		Managed:  e.Managed,
		Host:     e.Host,
		Settings: b.Store,
		Source:   cfg.Source,
		Now:      b.Clock.Now,
	}
	var err error
	b.notifier, err = New(Options{Config: cfg, Store: b.Store, Views: e.Views, Debts: e.Debts,
		Routing: e.Routing, Workers: e.Workers, Clients: e.Clients, Streams: e.Streams, Vitals: e.Vitals,
		Load: e.Load, Outage: clock, Costs: book,
		Log: slog.New(slog.DiscardHandler), Now: b.Clock.Now, Notify: func(string) {}})
	ok(t, err)
	return b
}

// create makes the migration and its flag set, where they are not there yet.
func create(t *testing.T, b *stepstest.Bench, steps []engine.Step) {
	t.Helper()
	if _, err := b.Store.Migration(t.Context(), mid); err == nil {
		return
	}
	p := migration.Plan{
		Name: "Test",
		Criteria: []migration.Criterion{{ID: "noeviction", Title: "Policy",
			Requires: []migration.Requirement{{Check: evidence.Policy, MaxAge: time.Hour}}}},
	}
	for _, s := range steps {
		p.Steps = append(p.Steps, migration.PlanStep{ID: s.ID, Title: "Step " + s.ID})
	}
	m := migration.Migration{
		ID:        mid,
		Name:      b.Config.Migration.Name,
		Plan:      p,
		EventDate: b.Clock.Now(),
		CreatedBy: "test",
		CreatedAt: b.Clock.Now(),
	}
	ok(t, b.Store.CreateMigration(t.Context(), m))
	set := migration.FlagSet{ID: mid, MigrationID: mid, Name: m.Name, CreatedBy: "test",
		CreatedAt: m.CreatedAt}
	ok(t, b.Store.CreateFlagSet(t.Context(), set))
}

// readJournal reads the app's journal to its end.
func (b *bench) readJournal(t *testing.T) {
	t.Helper()
	for more := true; more; {
		var err error
		more, err = b.Env.Journal.Poll(t.Context())
		ok(t, err)
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
