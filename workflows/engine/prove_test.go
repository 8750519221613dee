package engine

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// nobody is a witness of a world in which nobody is there.
type nobody struct{}

func (nobody) Subject(
	context.Context, string, []migration.Aspect, time.Time,
) (migration.Subject, error) {
	return migration.Empty(), nil
}

// What a person waived does not fail the run that meets it: a sender that sends nothing in
// November, or keys of another program that go with the server.
func TestARunProvesWhatAPersonWaived(t *testing.T) {
	t.Parallel()
	st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "switchyard.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	now := time.Now()
	if err := st.CreateMigration(t.Context(), migration.Migration{ID: "m", Name: "M",
		EventDate: now, CreatedBy: "test", CreatedAt: now,
		Plan: migration.Plan{Name: "P"}}); err != nil {
		t.Fatal(err)
	}
	e := New(st, nil, nobody{}, slog.New(slog.DiscardHandler), time.Now, func(string) {})
	c := &Call{Run: migration.Run{ID: "r", MigrationID: "m"}, engine: e}
	prove := func() error {
		return c.Prove(t.Context(), evidence.Retries, migration.Attested, "the journal",
			evidence.RetryFacts{Refused: 1, Recovered: 1, AppliedOnce: 1,
				Providers: []evidence.ProviderRetries{{Provider: "Stripe", Refused: 1},
					{Provider: "Shopify"}}})
	}
	if err := prove(); err == nil || !strings.Contains(err.Error(), "unknown: Shopify") {
		t.Errorf("nobody waived it: %v", err)
	}
	w, err := st.AddWaiver(t.Context(), "m", migration.Waiver{Member: "sender:Shopify", By: "grace",
		Why: "it sends nothing in November", At: now, Until: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if err := prove(); err != nil {
		t.Errorf("grace waived it: %v", err)
	}
	if err := st.RevokeWaiver(t.Context(), "m", w.ID, "grace", time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := prove(); err == nil {
		t.Error("the waiver was taken back")
	}
}

// slow is a witness that can look at the app at the third time only.
type slow struct{ looks *int }

func (s slow) Subject(
	_ context.Context, _ string, aspects []migration.Aspect, _ time.Time,
) (migration.Subject, error) {
	*s.looks++
	out := migration.Empty()
	if *s.looks < 3 {
		delete(out, migration.AspectApp)
	}
	return out, nil
}

// Evidence of which it is not known what it is about counts for nothing, so a run waits for the
// look, and does not succeed without one.
func TestARunWaitsForTheLookAtWhatItsEvidenceIsAbout(t *testing.T) {
	t.Parallel()
	st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "switchyard.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	if err := st.CreateMigration(t.Context(), migration.Migration{ID: "m", Name: "M",
		EventDate: time.Now(), CreatedBy: "test", CreatedAt: time.Now(),
		Plan: migration.Plan{Name: "P"}}); err != nil {
		t.Fatal(err)
	}
	facts := evidence.RetryFacts{Refused: 1, Recovered: 1, AppliedOnce: 1,
		Providers: []evidence.ProviderRetries{{Provider: "Stripe", Refused: 1}}}
	for _, tc := range []struct {
		rule   string
		looks  int
		within time.Duration
		says   string
	}{
		{"it can be looked at in the end", 0, time.Minute, ""},
		{"it cannot", -1 << 30, time.Second, "nobody could look at the app"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			looks := tc.looks
			e := New(st, nil, slow{&looks}, slog.New(slog.DiscardHandler), time.Now,
				func(string) {})
			c := &Call{Run: migration.Run{ID: "r", MigrationID: "m"}, engine: e}
			ctx, cancel := context.WithTimeout(t.Context(), tc.within)
			defer cancel()
			err := c.Prove(ctx, evidence.Retries, migration.Attested, "the journal", facts)
			if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("it says %v", err)
			}
			if tc.says != "" {
				asked := looks
				if err := c.ByProduct(t.Context(), evidence.Retries, migration.Attested,
					"the journal", facts); err != nil || looks != asked+1 {
					t.Errorf("a by-product was held up by %d looks: %v", looks-asked, err)
				}
				return
			}
			kept, err := st.Evidence(t.Context(), "m", evidence.Retries, 1)
			if err != nil || len(kept) != 1 {
				t.Fatal(kept, err)
			}
			if _, about := kept[0].Subject[migration.AspectApp]; !about || looks != 3 {
				t.Errorf("after %d looks it is about %v", looks, kept[0].Subject)
			}
		})
	}
}
