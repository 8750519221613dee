package workflows

import (
	"context"
	"encoding/json"

	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/migration"
)

var errNotBuilt = migration.Errorf(migration.Internal, "not built yet")

// FlagSets lists a migration's flag sets; the first is the one that routes its orders.
func (c *Control) FlagSets(ctx context.Context, mid string) ([]migration.FlagSet, error) {
	return c.store.FlagSets(ctx, mid)
}

// CreateFlagSet adds an empty flag set to a migration.
func (c *Control) CreateFlagSet(ctx context.Context, a migration.Actor, mid, id, name string) (migration.FlagSet, error) {
	return migration.FlagSet{}, errNotBuilt
}

// FlagSet gives a flag set as it is now; set "" is the migration's own.
func (c *Control) FlagSet(ctx context.Context, mid, set string) (migration.FlagSetView, error) {
	return migration.FlagSetView{}, errNotBuilt
}

// FlagHistory lists revisions below before (0: from the latest) with what each changed, newest first.
func (c *Control) FlagHistory(ctx context.Context, mid, set string, before int64, limit int) ([]migration.FlagSetRevision, error) {
	return nil, errNotBuilt
}

// CheckFlags says what an edit would do, without doing it. Errors name the path of what is wrong.
func (c *Control) CheckFlags(ctx context.Context, mid, set string, edit migration.FlagEdit) (migration.FlagCheck, error) {
	return migration.FlagCheck{}, errNotBuilt
}

// EditFlags carries an edit out as the next revision and serves it.
func (c *Control) EditFlags(ctx context.Context, a migration.Actor, mid, set string, edit migration.FlagEdit) (migration.FlagSetRevision, error) {
	return migration.FlagSetRevision{}, errNotBuilt
}

// RollbackEdit gives the edit that brings back what a revision said, except managed flags, which only steps change.
func (c *Control) RollbackEdit(ctx context.Context, mid, set string, revision int64) (migration.FlagEdit, error) {
	return migration.FlagEdit{}, errNotBuilt
}

// KillFlag makes a kill switch serve off to everybody, or on again.
func (c *Control) KillFlag(ctx context.Context, a migration.Actor, mid, set, key string, killed bool, reason string) (migration.FlagSetRevision, error) {
	return migration.FlagSetRevision{}, errNotBuilt
}

// PreviewFlag evaluates one flag for a context: as it is, or as a draft definition would have it.
func (c *Control) PreviewFlag(ctx context.Context, mid, set, key string, draft json.RawMessage, evaluation map[string]any) (flags.Evaluation, error) {
	return flags.Evaluation{}, errNotBuilt
}

// FlagSchedules lists a set's scheduled changes, by time.
func (c *Control) FlagSchedules(ctx context.Context, mid, set string) ([]migration.FlagSchedule, error) {
	return nil, errNotBuilt
}

// ScheduleFlags keeps a change for later. Set, At and either Edit or Move are given.
func (c *Control) ScheduleFlags(ctx context.Context, a migration.Actor, mid string, s migration.FlagSchedule) (migration.FlagSchedule, error) {
	return s, errNotBuilt
}

// CancelFlagSchedule takes a scheduled change back.
func (c *Control) CancelFlagSchedule(ctx context.Context, a migration.Actor, mid, id string) error {
	return errNotBuilt
}

// APIKeys lists the keys of a migration's flag sets.
func (c *Control) APIKeys(ctx context.Context, mid string) ([]migration.APIKey, error) {
	return nil, errNotBuilt
}

// CreateAPIKey makes a key for a flag set and gives its token, this once.
func (c *Control) CreateAPIKey(ctx context.Context, a migration.Actor, mid, set, name string, ratePerSecond int) (migration.APIKey, migration.Secret, error) {
	return migration.APIKey{}, "", errNotBuilt
}

// RevokeAPIKey ends a key; open streams that use it end too.
func (c *Control) RevokeAPIKey(ctx context.Context, a migration.Actor, mid, id string) error {
	return errNotBuilt
}

func (c *Control) wakeSchedules() {}
