package bullmq

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/redisconn"
)

// Counts is what a queue holds.
type Counts struct {
	Queue   string `json:"queue"`
	Version string `json:"version"` // of BullMQ; empty before 4.18, and where only a FlowProducer adds
	Paused  bool   `json:"paused"`
	// including those in the list that BullMQ before 6 keeps while paused
	Waiting         int64 `json:"waiting"`
	Active          int64 `json:"active"`
	Delayed         int64 `json:"delayed"`
	Prioritized     int64 `json:"prioritized"`
	WaitingChildren int64 `json:"waiting_children"`
	Completed       int64 `json:"completed"`
	Failed          int64 `json:"failed"`
	Schedulers      int64 `json:"schedulers"`
	// of the job next in line, since it was added; 0 when none waits
	OldestJobAgeMS int64 `json:"oldest_job_age_ms"`
}

// Pending counts all jobs that are not completed: what would be lost with the
// server.
func (c Counts) Pending() int64 {
	return c.Waiting + c.Active + c.Delayed + c.Prioritized + c.WaitingChildren + c.Failed
}

// Census counts a queue's jobs by state, atomically. It only reads, without
// scripts.
func Census(ctx context.Context, c redis.UniversalClient, q Queue) (Counts, error) {
	tx := c.TxPipeline()
	meta := tx.HMGet(ctx, q.Key("meta"), "version", "paused")
	now := tx.Time(ctx)
	lists, newest, oldest := map[string]*redis.IntCmd{}, map[string]*redis.StringCmd{},
		map[string]*redis.StringCmd{}
	for _, l := range []string{"wait", "paused", "active"} {
		lists[l], newest[l], oldest[l] = tx.LLen(ctx, q.Key(l)), tx.LIndex(ctx, q.Key(l), 0),
			tx.LIndex(ctx, q.Key(l), -1)
	}
	sets := map[string]*redis.IntCmd{}
	for _, s := range []string{"delayed", "prioritized", "waiting-children", "completed",
		"failed", "repeat"} {
		sets[s] = tx.ZCard(ctx, q.Key(s))
	}
	if _, err := tx.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return Counts{}, fmt.Errorf("census of %s: %w", q, redisconn.Explain(err))
	}
	out := Counts{Queue: q.String(), Active: lists["active"].Val(),
		Delayed: sets["delayed"].Val(), Prioritized: sets["prioritized"].Val(),
		WaitingChildren: sets["waiting-children"].Val(), Completed: sets["completed"].Val(),
		Failed: sets["failed"].Val(), Schedulers: sets["repeat"].Val()}
	if v, ok := meta.Val()[0].(string); ok {
		if version, own := strings.CutPrefix(v, "bullmq:"); own {
			out.Version = version
		}
	}
	out.Paused = meta.Val()[1] != nil
	next := ""
	for _, l := range []string{"wait", "paused"} {
		out.Waiting += lists[l].Val()
		// BullMQ 3 and 4 wake blocked workers with a marker id "0:<delay>" at one
		// end of the list.
		if isMarker(newest[l].Val()) || isMarker(oldest[l].Val()) {
			out.Waiting--
		}
		if id := oldest[l].Val(); next == "" && !isMarker(id) {
			next = id
		}
	}
	if next != "" {
		added, err := c.HGet(ctx, q.Key(next), "timestamp").Int64()
		switch {
		case err == nil:
			out.OldestJobAgeMS = max(now.Val().UnixMilli()-added, 0)
		case !errors.Is(err, redis.Nil): // gone meanwhile
			return Counts{}, fmt.Errorf("census of %s: %w", q, redisconn.Explain(err))
		}
	}
	return out, nil
}

func isMarker(id string) bool { return strings.HasPrefix(id, "0:") }

// major is the major version of the BullMQ that owns a queue, 0 if unknown.
func (c Counts) major() int {
	n, _, _ := strings.Cut(c.Version, ".")
	m, _ := strconv.Atoi(n)
	return m
}

// ByState gives the counts under BullMQ's names of the states.
func (c Counts) ByState() map[string]int64 {
	return map[string]int64{
		"waiting": c.Waiting, "prioritized": c.Prioritized, "delayed": c.Delayed,
		"waiting-children": c.WaitingChildren, "active": c.Active, "failed": c.Failed,
		"completed": c.Completed,
	}
}
