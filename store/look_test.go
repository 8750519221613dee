package store

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
)

// A look beside the process that has the database open reads what is stored and changes nothing.
func TestALookReadsWhatAnotherProcessHasOpen(t *testing.T) {
	t.Parallel()
	for name, database := range dialects {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := database(t)
			s := withMigration(t, openURL(t, url))
			createSet(t, s, mid)
			revise(t, s, mid, `{"flags":{}}`)
			look, err := Look(t.Context(), url)
			ok(t, err)
			defer func() { ok(t, look.Close()) }()
			all, err := look.Migrations(t.Context())
			ok(t, err)
			if len(all) != 1 || all[0].ID != mid {
				t.Errorf("%+v", all)
			}
			r, err := look.FlagSetRevision(t.Context(), mid, 0)
			ok(t, err)
			if r.Revision != 1 {
				t.Errorf("%+v", r)
			}
			err = look.CreateMigration(t.Context(), migration.Migration{ID: "other", Name: "Other",
				EventDate: noon, CreatedBy: "ada", CreatedAt: noon})
			if err == nil {
				t.Error("a look writes")
			}
		})
	}
}

func TestALookAtNothingMakesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := Look(t.Context(), filepath.Join(dir, "switchyard.db")); migration.KindOf(
		err) != migration.NotFound {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%v %v", left, err)
	}
}
