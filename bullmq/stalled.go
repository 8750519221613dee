package bullmq

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/redisconn"
)

// maxStalled is how often BullMQ runs a job whose worker died, unless an app says otherwise.
const maxStalled = 1

// luaUnlocked gives the ids of the active list without a lock. KEYS: active. ARGV:
// "prefix:queue:".
const luaUnlocked = `
local unlocked = {}
for _, id in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  if string.sub(id, 1, 2) ~= '0:' and redis.call('EXISTS', ARGV[1] .. id .. ':lock') == 0 then
    table.insert(unlocked, id)
  end
end
`

var unlockedScript = redis.NewScript(luaUnlocked + "return unlocked")

// KEYS: active, wait, paused, failed, meta, events, marker. ARGV: "prefix:queue:", ms now, "1"
// when the jobs of a paused queue stay in wait (BullMQ 6), "1" when workers may wait on the
// marker (BullMQ 5 and later), how often a job may stall.
var recoverScript = redis.NewScript(luaUnlocked + `
local waiting, failed = {}, {}
local paused = redis.call('HEXISTS', KEYS[5], 'paused') == 1
local to = KEYS[2]
if paused and ARGV[3] ~= '1' then to = KEYS[3] end
for _, id in ipairs(unlocked) do
  if redis.call('LREM', KEYS[1], 1, id) > 0 then
    local job = ARGV[1] .. id
    local times = redis.call('HINCRBY', job, 'stc', 1)
    if times > tonumber(ARGV[5]) and redis.call('HEXISTS', job, 'rjk') == 0 then
      local why = 'job stalled more than allowable limit'
      redis.call('HSET', job, 'failedReason', why, 'finishedOn', ARGV[2])
      redis.call('ZADD', KEYS[4], ARGV[2], id)
      redis.call('XADD', KEYS[6], 'MAXLEN', '~', 10000, '*', 'event', 'failed', 'jobId', id,
        'prev', 'active', 'failedReason', why)
      table.insert(failed, id)
    else
      redis.call('RPUSH', to, id)
      if not paused and ARGV[4] == '1' then redis.call('ZADD', KEYS[7], 0, '0') end
      redis.call('XADD', KEYS[6], 'MAXLEN', '~', 10000, '*', 'event', 'waiting', 'jobId', id,
        'prev', 'active')
      redis.call('XADD', KEYS[6], 'MAXLEN', '~', 10000, '*', 'event', 'stalled', 'jobId', id)
      table.insert(waiting, id)
    end
  end
end
return {waiting, failed}
`)

// Stalled gives the ids of jobs that are in progress without a lock: their workers are gone.
// One that a worker has taken just now has its lock already.
func Stalled(ctx context.Context, c redis.UniversalClient, q Queue) ([]string, error) {
	ids, err := unlockedScript.Run(ctx, c, []string{q.Key("active")}, q.Key("")).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("stalled jobs of %s: %w", q, redisconn.Explain(err))
	}
	return ids, nil
}

// Recovered are the ids of jobs that were in progress without a lock.
type Recovered struct {
	Waiting []string // they run again
	Failed  []string // they had stalled before
}

// RecoverStalled does what the workers of a queue do with jobs whose worker died: those without
// a lock wait again, and those that stalled before fail. It is for queues that nobody works;
// a worker does the same by itself.
func RecoverStalled(ctx context.Context, c redis.UniversalClient, q Queue) (Recovered, error) {
	n, err := Census(ctx, c, q)
	if err != nil || n.Active == 0 {
		return Recovered{}, err
	}
	keys := []string{q.Key("active"), q.Key("wait"), q.Key("paused"), q.Key("failed"),
		q.Key("meta"), q.Key("events"), q.Key("marker")}
	got, err := recoverScript.Run(ctx, c, keys, q.Key(""), time.Now().UnixMilli(),
		flag(n.major() >= 6), flag(n.major() >= 5 || n.major() == 0), maxStalled).Slice()
	if err != nil {
		return Recovered{}, fmt.Errorf("recover stalled jobs of %s: %w", q, redisconn.Explain(err))
	}
	return Recovered{texts(got[0]), texts(got[1])}, nil
}

func texts(v any) []string {
	var out []string
	list, _ := v.([]any)
	for _, e := range list {
		if s, ok := e.(string); ok {
			out = append(out, s)
		}
	}
	return out
}
