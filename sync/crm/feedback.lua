-- The report of a slot's outcome. Appended to budget.lua.
--
-- ARGV[3] 'sent' | 'refused' | 'served'; ARGV[4] store; ARGV[5] class; ARGV[6], ARGV[7] number and
-- epoch of the slot; ARGV[8] its moment; ARGV[9] the lateness of the sending ('sent'), or the
-- Retry-After of the API ('refused'), -1 without one

local WITHIN = 2 * SECOND       -- two stores refused within this time: the limit, not an outage
local FREEZE = SECOND           -- afterwards no slot of the fast pace is in the sliding second
local PAUSE = SECOND / 2        -- the first pause of a store; doubles
local LONGEST = 3600 * SECOND   -- of Retry-After
local LEVELS = 7
local STEP = 5 * SECOND         -- success for this long makes a store one level faster
local what, store, class = ARGV[3], ARGV[4], ARGV[5]
local n, epoch, at, amount = num(ARGV[6]), ARGV[7], num(ARGV[8]), num(ARGV[9])
local key = KEYS[6]

if what == 'sent' then
  local p = redis.call('HMGET', pace, 'epoch', 'n', 'r' .. (n % RING))
  if p[1] ~= epoch or num(p[2]) - n >= RING then return 0 end
  redis.call('HINCRBY', pace, 'late', 1)
  -- The report is too late: the slot `ring` places later has been granted already.
  if num(p[2]) >= n + ring then redis.call('HINCRBY', pace, 'overdue', 1) end
  redis.call('HSET', pace, 'r' .. (n % RING), math.max(num(p[3]), at + amount))
  return 1
end

local s = redis.call('HMGET', key, 'pu', 'pa', 'lv', 'la')
local pu, pa, level, la = num(s[1]), num(s[2]), num(s[3]), num(s[4])
if pa > now then pu, pa, la = 0, 0, 0 end  -- written before the clock was set back

if what == 'served' then
  if level > 0 and at >= pa and (now - la >= STEP or la > now) then
    redis.call('HSET', key, 'lv', level - 1, 'la', now)
  end
  return level
end

redis.call('HINCRBY', key, 'x' .. class, 1)
redis.call('EXPIRE', key, 604800)
local pause = math.min(amount, LONGEST)
-- A refusal of a request sent before the pause belongs to the same incident: no new level.
if at >= pa then
  level = math.min(level + 1, LEVELS)
  pause = math.max(pause, PAUSE * 2 ^ (level - 1))
  redis.call('HSET', key, 'lv', level, 'la', now, 'pa', now)
end
if pause > 0 then redis.call('HSET', key, 'pu', math.max(pu, now + pause)) end

local p = redis.call('HMGET', pace, 'rs', 'rt', 'halved', 'base', 'since', 'frozen')
local second = p[1] and p[1] ~= store and now - num(p[2]) <= WITHIN and now >= num(p[2])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - SECOND)
local others = redis.call('ZCARD', KEYS[3])
if redis.call('ZSCORE', KEYS[3], store) then others = others - 1 end
redis.call('HSET', pace, 'rs', store, 'rt', now)
for i = 2, 5 do redis.call('ZREM', KEYS[i], store) end
if (second or others == 0) and at >= num(p[3]) then
  local floor = math.min(FLOOR, full)
  redis.call('HSET', pace, 'base', math.max(floor, current(num(p[4]), num(p[5])) / 2),
    'since', now + FREEZE, 'frozen', now + FREEZE, 'halved', now)
end
return level
