-- The report of a slot's outcome. Appended to budget.lua.
--
-- ARGV[3] store; ARGV[4] class; ARGV[5], ARGV[6] number and epoch of the slot; ARGV[7] its moment;
-- ARGV[8] what, and ARGV[9] microseconds:
--   'sent'     late: the lateness of the sending
--   'served'   it arrived at most so long after its moment; -1: not known
--   'delayed'  the same, and the answer came unusually late: the network may have held the request
--   'refused'  the Retry-After of the API; -1 without one
--
-- Returns 1 for a refusal that is no reason to pause: that request may go again. Otherwise 0.

local HAIR = 0.15               -- of the refused share: what a refusal takes from the pace
local IN_A_ROW = 3              -- refusals with nothing served between them: a pause
local LATELY = 60 * SECOND      -- a store not served for so long pauses at its first refusal
local LONGEST = 3600 * SECOND   -- of Retry-After
local store, class, n, epoch, at = ARGV[3], ARGV[4], ARGV[5], ARGV[6], num(ARGV[7])
local what, amount, key = ARGV[8], num(ARGV[9]), KEYS[6]

local p = redis.call('HMGET', pace, 'epoch', 'base', 'quiet', 'ok', 'no', 'from', 'changed')
local known = p[1] == epoch and redis.call('ZSCORE', KEYS[9], n)
local rate = current(num(p[2]), num(p[3]))

-- The latest moment at which the slot may have arrived.

if what == 'sent' then
  redis.call('HINCRBY', pace, 'late', 1)
  local _, _, network = spacing(rate)
  if known then
    redis.call('ZADD', KEYS[9], math.max(num(known), at + amount + network), n)
  elseif p[1] == epoch then
    redis.call('HINCRBY', pace, 'overdue', 1)  -- a slot that relied on it has been granted already
  end
  return 0
end
if known and what == 'served' and amount >= 0 then
  redis.call('ZADD', KEYS[9], math.min(num(known), at + amount), n)
elseif known and what == 'delayed' then
  redis.call('ZADD', KEYS[9], math.max(num(known), at + amount), n)
end

-- The quick memory: the store.

local s = redis.call('HMGET', key, 'rf', 'ra', 'rl', 'lv', 'pa', 'pu', 'af', 'up')
local rf, first, last, level = num(s[1]), num(s[2]), num(s[3]), num(s[4])
local began, ends, asked, up = num(s[5]), num(s[6]), num(s[7]), num(s[8])
-- What was written before the clock was set back is forgotten.
if math.max(began, last, asked - LONGEST, up) > now + HORIZON then
  redis.call('HDEL', key, 'rf', 'ra', 'rl', 'lv', 'pa', 'pu', 'af', 'up')
  rf, level, began, ends, asked, up = 0, 0, 0, 0, 0, 0
end

if what == 'refused' then
  redis.call('HINCRBY', key, 'x' .. class, 1)
  redis.call('EXPIRE', key, 604800)
  if rf == 0 then first, last = at, at end
  rf, first, last = rf + 1, math.min(first, at), math.max(last, at)
  -- What was granted before the pause began tells nothing new.
  if at >= began and (rf >= IN_A_ROW or now - up > LATELY) then
    level = level + 1
    redis.call('ZADD', KEYS[10], now, store)
    began, ends = now + HORIZON, now + pause_of(level)
    redis.call('ZADD', KEYS[10], ends, store)
  end
  if amount > 0 then
    began, asked = now + HORIZON, math.max(asked, now + math.min(amount, LONGEST))
  end
  redis.call('HSET', key, 'rf', rf, 'ra', first, 'rl', last, 'lv', level, 'pa', began, 'pu', ends,
    'af', asked)
  if math.max(ends, asked) <= now then return 1 end
  for i = 2, 5 do redis.call('ZREM', KEYS[i], store) end
  return 0
end

-- Served. A refusal speaks against the address only now: the store is up. A store that was refused
-- everything for a second was down, since any limit serves something in a second.

local refused = 0
if rf > 0 and at > last then
  if last - first < SECOND and first >= num(p[7]) then refused = rf end
  redis.call('HDEL', key, 'rf', 'ra', 'rl', 'lv', 'pa', 'pu')
  if level > 0 then redis.call('ZREM', KEYS[10], store) end
end
redis.call('HSET', key, 'up', now)

-- The slow memory: the address.

local ok, no, from, quiet = num(p[4]), num(p[5]), num(p[6]), num(p[3])
if at < num(p[7]) then return 0 end
if from <= 0 then from = rate end
ok, no, quiet = ok + 1, no + refused, quiet + 1
local base = num(p[2])
if refused > 0 then
  quiet = 0
  if no >= WINDOW / 4 then  -- the limit is elsewhere: at what was served
    base = math.max(math.min(FLOOR, full), math.min(rate, from * ok / (ok + no)))
    ok, no, from = 0, 0, base
    redis.call('HSET', pace, 'changed', now + HORIZON)
  else
    base = rate * (1 - HAIR * no / WINDOW)
  end
end
if ok + no >= WINDOW then ok, no, from = ok / 2, no / 2, current(base, quiet) end
redis.call('HSET', pace, 'base', base, 'quiet', quiet, 'ok', ok, 'no', no, 'from', from)
return 0
