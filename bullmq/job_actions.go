package bullmq

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// actScript does to one job what BullMQ's own job.retry(), job.promote() or
// job.remove() does (reprocessJob, promote and removeJob of 5.81 and 6.7), or says
// why not. KEYS: job, meta, wait, paused, active, marker, prioritized, pc, events,
// delayed, completed, failed, waiting-children, stalled. ARGV: id, action, major
// version of the layout, "prefix:queue:". Returns "" on success.
//
// The versions differ in where the jobs of a paused queue wait, and in whether a
// retried job keeps its priority.
var actScript = redis.NewScript(`
local id, action, v6, base = ARGV[1], ARGV[2], tonumber(ARGV[3]) >= 6, ARGV[4]
local job = KEYS[1]
if redis.call('EXISTS', job) == 0 then return 'there is no such job' end
if redis.call('EXISTS', job .. ':lock') == 1 or redis.call('LPOS', KEYS[5], id) then
  return 'a worker is processing it'
end
if redis.call('HEXISTS', job, 'parentKey') == 1
  or redis.call('EXISTS', job .. ':dependencies', job .. ':processed', job .. ':failed',
    job .. ':unsuccessful') > 0 then
  return 'it belongs to a flow, whose other jobs would not know of it: do it in the app'
end
local attributes = redis.call('HMGET', KEYS[2], 'paused', 'concurrency', 'opts.maxLenEvents')
local held = attributes[1]
  or (attributes[2] and redis.call('LLEN', KEYS[5]) >= tonumber(attributes[2]))
local events = attributes[3] or '10000'
local function line(push, keepPriority)
  local priority = tonumber(redis.call('HGET', job, 'priority')) or 0
  if priority > 0 and keepPriority then
    redis.call('ZADD', KEYS[7],
      string.format('%.0f', priority * 4294967296 + redis.call('INCR', KEYS[8]) % 4294967296), id)
  else
    redis.call(push, (attributes[1] and not v6) and KEYS[4] or KEYS[3], id)
  end
  if not held then redis.call('ZADD', KEYS[6], 0, '0') end
end
if action == 'retry' then
  local state, field = 'failed', 'failedReason'
  if redis.call('ZSCORE', KEYS[11], id) then state, field = 'completed', 'returnvalue' end
  if redis.call('ZREM', state == 'failed' and KEYS[12] or KEYS[11], id) == 0 then
    return 'it is neither failed nor completed'
  end
  redis.call('HDEL', job, 'finishedOn', 'processedOn', field)
  local ok, opts = pcall(cjson.decode, redis.call('HGET', job, 'opts') or '{}')
  line((ok and type(opts) == 'table' and opts.lifo == true) and 'RPUSH' or 'LPUSH', v6)
  redis.call('XADD', KEYS[9], 'MAXLEN', '~', events, '*', 'event', 'waiting', 'jobId', id,
    'prev', state)
  return ''
end
if redis.call('HEXISTS', job, 'rjk') == 1
  and not (redis.call('ZSCORE', KEYS[11], id) or redis.call('ZSCORE', KEYS[12], id)) then
  return 'it is the next job of a scheduler, which would stop without it: change the scheduler in the app'
end
if action == 'promote' then
  if redis.call('ZREM', KEYS[10], id) == 0 then return 'it is not delayed' end
  line('LPUSH', true)
  redis.call('XADD', KEYS[9], 'MAXLEN', '~', events, '*', 'event', 'waiting', 'jobId', id,
    'prev', 'delayed')
  redis.call('HSET', job, 'delay', 0)
  return ''
end
local prev = 'unknown'
if redis.call('LREM', KEYS[3], 0, id) > 0 then
  prev = 'wait'
elseif redis.call('LREM', KEYS[4], 0, id) > 0 then
  prev = 'paused'
end
for name, key in pairs({delayed = KEYS[10], completed = KEYS[11], failed = KEYS[12],
  prioritized = KEYS[7], ['waiting-children'] = KEYS[13]}) do
  if redis.call('ZREM', key, id) == 1 then prev = name end
end
redis.call('SREM', KEYS[14], id)
local dedup = redis.call('HGET', job, 'deid')
if dedup and redis.call('GET', base .. 'de:' .. dedup) == id then
  redis.call('DEL', base .. 'de:' .. dedup, base .. 'dn:' .. dedup)
end
redis.call('DEL', job)
if redis.call('TYPE', job .. ':logs').ok == 'list' then redis.call('DEL', job .. ':logs') end
redis.call('XADD', KEYS[9], 'MAXLEN', '~', events, '*', 'event', 'removed', 'jobId', id, 'prev',
  prev)
return ''
`)

// JobAction is something done to one job by hand.
type JobAction string

// The actions.
const (
	// a failed or completed job waits again; attempts made stay counted
	RetryJob   JobAction = "retry"
	PromoteJob JobAction = "promote" // a delayed job waits now
	RemoveJob  JobAction = "remove"  // any job that no worker holds is deleted with its log
)

// ActOnJob does to a job what BullMQ's own method of that name does, in one script.
// It refuses (kind Blocked, with the reason) jobs in the wrong state, held by a
// worker, part of a flow or the next job of a scheduler, and queues of BullMQ
// before 5, whose rules differ. NotFound when there is no such job.
func ActOnJob(
	ctx context.Context, c redis.UniversalClient, q Queue, id string, action JobAction,
) error {
	if action != RetryJob && action != PromoteJob && action != RemoveJob {
		return migration.Errorf(migration.Invalid,
			"unknown action %q on a job: use retry, promote or remove", action)
	}
	j, err := FindJob(ctx, c, q, id)
	if err != nil {
		return err
	}
	n, err := Census(ctx, c, q)
	if err != nil {
		return err
	}
	if n.major() < 5 {
		return migration.Errorf(migration.Blocked, "%s job %s of %s: the queue belongs to "+
			"BullMQ %q, and only 5 and 6 are supported: do it in the app", action, id,
			q, n.Version)
	}
	keys := []string{q.Key(j.ID)}
	for _, part := range []string{"meta", "wait", "paused", "active", "marker", "prioritized",
		"pc", "events", "delayed", "completed", "failed", "waiting-children", "stalled"} {
		keys = append(keys, q.Key(part))
	}
	why, err := actScript.Run(ctx, c, keys, id, string(action), n.major(), q.Key("")).Text()
	if err != nil {
		return fmt.Errorf("%s job %s of %s: %w", action, id, q, redisconn.Explain(err))
	}
	if why != "" {
		return migration.Errorf(migration.Blocked, "%s job %s of %s: %s", action, id, q, why)
	}
	return nil
}
