-- The state of a budget for people and metrics. Appended to budget.lua; changes nothing.
--
-- Returns {now, pace, stores with work, lost, late, overdue, use, known}.

local p = redis.call('HMGET', pace, 'base', 'quiet', 'lost', 'late', 'overdue')
return {
  now,
  string.format('%.3f', current(num(p[1]), num(p[2]))),
  redis.call('ZCOUNT', KEYS[3], now - SECOND, '+inf'),
  num(p[3]), num(p[4]), num(p[5]),
  redis.call('HVALS', KEYS[7]),
  redis.call('ZRANGE', KEYS[8], 0, -1),
}
