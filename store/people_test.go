package store

import (
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

func TestAccountsAndNamesOfTheAuditLogAreListed(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		ok(t, s.CreateUser(ctx, "grace", migration.RoleViewer, "hash", noon))
		ok(t, s.CreateUser(ctx, "ada", migration.RoleEngineer, "hash", noon))
		ok(t, s.CreateSession(ctx, "token", "ada", noon.Add(time.Minute)))
		for i, e := range []migration.AuditEntry{
			{Actor: "ada", Action: "sign-in", Result: "ok"},
			{Actor: "ada", Action: "start", Subject: "50 %", Result: "refused"},
			{Actor: "a_b", Action: "sign-in", Result: "refused"},
		} {
			e.At = noon.Add(time.Duration(i) * time.Hour)
			ok(t, s.AppendAudit(ctx, e))
		}
		all, err := s.Accounts(ctx)
		ok(t, err)
		if len(all) != 2 || all[0].Name != "ada" || all[0].SignedIn == nil ||
			!all[0].SignedIn.Equal(noon) || all[0].Seen == nil || all[1].SignedIn != nil {
			t.Fatalf("%+v", all)
		}
		for part, want := range map[string]int{"AD": 1, "_": 1, "": 2, "%": 0} {
			names, err := s.AuditNames(ctx, part, 10)
			ok(t, err)
			if len(names) != want {
				t.Errorf("%q: %+v, want %d", part, names, want)
			}
		}
		for name, c := range map[string]struct {
			f    AuditFilter
			want int
		}{
			"a person":            {AuditFilter{Actor: "ada"}, 2},
			"a result":            {AuditFilter{Result: "refused"}, 2},
			"text, not a pattern": {AuditFilter{Subject: "%"}, 1},
			"from a time":         {AuditFilter{Since: noon.Add(time.Hour)}, 2},
			"before a time":       {AuditFilter{Until: noon.Add(time.Hour)}, 1},
		} {
			c.f.Limit = 10
			found, err := s.Audit(ctx, c.f)
			ok(t, err)
			if len(found) != c.want {
				t.Errorf("%s: %d lines, want %d", name, len(found), c.want)
			}
		}
		_, err = s.FindRuns(ctx, "m", RunFilter{
			Step: "audit", State: "open", Person: "ada", Text: "4b_", Before: "none", Limit: 10,
		})
		ok(t, err)
	})
}
