-- One ask for one slot. Follows budget.lua.
--
-- ARGV[3] store; ARGV[4] class, 1 feed, 2 refresh, 3 walk, 4 reconcile; ARGV[5] milliseconds the
-- asker has waited; ARGV[6] '1' when Redis, or its clock, cannot be the one of the last ask;
-- ARGV[7], ARGV[8] number and epoch of a slot this asker could not use, or ''
--
-- Answers {1, delay, now, n, epoch, recovering} or {0, ask again in, now, why}:
-- why 0 another's turn, 1 the store is paused, 2 everything is frozen.

local FORGET = SECOND          -- a store has work until this long after its last ask
local LEAD = 3                 -- requests a store may be ahead, and has to give back
local SLACK = 100000           -- a hiccup up to this long is caught up; longer is idleness
local AGAIN = 800000           -- ask again before FORGET
local WEIGHT = {4, 2, 3, 1}    -- of feed, refresh, walk, reconcile inside a store
local turn, seen, wturn, wseen, key = KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local store, class = ARGV[3], tonumber(ARGV[4])
local lane = class == 1 and 1 or 2

local function state()
  return redis.call('HMGET', pace, 'n', 'g', 'ideal', 'seen', 'epoch', 'base', 'since', 'frozen',
    'v', 'fw')
end

local p = state()
if not p[5] then
  redis.call('DEL', pace, turn, seen, wturn, wseen)
  begin_anew()
  p = state()
elseif ARGV[6] == '1' or not p[1] or now < num(p[4])
    or num(p[2]) > now + HORIZON + LATE + 1000 then
  redis.call('DEL', turn, seen, wturn, wseen)
  -- What was dated by a clock that went back would otherwise last for ever.
  redis.call('HSET', pace, 'since', math.min(num(p[7]), now),
    'frozen', math.min(num(p[8]), now + SECOND), 'halved', 0, 'rt', 0)
  begin_anew()
  p = state()
else
  redis.call('HSET', pace, 'seen', now)
end

local n, g, ideal, epoch = num(p[1]), num(p[2]), num(p[3]), p[5]
local frozen, v, fw = num(p[8]), num(p[9]), num(p[10])
local gap = SECOND / current(num(p[6]), num(p[7]))

-- The next slot. Even pacing, a hiccup caught up; never closer to the slot `ring` places back than
-- a second and the margin. The ring alone keeps the limit, the rest keeps it even.

local line = ideal + gap
if line < now - SLACK then line = now end
local at = math.max(now, line, g + CLOSEST * gap, frozen)
local used = redis.call('HGET', pace, 'r' .. ((n + 1 - ring) % RING))
if used then at = math.max(at, num(used) + SECOND + MARGIN) end

-- The store: its pause, then its place among the others.

local s = redis.call('HMGET', key, 'epoch', 'tag', 'cv', 'pu', 'pa', 'lv', 'nx',
  't1', 't2', 't3', 't4', 'a1', 'a2', 'a3', 'a4', 'p' .. lane)
local tag, cv = v, 0
local t, a = {0, 0, 0, 0}, {0, 0, 0, 0}
if s[1] == epoch then
  tag, cv = num(s[2]), num(s[3])
  for c = 1, 4 do t[c], a[c] = num(s[7 + c]), num(s[11 + c]) end
end
local level = num(s[6])

if ARGV[8] ~= '' and ARGV[8] == epoch then  -- a slot missed is service not had
  tag, t[class] = tag - 1, t[class] - 1 / WEIGHT[class]
  redis.call('HSET', key, 'tag', tag, 't' .. class, t[class])
  redis.call('HINCRBY', pace, 'lost', 1)
end

local wait = num(s[4]) - now
if num(s[5]) > now then wait = 0 end  -- dated by a clock that went back
-- A slow store waits until the slot that is next anyway is late enough for it: the moments before
-- belong to the others.
if level > 0 and num(s[7]) < now + 10 * SECOND then wait = math.max(wait, num(s[7]) - at) end
if wait > 0 then
  for i = 2, 5 do redis.call('ZREM', KEYS[i], store) end  -- it has no turn meanwhile
  return {0, math.ceil(math.max(2000, wait)), now, 1}
end

local function note(zset, by, member_tag)
  local gone = redis.call('ZRANGEBYSCORE', by, '-inf', now - FORGET, 'LIMIT', 0, 100)
  if #gone > 0 then
    redis.call('ZREM', by, unpack(gone))
    redis.call('ZREM', zset, unpack(gone))
  end
  if member_tag then
    redis.call('ZADD', by, now, store)
    redis.call('ZADD', zset, member_tag, store)
  end
end

-- Virtual time is the least tag among the stores with work; who returns begins just before it.
if not redis.call('ZSCORE', turn, store) then tag = math.max(tag, v - 0.1) end
note(turn, seen, tag)
note(wturn, wseen, lane == 2 and tag or nil)
v = math.max(v, tonumber(redis.call('ZRANGE', turn, 0, 0, 'WITHSCORES')[2]))
local walks_wait = redis.call('ZCARD', wturn) > 0
if not walks_wait then fw = 0 end
local capped = walks_wait and fw >= 1

a[class] = now
local first = math.max(t[class], cv - 1)
local class_turn = not (capped and class == 1)
for c = 1, 4 do
  if c ~= class and a[c] > now - FORGET and a[c] <= now and not (capped and c == 1)
      and math.max(t[c], cv - 1) < first then
    class_turn = false
  end
end
local among = capped and wturn or turn
local least = redis.call('ZRANGE', among, 0, 0, 'WITHSCORES')
local in_turn = class_turn and (not least[2] or tag <= tonumber(least[2]))

local reach = HORIZON
-- Others may have what would otherwise pass unused, shortly before it does.
if not in_turn then reach = math.min(60000, math.max(20000, 0.6 * gap)) end

if at - now > reach then
  -- Appointments: the further from its turn the later, those of a store's lane a quarter of a gap
  -- apart.
  local rank = redis.call('ZRANK', turn, store)
  local again = math.max(at - reach, now + math.min(AGAIN, rank * gap / 2))
  local pointer = num(s[16])
  if pointer > now and pointer + gap / 4 > again then again = pointer + gap / 4 end
  if again > now + AGAIN and at - reach < now + AGAIN then
    again = math.max(at - reach, now + gap / 4)
  end
  redis.call('HSET', key, 'epoch', epoch, 'tag', tag, 'a' .. class, now, 'p' .. lane, again)
  return {0, math.ceil(math.max(2000, again - now)), now, frozen > now and 2 or 0}
end

-- Granted.

if at - line > SLACK then line = at end
n = n + 1
if walks_wait then
  if class == 1 then fw = math.min(fw + 1, 3) else fw = math.max(fw - 1, -1) end
end
redis.call('HSET', pace, 'n', n, 'g', at, 'ideal', line, 'r' .. (n % RING), at,
  'v', v, 'fw', fw)
tag = math.min(tag + 1, v + LEAD)
redis.call('ZADD', turn, tag, store)
redis.call('ZADD', wturn, 'XX', tag, store)

local slow = math.min(SECOND, SECOND / full * 2 ^ level)
local waited = math.floor(num(ARGV[5]) + (at - now) / 1000)
redis.call('HSET', key, 'epoch', epoch, 'tag', tag, 'cv', math.max(cv, first),
  't' .. class, first + 1 / WEIGHT[class], 'a' .. class, now, 'nx', at + slow)
redis.call('HINCRBY', key, 'g' .. class, 1)
redis.call('HINCRBY', key, 'w' .. class, waited)
redis.call('EXPIRE', key, 604800)
redis.call('ZADD', KEYS[8], now, store)

local bin = math.floor(at / (10 * SECOND))
local field = bin % 361
local had = redis.call('HGET', KEYS[7], field)
local of, count = string.match(had or '', '(%d+):(%d+)')
if tonumber(of) ~= bin then count = 0 end
redis.call('HSET', KEYS[7], field, string.format('%.0f:%.0f', bin, count + 1))

return {1, math.ceil(at - now), now, n, epoch, level}
