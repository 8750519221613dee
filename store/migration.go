package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
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
	m := migration.Migration{
		ID:        r.ID,
		Name:      r.Name,
		EventDate: fromMillis(r.EventDate),
		CreatedBy: r.CreatedBy,
		CreatedAt: fromMillis(r.CreatedAt),
	}
	if err := json.Unmarshal([]byte(r.Plan), &m.Plan); err != nil {
		return m, fmt.Errorf("plan of migration %s: %w", r.ID, err)
	}
	return m, nil
}

// CreateMigration stores a migration with its own copy of the plan. Conflict when the
// id is taken.
func (s *Store) CreateMigration(ctx context.Context, m migration.Migration) error {
	plan, err := toJSON(m.Plan)
	if err != nil {
		return err
	}
	err = s.db.WithContext(ctx).Create(&migrationRow{m.ID, m.Name, plan, millis(m.EventDate),
		m.CreatedBy, millis(m.CreatedAt)}).Error
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
	if err := s.db.WithContext(ctx).Where("key = ?", key).Find(&rows).Error; err != nil ||
		len(rows) == 0 {
		return false, err
	}
	return true, json.Unmarshal([]byte(rows[0].Value), v)
}

// SetSetting stores a small fact under a key, replacing what was there. Never a
// credential.
func (s *Store) SetSetting(ctx context.Context, key string, v any) error {
	b, err := toJSON(v)
	if err != nil {
		return err
	}
	return s.db.WithContext(ctx).Exec("INSERT INTO settings (key, value) VALUES (?, ?) ON "+
		"CONFLICT (key) DO UPDATE SET value = excluded.value", key, b).Error
}

type evidenceRow struct {
	ID          int64
	MigrationID string
	Check       string
	Proof       string
	Facts       string
	Source      string
	RunID       string
	Subject     string
	ObservedAt  int64
}

func (evidenceRow) TableName() string { return "evidence" }

func (r evidenceRow) value() migration.Evidence {
	e := migration.Evidence{ID: r.ID, Check: r.Check, Proof: migration.Proof(r.Proof),
		Facts: json.RawMessage(r.Facts), Source: r.Source,
		RunID: r.RunID, ObservedAt: fromMillis(r.ObservedAt)}
	// what cannot be read says nothing of its subject, which is void
	_ = json.Unmarshal([]byte(r.Subject), &e.Subject)
	return e
}

// AddEvidence appends one observation and returns it with its id.
func (s *Store) AddEvidence(
	ctx context.Context, mid string, e migration.Evidence,
) (migration.Evidence, error) {
	if _, ok := evidence.Of(e.Check); !ok {
		return e, migration.Errorf(migration.Invalid,
			"evidence for the unknown check %q", e.Check)
	}
	subject := "{}"
	if e.Subject != nil {
		var err error
		if subject, err = toJSON(e.Subject); err != nil {
			return e, err
		}
	}
	r := evidenceRow{
		MigrationID: mid,
		Check:       e.Check,
		Proof:       string(e.Proof),
		Facts:       string(e.Facts),
		Source:      e.Source,
		RunID:       e.RunID,
		Subject:     subject,
		ObservedAt:  millis(e.ObservedAt),
	}
	if err := s.db.WithContext(ctx).Create(&r).Error; err != nil {
		return e, fmt.Errorf("add evidence for %s: %w", e.Check, err)
	}
	return r.value(), nil
}

// LatestEvidence returns the newest observation of each check.
func (s *Store) LatestEvidence(
	ctx context.Context, mid string,
) (map[string]migration.Evidence, error) {
	var rows []evidenceRow
	err := s.db.WithContext(ctx).
		Where(`id IN (SELECT max(id) FROM evidence WHERE migration_id = ? GROUP BY "check")`,
			mid).Find(&rows).Error
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
func (s *Store) Evidence(
	ctx context.Context, mid, check string, limit int,
) ([]migration.Evidence, error) {
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

// DeleteSetting forgets a small fact; one that is not there is no error.
func (s *Store) DeleteSetting(ctx context.Context, key string) error {
	return s.db.WithContext(ctx).Exec("DELETE FROM settings WHERE key = ?", key).Error
}
