package workflows

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/store/pgtest"
	"github.com/switchyard-dev/switchyard/workflows/engine"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// replicated is a configuration on a PostgreSQL database of the test's own.
func replicated(t *testing.T) config.Config {
	t.Helper()
	cfg := settings(t.TempDir())
	cfg.DatabaseURL = pgtest.Database(t)
	return cfg
}

// loseLead breaks the connection that holds the leader's lock.
func loseLead(t *testing.T, url migration.Secret) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url.Reveal())
	ok(t, err)
	defer func() { _ = conn.Close(context.Background()) }()
	var broken int
	ok(t, conn.QueryRow(t.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_locks JOIN pg_database d ON d.oid = database
		WHERE locktype = 'advisory' AND granted AND d.datname = current_database()`).Scan(&broken))
	if broken == 0 {
		t.Fatal("nobody leads")
	}
}

func TestARunOfALeaderWhoseConnectionBreaksIsCarriedToTheEndOnceByAnotherReplica(t *testing.T) {
	t.Parallel()
	n, cfg := newNotes(), replicated(t)
	var first *bench
	hangs := hangsOnce()
	s := step("one", migration.ApprovalNone, n.act("a", nil), n.act("b", func(ctx context.Context, c *engine.Call) error {
		err := hangs(ctx, c)
		if err != nil {
			first.stop() // it must not win the lead again
		}
		return err
	}), n.act("c", nil))
	p := planOf(false, s)
	first = openBench(t, cfg, p, s)
	r := first.begin(t, "one")
	n.await(t, "do b", 1)
	second := openBench(t, cfg, p, s)
	n.want(t, "do a", "do b") // a replica that does not lead carries nothing out
	loseLead(t, cfg.DatabaseURL)
	r = second.awaitState(t, r.ID, migration.RunSucceeded)
	n.want(t, "do a", "do b", "do b", "do c")
	if states(r) != "a done, b done, c done" {
		t.Error(states(r))
	}
}

func TestAChangeScheduledAtAReplicaThatDoesNotLeadHappensOnce(t *testing.T) {
	t.Parallel()
	cfg := replicated(t)
	leads := openBench(t, cfg, planOf(false))
	_, err := leads.env.Routing.Set(t.Context(), mid, migration.Routing{Stage: migration.StageOff, Source: migration.SourceStandalone}, "test", "start", "")
	ok(t, err)
	ok(t, leads.store.CreateUser(t.Context(), ada.Name, ada.Role, "x", leads.now()))
	follows := openBench(t, cfg, planOf(false))
	e := edit("a", plainFlag)
	_, err = follows.ScheduleFlags(t.Context(), ada, mid, migration.FlagSchedule{At: follows.now().Add(time.Second), Edit: &e})
	ok(t, err)
	redistest.Eventually(t, patience, func() error {
		all, err := follows.FlagSchedules(t.Context(), mid, "")
		if err == nil && (len(all) != 1 || all[0].State != migration.ScheduleDone) {
			err = fmt.Errorf("schedules %+v", all)
		}
		return err
	})
	v, err := follows.FlagSet(t.Context(), mid, "")
	ok(t, err)
	if v.Revision != 2 {
		t.Errorf("revision %d, want one change", v.Revision)
	}
}

func TestWhoLeadsTellsAndTheNextLeaderTellsNothingTwice(t *testing.T) {
	t.Parallel()
	pager, took := changes(t)
	n, cfg := newNotes(), replicated(t)
	cfg.Notifications = []config.Notification{{Name: "pager", Type: "pagerduty", URL: migration.Secret(pager), RoutingKey: "CANARY", Events: []string{"approval", "change"}}}
	s := step("one", migration.ApprovalOne, n.act("a", nil))
	p := planOf(false, s)
	leads := openBench(t, cfg, p, s)
	redistest.Eventually(t, patience, func() error { // from then on runs are told
		var since time.Time
		if told, err := leads.store.Setting(t.Context(), "notifications-since", &since); err != nil || !told {
			return fmt.Errorf("nobody tells yet: %v", err)
		}
		return nil
	})
	follows := openBench(t, cfg, p, s)
	var told []string
	await := func(line string) {
		t.Helper()
		redistest.Eventually(t, patience, func() error {
			if told = append(told, took()...); len(told) == 0 || told[len(told)-1] != line {
				return fmt.Errorf("told %q", told)
			}
			return nil
		})
	}
	r, err := follows.Start(t.Context(), ada, mid, "one", migration.Params{}, "")
	ok(t, err)
	await("change Step one is waiting for approval")
	_, err = follows.Decide(t.Context(), bob, r.ID, Decision{Approve: true})
	ok(t, err)
	await("change Step one is done")
	redistest.Eventually(t, patience, func() error { // what is sent and not noted is sent again
		sent, err := follows.store.Notifications(t.Context(), mid, "", 10)
		if err == nil && slices.ContainsFunc(sent, func(n store.Notification) bool { return n.SentAt == nil }) {
			err = fmt.Errorf("not noted yet: %+v", sent)
		}
		return err
	})
	ok(t, leads.close())
	back, err := follows.Rollback(t.Context(), ada, r.ID)
	ok(t, err)
	follows.awaitState(t, back.ID, migration.RunSucceeded)
	await("change Rollback of Step one is done")
	if want := []string{"change Step one is waiting for approval", "change Step one started", "change Step one is done", "change Rollback of Step one started", "change Rollback of Step one is done"}; !slices.Equal(told, want) {
		t.Errorf("told %q", told)
	}
}

// changes stands in for PagerDuty's change events: its address, and what it was told since the last call.
func changes(t *testing.T) (url string, took func() []string) {
	t.Helper()
	var mu sync.Mutex
	var got []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e struct{ Payload struct{ Summary string } }
		if json.NewDecoder(r.Body).Decode(&e) == nil && r.URL.Path == "/v2/change/enqueue" {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, "change "+e.Payload.Summary)
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, func() []string {
		mu.Lock()
		defer mu.Unlock()
		out := got
		got = nil
		return out
	}
}
