package sentinel

import "context"

// ObserveFailover measures a failover that somebody else causes, for tests: cause is called once the
// application in miniature is writing, and makes the master go away (or waits for it to). Afterwards
// it waits until every node of before is healthy again; cause, or whoever it works with, brings the
// old master back.
func (c *Cluster) ObserveFailover(
	ctx context.Context, log func(string), cause func(ctx context.Context, master string) error,
) (FailoverReport, error) {
	return c.drill(ctx, "external", log, func(d *drill) error {
		return cause(ctx, d.report.OldMaster)
	})
}
