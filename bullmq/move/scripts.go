package move

import "github.com/redis/go-redis/v9"

// luaAppend puts one list at the right end of another, where the oldest jobs are,
// or moves it when there is no other.
const luaAppend = `
local function append(from, to)
  if redis.call('EXISTS', from) == 0 then return end
  if redis.call('EXISTS', to) == 0 then redis.call('RENAME', from, to) return end
  local ids = redis.call('LRANGE', from, 0, -1)
  for i = 1, #ids, 1000 do redis.call('RPUSH', to, unpack(ids, i, math.min(i + 999, #ids))) end
  redis.call('DEL', from)
end
local function union(from, to)
  if redis.call('EXISTS', from) == 0 then return end
  if redis.call('EXISTS', to) == 0 then redis.call('RENAME', from, to) return end
  redis.call('ZUNIONSTORE', to, 2, to, from, 'AGGREGATE', 'MAX')
  redis.call('DEL', from)
end
local function raise(key, value)
  if value and tonumber(value) > (tonumber(redis.call('GET', key) or '0') or 0) then
    redis.call('SET', key, value)
  end
end
`

// fenceScript takes away every index of the queues atomically, so that no worker
// finds a job any more: the fence and the snapshot in one. KEYS: the record. ARGV:
// prefix of the fenced keys, how many ids to leave unused for late producers, then
// "prefix:queue:" of each queue. Returns {0, why} and changes nothing when a queue
// is not paused or a job is active, otherwise {1}.
//
// Renaming is instant, however many jobs there are. What producers still add
// afterwards waits in new lists, held by the pause.
var fenceScript = redis.NewScript(`
if redis.call('HEXISTS', KEYS[1], 'fenced') == 1 then return {1} end
for i = 3, #ARGV do
  local base = ARGV[i]
  if redis.call('HEXISTS', base .. 'meta', 'paused') == 0 then
    return {0, base .. ' was resumed by somebody'}
  end
  local n = redis.call('LLEN', base .. 'active')
  if n > 0 then return {0, base .. ' has ' .. n .. ' active jobs'} end
end
for i = 3, #ARGV do
  local base = ARGV[i]
  for _, part in ipairs({'wait', 'paused', 'delayed', 'prioritized', 'priority',
    'waiting-children', 'completed', 'failed', 'repeat', 'pc'}) do
    if redis.call('EXISTS', base .. part) == 1 then
      redis.call('RENAME', base .. part, ARGV[1] .. base .. part)
    end
  end
  redis.call('DEL', base .. 'marker')
  redis.call('HSET', KEYS[1], 'id:' .. base, redis.call('GET', base .. 'id') or '0')
  redis.call('INCRBY', base .. 'id', ARGV[2])
  redis.call('HSET', base .. 'meta', 'switchyard:moved', ARGV[1])
end
redis.call('HSET', KEYS[1], 'fenced', redis.call('TIME')[1])
return {1}
`)

// unfenceScript puts the indexes back, together with what was added meanwhile. KEYS
// and ARGV as for fenceScript.
var unfenceScript = redis.NewScript(luaAppend + `
for i = 3, #ARGV do
  local base = ARGV[i]
  append(ARGV[1] .. base .. 'wait', base .. 'wait')
  append(ARGV[1] .. base .. 'paused', base .. 'paused')
  for _, part in ipairs({'delayed', 'prioritized', 'priority', 'waiting-children', 'completed',
    'failed', 'repeat'}) do
    union(ARGV[1] .. base .. part, base .. part)
  end
  raise(base .. 'pc', redis.call('GET', ARGV[1] .. base .. 'pc'))
  redis.call('DEL', ARGV[1] .. base .. 'pc')
  redis.call('HDEL', base .. 'meta', 'switchyard:moved')
end
redis.call('HDEL', KEYS[1], 'fenced')
return 1
`)

// activateScript puts the staged indexes in place and admits workers, atomically.
// KEYS: the record. ARGV: prefix of the staged keys, then for each queue:
// "prefix:queue:", the source's id counter, the counter the target began with, "1"
// to leave it paused. Returns {0, why} and changes nothing when ids could collide,
// otherwise {1, jobs that were also added on the target and are kept once}.
//
// Jobs that were added on the target meanwhile stay, behind the moved ones. Markers
// wake workers at once, which otherwise sleep up to their drainDelay.
var activateScript = redis.NewScript(luaAppend + `
if redis.call('HEXISTS', KEYS[1], 'activated') == 1 then return {1, 0} end
for i = 2, #ARGV, 4 do
  local id = redis.call('GET', ARGV[i] .. 'id')
  if tonumber(ARGV[i + 1]) > tonumber(ARGV[i + 2]) and id and id ~= ARGV[i + 2] then
    return {0, ARGV[i] .. ': jobs were added on the target with ids that the source has given out too'}
  end
end
local twice = 0
for i = 2, #ARGV, 4 do
  local base, staged = ARGV[i], ARGV[1] .. ARGV[i]
  local function isMoved(id)
    for _, part in ipairs({'wait', 'paused'}) do
      if redis.call('EXISTS', staged .. part) == 1 and redis.call('LPOS', staged .. part, id) then
        return true
      end
    end
    for _, part in ipairs({'delayed', 'prioritized', 'waiting-children', 'completed',
      'failed'}) do
      if redis.call('ZSCORE', staged .. part, id) then return true end
    end
    return false
  end
  for _, part in ipairs({'wait', 'paused'}) do
    for _, id in ipairs(redis.call('LRANGE', base .. part, 0, -1)) do
      if isMoved(id) then redis.call('LREM', base .. part, 0, id) twice = twice + 1 end
    end
  end
  for _, part in ipairs({'delayed', 'prioritized'}) do
    for _, id in ipairs(redis.call('ZRANGE', base .. part, 0, -1)) do
      if isMoved(id) then redis.call('ZREM', base .. part, id) twice = twice + 1 end
    end
  end
  redis.call('HDEL', base .. 'meta', 'switchyard:moved')
  local version = redis.call('HGET', base .. 'meta', 'version') or ''
  local major = tonumber(string.match(version, '^bullmq:(%d+)')) or 6
  local stay = ARGV[i + 3] == '1'
  if not stay then append(base .. 'paused', base .. 'wait') end
  local line = (stay and major < 6) and 'paused' or 'wait'
  append(staged .. 'wait', base .. line)
  append(staged .. 'paused', base .. line)
  for _, part in ipairs({'delayed', 'prioritized', 'waiting-children', 'completed', 'failed',
    'repeat'}) do
    union(staged .. part, base .. part)
  end
  raise(base .. 'pc', redis.call('GET', staged .. 'pc'))
  redis.call('DEL', staged .. 'pc')
  if redis.call('GET', base .. 'id') == ARGV[i + 2] then
    redis.call('SET', base .. 'id', ARGV[i + 1])
  end
  raise(base .. 'id', ARGV[i + 1])
  if not stay then
    redis.call('HDEL', base .. 'meta', 'paused')
    if redis.call('EXISTS', base .. 'wait') == 1
      or redis.call('EXISTS', base .. 'prioritized') == 1 then
      redis.call('ZADD', base .. 'marker', 0, '0')
    end
    local first = redis.call('ZRANGE', base .. 'delayed', 0, 0, 'WITHSCORES')
    if first[2] then
      redis.call('ZADD', base .. 'marker',
        string.format('%.0f', math.floor(tonumber(first[2]) / 4096)), '1')
    end
    redis.call('XADD', base .. 'events', 'MAXLEN', '~',
      redis.call('HGET', base .. 'meta', 'opts.maxLenEvents') or '10000', '*', 'event', 'resumed')
  end
end
redis.call('HSET', KEYS[1], 'activated', redis.call('TIME')[1])
return {1, twice}
`)

// renameAttempts renames the attempt counters in job hashes of BullMQ 3 and 4 to
// what later versions use. Those also read the old name, and prefer it, but never
// increment it: a failing job would be retried without end. KEYS: job hashes.
var renameAttempts = redis.NewScript(`
for _, key in ipairs(KEYS) do
  for old, new in pairs({attemptsMade = 'atm', attemptsStarted = 'ats'}) do
    local n = redis.call('HGET', key, old)
    if n then
      if redis.call('HEXISTS', key, new) == 0 then redis.call('HSET', key, new, n) end
      redis.call('HDEL', key, old)
    end
  end
end
return 1
`)
