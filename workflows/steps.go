package workflows

import "github.com/switchyard-dev/switchyard/config"

// Ids of the steps, as plans, pages and commands name them.
const (
	stepAudit        = "audit"
	stepFixPolicy    = "fix-policy"
	stepSentinelMove = "sentinel-move"
	stepSentinelTest = "sentinel-test"
	stepBreaker      = "breaker-drill"
	stepRetry        = "webhook-retry"
	stepProvision    = "provision"
	stepCutover      = "cutover"
	stepDualWrite    = "dual-write-validation"
	stepMoveQueues   = "move-queues"
	stepResidue      = "move-residue"
	stepDecommission = "decommission"
)

// steps is the catalogue of workflows.
func steps(cfg config.Config) []Step {
	return []Step{
		auditStep(), fixPolicy(), sentinelMove(), sentinelTest(), breakerDrill(), webhookRetry(), provision(), cutover(cfg), dualWriteValidation(),
		moveQueues(), moveResidue(), decommission(cfg),
	}
}
