-- The first part of every script of the request budget: clock, pace, reset of the state.
-- Times are microseconds of Redis's clock. limiter.py explains the algorithm.
--
-- KEYS[1] pace   hash   n, g: number and moment of the last slot; ideal: its evenly paced moment;
--                       r<n % RING>: the latest moment slot n may have been sent; seen: last clock;
--                       epoch: when this state began; base, since: the pace and when it begins to
--                       grow again; frozen, halved, rs, rt: the freeze, and the last refusal;
--                       v: virtual time; fw: feeds' lead over walks; lost, late, overdue: counts
-- KEYS[2] turn   zset   stores that have work, by tag (virtual count of requests served)
-- KEYS[3] seen   zset   the same stores, by the time of their last call
-- KEYS[4] wturn  zset   the stores with work other than feeds, by tag
-- KEYS[5] wseen  zset   the same stores, by the time of their last call of that kind
-- KEYS[6] store  hash   one store: tag, epoch, t<c> and a<c> (tag, last call of class c), cv,
--                       p<lane> (next call), pu, pa, lv, la (pause), nx; g<c>, w<c>, x<c>: counts
-- KEYS[7] use    hash   <bin % 361> = "<bin>:<slots>", bins of ten seconds: the last hour
-- KEYS[8] known  zset   every store that was ever granted a slot, by the time of the last slot
--
-- ARGV[1] a test's clock, '' in production; ARGV[2] the API's limit of requests per second

local RING = 1024
local SECOND = 1000000
local HORIZON = 300000   -- the furthest a slot is granted ahead
local LATE = 50000       -- a caller that wakes later than this gives the slot up
local MARGIN = 18000     -- a ring place is reused after 1 s plus this
local USE = 0.98         -- of the limit
local CLOSEST = 0.9      -- of the even gap: the least gap between two slots when catching up
local FLOOR = 1          -- requests a second
local GROW = 50 * SECOND -- from nothing to the full pace without a refusal

local pace = KEYS[1]
local limit = tonumber(ARGV[2])
local full = limit * USE
local ring = math.max(1, math.floor(limit + 1e-9))

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * SECOND + tonumber(time[2])
end

local function num(value)
  return tonumber(value or 0) or 0
end

-- Return requests per second now: the pace after the last refusal, plus its growth since then.
local function current(base, since)
  if base <= 0 then return full end
  local floor = math.min(FLOOR, full)
  local grown = base + math.max(0, now - since) / GROW * full
  return math.max(floor, math.min(full, grown))
end

-- Reset the state. Slots granted by the lost state may still be sent until the horizon and the
-- permitted lateness have passed, at least CLOSEST gaps apart. The ring is filled with the latest
-- moments those slots can have, so every new slot keeps its distance to all of them.
local function begin_anew()
  local last = now + HORIZON + LATE
  local gap = CLOSEST * SECOND / full
  -- A new epoch: reports about slots with the old numbers must not change the new state.
  local first = last - (ring - 1) * gap + SECOND + MARGIN
  local fields = {'n', ring, 'g', last, 'ideal', first - SECOND / full, 'seen', now, 'epoch', now}
  for k = 1, ring do
    fields[#fields + 1] = 'r' .. (k % RING)
    fields[#fields + 1] = last - (ring - k) * gap
  end
  redis.call('HSET', pace, unpack(fields))
end
