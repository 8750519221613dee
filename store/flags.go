package store

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"gorm.io/gorm"

	"github.com/switchyard-dev/switchyard/migration"
)

type flagSetRow struct {
	ID          string
	MigrationID string
	Name        string
	CreatedBy   string
	CreatedAt   int64
	Revision    int64 `gorm:"->"`
}

// CreateFlagSet adds an empty flag set; Conflict when the id is taken. Its first
// revision is made by ReviseFlagSet.
func (s *Store) CreateFlagSet(ctx context.Context, f migration.FlagSet) error {
	err := s.db.WithContext(ctx).Exec("INSERT INTO flag_sets (id, migration_id, name, "+
		"created_by, created_at) VALUES (?,?,?,?,?)",
		f.ID, f.MigrationID, f.Name, f.CreatedBy, millis(f.CreatedAt)).Error
	if isUnique(err) {
		return migration.Errorf(migration.Conflict, "there is a flag set %q already", f.ID)
	}
	return err
}

// FlagSets lists a migration's flag sets (empty: every migration's) with their latest
// revision, oldest first.
func (s *Store) FlagSets(ctx context.Context, mid string) ([]migration.FlagSet, error) {
	q := s.db.WithContext(ctx).Table("flag_sets").Order("created_at, id").
		Select("flag_sets.*, (SELECT coalesce(max(revision), 0) FROM flag_set_revisions r " +
			"WHERE r.set_id = flag_sets.id) AS revision")
	if mid != "" {
		q = q.Where("migration_id = ?", mid)
	}
	var rows []flagSetRow
	if err := q.Find(&rows).Error; err != nil {
		return nil, err
	}
	out := make([]migration.FlagSet, 0, len(rows))
	for _, r := range rows {
		out = append(out, migration.FlagSet{
			ID:          r.ID,
			MigrationID: r.MigrationID,
			Name:        r.Name,
			Revision:    r.Revision,
			CreatedBy:   r.CreatedBy,
			CreatedAt:   fromMillis(r.CreatedAt),
		})
	}
	return out, nil
}

type flagSetRevisionRow struct {
	SetID      string
	Revision   int64
	Definition string
	Actor      string
	Reason     string
	RunID      string
	At         int64
}

func (flagSetRevisionRow) TableName() string { return "flag_set_revisions" }

func (r flagSetRevisionRow) value() migration.FlagSetRevision {
	return migration.FlagSetRevision{
		Set:        r.SetID,
		Revision:   r.Revision,
		Definition: json.RawMessage(r.Definition),
		Actor:      r.Actor,
		Reason:     r.Reason,
		RunID:      r.RunID,
		At:         fromMillis(r.At),
	}
}

// FlagSetRevision gives one revision of a flag set; 0 the latest. NotFound when there
// is none.
func (s *Store) FlagSetRevision(
	ctx context.Context, set string, revision int64,
) (migration.FlagSetRevision, error) {
	q := s.db.WithContext(ctx).Where("set_id = ?", set).Order("revision DESC")
	if revision != 0 {
		q = q.Where("revision = ?", revision)
	}
	var r flagSetRevisionRow
	if err := q.Take(&r).Error; err != nil {
		return migration.FlagSetRevision{},
			missing(err, "flag set %s has no revision %d", set, revision)
	}
	return r.value(), nil
}

// FlagSetHistory lists a flag set's revisions below before (0: from the latest), newest
// first.
func (s *Store) FlagSetHistory(
	ctx context.Context, set string, before int64, limit int,
) ([]migration.FlagSetRevision, error) {
	q := s.db.WithContext(ctx).Where("set_id = ?", set).Order("revision DESC").Limit(limit)
	if before > 0 {
		q = q.Where("revision < ?", before)
	}
	var rows []flagSetRevisionRow
	if err := q.Find(&rows).Error; err != nil {
		return nil, err
	}
	out := make([]migration.FlagSetRevision, 0, len(rows))
	for _, r := range rows {
		out = append(out, r.value())
	}
	return out, nil
}

// ReviseFlagSet makes the next revision of a flag set in one transaction: change gets
// the latest definition (nil before the first) and the number of the revision to make,
// and gives the new definition. The same bytes as before make no revision, so a step
// that is run again after a kill changes nothing; then the latest is returned. A base
// above 0 must be the latest revision, or it is a Conflict; a set that does not exist
// is NotFound. change holds the set's lock: it must be quick, must not use the store,
// and may be called again.
func (s *Store) ReviseFlagSet(
	ctx context.Context, set string, base int64,
	change func(now json.RawMessage, next int64) (json.RawMessage, error),
	actor, reason, runID string, at time.Time,
) (migration.FlagSetRevision, error) {
	var next flagSetRevisionRow
	err := s.transact(ctx, func(tx *gorm.DB) error {
		if err := lockRow(tx, "flag_sets", set); err != nil {
			return missing(err, "there is no flag set %q", set)
		}
		var latest []flagSetRevisionRow
		if err := tx.Where("set_id = ?",
			set).Order("revision DESC").Limit(1).Find(&latest).Error; err != nil {
			return err
		}
		var now flagSetRevisionRow
		var before json.RawMessage
		if len(latest) > 0 {
			now, before = latest[0], json.RawMessage(latest[0].Definition)
		}
		if base > 0 && base != now.Revision {
			return migration.Errorf(migration.Conflict, "flag set %s is at revision %d, and "+
				"the change was made from revision %d: look at what %s changed, then repeat it",
				set, now.Revision, base, now.Actor)
		}
		after, err := change(before, now.Revision+1)
		if err != nil {
			return err
		}
		if len(latest) > 0 && bytes.Equal(before, after) {
			next = now
			return nil
		}
		next = flagSetRevisionRow{
			SetID:      set,
			Revision:   now.Revision + 1,
			Definition: string(after),
			Actor:      text(actor),
			Reason:     text(reason),
			RunID:      runID,
			At:         millis(at),
		}
		if err := tx.Create(&next).Error; err != nil {
			return fmt.Errorf("flag set %s: %w", set, err)
		}
		return nil
	})
	if err != nil {
		return migration.FlagSetRevision{}, err
	}
	return next.value(), nil
}

type apiKeyRow struct {
	ID            string
	Name          string
	SetID         string
	Prefix        string
	Hash          string
	RatePerSecond int
	CreatedBy     string
	CreatedAt     int64
	RevokedAt     *int64
}

func (apiKeyRow) TableName() string { return "api_keys" }

// CreateAPIKey keeps a key by its hash.
func (s *Store) CreateAPIKey(ctx context.Context, k migration.APIKey) error {
	return s.db.WithContext(ctx).Create(&apiKeyRow{ID: k.ID, Name: k.Name, SetID: k.Set,
		Prefix: k.Prefix, Hash: hex.EncodeToString(k.Hash), RatePerSecond: k.RatePerSecond,
		CreatedBy: k.CreatedBy, CreatedAt: millis(k.CreatedAt)}).Error
}

// APIKeys lists every key, also revoked ones, oldest first.
func (s *Store) APIKeys(ctx context.Context) ([]migration.APIKey, error) {
	var rows []apiKeyRow
	if err := s.db.WithContext(ctx).Order("created_at, id").Find(&rows).Error; err != nil {
		return nil, err
	}
	out := make([]migration.APIKey, 0, len(rows))
	for _, r := range rows {
		hash, err := hex.DecodeString(r.Hash)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", r.ID, err)
		}
		out = append(out,
			migration.APIKey{ID: r.ID, Name: r.Name, Set: r.SetID, Prefix: r.Prefix, Hash: hash,
				RatePerSecond: r.RatePerSecond, CreatedBy: r.CreatedBy,
				CreatedAt: fromMillis(r.CreatedAt), RevokedAt: optional(r.RevokedAt)})
	}
	return out, nil
}

// RevokeAPIKey ends a key for good; NotFound when there is none, no error when it was
// revoked before.
func (s *Store) RevokeAPIKey(ctx context.Context, id string, at time.Time) error {
	res := s.db.WithContext(ctx).Exec(
		"UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?", millis(at), id)
	if res.Error == nil && res.RowsAffected == 0 {
		return migration.Errorf(migration.NotFound, "there is no key %q", id)
	}
	return res.Error
}

type scheduleRow struct {
	ID        string
	SetID     string
	Due       int64
	Change    string
	State     string
	Result    string
	CreatedBy string
	CreatedAt int64
}

func (scheduleRow) TableName() string { return "flag_schedules" }

type scheduledChange struct {
	Edit *migration.FlagEdit  `json:"edit,omitempty"`
	Move *migration.StageMove `json:"move,omitempty"`
}

// CreateFlagSchedule keeps a pending change.
func (s *Store) CreateFlagSchedule(ctx context.Context, f migration.FlagSchedule) error {
	change, err := toJSON(scheduledChange{f.Edit, f.Move})
	if err != nil {
		return err
	}
	return s.db.WithContext(ctx).Create(&scheduleRow{
		ID:        f.ID,
		SetID:     f.Set,
		Due:       millis(f.At),
		Change:    change,
		State:     migration.SchedulePending,
		CreatedBy: f.CreatedBy,
		CreatedAt: millis(f.CreatedAt),
	}).Error
}

// FlagSchedules lists the scheduled changes of a set (empty: of all), by due time;
// onlyPending leaves out what has ended.
func (s *Store) FlagSchedules(
	ctx context.Context, set string, onlyPending bool,
) ([]migration.FlagSchedule, error) {
	q := s.db.WithContext(ctx).Order("due, id")
	if set != "" {
		q = q.Where("set_id = ?", set)
	}
	if onlyPending {
		q = q.Where("state = 'pending'")
	}
	var rows []scheduleRow
	if err := q.Find(&rows).Error; err != nil {
		return nil, err
	}
	out := make([]migration.FlagSchedule, 0, len(rows))
	for _, r := range rows {
		var c scheduledChange
		if err := json.Unmarshal([]byte(r.Change), &c); err != nil {
			return nil, fmt.Errorf("schedule %s: %w", r.ID, err)
		}
		out = append(out, migration.FlagSchedule{
			ID:        r.ID,
			Set:       r.SetID,
			At:        fromMillis(r.Due),
			Edit:      c.Edit,
			Move:      c.Move,
			State:     r.State,
			Result:    r.Result,
			CreatedBy: r.CreatedBy,
			CreatedAt: fromMillis(r.CreatedAt),
		})
	}
	return out, nil
}

// EndFlagSchedule gives a pending schedule its end; Conflict when it has ended before,
// so that two replicas cannot both carry it out.
func (s *Store) EndFlagSchedule(ctx context.Context, id, state, result string) error {
	res := s.db.WithContext(ctx).Exec(
		"UPDATE flag_schedules SET state = ?, result = ? WHERE id = ? AND state = 'pending'",
		state, text(result), id)
	if res.Error == nil && res.RowsAffected == 0 {
		return migration.Errorf(migration.Conflict, "schedule %s is not pending", id)
	}
	return res.Error
}
