package migration

// Ids of the steps, as plans, pages, the API and commands name them.
const (
	StepAudit        = "audit"
	StepFixPolicy    = "fix-policy"
	StepSentinelMove = "sentinel-move"
	StepSentinelTest = "sentinel-test"
	StepBreakerDrill = "breaker-drill"
	StepWebhookRetry = "webhook-retry"
	StepProvision    = "provision"
	StepCutover      = "cutover"
	StepDualWrite    = "dual-write-validation"
	StepMoveQueues   = "move-queues"
	StepMoveResidue  = "move-residue"
	StepDecommission = "decommission"
)
