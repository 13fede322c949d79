-- The state of a budget for people and metrics. Appended to budget.lua; changes nothing.
--
-- Returns {now, pace, frozen for, stores with work, lost, late, overdue, use, known}.

local p = redis.call('HMGET', pace, 'base', 'since', 'frozen', 'lost', 'late', 'overdue')
return {
  now,
  string.format('%.3f', current(num(p[1]), num(p[2]))),
  math.max(0, num(p[3]) - now),
  redis.call('ZCOUNT', KEYS[3], now - SECOND, '+inf'),
  num(p[4]), num(p[5]), num(p[6]),
  redis.call('HVALS', KEYS[7]),
  redis.call('ZRANGE', KEYS[8], 0, -1),
}
