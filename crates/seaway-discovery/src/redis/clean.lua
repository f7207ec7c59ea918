-- Takes the names of entries that ended by themselves out of the index. KEYS: the index. Returns how many.
local time = redis.call('TIME')
return redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
