package move

import (
	"strings"

	"github.com/switchyard-dev/switchyard/bullmq"
)

// kind is what the mover does with a key of a queue.
type kind int

const (
	content kind = iota // jobs and everything else that is copied while the queue is live
	// lists of jobs: taken whole at the fence, put in place at the activation
	index
	// locks, markers and the like: they belong to this server and moment, and would
	// be wrong on another
	skipped
)

// indexes are the parts of a queue that say in which state a job is, and "pc",
// which numbers prioritized jobs. BullMQ 3 also lists its prioritized jobs in
// "priority", besides "wait", where they are in the right order; later versions do
// not read it.
var indexes = []string{"wait", "paused", "delayed", "prioritized", "waiting-children",
	"completed", "failed", "repeat", "pc"}

// skippedParts are never copied. "meta" and "id" have their own rules. "events"
// stays: consumers on the target hold positions in its own stream, and the order
// ledger reads both.
var skippedParts = map[string]bool{"active": true, "marker": true, "stalled": true,
	"stalled-check": true, "events": true, "meta": true, "id": true,
	"priority": true}

// classify says what to do with a key, given the part after "<prefix>:<queue>:".
func classify(part string) kind {
	for _, p := range indexes {
		if part == p {
			return index
		}
	}
	if skippedParts[part] || strings.HasSuffix(part, ":lock") {
		return skipped
	}
	return content
}

// sub are the keys that belong to one job, besides its hash.
var sub = []string{":logs", ":dependencies", ":processed", ":failed", ":unsuccessful"}

// jobOf returns the id of the job that a content key belongs to.
func jobOf(part string) string {
	for _, s := range sub {
		if id, ok := strings.CutSuffix(part, s); ok {
			return id
		}
	}
	return part
}

// fencedKey is where an index of the source waits from the fence on.
func (m *mover) fencedKey(q bullmq.Queue, part string) string {
	return "fenced:" + m.o.Run + ":" + q.Key(part)
}

// stagedKey is where an index waits on the target for the activation.
func (m *mover) stagedKey(q bullmq.Queue, part string) string {
	return "switchyard:move:" + m.o.Run + ":" + q.Key(part)
}

// record is the hash, on either server, in which the move records what it did
// there. It is written by the same scripts that do it.
func (m *mover) record() string { return "switchyard:move:" + m.o.Run }

// queueOf returns the queue of the group that a key belongs to by its name, and the part
// after that.
func (m *mover) queueOf(key string) (q bullmq.Queue, part string, ok bool) {
	q, part, ok = m.own.Of(key)
	return q, part, ok && m.moves(q)
}
