package store

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

func TestASecondProcessIsKeptOutOfTheFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "switchyard.db")
	first := openURL(t, file)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := Open(ctx, file)
	wantKind(t, err, migration.Conflict)
	if !strings.Contains(err.Error(), "another switchyard uses") {
		t.Errorf("does not say why: %v", err)
	}
	ok(t, first.Close())
	openURL(t, file)
}

func TestTheFileAndItsFolderArePrivate(t *testing.T) {
	t.Parallel()
	shared := t.TempDir()
	ok(t, os.Chmod(shared, 0o755))
	dir := filepath.Join(shared, "data")
	paths := []string{dir}
	for _, file := range []string{filepath.Join(dir, "switchyard.db"),
		filepath.Join(shared, "switchyard.db")} {
		s := openURL(t, file)
		ok(t, s.CreateUser(t.Context(), "ada", migration.RoleEngineer, "hash", noon))
		paths = append(paths, file, file+"-wal", file+".lock")
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		ok(t, err)
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
	}
}

func TestReopeningKeepsEverything(t *testing.T) {
	t.Parallel()
	for name, database := range dialects {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, url := t.Context(), database(t)
			s := openURL(t, url)
			ok(t, s.CreateMigration(ctx,
				migration.Migration{ID: mid, Name: "Orders", Plan: migration.Plan{Name: "Plan",
					Criteria: []migration.Criterion{{ID: "noeviction",
						Requires: []migration.Requirement{{Check: evidence.Policy,
							MaxAge: time.Hour}}}}}, EventDate: noon, CreatedBy: "ada",
					CreatedAt: noon}))
			_, err := s.AddEvidence(ctx, mid, measured(evidence.Policy, `{"nodes":[]}`))
			ok(t, err)
			createSet(t, s, mid)
			revise(t, s, mid, `{"flags":{}}`)
			ok(t, s.CreateRun(ctx, run("r1", "audit", "ada")))
			ok(t, s.SetProgress(ctx, "r1", "half way", nil))
			ok(t, s.CreateUser(ctx, "ada", migration.RoleEngineer, "hash", noon))
			ok(t, s.CreateSession(ctx, "token", "ada", noon))
			ok(t, s.AppendAudit(ctx,
				migration.AuditEntry{At: noon, Actor: "ada", Action: "start", Result: "ok"}))
			ok(t, s.SetSetting(ctx, "target", map[string]string{"database_id": "db1"}))
			ok(t, s.NoteSignInFailure(ctx, "user ada", noon))
			ok(t, s.Close())

			s = openURL(t, url)
			m, err := s.Migration(ctx, mid)
			ok(t, err)
			if m.Plan.Criteria[0].Requires[0].MaxAge != time.Hour || !m.EventDate.Equal(noon) {
				t.Errorf("migration %+v", m)
			}
			if e, err := s.LatestEvidence(ctx, mid); err != nil || len(e) != 1 {
				t.Errorf("evidence %v, %v", e, err)
			}
			if r, err := s.FlagSetRevision(ctx, mid, 0); err != nil || r.Revision != 1 ||
				string(r.Definition) != `{"flags":{}}` {
				t.Errorf("flags %+v, %v", r, err)
			}
			if r, err := s.OpenRun(ctx, mid); err != nil || r.ID != "r1" ||
				r.Progress != "half way" || r.Plan.Hash != "h" {
				t.Errorf("run %+v, %v", r, err)
			}
			if ids, err := s.RunsInState(ctx, migration.RunQueued); err != nil ||
				len(ids) != 1 {
				t.Errorf("queued %v, %v", ids, err)
			}
			if a, err := s.Session(ctx, "token", noon.Add(-time.Hour), noon.Add(-time.Hour),
				noon); err != nil || a.Role != migration.RoleEngineer {
				t.Errorf("session of %+v, %v", a, err)
			}
			if n, err := s.SignInFailures(ctx, "user ada",
				noon.Add(-time.Hour)); err != nil || n != 1 {
				t.Errorf("failures %d, %v", n, err)
			}
			var ref map[string]string
			if found, err := s.Setting(ctx, "target", &ref); err != nil || !found ||
				ref["database_id"] != "db1" {
				t.Errorf("setting %v, %v", ref, err)
			}
			ok(t, s.VerifyAudit(ctx))
			ok(t, s.DeleteSetting(ctx, "target"))
			if found, err := s.Setting(ctx, "target", &ref); err != nil || found {
				t.Errorf("a deleted setting is there: %v", err)
			}
		})
	}
}
