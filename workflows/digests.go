package workflows

import (
	"context"
	"strings"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/digest"
)

// Digest gives the weekly digest of a migration as it would be sent now.
func (c *Control) Digest(ctx context.Context, mid string) (DigestPreview, error) {
	if err := c.known(ctx, mid); err != nil {
		return DigestPreview{}, err
	}
	return c.notifier.PreviewDigest(ctx, mid)
}

// SendDigest sends the digest now to the channels that take it. It does not stand for the weekly
// one. Engineers only; Conflict: no channel takes digests.
func (c *Control) SendDigest(
	ctx context.Context, a migration.Actor, mid string,
) (plan DigestPlan, err error) {
	err = engineer(a)
	if err == nil {
		err = c.known(ctx, mid)
	}
	if err == nil {
		plan, err = c.notifier.SendDigest(ctx, a.Name, mid)
	}
	c.audit(ctx, a, "send digest", strings.Join(plan.Channels, ", "), "", err)
	return plan, err
}

// makeDigest reads what a digest is made of.
func (c *Control) makeDigest(
	ctx context.Context, mid string, last *digest.Digest,
) (digest.Digest, error) {
	v, err := c.view(ctx, mid)
	if err != nil {
		return digest.Digest{}, err
	}
	in := digest.Input{View: v, Last: last}
	if in.Report, err = c.makeReport(ctx, v); err != nil {
		return digest.Digest{}, err
	}
	since := digest.Since(last, v.Migration.CreatedAt, v.At)
	if in.Alerts, in.Looked, err = c.notifier.AlertsSince(ctx, mid, since); err != nil {
		return digest.Digest{}, err
	}
	return digest.Build(in), nil
}
