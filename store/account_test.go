package store

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

func TestSessionsEndByAgeByIdlenessAndBySigningOut(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		const life, idle = 12 * time.Hour, 30 * time.Minute
		ok(t, s.CreateUser(ctx, "ada", migration.RoleEngineer, "hash", noon))
		ok(t, s.CreateSession(ctx, "token", "ada", noon))
		ask := func(after time.Duration) error {
			now := noon.Add(after)
			_, err := s.Session(ctx, "token", now.Add(-life), now.Add(-idle), now)
			return err
		}
		ok(t, ask(29*time.Minute))
		ok(t, ask(58*time.Minute))
		wantKind(t, ask(58*time.Minute+idle), migration.Unauthenticated)
		// Used all the time it still ends by age.
		for at := time.Hour; at < life; at += 20 * time.Minute {
			ok(t, ask(at))
		}
		wantKind(t, ask(life), migration.Unauthenticated)

		ok(t, s.CreateSession(ctx, "other", "ada", noon))
		ok(t, s.DeleteSession(ctx, "other"))
		ok(t, s.DeleteSession(ctx, "other"))
		_, err := s.Session(ctx, "other", noon.Add(-life), noon.Add(-idle), noon)
		wantKind(t, err, migration.Unauthenticated)
		_, err = s.Session(ctx, "", noon.Add(-life), noon.Add(-idle), noon)
		wantKind(t, err, migration.Unauthenticated)
	})
}

func TestTheDatabaseHoldsNoTokenThatCouldBeUsed(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		ok(t, s.CreateUser(t.Context(), "ada", migration.RoleEngineer, "hash", noon))
		ok(t, s.CreateSession(t.Context(), "token-CANARY", "ada", noon))
		var stored string
		ok(t, s.SQL().QueryRowContext(t.Context(),
			"SELECT token_hash FROM sessions").Scan(&stored))
		if strings.Contains(stored, "CANARY") {
			t.Fatal("the token itself is stored")
		}
		_, err := s.Session(t.Context(), stored, noon.Add(-time.Hour),
			noon.Add(-time.Hour), noon)
		wantKind(t, err, migration.Unauthenticated)
	})
}

func TestFailedSignInsAreCountedBySubjectWithinAWindowAndForgottenAfterADay(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		for i := range 3 {
			ok(t, s.NoteSignInFailure(ctx, "user ada",
				noon.Add(time.Duration(i)*10*time.Minute)))
		}
		ok(t, s.NoteSignInFailure(ctx, "from 10.0.0.1", noon))
		count := func(subject string, since time.Time) int64 {
			t.Helper()
			n, err := s.SignInFailures(ctx, subject, since)
			ok(t, err)
			return n
		}
		if n := count("user ada", noon.Add(-time.Second)); n != 3 {
			t.Errorf("%d failures", n)
		}
		if n := count("user ada", noon.Add(5*time.Minute)); n != 2 {
			t.Errorf("%d failures within the window", n)
		}
		if n := count("user bob", noon.Add(-time.Hour)); n != 0 {
			t.Errorf("%d failures of somebody else", n)
		}
		ok(t, s.NoteSignInFailure(ctx, "user bob", noon.Add(25*time.Hour)))
		if n := count("user ada", noon.Add(-time.Hour)); n != 0 {
			t.Errorf("%d failures are kept after a day", n)
		}
	})
}

func TestAUserHasOneOfTheKnownRoles(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		if err := s.CreateUser(t.Context(), "eve", "root", "hash", noon); err == nil {
			t.Fatal("an unknown role was stored")
		}
		if n, err := s.UserCount(t.Context()); err != nil || n != 0 {
			t.Fatalf("%d users, %v", n, err)
		}
	})
}

// tamper changes the audit log the way somebody with the database would: without the
// triggers.
func tamper(t *testing.T, s *Store, statement string) {
	t.Helper()
	drop := []string{"DROP TRIGGER audit_no_update", "DROP TRIGGER audit_no_delete"}
	if s.Postgres() {
		drop = []string{"DROP TRIGGER audit_no_change ON audit_log"}
	}
	for _, sql := range append(drop, statement) {
		_, err := s.SQL().ExecContext(t.Context(), sql)
		ok(t, err)
	}
}

func TestAChangeOfTheAuditLogShows(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct{ statement, says string }{
		"a changed actor": {"UPDATE audit_log SET actor = 'eve' WHERE seq = 3",
			"line 3"},
		"a changed result": {"UPDATE audit_log SET result = 'refused' WHERE seq = 1", "line 1"},
		"a changed time": {"UPDATE audit_log SET at = at + 1 WHERE seq = 5",
			"line 5"},
		"a removed line":       {"DELETE FROM audit_log WHERE seq = 2", "line 3"},
		"a removed first line": {"DELETE FROM audit_log WHERE seq = 1", "line 2"},
		"text moved to another column": {"UPDATE audit_log SET subject = subject || detail, " +
			"detail = '' WHERE seq = 4", "line 4"},
		"two lines exchanged": {"UPDATE audit_log SET seq = CASE seq WHEN 2 THEN -3 " +
			"ELSE -2 END WHERE seq IN (2, 3); UPDATE audit_log SET seq = -seq WHERE seq < 0",
			"line 2"},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(t *testing.T, s *Store) {
				for i := range 5 {
					ok(t, s.AppendAudit(t.Context(),
						migration.AuditEntry{At: noon, Actor: "ada", Action: "start",
							Subject: "audit", Detail: fmt.Sprint("line ", i), Result: "ok"}))
				}
				ok(t, s.VerifyAudit(t.Context()))
				tamper(t, s, c.statement)
				err := s.VerifyAudit(t.Context())
				wantKind(t, err, migration.Conflict)
				if !strings.Contains(err.Error(), c.says) {
					t.Fatalf("got %v, want %s", err, c.says)
				}
			})
		})
	}
}

func TestLinesOfTheAuditLogWrittenAtOnceMakeOneChain(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				if err := s.AppendAudit(t.Context(), migration.AuditEntry{At: noon,
					Actor: strconv.Itoa(i), Action: "start", Result: "ok"}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		ok(t, s.VerifyAudit(t.Context()))
		page, err := s.Audit(t.Context(), AuditFilter{Limit: 15})
		ok(t, err)
		rest, err := s.Audit(t.Context(), AuditFilter{Before: page[14].Seq, Limit: 15})
		ok(t, err)
		if len(page) != 15 || len(rest) != 5 || page[0].Seq < page[1].Seq ||
			rest[0].Seq != page[14].Seq-1 {
			t.Fatalf("%d lines, then %d", len(page), len(rest))
		}
	})
}
