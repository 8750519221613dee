package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/switchyard-dev/switchyard/migration"
)

// SeriesBucket is what was measured of a series in one step of time, or what it got since it
// was saved last.
type SeriesBucket struct {
	Name  string
	Step  time.Duration
	Start int64 // unix ms, a multiple of Step
	Count int64 // more than 0
	Sum   float64
	Least float64
	Most  float64
}

// SaveSeries adds buckets to what is there of them, in one transaction. No two are the same.
func (s *Store) SaveSeries(ctx context.Context, mid string, buckets []SeriesBucket) error {
	return s.transact(ctx, func(tx *gorm.DB) error {
		rows := make(table, len(buckets))
		for i, b := range buckets {
			rows[i] = []any{mid, b.Step.Milliseconds(), b.Start, b.Name, b.Count, b.Sum, b.Least,
				b.Most}
		}
		return rows.insert(tx, "series_buckets "+
			"(migration_id, step, start, name, count, sum, least, most)", 4,
			`(migration_id, step, start, name) DO UPDATE SET
			count = series_buckets.count + excluded.count,
			sum = series_buckets.sum + excluded.sum,
			least = CASE WHEN excluded.least < series_buckets.least
				THEN excluded.least ELSE series_buckets.least END,
			most = CASE WHEN excluded.most > series_buckets.most
				THEN excluded.most ELSE series_buckets.most END`)
	})
}

// PruneSeries forgets buckets of a width from before a time.
func (s *Store) PruneSeries(
	ctx context.Context, mid string, step time.Duration, before time.Time,
) error {
	return s.db.WithContext(ctx).Exec(
		"DELETE FROM series_buckets WHERE migration_id = ? AND step = ? AND start < ?",
		mid, step.Milliseconds(), millis(before)).Error
}

// Series gives the buckets of a width of some series from since until before until, oldest
// first.
func (s *Store) Series(
	ctx context.Context, mid string, names []string, step time.Duration, since, until time.Time,
) ([]SeriesBucket, error) {
	var rows []struct {
		Name  string
		Start int64
		Count int64
		Sum   float64
		Least float64
		Most  float64
	}
	if err := s.db.WithContext(ctx).Raw("SELECT name, start, count, sum, least, most FROM "+
		"series_buckets WHERE migration_id = ? AND step = ? AND start >= ? AND start < ? AND "+
		"name IN ? ORDER BY start", mid, step.Milliseconds(), millis(since), millis(until),
		names).Scan(&rows).Error; err != nil {
		return nil, err
	}
	out := make([]SeriesBucket, len(rows))
	for i, r := range rows {
		out[i] = SeriesBucket{r.Name, step, r.Start, r.Count, r.Sum, r.Least, r.Most}
	}
	return out, nil
}

// RunsBetween lists the runs that were carried out at any time between since and until, by their
// beginning, without plans and actions; at most limit, the newest of them.
func (s *Store) RunsBetween(
	ctx context.Context, mid string, since, until time.Time, limit int,
) ([]migration.Run, error) {
	var rows []runRow
	if err := s.db.WithContext(ctx).Raw("SELECT id, migration_id, step, params, state, "+
		"rollback, 'null' AS plan, 'null' AS measure, created_at, started_at, finished_at "+
		"FROM runs WHERE migration_id = ? AND started_at < ? AND "+
		"(finished_at IS NULL OR finished_at >= ?) ORDER BY started_at DESC LIMIT ?", mid,
		millis(until), millis(since), limit).Scan(&rows).Error; err != nil {
		return nil, err
	}
	out := make([]migration.Run, len(rows))
	for i, r := range rows {
		run, err := r.value()
		if err != nil {
			return nil, err
		}
		out[len(rows)-1-i] = run
	}
	return out, nil
}
