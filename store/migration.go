package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

type migrationRow struct {
	ID        string
	Name      string
	Plan      string
	EventDate int64
	CreatedBy string
	CreatedAt int64
}

func (migrationRow) TableName() string { return "migrations" }

func (r migrationRow) value() (migration.Migration, error) {
	m := migration.Migration{ID: r.ID, Name: r.Name, EventDate: fromMillis(r.EventDate), CreatedBy: r.CreatedBy, CreatedAt: fromMillis(r.CreatedAt)}
	if err := json.Unmarshal([]byte(r.Plan), &m.Plan); err != nil {
		return m, fmt.Errorf("plan of migration %s: %w", r.ID, err)
	}
	return m, nil
}

// CreateMigration stores a migration with its own copy of the plan. Conflict when the id is taken.
func (s *Store) CreateMigration(ctx context.Context, m migration.Migration) error {
	plan, err := toJSON(m.Plan)
	if err != nil {
		return err
	}
	err = s.db.WithContext(ctx).Create(&migrationRow{m.ID, m.Name, plan, millis(m.EventDate), m.CreatedBy, millis(m.CreatedAt)}).Error
	if isUnique(err) {
		return migration.Errorf(migration.Conflict, "a migration %q exists already", m.ID)
	}
	return err
}

// Migration returns one migration, or NotFound.
func (s *Store) Migration(ctx context.Context, id string) (migration.Migration, error) {
	var r migrationRow
	if err := s.db.WithContext(ctx).Where("id = ?", id).Take(&r).Error; err != nil {
		return migration.Migration{}, missing(err, "there is no migration %q", id)
	}
	return r.value()
}

// Migrations lists all migrations, oldest first.
func (s *Store) Migrations(ctx context.Context) ([]migration.Migration, error) {
	var rows []migrationRow
	if err := s.db.WithContext(ctx).Order("created_at, id").Find(&rows).Error; err != nil {
		return nil, err
	}
	out := make([]migration.Migration, 0, len(rows))
	for _, r := range rows {
		m, err := r.value()
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

type settingRow struct {
	Key   string
	Value string
}

func (settingRow) TableName() string { return "settings" }

// Setting reads a small fact into v; it reports whether there is one.
func (s *Store) Setting(ctx context.Context, key string, v any) (bool, error) {
	var rows []settingRow
	if err := s.db.WithContext(ctx).Where("key = ?", key).Find(&rows).Error; err != nil || len(rows) == 0 {
		return false, err
	}
	return true, json.Unmarshal([]byte(rows[0].Value), v)
}

// SetSetting stores a small fact under a key, replacing what was there. Never a credential.
func (s *Store) SetSetting(ctx context.Context, key string, v any) error {
	b, err := toJSON(v)
	if err != nil {
		return err
	}
	return s.db.WithContext(ctx).Exec("INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", key, b).Error
}

type evidenceRow struct {
	ID          int64
	MigrationID string
	Check       string
	Proof       string
	Facts       string
	Source      string
	RunID       string
	ObservedAt  int64
}

func (evidenceRow) TableName() string { return "evidence" }

func (r evidenceRow) value() migration.Evidence {
	return migration.Evidence{ID: r.ID, Check: r.Check, Proof: migration.Proof(r.Proof), Facts: json.RawMessage(r.Facts), Source: r.Source,
		RunID: r.RunID, ObservedAt: fromMillis(r.ObservedAt)}
}

// AddEvidence appends one observation and returns it with its id.
func (s *Store) AddEvidence(ctx context.Context, mid string, e migration.Evidence) (migration.Evidence, error) {
	if _, ok := migration.CheckOf(e.Check); !ok {
		return e, migration.Errorf(migration.Invalid, "evidence for the unknown check %q", e.Check)
	}
	r := evidenceRow{MigrationID: mid, Check: e.Check, Proof: string(e.Proof), Facts: string(e.Facts), Source: e.Source, RunID: e.RunID, ObservedAt: millis(e.ObservedAt)}
	if err := s.db.WithContext(ctx).Create(&r).Error; err != nil {
		return e, fmt.Errorf("add evidence for %s: %w", e.Check, err)
	}
	return r.value(), nil
}

// LatestEvidence returns the newest observation of each check.
func (s *Store) LatestEvidence(ctx context.Context, mid string) (map[string]migration.Evidence, error) {
	var rows []evidenceRow
	err := s.db.WithContext(ctx).
		Where(`id IN (SELECT max(id) FROM evidence WHERE migration_id = ? GROUP BY "check")`, mid).Find(&rows).Error
	if err != nil {
		return nil, err
	}
	out := make(map[string]migration.Evidence, len(rows))
	for _, r := range rows {
		out[r.Check] = r.value()
	}
	return out, nil
}

// Evidence lists the observations of a check (empty: of all), newest first.
func (s *Store) Evidence(ctx context.Context, mid, check string, limit int) ([]migration.Evidence, error) {
	q := s.db.WithContext(ctx).Where("migration_id = ?", mid).Order("id DESC").Limit(limit)
	if check != "" {
		q = q.Where(`"check" = ?`, check)
	}
	var rows []evidenceRow
	if err := q.Find(&rows).Error; err != nil {
		return nil, err
	}
	out := make([]migration.Evidence, 0, len(rows))
	for _, r := range rows {
		out = append(out, r.value())
	}
	return out, nil
}

type flagRow struct {
	ID          int64
	Revision    int64
	MigrationID string
	Key         string
	Value       string
	Previous    string
	Actor       string
	Reason      string
	RunID       string
	At          int64
}

func (flagRow) TableName() string { return "flag_revisions" }

func (r flagRow) value() (migration.FlagRevision, error) {
	f := migration.FlagRevision{Revision: r.Revision, Key: r.Key, Actor: r.Actor, Reason: r.Reason, RunID: r.RunID, At: fromMillis(r.At)}
	var err error
	if f.Value, err = flagValue(r.Value); err == nil {
		f.Previous, err = flagValue(r.Previous)
	}
	return f, err
}

// flagValue decodes a stored value; numbers are whole.
func flagValue(s string) (any, error) {
	var v any
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		return nil, fmt.Errorf("flag value %s: %w", s, err)
	}
	if n, ok := v.(float64); ok {
		return int64(n), nil
	}
	return v, nil
}

// FlagChange is the new value of one flag: a string or an int64.
type FlagChange struct {
	Key   string
	Value any
}

// SetFlags writes the changes as one new revision of the flag set and returns its number. Values that are the same already make no
// revision, so a step that is run again after a kill changes nothing; then the present revision is returned.
func (s *Store) SetFlags(ctx context.Context, mid string, changes []FlagChange, actor, reason, runID string, at time.Time) (int64, error) {
	tx, err := s.sql.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }()
	var revision int64
	if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(revision), 0) FROM flag_revisions WHERE migration_id = ?", mid).Scan(&revision); err != nil {
		return 0, err
	}
	next := revision + 1
	changed := false
	for _, c := range changes {
		value, err := toJSON(c.Value)
		if err != nil {
			return 0, err
		}
		previous := "null"
		if err := tx.QueryRowContext(ctx, `SELECT coalesce((SELECT value FROM flag_revisions WHERE migration_id = ? AND key = ? ORDER BY id DESC LIMIT 1), 'null')`,
			mid, c.Key).Scan(&previous); err != nil {
			return 0, err
		}
		if previous == value {
			continue
		}
		changed = true
		if _, err := tx.ExecContext(ctx, `INSERT INTO flag_revisions (revision, migration_id, key, value, previous, actor, reason, run_id, at) VALUES (?,?,?,?,?,?,?,?,?)`,
			next, mid, c.Key, value, previous, actor, reason, runID, millis(at)); err != nil {
			return 0, fmt.Errorf("flag %s: %w", c.Key, err)
		}
	}
	if !changed {
		return revision, nil
	}
	return next, tx.Commit()
}

// Flags returns the latest revision of each flag, sorted by key, and the flag set's revision.
func (s *Store) Flags(ctx context.Context, mid string) ([]migration.FlagRevision, int64, error) {
	var rows []flagRow
	err := s.db.WithContext(ctx).Where("id IN (SELECT max(id) FROM flag_revisions WHERE migration_id = ? GROUP BY key)", mid).Order("key").Find(&rows).Error
	if err != nil {
		return nil, 0, err
	}
	out, err := flagValues(rows)
	var revision int64
	for _, f := range out {
		revision = max(revision, f.Revision)
	}
	return out, revision, err
}

// FlagHistory lists flag changes, newest first.
func (s *Store) FlagHistory(ctx context.Context, mid string, limit int) ([]migration.FlagRevision, error) {
	var rows []flagRow
	if err := s.db.WithContext(ctx).Where("migration_id = ?", mid).Order("id DESC").Limit(limit).Find(&rows).Error; err != nil {
		return nil, err
	}
	return flagValues(rows)
}

func flagValues(rows []flagRow) ([]migration.FlagRevision, error) {
	out := make([]migration.FlagRevision, 0, len(rows))
	for _, r := range rows {
		f, err := r.value()
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// DeleteSetting forgets a small fact; one that is not there is no error.
func (s *Store) DeleteSetting(ctx context.Context, key string) error {
	return s.db.WithContext(ctx).Exec("DELETE FROM settings WHERE key = ?", key).Error
}
