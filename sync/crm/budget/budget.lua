-- The first part of every script of the request budget: clock, pace, reset of the state.
-- Times are microseconds of Redis's clock. limiter.py explains the algorithm.
--
-- KEYS[1]  pace   hash   n, g: number and moment of the last slot; ideal: its evenly paced moment;
--                        seen: last clock; epoch: when this state began; v: virtual time;
--                        fw: feeds' lead over walks; lost, late, overdue: counts; base,
--                        quiet: the pace after the last refusal, and served since; ok, no,
--                        from: served and refused of late, and the pace when that count began;
--                        changed: reports of slots before this moment are not counted
-- KEYS[2]  turn   zset   stores that have work, by tag (virtual count of requests served)
-- KEYS[3]  seen   zset   the same stores, by the time of their last call
-- KEYS[4]  wturn  zset   the stores with work other than feeds, by tag
-- KEYS[5]  wseen  zset   the same stores, by the time of their last call of that kind
-- KEYS[6]  store  hash   one store: tag, epoch, t<c> and a<c> (tag, last call of class c), cv,
--                        p<lane> (next call); rf, ra, rl: refusals since it was last served, their
--                        first and last slot; lv, pa, pu: pauses so far, begin and end of the last;
--                        af: end of the pause the API asked for; up: when it was last served;
--                        g<c>, w<c>, x<c>: counts
-- KEYS[7]  use    hash   <bin % 361> = "<bin>:<slots>", bins of ten seconds: the last hour
-- KEYS[8]  known  zset   every store that was ever granted a slot, by the time of the last slot
-- KEYS[9]  sent   zset   the last `most` slots, by the latest moment they may have arrived
-- KEYS[10] down   zset   the stores that are paused or probed, by the end of their pause
--
-- ARGV[1] a test's clock, '' in production; ARGV[2] the API's limit of requests per second

local SECOND = 1000000
local HORIZON = 300000   -- the furthest a slot is granted ahead
local LATE = 50000       -- a caller that wakes later than this gives the slot up
local MARGIN = 18000     -- what Redis cannot see of a slot's arrival
local USE = 0.98         -- of the limit
local CLOSEST = 0.9      -- of the even gap: the least gap between two slots when catching up
local FLOOR = 1          -- requests a second
local QUIET = 150        -- requests served without a refusal before the pace grows
local GROWTH = 0.004     -- of the pace, after twice as many; with the third power of their number
local PROBE = 4 * SECOND -- the longest pause of a failing store; beside other work all of them
                         -- together get one slot in this time

local pace = KEYS[1]
local limit = tonumber(ARGV[2])
-- A second holds whole requests. Below one a second the even pace alone keeps the limit.
local most = math.max(1, math.floor(limit + 1e-9))
local full = USE * math.min(limit, most)
local WINDOW = math.max(40, 4 * most)  -- requests over which the refused share is known

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * SECOND + tonumber(time[2])
end

local function num(value)
  return tonumber(value or 0) or 0
end

-- Return requests per second now: the pace after the last refusal, plus its growth since then.
local function current(base, quiet)
  if base <= 0 then return full end
  local grown = base * (1 + GROWTH * math.max(0, quiet / QUIET - 1) ^ 3)
  return math.max(math.min(FLOOR, full), math.min(full, grown))
end

-- Return the even gap, the number of slots in any second, and the part of the distance that is for
-- the network: a pace of 9 is ten slots in 1018 + 90.7 ms.
local function spacing(rate)
  local within = math.min(most, math.ceil(rate / USE - 1e-9))
  local even = math.min(full, USE * within)
  return SECOND / even, within, (SECOND + MARGIN) * math.max(0, even / rate - 1)
end

-- Reset the state. Slots granted by the lost state may still be sent until the horizon and the
-- permitted lateness have passed, at least CLOSEST gaps apart. The last slots are made up with the
-- latest moments that those can have, so every new slot keeps its distance to all of them.
local function begin_anew()
  local last = now + HORIZON + LATE
  local gap = CLOSEST * SECOND / full
  local sent = {}
  for k = 1, most do
    sent[2 * k - 1], sent[2 * k] = last - (most - k) * gap, k
  end
  redis.call('DEL', KEYS[9])
  redis.call('ZADD', KEYS[9], unpack(sent))
  -- A new epoch: reports about slots with the old numbers must not change the new state.
  redis.call('HSET', pace, 'n', most, 'g', last, 'seen', now, 'epoch', now, 'changed', 0,
    'ideal', sent[1] + SECOND + MARGIN - SECOND / full)
end

-- Return how long a store waits that was refused `level` times in a row.
local function pause_of(level)
  local others = redis.call('ZCOUNT', KEYS[3], now - SECOND, '+inf')
  local own = redis.call('ZSCORE', KEYS[3], ARGV[3])
  if own and tonumber(own) >= now - SECOND then others = others - 1 end
  if others <= 0 then return math.min(SECOND * 2 ^ (level - 1), PROBE) end
  redis.call('ZREMRANGEBYSCORE', KEYS[10], '-inf', now - 60 * SECOND)
  return PROBE * redis.call('ZCARD', KEYS[10])
end
