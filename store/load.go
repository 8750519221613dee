package store

import (
	"context"
	"encoding/json"
	"time"
)

// LoadHour is what one side's server did and held in one hour; Body is the JSON of a
// capacity.Hour.
type LoadHour struct {
	Start time.Time
	Body  json.RawMessage
}

// SaveLoadHour writes an hour over what was saved of it, and forgets hours of that side
// from before keepFrom.
func (s *Store) SaveLoadHour(
	ctx context.Context, mid, side string, h LoadHour, keepFrom time.Time,
) error {
	db := s.db.WithContext(ctx)
	if err := db.Exec("INSERT INTO load_hours (migration_id, side, start, body) VALUES (?, "+
		"?, ?, ?) ON CONFLICT (migration_id, side, start) DO UPDATE SET body = excluded.body",
		mid, side, millis(h.Start), string(h.Body)).Error; err != nil {
		return err
	}
	return db.Exec("DELETE FROM load_hours WHERE migration_id = ? AND side = ? AND start < ?",
		mid, side, millis(keepFrom)).Error
}

// LoadHours gives the hours of one side since a time, oldest first.
func (s *Store) LoadHours(
	ctx context.Context, mid, side string, since time.Time,
) ([]LoadHour, error) {
	var rows []struct {
		Start int64
		Body  string
	}
	if err := s.db.WithContext(ctx).Raw("SELECT start, body FROM load_hours WHERE "+
		"migration_id = ? AND side = ? AND start >= ? ORDER BY start", mid, side,
		millis(since)).Scan(&rows).Error; err != nil {
		return nil, err
	}
	out := make([]LoadHour, len(rows))
	for i, r := range rows {
		out[i] = LoadHour{fromMillis(r.Start), json.RawMessage(r.Body)}
	}
	return out, nil
}
