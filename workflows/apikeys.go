package workflows

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/switchyard-dev/switchyard/migration"
)

// APIKeys lists the keys of a migration's flag sets, oldest first; revoked ones too.
func (c *Control) APIKeys(ctx context.Context, mid string) ([]migration.APIKey, error) {
	sets, err := c.FlagSets(ctx, mid)
	if err != nil {
		return nil, err
	}
	all, err := c.store.APIKeys(ctx)
	return slices.DeleteFunc(all, func(k migration.APIKey) bool {
		return !slices.ContainsFunc(sets, func(s migration.FlagSet) bool { return s.ID == k.Set })
	}), err
}

// CreateAPIKey makes a key for a flag set and gives its token, this once. ratePerSecond 0
// is no bound.
func (c *Control) CreateAPIKey(
	ctx context.Context,
	a migration.Actor,
	mid, set, name string,
	ratePerSecond int,
) (migration.APIKey, migration.Secret, error) {
	k, token, err := c.createAPIKey(ctx, a, mid, set, name, ratePerSecond)
	c.audit(ctx, a, "key-create", k.ID, strings.TrimSpace(name)+" for "+cmp.Or(set, mid), err)
	return k, token, err
}

func (c *Control) createAPIKey(
	ctx context.Context,
	a migration.Actor,
	mid, set, name string,
	ratePerSecond int,
) (migration.APIKey, migration.Secret, error) {
	var none migration.APIKey
	if err := engineer(a); err != nil {
		return none, "", err
	}
	s, err := c.flagSet(ctx, mid, set)
	if err != nil {
		return none, "", err
	}
	if name = strings.TrimSpace(name); name == "" {
		return none, "", migration.Errorf(migration.Invalid, "name: say what will use the key")
	}
	if err := short("name", name, 60); err != nil {
		return none, "", err
	}
	if ratePerSecond < 0 || ratePerSecond > maxRate {
		return none, "", migration.Errorf(
			migration.Invalid,
			"rate_per_second: %d is outside 0..%d (0 = unlimited)",
			ratePerSecond,
			maxRate,
		)
	}
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails, by its documentation
	token := "swy_" + base64.RawURLEncoding.EncodeToString(random[:])
	hash := sha256.Sum256([]byte(token))
	k := migration.APIKey{
		ID:            newToken()[:10],
		Name:          name,
		Set:           s.ID,
		Prefix:        token[:8],
		RatePerSecond: ratePerSecond,
		Hash:          hash[:],
		CreatedBy:     a.Name,
		CreatedAt:     c.now(),
	}
	if err := c.store.CreateAPIKey(ctx, k); err != nil {
		return none, "", err
	}
	return k, migration.Secret(token), c.publish(ctx)
}

// RevokeAPIKey ends a key; open streams that use it end too.
func (c *Control) RevokeAPIKey(ctx context.Context, a migration.Actor, mid, id string) error {
	err := c.revokeAPIKey(ctx, a, mid, id)
	c.audit(ctx, a, "key-revoke", id, "", err)
	return err
}

func (c *Control) revokeAPIKey(ctx context.Context, a migration.Actor, mid, id string) error {
	if err := engineer(a); err != nil {
		return err
	}
	keys, err := c.APIKeys(ctx, mid)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(keys, func(k migration.APIKey) bool { return k.ID == id }) {
		return migration.Errorf(migration.NotFound, "migration %s has no key %q", mid, id)
	}
	if err := c.store.RevokeAPIKey(ctx, id, c.now()); err != nil {
		return err
	}
	return c.publish(ctx)
}
