package move

import (
	"time"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/redisconn/keycopy"
	"github.com/switchyard-dev/switchyard/redisconn/pace"
)

// Options say what to move and how.
type Options struct {
	// Run names the move, in the keys of its record and of the fence. Using the
	// same name again resumes the same move. Required.
	Run string
	// Queues move together. Queues that flows tie together must be in one move.
	// Required.
	Queues []bullmq.Queue
	// Replaces is the run of an earlier move in the other direction, whose copies
	// on the target are out of date and are removed.
	Replaces string
	// Drain is how long active jobs may take after the pause. Zero: a minute.
	Drain time.Duration
	// MaxFreeze makes the move refuse to stand still if it is predicted to take
	// longer. Zero: no limit.
	MaxFreeze time.Duration
	// EvictionOff says that somebody made sure that the target evicts nothing, for
	// services that do not report their maxmemory-policy.
	EvictionOff bool
	// SourceKeys and TargetKeys say whose the keys of the servers are, for several calls of
	// Check at one time. nil: they are looked at.
	SourceKeys, TargetKeys *bullmq.Ownership
	// Pace limits the load that the copy puts on both servers while the source is
	// live. Its gate pauses the move, or ends it; meanwhile the source keeps
	// working, and what changes there travels once the gate opens. From the pause
	// of the source on nothing of it applies, since then the queue stands still and
	// only speed counts; except for the target's rate, which a service enforces
	// anyway and which the prediction includes.
	Pace pace.Pace
	// Ready, if not nil, is asked after every round of the copy that has settled;
	// on false the copy continues.
	Ready func(Prediction) bool
	// Progress, if not nil, is called for each phase and, within the copy, for each
	// round and several times a second. It is called by one goroutine at a time.
	Progress func(Progress)
}

// Progress is how far a move is.
type Progress struct {
	Phase string `json:"phase"`
	// copied and compared so far, counting changed keys again
	Keys int64 `json:"keys"`
	// current estimate of the final number; 0 if unknown
	Total   int64 `json:"total"`
	Bytes   int64 `json:"bytes"`
	Changed int   `json:"changed"` // since they were copied
	Round   int   `json:"round"`
	// These describe the copy and are 0 in other phases; see pace.Progress.
	KeysPerSecond float64 `json:"keys_per_second"`
	// of the current pass or round, not of the standstill; 0 if unknown
	ETASeconds   float64 `json:"eta_seconds"`
	LatencyMS    float64 `json:"latency_ms"`
	BackingOffMS float64 `json:"backing_off_ms"`
	Prediction
}

// Prediction is how long the queue would stand still if it stopped now.
type Prediction struct {
	// FreezeMS is the measured time for the indexes in a trial, plus the changed
	// keys at the pace of the last round, without the delays that spared the
	// source; or more if the target's rate limit allows less.
	FreezeMS int64 `json:"freeze_ms"`
}

// How keys are written to the target.
const (
	// DUMP payloads with RESTORE; values above 8 MB in chunks, with commands of
	// their type
	PathRestore = "restore"
	// everything with commands of its type: the target refuses RESTORE or the
	// source's payloads, or the source refuses DUMP
	PathTyped = "typed"
)

// Report is what a move did.
type Report struct {
	Jobs map[string]int64 `json:"jobs"` // moved, by queue and state: "orders wait"
	// how keys were written: PathRestore or PathTyped
	Path string `json:"path"`
	// copied and compared, counting changed keys again
	Keys   int64 `json:"keys"`
	Bytes  int64 `json:"bytes"`  // of values, as transferred
	Rounds int   `json:"rounds"` // of the copy, while the source was live
	// keys that travelled while the queue stood still
	Changed int   `json:"changed"`
	CopyMS  int64 `json:"copy_ms"`
	DrainMS int64 `json:"drain_ms"` // from the pause until no job was active
	// from then until the target's workers could take jobs: no job could run
	FreezeMS    int64 `json:"freeze_ms"`
	PredictedMS int64 `json:"predicted_ms"`
	// ids that were listed on the source without a job: left out, since BullMQ
	// would run them with empty data
	Empty []string `json:"empty"`
	// jobs that were on both sides with the same id and are kept once
	Twice   int64 `json:"twice"`
	Resumed bool  `json:"resumed"`
}

func pathName(p keycopy.Path) string {
	if p == keycopy.Typed {
		return PathTyped
	}
	return PathRestore
}
