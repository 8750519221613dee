package api

import (
	"context"
	"net/http"

	"github.com/switchyard-dev/switchyard/migration"
)

// Verbs of flags. A set "" is the migration's own. What changes something is sent once:
// where the answer is lost, look at the history.

// FlagSet gives a flag set as it is now.
func (c *Client) FlagSet(ctx context.Context, mid, set string) (migration.FlagSetView, error) {
	var v migration.FlagSetView
	err := c.get(ctx, at(mid, "flags")+query("set", set), &v)
	return v, err
}

// FlagHistory lists a set's revisions with what each changed, newest first.
func (c *Client) FlagHistory(ctx context.Context, mid, set string, limit int) ([]migration.FlagSetRevision, error) {
	var l FlagHistory
	err := c.get(ctx, at(mid, "flags", "history")+query("set", set, "limit", number(int64(limit))), &l)
	return l.Revisions, err
}

// CheckFlags says what an edit would do.
func (c *Client) CheckFlags(
	ctx context.Context,
	mid, set string,
	edit migration.FlagEdit,
) (migration.FlagCheck, error) {
	var v migration.FlagCheck
	err := c.call(ctx, http.MethodPost, at(mid, "flags", "check")+query("set", set), edit, &v)
	return v, err
}

// EditFlags changes flags.
func (c *Client) EditFlags(
	ctx context.Context,
	mid, set string,
	edit migration.FlagEdit,
) (migration.FlagSetRevision, error) {
	var r migration.FlagSetRevision
	err := c.call(ctx, http.MethodPost, at(mid, "flags", "changes")+query("set", set), edit, &r)
	return r, err
}

// RollbackFlags brings back what a revision said.
func (c *Client) RollbackFlags(
	ctx context.Context,
	mid, set string,
	in FlagRollback,
) (migration.FlagSetRevision, error) {
	var r migration.FlagSetRevision
	err := c.call(ctx, http.MethodPost, at(mid, "flags", "rollback")+query("set", set), in, &r)
	return r, err
}

// KillFlag makes a kill switch serve off, or on again.
func (c *Client) KillFlag(ctx context.Context, mid, set string, in FlagKill) (migration.FlagSetRevision, error) {
	var r migration.FlagSetRevision
	err := c.call(ctx, http.MethodPost, at(mid, "flags", "kill")+query("set", set), in, &r)
	return r, err
}

// Keys lists the keys of a migration's flag sets.
func (c *Client) Keys(ctx context.Context, mid string) ([]migration.APIKey, error) {
	var l KeyList
	err := c.get(ctx, at(mid, "keys"), &l)
	return l.Keys, err
}

// CreateKey makes a key; the answer alone holds its token.
func (c *Client) CreateKey(ctx context.Context, mid string, in NewKey) (CreatedKey, error) {
	var k CreatedKey
	err := c.call(ctx, http.MethodPost, at(mid, "keys"), in, &k)
	return k, err
}

// RevokeKey ends a key.
func (c *Client) RevokeKey(ctx context.Context, mid, id string) error {
	return c.call(ctx, http.MethodDelete, at(mid, "keys", id), nil, nil)
}
