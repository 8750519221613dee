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

// Ids of actions at which a person does something outside Switchyard, for programs that wait
// for them: the app's variable is set, and machines without an API are confirmed to be off,
// and to be deleted.
const (
	ActionConfigVar        = "config-var"
	ActionConfirmedOff     = "powered-off"
	ActionConfirmedDeleted = "deleted"
)
