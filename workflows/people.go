package workflows

import (
	"context"

	"github.com/switchyard-dev/switchyard/migration"
)

// pastAlerts is how many alerts that are over are listed.
const pastAlerts = 50

// PastAlerts lists the alerts that ended last.
func (c *Control) PastAlerts(ctx context.Context, mid string) ([]PastAlert, error) {
	if err := c.known(ctx, mid); err != nil {
		return nil, err
	}
	return c.notifier.Past(ctx, mid, pastAlerts)
}

// Orders gives what became of all orders, by the application's record. An error where it is not
// read to its end.
func (c *Control) Orders(ctx context.Context, mid string) (migration.LedgerFacts, error) {
	if err := c.known(ctx, mid); err != nil {
		return migration.LedgerFacts{}, err
	}
	return c.env.Journal.Facts()
}

// People is who can sign in, and the programs that have a key. Nothing of it lets in.
type People struct {
	Accounts []Account          `json:"accounts"` // by name
	Keys     []migration.APIKey `json:"keys"`     // those that are not revoked
}

// People lists who can sign in, and the keys of a migration's programs that count.
func (c *Control) People(ctx context.Context, mid string) (p People, err error) {
	if err := c.known(ctx, mid); err != nil {
		return p, err
	}
	if p.Accounts, err = c.store.Accounts(ctx); err != nil {
		return p, err
	}
	keys, err := c.APIKeys(ctx, mid)
	p.Keys = []migration.APIKey{}
	for _, k := range keys {
		if k.RevokedAt == nil {
			p.Keys = append(p.Keys, k)
		}
	}
	return p, err
}
