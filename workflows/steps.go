package workflows

import "github.com/switchyard-dev/switchyard/config"

// steps is the catalogue of workflows.
func steps(cfg config.Config) []Step {
	return []Step{
		auditStep(), fixPolicy(), sentinelMove(), sentinelTest(), breakerDrill(), webhookRetry(), provision(), cutover(cfg), dualWriteValidation(),
		moveQueues(), moveResidue(), decommission(cfg),
	}
}
