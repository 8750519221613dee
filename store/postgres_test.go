package store

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/store/pgtest"
)

// long is a deadline that only keeps a broken test from hanging.
const long = 60 * time.Second

// twoReplicas opens two stores on one new PostgreSQL database, with one migration and
// its flag set in it.
func twoReplicas(t *testing.T) (*Store, *Store) {
	t.Helper()
	url := pgtest.Database(t).Reveal()
	a := withMigration(t, openURL(t, url))
	createSet(t, a, mid)
	return a, openURL(t, url)
}

// within gives what comes next.
func within[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(long):
		t.Fatalf("%s: nothing came", what)
		panic("unreachable")
	}
}

// eventually tries until there is no error.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	deadline := time.After(long)
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s: %v", what, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestReplicasThatOpenANewDatabaseAtOnceAllGetIt(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t).Reveal()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			s, err := Open(t.Context(), url)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = s.Close() }()
			if _, err := s.Migrations(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestReplicasThatChangeOneSetAtOnceLoseNothing(t *testing.T) {
	t.Parallel()
	a, b := twoReplicas(t)
	changeAtOnce(t, []*Store{a, b})
}

func TestAChangeFromARevisionThatAnotherReplicaHasReplacedIsAConflict(t *testing.T) {
	t.Parallel()
	a, b := twoReplicas(t)
	revise(t, a, mid, `{"n":1}`)
	revise(t, b, mid, `{"n":2}`)
	_, err := a.ReviseFlagSet(t.Context(), mid, 1,
		func(json.RawMessage, int64) (json.RawMessage, error) {
			return json.RawMessage(`{}`), nil
		}, "eve", "", "", noon)
	wantKind(t, err, migration.Conflict)
}

func TestReplicasWriteOneChainOfAuditLines(t *testing.T) {
	t.Parallel()
	a, b := twoReplicas(t)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if err := []*Store{a, b}[i%2].AppendAudit(t.Context(),
				migration.AuditEntry{At: noon, Actor: strconv.Itoa(i), Action: "start",
					Result: "ok"}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	ok(t, a.VerifyAudit(t.Context()))
}

func TestOfRunsThatReplicasStartAtOnceOneWins(t *testing.T) {
	t.Parallel()
	a, b := twoReplicas(t)
	errs := make([]error, 20)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			errs[i] = []*Store{a, b}[i%2].CreateRun(t.Context(),
				run(fmt.Sprint("run-", i), "audit", "ada"))
		})
	}
	all.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			wantKind(t, err, migration.Conflict)
		}
	}
	if won != 1 {
		t.Fatalf("%d won", won)
	}
}

// listen listens in the background and waits until the connection stands.
func listen(t *testing.T, s *Store) <-chan string {
	t.Helper()
	topics := make(chan string, 100)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error)
	go func() { ended <- s.Listen(ctx, func(topic string) { topics <- topic }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Listen gave %v", err)
		}
	})
	if topic := within(t, "the connection", topics); topic != "" {
		t.Fatalf("the first topic is %q", topic)
	}
	return topics
}

func TestWhatOneReplicaChangesTheOthersHear(t *testing.T) {
	t.Parallel()
	a, b := twoReplicas(t)
	ctx := t.Context()
	topics := listen(t, b)
	for _, c := range []struct {
		topic  string
		change func() error
	}{
		{"flags:orders", func() error { revise(t, a, mid, `{}`); return nil }},
		{"flags:b-set", func() error {
			return a.CreateFlagSet(ctx,
				migration.FlagSet{ID: "b-set", MigrationID: mid, CreatedAt: noon})
		}},
		{"keys", func() error {
			return a.CreateAPIKey(ctx, migration.APIKey{ID: "k1", Set: mid, CreatedAt: noon})
		}},
		{"keys", func() error { return a.RevokeAPIKey(ctx, "k1", noon) }},
		{"schedules", func() error {
			return a.CreateFlagSchedule(ctx,
				migration.FlagSchedule{ID: "s1", Set: mid, At: noon})
		}},
		{"schedules", func() error {
			return a.EndFlagSchedule(ctx, "s1", migration.ScheduleDone, "")
		}},
		{"runs:r1", func() error { return a.CreateRun(ctx, run("r1", "audit", "ada")) }},
		{"runs:r1", func() error {
			return a.SaveAction(ctx, "r1", "one", migration.ActionRunning, "", nil, noon)
		}},
		{"runs:r1", func() error {
			return a.AppendLog(ctx, "r1", "one", "info", "line", noon)
		}},
	} {
		start := time.Now()
		ok(t, c.change())
		if got := within(t, c.topic, topics); got != c.topic {
			t.Fatalf("heard %q, want %q", got, c.topic)
		}
		t.Logf("%s: change and notification took %s", c.topic, time.Since(start))
	}
}

func TestAfterThePostgresWasKilledEverythingWorksAgain(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	s := withMigration(t, openURL(t, server.Database(t).Reveal()))
	createSet(t, s, mid)
	topics := listen(t, s)
	terms := lead(t, s)
	first := within(t, "leadership", terms)
	revise(t, s, mid, `{"n":1}`)
	if topic := within(t, "the change", topics); topic != "flags:orders" {
		t.Fatalf("heard %q", topic)
	}

	server.Kill(t)
	within(t, "loss of leadership", first.Done())
	_, err := s.FlagSetRevision(t.Context(), mid, 0)
	wantKind(t, err, migration.Unavailable)
	wantKind(t, s.Ping(t.Context()), migration.Unavailable)

	server.Restart(t)
	start := time.Now()
	eventually(t, "queries", func() error {
		_, err := s.FlagSetRevision(t.Context(), mid, 0)
		return err
	})
	t.Logf("queries work %s after the restart", time.Since(start))
	if r, err := s.FlagSetRevision(t.Context(), mid, 0); err != nil || r.Revision != 1 {
		t.Fatalf("latest %+v, %v", r, err)
	}
	if topic := within(t, "the new connection", topics); topic != "" {
		t.Fatalf("heard %q", topic)
	}
	t.Logf("heard of the new connection %s after the restart", time.Since(start))
	revise(t, s, mid, `{"n":2}`)
	if topic := within(t, "the change", topics); topic != "flags:orders" {
		t.Fatalf("heard %q", topic)
	}
	within(t, "leadership", terms)
}

// lead leads in the background; each time of leading is told by its context. What leads
// ends with its context.
func lead(t *testing.T, s *Store) <-chan context.Context {
	t.Helper()
	terms := make(chan context.Context, 10)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error)
	go func() {
		ended <- s.Lead(ctx, func(ctx context.Context) {
			terms <- ctx
			<-ctx.Done()
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Lead gave %v", err)
		}
	})
	return terms
}

func TestALeaderWhoseConnectionIsLostLeadsNoMore(t *testing.T) {
	t.Parallel()
	a, b := twoReplicas(t)
	first := within(t, "the first leader", lead(t, a))
	others := lead(t, b)
	// One that asks in vain has asked for the lock when the server shows it idle after
	// that question.
	eventually(t, "the other one asks", func() error {
		var n int
		err := a.SQL().QueryRowContext(t.Context(), "SELECT count(*) FROM pg_stat_activity "+
			"WHERE datname = current_database() AND state = 'idle' AND query LIKE "+
			"'%pg_try_advisory_lock%'").Scan(&n)
		if err == nil && n == 0 {
			err = errors.New("nobody has asked")
		}
		return err
	})
	select {
	case <-others:
		t.Fatal("two lead at once")
	default:
	}
	start := time.Now()
	_, err := a.SQL().ExecContext(t.Context(), "SELECT pg_terminate_backend(pid) FROM "+
		"pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database "+
		"WHERE datname = current_database()) AND granted")
	ok(t, err)
	within(t, "the end of the first leader", first.Done())
	t.Logf("the leader noticed after %s", time.Since(start))
}

// leadUntilKilled is what the test binary does instead of testing where leaderURL is
// set: it leads, and says so.
func leadUntilKilled(url string) {
	s, err := Open(context.Background(), url)
	if err == nil {
		err = s.Lead(context.Background(), func(context.Context) { fmt.Println("leads") })
	}
	fmt.Println(err)
	os.Exit(1)
}

const leaderURL = "STORE_TEST_LEADER_URL"

func TestALeaderThatIsKilledIsReplaced(t *testing.T) {
	t.Parallel()
	_, b := twoReplicas(t)
	leader := exec.CommandContext(t.Context(), os.Args[0])
	leader.Env = append(os.Environ(), leaderURL+"="+b.URL().Reveal())
	out, err := leader.StdoutPipe()
	ok(t, err)
	ok(t, leader.Start())
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "leads\n" {
		t.Fatalf("the other process says %q, %v", line, err)
	}
	others := lead(t, b)
	start := time.Now()
	ok(t, leader.Process.Kill())
	within(t, "the second leader", others)
	t.Logf("replaced after %s", time.Since(start))
	_ = leader.Wait() // killed
}

func TestALeaderThatEndsIsReplaced(t *testing.T) {
	t.Parallel()
	a, b := twoReplicas(t)
	ctx, cancel := context.WithCancel(t.Context())
	leads, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		// it stays the leader after returning
		ended <- a.Lead(ctx, func(ctx context.Context) { close(leads) })
	}()
	within(t, "the first leader", leads)
	others := lead(t, b)
	start := time.Now()
	cancel()
	if err := within(t, "the end of the first leader", ended); !errors.Is(err,
		context.Canceled) {
		t.Errorf("Lead gave %v", err)
	}
	within(t, "the second leader", others)
	t.Logf("replaced after %s", time.Since(start))
}

func TestOnSQLiteTheOneProcessLeadsAndHearsNothing(t *testing.T) {
	t.Parallel()
	s := withMigration(t, openURL(t, t.TempDir()+"/switchyard.db"))
	within(t, "leadership", lead(t, s))
	ctx, cancel := context.WithCancel(t.Context())
	heard, ended := make(chan string, 10), make(chan error, 1)
	go func() { ended <- s.Listen(ctx, func(topic string) { heard <- topic }) }()
	createSet(t, s, mid)
	revise(t, s, mid, `{}`)
	cancel()
	if err := within(t, "the end", ended); !errors.Is(err, context.Canceled) || len(heard) > 0 {
		t.Fatalf("%v, heard %d", err, len(heard))
	}
	if s.Postgres() || !s.URL().IsZero() {
		t.Fatal("a SQLite file says that it is PostgreSQL")
	}
}

func TestWhatAReplicaHasHeardStaysUntilItIsDropped(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		save := func(id, heard string, at time.Time) {
			t.Helper()
			ok(t, s.SaveReplica(ctx, Replica{id, at, "switchyard-" + id, json.RawMessage(heard)}))
		}
		save("a", `["w0"]`, noon.Add(-25*time.Hour))
		save("silent", `["w1"]`, noon.Add(-100*time.Hour))
		save("a", `["w2"]`, noon)
		save("ended", `["w3"]`, noon)
		ok(t, s.DropReplica(ctx, "ended"))
		ok(t, s.DropReplica(ctx, "ended"))
		got, err := s.Replicas(ctx)
		ok(t, err)
		if len(got) != 2 || got[0].ID != "a" || string(got[0].Heard) != `["w2"]` ||
			!got[0].At.Equal(noon) || got[0].Client != "switchyard-a" || got[1].ID != "silent" {
			t.Fatalf("replicas %+v", got)
		}
	})
}

func TestFreeTextMayHoldAnyBytes(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		const odd = "a\x00b\xffc"
		ok(t, s.CreateRun(ctx, run("r1", "audit", "ada")))
		ok(t, s.AppendLog(ctx, "r1", "one", "info", odd, noon))
		ok(t, s.SetProgress(ctx, "r1", odd, nil))
		ok(t, s.SaveAction(ctx, "r1", "one", migration.ActionFailed, odd, nil, noon))
		ok(t, s.AppendAudit(ctx, migration.AuditEntry{At: noon, Actor: "ada", Action: "start",
			Detail: odd, Result: "ok"}))
		ok(t, s.VerifyAudit(ctx))
		lines, err := s.Log(ctx, "r1", 0, 10)
		ok(t, err)
		if len(lines) != 1 || lines[0].Message != "ab\uFFFDc" {
			t.Fatalf("lines %+v", lines)
		}
	})
}

func TestALogOfNoRunIsNotFound(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		wantKind(t, s.AppendLog(t.Context(), "no-such-run", "", "info", "line", noon),
			migration.NotFound)
	})
}

// silent accepts connections and never answers.
func silent(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // loopback does not hang
	ok(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
		}
	}()
	return l.Addr().String()
}
