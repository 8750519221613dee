package bullmq

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/redisconn"
)

// luaMerge appends one list to the right end of another, where the oldest jobs are,
// and deletes it. BullMQ itself renames one list over the other, which loses the
// jobs of the second when both exist.
const luaMerge = `
local function merge(from, to)
  local ids = redis.call('LRANGE', from, 0, -1)
  for i = 1, #ids, 1000 do
    redis.call('RPUSH', to, unpack(ids, i, math.min(i + 999, #ids)))
  end
  redis.call('DEL', from)
end
`

// KEYS: meta, wait, paused, marker, events. ARGV: "1" when the jobs stay in wait
// (BullMQ 6).
var pauseScript = redis.NewScript(luaMerge + `
if redis.call('HEXISTS', KEYS[1], 'paused') == 1
  and (ARGV[1] == '1' or redis.call('EXISTS', KEYS[2]) == 0) then
  return 0
end
if ARGV[1] ~= '1' and redis.call('EXISTS', KEYS[2]) == 1 then merge(KEYS[2], KEYS[3]) end
redis.call('HSET', KEYS[1], 'paused', 1)
redis.call('DEL', KEYS[4])
redis.call('XADD', KEYS[5], 'MAXLEN', '~', 10000, '*', 'event', 'paused')
return 1
`)

// KEYS: meta, wait, paused, marker, events, delayed, prioritized. ARGV: "1" when
// workers may wait on the marker (BullMQ 5 and later).
var resumeScript = redis.NewScript(luaMerge + `
local was = redis.call('HDEL', KEYS[1], 'paused')
if redis.call('EXISTS', KEYS[3]) == 1 then merge(KEYS[3], KEYS[2]) end
if ARGV[1] == '1' then
  if redis.call('EXISTS', KEYS[2]) == 1 or redis.call('EXISTS', KEYS[7]) == 1 then
    redis.call('ZADD', KEYS[4], 0, '0')
  end
  local first = redis.call('ZRANGE', KEYS[6], 0, 0, 'WITHSCORES')
  if first[2] then
    redis.call('ZADD', KEYS[4], string.format('%.0f', math.floor(tonumber(first[2]) / 4096)), '1')
  end
end
if was == 1 then redis.call('XADD', KEYS[5], 'MAXLEN', '~', 10000, '*', 'event', 'resumed') end
return was
`)

// Pause keeps workers from taking further jobs; those being processed continue (see
// WaitIdle). It follows the rules of the BullMQ version that owns the queue: from 6
// on a flag holds workers back; before that the waiting jobs have to be put aside,
// and a flag alone would be ignored or lose jobs at the next resume. A queue of
// unknown version is paused the older way, which every version honours. Pausing a
// paused queue changes nothing. A paused queue is not frozen: its workers still
// promote due delayed jobs.
func Pause(ctx context.Context, c redis.UniversalClient, q Queue) error {
	n, err := Census(ctx, c, q)
	if err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	keys := []string{q.Key("meta"), q.Key("wait"), q.Key("paused"), q.Key("marker"),
		q.Key("events")}
	if err := pauseScript.Run(ctx, c, keys, flag(n.major() >= 6)).Err(); err != nil {
		return fmt.Errorf("pause %s: %w", q, redisconn.Explain(err))
	}
	return nil
}

// Resume undoes a pause by any BullMQ version: jobs put aside go back in line ahead
// of later ones, and idle workers are woken. Resuming a queue that is not paused
// only wakes its workers.
func Resume(ctx context.Context, c redis.UniversalClient, q Queue) error {
	n, err := Census(ctx, c, q)
	if err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	keys := []string{q.Key("meta"), q.Key("wait"), q.Key("paused"), q.Key("marker"),
		q.Key("events"), q.Key("delayed"), q.Key("prioritized")}
	// A queue that only a FlowProducer fills reveals no version; versions that know
	// no marker ignore one more key.
	if err := resumeScript.Run(ctx, c, keys,
		flag(n.major() >= 5 || n.major() == 0)).Err(); err != nil {
		return fmt.Errorf("resume %s: %w", q, redisconn.Explain(err))
	}
	return nil
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
