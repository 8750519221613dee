package workflows

import "context"

// Accounts lists who can sign in, by name.
func (c *Control) Accounts(ctx context.Context) ([]Account, error) {
	return c.store.Accounts(ctx)
}

// pastAlerts is how many alerts that are over are listed.
const pastAlerts = 50

// PastAlerts lists the alerts that ended last.
func (c *Control) PastAlerts(ctx context.Context, mid string) ([]PastAlert, error) {
	if err := c.known(ctx, mid); err != nil {
		return nil, err
	}
	return c.notifier.Past(ctx, mid, pastAlerts)
}
