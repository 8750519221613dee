package bullmq

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// Job is one whole job, as BullMQ stores it.
type Job struct {
	Queue Queue  `json:"queue"`
	ID    string `json:"id"`
	Name  string `json:"name"`
	// State is waiting, active, delayed, prioritized, waiting-children, completed
	// or failed; "" when no list holds the job, so that BullMQ will never run it.
	State string `json:"state"`
	// Moved means that the queue was moved away: a job in no list is then a copy of
	// one on the other side.
	Moved           bool            `json:"moved,omitempty"`
	Data            json.RawMessage `json:"data,omitempty"`
	Opts            json.RawMessage `json:"opts,omitempty"`
	Timestamp       *time.Time      `json:"timestamp,omitempty"`
	ProcessedOn     *time.Time      `json:"processed_on,omitempty"`
	FinishedOn      *time.Time      `json:"finished_on,omitempty"`
	DueAt           *time.Time      `json:"due_at,omitempty"` // of a delayed job
	Priority        int64           `json:"priority"`
	AttemptsMade    int64           `json:"attempts_made"`
	AttemptsStarted int64           `json:"attempts_started"`
	Stalled         int64           `json:"stalled"` // how many times its worker was lost
	ReturnValue     string          `json:"return_value,omitempty"`
	FailedReason    string          `json:"failed_reason,omitempty"`
	Progress        string          `json:"progress,omitempty"`
	Stacktrace      []string        `json:"stacktrace,omitempty"`
	Logs            []string        `json:"logs,omitempty"` // the last 100
	LogCount        int64           `json:"log_count"`
	ProcessedBy     string          `json:"processed_by,omitempty"`
	DedupID         string          `json:"deduplication_id,omitempty"`
	SchedulerID     string          `json:"scheduler_id,omitempty"`
	ParentKey       string          `json:"parent_key,omitempty"`
	PendingChildren int64           `json:"pending_children"`
	Locked          bool            `json:"locked"` // a worker holds it
	Bytes           int             `json:"bytes"`  // of Data
}

// movedField of "meta" means that package move took the queue's lists away; it
// holds the prefix they are under.
const movedField = "switchyard:moved"

// logsShown is how many lines of a job's log are read.
const logsShown = 100

// stateOf maps indexes to the state of the jobs in them.
var stateOf = map[string]string{"wait": "waiting", "paused": "waiting", "active": "active",
	"delayed": "delayed", "prioritized": "prioritized",
	"waiting-children": "waiting-children", "completed": "completed", "failed": "failed"}

// FindJob reads one job atomically; NotFound when there is no such job. It searches
// the waiting list, which takes time proportional to its length.
func FindJob(ctx context.Context, c redis.UniversalClient, q Queue, id string) (Job, error) {
	if _, kind := jobKey(id); kind != "job" {
		return Job{}, migration.Errorf(migration.NotFound, "%s has no job %q", q, id)
	}
	key := q.Key(id)
	p := c.TxPipeline()
	hash := p.HGetAll(ctx, key)
	logs, logCount := p.LRange(ctx, key+":logs", -logsShown, -1), p.LLen(ctx, key+":logs")
	lock, children := p.Exists(ctx, key+":lock"), p.SCard(ctx, key+":dependencies")
	moved := p.HExists(ctx, q.Key("meta"), movedField)
	lists, sets := map[string]*redis.IntCmd{}, map[string]*redis.FloatCmd{}
	for _, part := range jobIndexes {
		if isList(part) {
			lists[part] = p.LPos(ctx, q.Key(part), id, redis.LPosArgs{})
		} else {
			sets[part] = p.ZScore(ctx, q.Key(part), id)
		}
	}
	if err := connectionError(p.Exec(ctx)); err != nil {
		return Job{}, fmt.Errorf("job %s: %w", key, redisconn.Explain(err))
	}
	h, err := hash.Result()
	if err != nil {
		return Job{}, fmt.Errorf("job %s: %w", key, redisconn.Explain(err))
	}
	if h["name"] == "" && h["data"] == "" && h["timestamp"] == "" {
		return Job{}, migration.Errorf(migration.NotFound, "%s has no job %q", q, id)
	}
	number := func(names ...string) int64 {
		for _, n := range names {
			if v, err := strconv.ParseInt(h[n], 10, 64); err == nil {
				return v
			}
		}
		return 0
	}
	at := func(name string) *time.Time {
		if n := number(name); n > 0 {
			t := time.UnixMilli(n).UTC()
			return &t
		}
		return nil
	}
	j := Job{Queue: q, ID: id, Name: h["name"], Data: raw(h["data"]), Opts: raw(h["opts"]),
		Timestamp: at("timestamp"), ProcessedOn: at("processedOn"),
		FinishedOn: at("finishedOn"),
		Priority:   number("priority"), AttemptsMade: number("atm", "attemptsMade"),
		AttemptsStarted: number("ats", "attemptsStarted"),
		Stalled:         number("stc", "stalledCounter"),
		ReturnValue:     h["returnvalue"], FailedReason: h["failedReason"],
		Progress: h["progress"],
		Logs:     logs.Val(), LogCount: logCount.Val(), ProcessedBy: h["pb"],
		DedupID:     h["deid"],
		SchedulerID: h["rjk"], ParentKey: h["parentKey"], PendingChildren: children.Val(),
		Locked: lock.Val() == 1, Bytes: len(h["data"]), Moved: moved.Val()}
	// written by a program we do not know: not ours to reject
	_ = json.Unmarshal([]byte(h["stacktrace"]), &j.Stacktrace)
	for part, cmd := range lists {
		if cmd.Err() == nil {
			j.State = stateOf[part]
		}
	}
	for part, cmd := range sets {
		if cmd.Err() == nil {
			j.State = stateOf[part]
			if part == "delayed" {
				due := time.UnixMilli(int64(cmd.Val()) / 4096).UTC()
				j.DueAt = &due
			}
		}
	}
	return j, nil
}

// raw returns text if it is JSON, otherwise text as a JSON string.
func raw(text string) json.RawMessage {
	switch {
	case text == "":
		return nil
	case json.Valid([]byte(text)):
		return json.RawMessage(text)
	}
	b, _ := json.Marshal(text) // a string can always be marshalled
	return b
}
