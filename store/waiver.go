package store

import (
	"context"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

type waiverRow struct {
	ID          int64
	MigrationID string
	Member      string
	ByName      string
	Why         string
	At          int64
	Until       int64
	RevokedBy   string
	RevokedAt   int64
}

func (waiverRow) TableName() string { return "waivers" }

func (r waiverRow) value() migration.Waiver {
	w := migration.Waiver{ID: r.ID, Member: r.Member, By: r.ByName, Why: r.Why,
		At: fromMillis(r.At), Until: fromMillis(r.Until), RevokedBy: r.RevokedBy}
	if r.RevokedAt != 0 {
		at := fromMillis(r.RevokedAt)
		w.RevokedAt = &at
	}
	return w
}

// AddWaiver stores a waiver and returns it with its id.
func (s *Store) AddWaiver(
	ctx context.Context, mid string, w migration.Waiver,
) (migration.Waiver, error) {
	r := waiverRow{MigrationID: mid, Member: text(w.Member), ByName: w.By, Why: text(w.Why),
		At: millis(w.At), Until: millis(w.Until)}
	if err := s.db.WithContext(ctx).Create(&r).Error; err != nil {
		return w, s.failure(err)
	}
	return r.value(), nil
}

// RevokeWaiver takes a waiver back. NotFound: there is none of that id that counts.
func (s *Store) RevokeWaiver(
	ctx context.Context, mid string, id int64, by string, at time.Time,
) error {
	res := s.db.WithContext(ctx).Exec(`UPDATE waivers SET revoked_by = ?, revoked_at = ?
		WHERE migration_id = ? AND id = ? AND revoked_at = 0`, by, millis(at), mid, id)
	if res.Error == nil && res.RowsAffected == 0 {
		return migration.Errorf(migration.NotFound,
			"there is no waiver %d, or it was taken back already", id)
	}
	return s.failure(res.Error)
}

// Waivers lists the waivers of a migration, the newest first. With counting, only those that
// count at that time.
func (s *Store) Waivers(
	ctx context.Context, mid string, counting *time.Time,
) ([]migration.Waiver, error) {
	q := s.db.WithContext(ctx).Where("migration_id = ?", mid).Order("id DESC")
	if counting != nil {
		q = q.Where("revoked_at = 0 AND until > ?", millis(*counting))
	}
	var rows []waiverRow
	if err := q.Find(&rows).Error; err != nil {
		return nil, s.failure(err)
	}
	out := make([]migration.Waiver, 0, len(rows))
	for _, r := range rows {
		out = append(out, r.value())
	}
	return out, nil
}
