package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/switchyard-dev/switchyard/migration"
)

// ReportLink is an address by which somebody without an account reads the status report. Its
// token is not kept, only the hash.
type ReportLink struct {
	ID          int64
	MigrationID string
	Note        string
	By          string
	At          time.Time
	Until       time.Time
	RevokedBy   string
	RevokedAt   *time.Time
}

// Counts reports whether the link still leads anywhere.
func (l ReportLink) Counts(at time.Time) bool { return l.RevokedAt == nil && l.Until.After(at) }

type reportLinkRow struct {
	ID          int64
	MigrationID string
	Hash        string
	Note        string
	CreatedBy   string
	CreatedAt   int64 `gorm:"autoCreateTime:false"`
	ExpiresAt   int64
	RevokedBy   string
	RevokedAt   int64
}

func (reportLinkRow) TableName() string { return "report_links" }

func (r reportLinkRow) value() ReportLink {
	l := ReportLink{ID: r.ID, MigrationID: r.MigrationID, Note: r.Note, By: r.CreatedBy,
		At: fromMillis(r.CreatedAt), Until: fromMillis(r.ExpiresAt), RevokedBy: r.RevokedBy}
	if r.RevokedAt != 0 {
		at := fromMillis(r.RevokedAt)
		l.RevokedAt = &at
	}
	return l
}

// AddReportLink keeps a link with the hash of its token. Conflict: the migration has as many that
// count as it may.
func (s *Store) AddReportLink(
	ctx context.Context, l ReportLink, hash string, most int,
) (ReportLink, error) {
	r := reportLinkRow{MigrationID: l.MigrationID, Hash: hash, Note: text(l.Note),
		CreatedBy: text(l.By), CreatedAt: millis(l.At), ExpiresAt: millis(l.Until)}
	err := s.transact(ctx, func(tx *gorm.DB) error {
		r.ID = 0
		if err := lockRow(tx, "migrations", l.MigrationID); err != nil {
			return missing(err, "there is no migration %q", l.MigrationID)
		}
		var n int64
		if err := tx.Model(&reportLinkRow{}).Where("migration_id = ? AND revoked_at = 0 AND "+
			"expires_at > ?", l.MigrationID, millis(l.At)).Count(&n).Error; err != nil {
			return err
		}
		if n >= int64(most) {
			return migration.Errorf(migration.Conflict,
				"there are %d links that count, and there may be %d: revoke one first", n, most)
		}
		return tx.Create(&r).Error
	})
	return r.value(), s.failure(err)
}

// ReportLinks lists the last links of a migration, the newest first, also those that lead nowhere.
func (s *Store) ReportLinks(ctx context.Context, mid string, limit int) ([]ReportLink, error) {
	var rows []reportLinkRow
	err := s.db.WithContext(ctx).Where("migration_id = ?", mid).Order("id DESC").Limit(limit).
		Find(&rows).Error
	out := make([]ReportLink, 0, len(rows))
	for _, r := range rows {
		out = append(out, r.value())
	}
	return out, s.failure(err)
}

// ReportLink finds a link by the hash of its token. NotFound: there is none.
func (s *Store) ReportLink(ctx context.Context, hash string) (ReportLink, error) {
	var rows []reportLinkRow
	err := s.db.WithContext(ctx).Where("hash = ?", hash).Find(&rows).Error
	if err == nil && len(rows) == 0 {
		err = migration.Errorf(migration.NotFound, "there is no report at this address")
	}
	if err != nil {
		return ReportLink{}, s.failure(err)
	}
	return rows[0].value(), nil
}

// RevokeReportLink makes a link lead nowhere. NotFound: there is none of that number that counts.
func (s *Store) RevokeReportLink(
	ctx context.Context, mid string, id int64, by string, at time.Time,
) error {
	res := s.db.WithContext(ctx).Exec(`UPDATE report_links SET revoked_by = ?, revoked_at = ?
		WHERE migration_id = ? AND id = ? AND revoked_at = 0`, text(by), millis(at), mid, id)
	if res.Error == nil && res.RowsAffected == 0 {
		return migration.Errorf(migration.NotFound,
			"there is no link %d, or it was revoked already", id)
	}
	return s.failure(res.Error)
}
