package bullmq

// luaLocate finds a job's state and returns its content. KEYS: job, then one key
// per state. ARGV: id, "prefix:queue:de:". Returns false when the job is in none of
// the states, otherwise {state number, score or "", job hash, logs, why it cannot
// be moved or "", deduplication id that the job holds or "", ms until that ends or
// -1}.
const luaLocate = `
local state, score = 0, ''
for i = 2, 6 do
  local kind = redis.call('TYPE', KEYS[i]).ok
  if kind == 'list' then
    if redis.call('LPOS', KEYS[i], ARGV[1]) then state = i - 1 end
  elseif kind == 'zset' then
    local s = redis.call('ZSCORE', KEYS[i], ARGV[1])
    if s then state, score = i - 1, s end
  end
  if state > 0 then break end
end
if state == 0 then return false end
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'none' and (kind ~= 'hash' or redis.call('HEXISTS', KEYS[1], 'name') == 0) then
  return {state, score, {}, {}, 'has a key that is no job of BullMQ', '', -1}
end
local why = ''
if kind == 'none' then why = 'has no content'
elseif redis.call('EXISTS', KEYS[1] .. ':lock') == 1 then why = 'is being processed'
elseif redis.call('HEXISTS', KEYS[1], 'parentKey') == 1
  or redis.call('EXISTS', KEYS[1] .. ':dependencies', KEYS[1] .. ':processed',
  KEYS[1] .. ':failed', KEYS[1] .. ':unsuccessful') > 0 then
  why = 'belongs to a flow'
elseif redis.call('HEXISTS', KEYS[1], 'rjk') == 1 then why = 'belongs to a scheduler' end
local dedup, ends = redis.call('HGET', KEYS[1], 'deid') or '', -1
if dedup ~= '' and redis.call('GET', ARGV[2] .. dedup) == ARGV[1] then
  ends = redis.call('PTTL', ARGV[2] .. dedup)
else
  dedup = ''
end
return {state, score, redis.call('HGETALL', KEYS[1]),
  redis.call('TYPE', KEYS[1] .. ':logs').ok == 'list'
    and redis.call('LRANGE', KEYS[1] .. ':logs', 0, -1) or {}, why, dedup, ends}
`

// luaImport stores one job on the target unless the ledger knows it. KEYS: job,
// ledger, meta, id, pc, marker, events, then wait, paused, delayed, prioritized,
// failed. ARGV: id, state, score, key of the deduplication or "", ms until that
// ends, number of hash values, hash..., logs... Returns 1 if moved, 0 if the ledger
// knows it, -1 if another job has the id, or had it at an earlier attempt.
const luaImport = `
local known = redis.call('HGET', KEYS[2], ARGV[1])
if known then return known == 'conflict' and -1 or 0 end
if redis.call('EXISTS', KEYS[1], KEYS[1] .. ':logs') > 0 then
  redis.call('HSET', KEYS[2], ARGV[1], 'conflict')
  return -1
end
local n = tonumber(ARGV[6])
local hash, priority = {}, 0
for i = 1, n, 2 do
  hash[i], hash[i + 1] = ARGV[6 + i], ARGV[7 + i]
  if ARGV[6 + i] == 'priority' then priority = tonumber(ARGV[7 + i]) or 0 end
end
redis.call('HSET', KEYS[1], unpack(hash))
-- Where another job of the target holds the same deduplication id, both were accepted,
-- and both run.
if ARGV[4] ~= '' and redis.call('SET', ARGV[4], ARGV[1], 'NX') and tonumber(ARGV[5]) > 0 then
  redis.call('PEXPIRE', ARGV[4], ARGV[5])
end
for i = 7 + n, #ARGV do redis.call('RPUSH', KEYS[1] .. ':logs', ARGV[i]) end
local meta = redis.call('HMGET', KEYS[3], 'paused', 'opts.maxLenEvents', 'version')
local paused, maxEvents = meta[1], meta[2] or '10000'
local major = tonumber(string.match(meta[3] or '', '^bullmq:(%d+)')) or 6
-- An automatic id that BullMQ would give out again would overwrite this job.
if string.match(ARGV[1], '^%d+$') and #ARGV[1] <= 15
  and tonumber(ARGV[1]) > (tonumber(redis.call('GET', KEYS[4]) or '0') or 0) then
  redis.call('SET', KEYS[4], ARGV[1])
end
local state, event = ARGV[2], 'waiting'
if state == 'delayed' then
  redis.call('ZADD', KEYS[10], ARGV[3], ARGV[1])
  event = 'delayed'
elseif state == 'prioritized' then
  redis.call('ZADD', KEYS[11],
    string.format('%.0f', priority * 4294967296 + redis.call('INCR', KEYS[5]) % 4294967296),
    ARGV[1])
elseif state == 'failed' then
  redis.call('ZADD', KEYS[12], ARGV[3], ARGV[1])
  event = nil
elseif paused and major < 6 then
  redis.call('LPUSH', KEYS[9], ARGV[1])
else
  redis.call('LPUSH', KEYS[8], ARGV[1])
end
if event and not paused then
  if event == 'waiting' then redis.call('ZADD', KEYS[6], 0, '0')
  else
    local first = redis.call('ZRANGE', KEYS[10], 0, 0, 'WITHSCORES')
    redis.call('ZADD', KEYS[6], string.format('%.0f', math.floor(tonumber(first[2]) / 4096)), '1')
  end
end
redis.call('HSET', KEYS[2], ARGV[1], state)
if event == 'waiting' then
  redis.call('XADD', KEYS[7], 'MAXLEN', '~', maxEvents, '*', 'event', event, 'jobId', ARGV[1])
elseif event then
  redis.call('XADD', KEYS[7], 'MAXLEN', '~', maxEvents, '*', 'event', event, 'jobId', ARGV[1],
    'delay', math.floor(tonumber(ARGV[3]) / 4096))
end
return 1
`

// luaRemove deletes a moved job from the source, with its deduplication id, and
// records that in the events as BullMQ would, so that nobody who follows them takes
// the job for lost. KEYS: job, then one key per state, then active, events, meta.
// ARGV: id, "prefix:queue:de:". Returns 1 if removed, 0 if it was not there, -1 if
// it is being processed.
const luaRemove = `
if redis.call('EXISTS', KEYS[1] .. ':lock') == 1 or redis.call('LPOS', KEYS[7], ARGV[1]) then
  return -1
end
local n, prev = 0, ''
for i = 2, 6 do
  local kind, was = redis.call('TYPE', KEYS[i]).ok, n
  if kind == 'list' then n = n + redis.call('LREM', KEYS[i], 0, ARGV[1])
  elseif kind == 'zset' then n = n + redis.call('ZREM', KEYS[i], ARGV[1]) end
  if n > was then prev = string.match(KEYS[i], '[^:]+$') end
end
if n == 0 then return 0 end
local dedup = redis.call('HGET', KEYS[1], 'deid')
if dedup and redis.call('GET', ARGV[2] .. dedup) == ARGV[1] then
  redis.call('DEL', ARGV[2] .. dedup)
end
redis.call('DEL', KEYS[1])
-- a longer-named queue may have a job of that id
if redis.call('TYPE', KEYS[1] .. ':logs').ok == 'list' then
  redis.call('DEL', KEYS[1] .. ':logs')
end
redis.call('XADD', KEYS[8], 'MAXLEN', '~', redis.call('HGET', KEYS[9], 'opts.maxLenEvents')
  or '10000', '*', 'event', 'removed', 'jobId', ARGV[1], 'prev', prev)
return 1
`
