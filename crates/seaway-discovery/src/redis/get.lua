-- One entry. KEYS: the entry. Returns it and the milliseconds left; nothing when there is none.
local entry = redis.call('GET', KEYS[1])
if not entry then return {} end
return {entry, redis.call('PTTL', KEYS[1])}
