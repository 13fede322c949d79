-- The part every script of the request budget begins with: clock, pace, a new beginning.
-- Times are microseconds of Redis's clock. limiter.py explains the whole; here is how.
--
-- KEYS[1] pace   hash   n, g: number and moment of the last slot; ideal: where even pacing puts it;
--                       r<n % RING>: when slot n was, or may have been, sent; seen: newest clock;
--                       epoch: when this state began; base, since: the pace and when it begins to
--                       grow again; frozen, halved, rs, rt: the freeze, and the last refusal;
--                       v: virtual time; fw: feeds' lead over walks; lost, late, overdue: counts
-- KEYS[2] turn   zset   stores that have work, by tag (requests served, virtual)
-- KEYS[3] seen   zset   the same stores, by their last ask
-- KEYS[4] wturn  zset   those of them with work other than feeds, by tag
-- KEYS[5] wseen  zset   the same stores, by their last ask of that kind
-- KEYS[6] store  hash   one store: tag, epoch, t<c> and a<c> (tag, last ask of class c), cv, p<lane>
--                       (next appointment), pu, pa, lv, la (pause), nx; g<c>, w<c>, x<c>: counts
-- KEYS[7] use    hash   <bin % 361> = "<bin>:<slots>", bins of ten seconds: the last hour
-- KEYS[8] known  zset   every store that was ever granted a slot, by the last one
--
-- ARGV[1] a test's clock, '' in production; ARGV[2] the limit per second at the server

local RING = 1024
local SECOND = 1000000
local HORIZON = 300000   -- the furthest a slot is granted ahead
local LATE = 50000       -- who is later than this gives the slot up
local MARGIN = 18000     -- a ring place is used again after 1 s and this
local USE = 0.98         -- of the limit
local CLOSEST = 0.9      -- of the even gap: how close two slots may come when catching up
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

-- Requests a second at this moment: what the last refusal left, grown since then.
local function current(base, since)
  if base <= 0 then return full end
  local floor = math.min(FLOOR, full)
  local grown = base + math.max(0, now - since) / GROW * full
  return math.max(floor, math.min(full, grown))
end

-- Slots granted by a state we no longer have may still be sent until the horizon and the permitted
-- lateness have passed. They are CLOSEST gaps apart at least: with the ring filled with the latest
-- moments they can have, whatever is granted next keeps its distance to all of them.
local function begin_anew()
  local last = now + HORIZON + LATE
  local gap = CLOSEST * SECOND / full
  -- A new epoch: reports about slots of the old numbering must not touch the new one.
  local first = last - (ring - 1) * gap + SECOND + MARGIN
  local fields = {'n', ring, 'g', last, 'ideal', first - SECOND / full, 'seen', now, 'epoch', now}
  for k = 1, ring do
    fields[#fields + 1] = 'r' .. (k % RING)
    fields[#fields + 1] = last - (ring - k) * gap
  end
  redis.call('HSET', pace, unpack(fields))
end
