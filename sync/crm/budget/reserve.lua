-- The reservation of one slot. Appended to budget.lua.
--
-- ARGV[3] store; ARGV[4] class, 1 feed, 2 refresh, 3 walk, 4 reconcile; ARGV[5] milliseconds the
-- caller has waited; ARGV[6] '1' when Redis was replaced or its clock changed since the last call;
-- ARGV[7], ARGV[8] number and epoch of a slot this caller could not use, or ''
--
-- Returns {1, delay, now, n, epoch, network} or {0, ask again in, now, paused}. `network`: how much
-- later than its moment the slot is taken to arrive. `paused`: 1 after refusals of the store.

local FORGET = SECOND          -- a store counts as having work this long after its last call
local LEAD = 3                 -- the most requests a store may be ahead of virtual time
local SLACK = 500000           -- a delay up to this long is caught up; a longer one was idleness
local AGAIN = 800000           -- the longest wait until the next call, below FORGET
local WEIGHT = {4, 2, 3, 1}    -- of feed, refresh, walk, reconcile inside a store
local turn, seen, wturn, wseen, key = KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local store, class = ARGV[3], tonumber(ARGV[4])
local lane = class == 1 and 1 or 2

local function state()
  return redis.call('HMGET', pace, 'n', 'g', 'ideal', 'seen', 'epoch', 'base', 'quiet', 'v', 'fw')
end

local p = state()
if not p[5] then
  redis.call('DEL', pace, turn, seen, wturn, wseen)
  begin_anew()
  p = state()
elseif ARGV[6] == '1' or not p[1] or now < num(p[4])
    or num(p[2]) > now + HORIZON + LATE + 1000 then
  redis.call('DEL', turn, seen, wturn, wseen)
  begin_anew()
  p = state()
else
  redis.call('HSET', pace, 'seen', now)
end

local n, g, ideal, epoch = num(p[1]), num(p[2]), num(p[3]), p[5]
local v, fw = num(p[8]), num(p[9])
local gap, within, network = spacing(current(num(p[6]), num(p[7])))

-- The next slot: evenly paced, with short delays caught up, and at least a second and the margin
-- after all but `within - 1` of the slots before. This alone keeps the limit; the rest spaces
-- evenly.

local line = ideal + gap
if line < now - SLACK then line = now end
local at = math.max(now, line, g + CLOSEST * gap)
local before = redis.call('ZREVRANGE', KEYS[9], within - 1, within - 1, 'WITHSCORES')
if before[2] then at = math.max(at, tonumber(before[2]) + SECOND + MARGIN) end

-- The store: its pause, then its place among the other stores.

local s = redis.call('HMGET', key, 'epoch', 'tag', 'cv', 'pu', 'af', 'pa', 'lv',
  't1', 't2', 't3', 't4', 'a1', 'a2', 'a3', 'a4', 'p' .. lane)
local tag, cv = v, 0
local t, a = {0, 0, 0, 0}, {0, 0, 0, 0}
if s[1] == epoch then
  tag, cv = num(s[2]), num(s[3])
  for c = 1, 4 do t[c], a[c] = num(s[7 + c]), num(s[11 + c]) end
end
local level = num(s[7])

if ARGV[8] ~= '' and ARGV[8] == epoch then  -- credit the store for a slot it could not use
  tag, t[class] = tag - 1, t[class] - 1 / WEIGHT[class]
  redis.call('HSET', key, 'tag', tag, 't' .. class, t[class])
  redis.call('HINCRBY', pace, 'lost', 1)
end

local wait = math.max(num(s[4]), num(s[5])) - now
if num(s[6]) > now + HORIZON then wait = 0 end  -- written before the clock was set back
if wait > 0 then
  for i = 2, 5 do redis.call('ZREM', KEYS[i], store) end  -- a waiting store is not in the queue
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

-- Virtual time is the least tag among the stores with work; a returning store begins just before.
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
-- Stores whose turn it is not may take a slot shortly before it would be left unused.
if not in_turn then reach = math.min(60000, math.max(20000, 0.6 * gap)) end

if at - now > reach then
  -- The time of the next call: later for stores further from their turn; calls of one store's lane
  -- are a quarter of a gap apart.
  local rank = redis.call('ZRANK', turn, store)
  local again = math.max(at - reach, now + math.min(AGAIN, rank * gap / 2))
  local pointer = num(s[16])
  if pointer > now and pointer + gap / 4 > again then again = pointer + gap / 4 end
  if again > now + AGAIN and at - reach < now + AGAIN then
    again = math.max(at - reach, now + gap / 4)
  end
  redis.call('HSET', key, 'epoch', epoch, 'tag', tag, 'a' .. class, now, 'p' .. lane, again)
  return {0, math.ceil(math.max(2000, again - now)), now, 0}
end

-- Granted.

if at - line > SLACK then line = at end
n = n + 1
if walks_wait then
  if class == 1 then fw = math.min(fw + 1, 3) else fw = math.max(fw - 1, -1) end
end
redis.call('HSET', pace, 'n', n, 'g', at, 'ideal', line, 'v', v, 'fw', fw)
redis.call('ZADD', KEYS[9], at + network, n)
redis.call('ZREMRANGEBYRANK', KEYS[9], 0, -most - 1)
tag = math.min(tag + 1, v + LEAD)
redis.call('ZADD', turn, tag, store)
redis.call('ZADD', wturn, 'XX', tag, store)

if level > 0 then  -- a probe: the next one when this one was answered, or as long after it
  local ends = at + pause_of(level)
  redis.call('HSET', key, 'pu', ends)
  redis.call('ZADD', KEYS[10], ends, store)
end
local waited = math.floor(num(ARGV[5]) + (at - now) / 1000)
redis.call('HSET', key, 'epoch', epoch, 'tag', tag, 'cv', math.max(cv, first),
  't' .. class, first + 1 / WEIGHT[class], 'a' .. class, now)
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

return {1, math.ceil(at - now), now, n, epoch, math.floor(network)}
