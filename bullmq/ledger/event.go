package ledger

// Event is one entry of the ingestion application's journal.
type Event struct {
	Seq  int64  `json:"seq"`
	At   int64  `json:"at"` // unix ms
	Type string `json:"type"`
	// which journal it comes from; set by whoever reads several
	Epoch string `json:"epoch,omitempty"`
	// Read is when it was read, unix ms by our own clock; 0: nobody says. The
	// reader sets it: an app's clock may be wrong, and nothing has happened later
	// than it was read.
	Read int64 `json:"-"`

	Order    string `json:"order"`
	Canary   bool   `json:"canary,omitempty"`
	EventID  string `json:"event,omitempty"` // the provider's
	Provider string `json:"provider,omitempty"`
	Status   int    `json:"status,omitempty"` // HTTP status answered to the provider
	MS       int64  `json:"ms,omitempty"`
	JobID    string `json:"jobId,omitempty"`
	// Queue is the routed queue that the job is of, also of a shadow copy: BullMQ
	// counts ids from 1 in every queue. Older apps do not report it.
	Queue     string `json:"queue,omitempty"`
	Side      string `json:"side,omitempty"`
	Endpoint  string `json:"endpoint,omitempty"`
	Shadow    bool   `json:"shadow,omitempty"`
	OK        bool   `json:"ok,omitempty"`
	Error     string `json:"error,omitempty"`
	Stage     string `json:"stage,omitempty"`
	Revision  int64  `json:"revision,omitempty"`
	Authority string `json:"authority,omitempty"`
	Mode      string `json:"mode,omitempty"`
	Outcome   string `json:"outcome,omitempty"`
	Result    string `json:"result,omitempty"`
	Attempt   int    `json:"attempt,omitempty"`
	// Digest identifies the job's data without its routing stamp: as it was added,
	// and as the worker received it. Older apps do not report it.
	Digest string `json:"digest,omitempty"`
}

// Types, modes and outcomes in the journal.
const (
	EventDelivery = "delivery" // a webhook was answered with Status
	// the order is on the app's own disk (durable intake), to be enqueued later
	EventKept     = "kept"
	EventEnqueued = "enqueued" // a job was added, or OK is false
	EventExecuted = "executed" // a worker ran a job
	EventFailed   = "failed"   // a worker's attempt failed; BullMQ tries again
	// the last event of a journal: its app has ended in good order, and nothing that
	// it did is missing. One that goes on afterwards was opened again.
	EventClosed = "closed"

	ModeAuthoritative = "authoritative" // the run that counts
	ModeShadow        = "shadow"        // a run without side effects

	OutcomeApplied    = "applied"    // the order took effect
	OutcomeSuppressed = "suppressed" // it had taken effect before: a duplicate was caught
	OutcomeCompared   = "compared"   // a shadow run's result was recorded
	OutcomeMisrouted  = "misrouted"  // the worker's side was not primary: nothing was done
	OutcomeCanary     = "canary"     // a canary: nothing to do
)

// canaryPrefix begins the ids that Switchyard gives its canaries.
const canaryPrefix = "canary_"

// CanaryID makes the id of a canary of something unique.
func CanaryID(unique string) string { return canaryPrefix + unique }

// at is when the event happened, as far as can be believed: an app whose clock is
// ahead of ours would have its orders under way until tomorrow, and what has no time
// would not have happened.
func (e Event) at() int64 {
	if e.Read != 0 && (e.At > e.Read || e.At <= 0) {
		return e.Read
	}
	return e.At
}

// calledCanary reports whether the event says of itself that it is of a canary.
func (e Event) calledCanary() bool { return e.Canary || e.Outcome == OutcomeCanary }
