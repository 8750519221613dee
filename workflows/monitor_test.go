package workflows

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/ingestiontest"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// openReal opens a Control with the real steps, the monitor and the journal's reader, and gives the
// migration's id.
func openReal(t *testing.T, redisURL string, log *slog.Logger) (*bench, string) {
	t.Helper()
	cfg := settings(t.TempDir())
	cfg.Source.Standalone.URL = migration.Secret(redisURL)
	cfg.Ingestion.URL = ingestiontest.NewJournal(t).URL
	cfg.Migration.MonitorInterval = 100 * time.Millisecond
	cfg.FirstRunUsers = []config.User{
		{Name: "ada", Role: migration.RoleEngineer, Password: password},
	}
	c, err := Open(t.Context(), cfg, readersOf(t, cfg), log)
	ok(t, err)
	b := &bench{c, nil, sync.OnceValue(c.Close)}
	t.Cleanup(func() { _ = b.close() })
	all, err := c.Migrations(t.Context())
	ok(t, err)
	return b, all[0].ID
}

func readersOf(t *testing.T, cfg config.Config) Readers {
	t.Helper()
	r, err := NewReaders(cfg, slog.New(slog.DiscardHandler))
	ok(t, err)
	t.Cleanup(func() { _ = r.Flags.Close() })
	return r
}

// succeed carries a real step out.
func (b *bench) succeed(t *testing.T, m, step string) migration.Run {
	t.Helper()
	r, err := b.Start(t.Context(), ada, m, step, migration.Params{}, "")
	ok(t, err)
	if r.State == migration.RunAwaitingApproval {
		_, err = b.Decide(t.Context(), bob, r.ID, Decision{Approve: true, PlanHash: r.Plan.Hash})
		ok(t, err)
	}
	return b.awaitState(t, r.ID, migration.RunSucceeded)
}

func (b *bench) awaitVerdict(
	t *testing.T,
	m, criterion string,
	want migration.Verdict,
	says string,
) {
	t.Helper()
	redistest.Eventually(t, patience, func() error {
		o, err := b.Overview(t.Context(), m)
		if err != nil {
			return err
		}
		for _, i := range o.Checklist {
			if i.Criterion.ID == criterion && i.Verdict == want && strings.Contains(i.Why, says) {
				return nil
			}
		}
		return fmt.Errorf("%s is %s, want %s", criterion, o.Checklist.Verdict(criterion), want)
	})
}

func TestCriterion_noeviction_TurnsUnmetByItselfWhenThePolicyIsChangedBehindOurBack(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(
		t,
		redistest.Password("redis-CANARY"),
		redistest.Config("maxmemory 64mb", "maxmemory-policy allkeys-lru"),
	)
	redis := srv.Client()
	policy := func() string {
		t.Helper()
		v, err := redis.ConfigGet(t.Context(), "maxmemory-policy").Result()
		ok(t, err)
		return v["maxmemory-policy"]
	}
	b, m := openReal(t, srv.URL(), slog.New(slog.DiscardHandler))
	ctx := t.Context()
	o, err := b.Overview(ctx, m)
	ok(t, err)
	if o.Checklist.Verdict("noeviction") != migration.Unmet ||
		o.NextSteps[0].Step != migration.StepAudit ||
		o.Routing.Stage != migration.StageOff ||
		o.Routing.Source != migration.SourceStandalone {
		t.Fatalf("at the start: %+v", o.NextSteps)
	}
	_, err = b.Start(ctx, ada, m, migration.StepFixPolicy, migration.Params{}, "")
	wantKind(t, err, migration.Blocked, "Audit the source Redis")

	b.succeed(t, m, migration.StepAudit)
	if policy() != "allkeys-lru" {
		t.Fatal("the audit changed the policy")
	}
	b.awaitVerdict(t, m, "noeviction", migration.Unmet, "allkeys-lru")
	if o, err = b.Overview(ctx, m); err != nil || o.NextSteps[0].Step != migration.StepFixPolicy {
		t.Fatalf("after the audit: %+v, %v", o.NextSteps, err)
	}
	fixed := b.succeed(t, m, migration.StepFixPolicy)
	if policy() != "noeviction" {
		t.Fatalf("the policy is %s", policy())
	}
	b.awaitVerdict(t, m, "noeviction", migration.Met, srv.Addr())

	ok(t, redis.ConfigSet(ctx, "maxmemory-policy", "volatile-ttl").Err())
	b.awaitVerdict(t, m, "noeviction", migration.Unmet, "volatile-ttl")
	latest, err := b.Evidence(ctx, m, evidence.Policy, 1)
	ok(t, err)
	if latest[0].RunID != "" || latest[0].Proof != migration.Observed {
		t.Fatalf("evidence %+v", latest[0])
	}
	if o, err = b.Overview(ctx, m); err != nil || o.NextSteps[0].Step != migration.StepFixPolicy {
		t.Fatalf("after the change: %+v, %v", o.NextSteps, err)
	}
	ok(t, redis.ConfigSet(ctx, "maxmemory-policy", "noeviction").Err())
	b.awaitVerdict(t, m, "noeviction", migration.Met, "")

	back, err := b.Rollback(ctx, ada, fixed.ID)
	ok(t, err)
	b.awaitState(t, back.ID, migration.RunSucceeded)
	if policy() != "allkeys-lru" {
		t.Fatalf("the way back left %s", policy())
	}
	b.awaitVerdict(t, m, "noeviction", migration.Unmet, "allkeys-lru")
	// A look that says nothing new leaves no row.
	if all, err := b.Evidence(ctx, m, evidence.Policy, 100); err != nil || len(all) > 8 {
		t.Fatalf("%d rows of evidence, %v", len(all), err)
	}
}

func TestEvidenceOfAServerThatIsGoneIsKeptAndNotRenewed(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	b, m := openReal(t, srv.URL(), slog.New(slog.DiscardHandler))
	b.succeed(t, m, migration.StepAudit)
	b.awaitVerdict(t, m, "noeviction", migration.Met, "")
	srv.Kill()
	before, err := b.Evidence(t.Context(), m, evidence.Policy, 100)
	ok(t, err)
	mig, err := b.store.Migration(t.Context(), m)
	ok(t, err)
	another := *b.monitor // the one that looks by itself goes on
	another.ill = map[string]bool{}
	ok(t, another.look(t.Context(), mig))
	after, err := b.Evidence(t.Context(), m, evidence.Policy, 100)
	ok(t, err)
	if len(after) != len(before) {
		t.Fatalf("%d rows became %d", len(before), len(after))
	}
}

// Nobody listens, or the password is wrong: people hear what is the matter, and never the password.
func TestAServerThatCannotBeUsedIsExplainedWithoutItsPassword(t *testing.T) {
	t.Parallel()
	right := redistest.Start(t, redistest.Password("right-CANARY"))
	for rule, c := range map[string]struct{ url, says string }{
		"nothing listens":  {"redis://:redis-CANARY@127.0.0.1:1", "nothing listens"},
		"a wrong password": {"redis://:wrong-CANARY@" + right.Addr(), "wrong password"},
		"no password":      {"redis://" + right.Addr(), "wrong password"},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			var log syncBuffer
			b, m := openReal(
				t,
				c.url,
				slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			)
			ctx := t.Context()
			p, err := b.Plan(ctx, m, migration.StepAudit, migration.Params{})
			ok(t, err)
			if len(p.Gates) != 1 || p.Gates[0].OK ||
				!strings.Contains(p.Gates[0].Measured, c.says) ||
				p.Gates[0].Next == "" {
				t.Fatalf("gates %+v", p.Gates)
			}
			_, err = b.Start(ctx, ada, m, migration.StepAudit, migration.Params{}, "")
			wantKind(t, err, migration.Blocked, c.says)
			said := err.Error()
			_, err = b.Plan(ctx, m, migration.StepFixPolicy, migration.Params{})
			wantKind(t, err, migration.Unavailable, c.says)
			said += err.Error()
			board, err := b.Queues(ctx, m)
			ok(t, err)
			if len(board.Sides) != 2 || !strings.Contains(board.Sides[0].Error, c.says) ||
				!strings.Contains(board.Sides[1].Error, "not provisioned yet") {
				t.Fatalf("queues %+v", board.Sides)
			}
			entries, err := b.Audit(ctx, AuditFilter{Limit: 100})
			ok(t, err)
			ok(t, b.close())
			for _, v := range []any{p, board, entries, said, log.String()} {
				raw, err := json.Marshal(v)
				ok(t, err)
				if strings.Contains(string(raw), "CANARY") {
					t.Errorf("a password is shown: %s", raw)
				}
			}
		})
	}
}

func TestAnAddressThatIsNoneIsRefusedAtTheStartWithoutItsPassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"redis://:redis-CANARY@127.0.0.1:port",
		"redis://:redis-CANARY@[::1",
		"http://:redis-CANARY@127.0.0.1:1",
		"redis://:redis%zzCANARY@127.0.0.1:1",
		":redis-CANARY",
	} {
		cfg := settings(t.TempDir())
		cfg.Source.Standalone.URL = migration.Secret(url)
		c, err := Open(t.Context(), cfg, readersOf(t, cfg), slog.New(slog.DiscardHandler))
		if err == nil {
			_ = c.Close()
			t.Errorf("%s was accepted", url)
			continue
		}
		if strings.Contains(err.Error(), "CANARY") ||
			!strings.Contains(err.Error(), "source.standalone") {
			t.Errorf("got %v", err)
		}
		// The file must be free again for a corrected start.
		cfg.Source.Standalone.URL = "redis://127.0.0.1:1"
		again, err := Open(t.Context(), cfg, readersOf(t, cfg), slog.New(slog.DiscardHandler))
		ok(t, err)
		ok(t, again.Close())
	}
}

func TestTheFirstStartNamesTheMigrationAndLaterOnesKeepIt(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"Order pipeline": "order-pipeline",
		" Über-Queue! ":  "ber-queue",
		"订单":             "migration",
	} {
		cfg := settings(t.TempDir())
		cfg.Migration.Name = given
		var created int
		for range 2 {
			readers := readersOf(t, cfg)
			c, err := Open(t.Context(), cfg, readers, slog.New(slog.DiscardHandler))
			ok(t, err)
			created += len(c.NewAccounts())
			all, err := c.Migrations(t.Context())
			ok(t, err)
			if len(all) != 1 || all[0].ID != want || all[0].Name != given {
				t.Errorf("%q: %+v", given, all)
			}
			if held, _ := readers.Flags.Held(want); held.Revision != 1 {
				t.Errorf("%q: flag revision %d", given, held.Revision)
			}
			ok(t, c.Close())
		}
		if created != 3 {
			t.Errorf("%d accounts were shown", created)
		}
	}
}

// syncBuffer is a buffer that several goroutines write to.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
