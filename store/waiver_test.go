package store

import (
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

func TestAWaiverIsSignedOnceAndOnlyTakenBack(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		signed, err := s.AddWaiver(ctx, mid, migration.Waiver{Member: "worker:a/b", By: "ada",
			Why: "that host was shut down", At: noon, Until: noon.Add(time.Hour)})
		ok(t, err)
		counting := func(at time.Time) int {
			t.Helper()
			all, err := s.Waivers(ctx, mid, &at)
			ok(t, err)
			return len(all)
		}
		if counting(noon) != 1 || counting(noon.Add(time.Hour)) != 0 {
			t.Error("it does not count until its end, and no longer")
		}
		for _, sql := range []string{
			"DELETE FROM waivers", "UPDATE waivers SET until = until + 1",
			"UPDATE waivers SET by_name = 'grace'", "UPDATE waivers SET member = 'worker:c/d'",
			"UPDATE waivers SET revoked_at = 5",
		} {
			if err := s.db.Exec(sql).Error; err == nil {
				t.Errorf("%s is possible", sql)
			}
		}
		wantKind(t, s.RevokeWaiver(ctx, "another", signed.ID, "grace", noon), migration.NotFound)
		ok(t, s.RevokeWaiver(ctx, mid, signed.ID, "grace", noon.Add(time.Minute)))
		wantKind(t, s.RevokeWaiver(ctx, mid, signed.ID, "ada", noon), migration.NotFound)
		if counting(noon) != 0 {
			t.Error("one that was taken back counts")
		}
		all, err := s.Waivers(ctx, mid, nil)
		if err != nil || len(all) != 1 || all[0].RevokedBy != "grace" || all[0].By != "ada" {
			t.Errorf("%+v, %v", all, err)
		}
	})
}

func TestEvidenceKeepsItsSubject(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		about := migration.Subject{migration.AspectApp: {"web 1", "worker 1"},
			migration.AspectTarget: nil}
		for _, subject := range []migration.Subject{about, nil} {
			_, err := s.AddEvidence(t.Context(), mid, migration.Evidence{
				Check: "dual-write", Proof: migration.Observed, Facts: []byte(`{}`),
				Source: "test", Subject: subject, ObservedAt: noon})
			ok(t, err)
		}
		all, err := s.Evidence(t.Context(), mid, "", 10)
		ok(t, err)
		if len(all[0].Subject) != 0 {
			t.Errorf("what said nothing is about %v", all[0].Subject)
		}
		got := all[1].Subject
		if _, told := got[migration.AspectTarget]; !told || len(got[migration.AspectApp]) != 2 {
			t.Errorf("%v", got)
		}
	})
}
