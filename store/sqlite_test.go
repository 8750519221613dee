package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"testing"

	"github.com/pressly/goose/v3"
)

// versionOne makes a database with the first version of the schema and the given rows
// of the table that held flags then.
func versionOne(t *testing.T, file string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file)
	ok(t, err)
	defer func() { _ = db.Close() }()
	files, err := fs.Sub(schema, "migrations/sqlite")
	ok(t, err)
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files)
	ok(t, err)
	_, err = provider.UpTo(t.Context(), 1)
	ok(t, err)
	for _, statement := range statements {
		_, err := db.ExecContext(t.Context(), statement)
		ok(t, err)
	}
}

func TestFlagsOfTheFirstVersionKeepEveryRevision(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "switchyard.db")
	row := func(migration string, revision int, key, value, actor string) string {
		return fmt.Sprintf("INSERT INTO flag_revisions (migration_id, revision, key, value, "+
			"actor, reason, run_id, at) VALUES ('%s', %d, '%s', '%s', '%s', 'because', 'r%d', %d)",
			migration, revision, key, value, actor, revision, noon.UnixMilli()+int64(revision))
	}
	versionOne(t, file,
		"INSERT INTO migrations VALUES ('orders', 'Orders', '{}', 0, 'ada', 1), ('empty', "+
			"'Empty', '{}', 0, 'ada', 2), ('other', 'Other', '{}', 0, 'bob', 3)",
		row("orders", 1, "stage", `"off"`, "ada"), row("orders", 1, "ramp", `0`, "ada"),
		row("other", 1, "stage", `"live"`, "bob"),
		row("orders", 2, "stage", `"live"`, "bob"),
		row("orders", 3, "ramp", `10`, "ada"),
		row("orders", 3, "a key with \"quotes\"", `true`, "ada"),
		row("orders", 4, "stage", `"off"`, "eve"))
	s := openURL(t, file)

	history, err := s.FlagSetHistory(t.Context(), mid, 0, 10)
	ok(t, err)
	want := []map[string]any{
		{"stage": "off", "ramp": 10.0, `a key with "quotes"`: true},
		{"stage": "live", "ramp": 10.0, `a key with "quotes"`: true},
		{"stage": "live", "ramp": 0.0},
		{"stage": "off", "ramp": 0.0},
	}
	actors := []string{"eve", "ada", "bob", "ada"}
	if len(history) != len(want) {
		t.Fatalf("%d revisions, want %d", len(history), len(want))
	}
	for i, r := range history {
		revision := int64(len(want) - i)
		if r.Revision != revision || r.Actor != actors[i] || r.Reason != "because" ||
			r.RunID != fmt.Sprint("r", revision) ||
			r.At.UnixMilli() != noon.UnixMilli()+revision {
			t.Errorf("revision %d is %+v", revision, r)
		}
		if got := values(t, r.Definition); fmt.Sprint(got) != fmt.Sprint(want[i]) {
			t.Errorf("revision %d says %v, want %v", revision, got, want[i])
		}
	}
	sets, err := s.FlagSets(t.Context(), "")
	ok(t, err)
	got := map[string]int64{}
	for _, f := range sets {
		got[f.ID+" of "+f.MigrationID] = f.Revision
	}
	if want := map[string]int64{"orders of orders": 4, "empty of empty": 0,
		"other of other": 1}; !maps.Equal(got, want) {
		t.Errorf("sets %v, want %v", got, want)
	}
	if r := revise(t, s, mid, `{"flags":{}}`); r.Revision != 5 {
		t.Errorf("the next revision is %d", r.Revision)
	}
}

// values are what the flags of a definition give everybody.
func values(t *testing.T, definition json.RawMessage) map[string]any {
	t.Helper()
	var d struct {
		Flags map[string]struct {
			State          string
			Variants       map[string]any
			DefaultVariant string
		}
	}
	ok(t, json.Unmarshal(definition, &d))
	out := map[string]any{}
	for key, f := range d.Flags {
		if f.State != "ENABLED" || len(f.Variants) != 1 {
			t.Errorf("flag %s is %+v", key, f)
		}
		out[key] = f.Variants[f.DefaultVariant]
	}
	return out
}
