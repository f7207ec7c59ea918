-- Every entry. KEYS: the index. ARGV: what the keys of entries begin with.
-- Returns name, entry and milliseconds left of each, one after the other.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local all = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.0f', now), '+inf')) do
  local key = ARGV[1] .. name
  local entry = redis.call('GET', key)
  if entry then
    all[#all + 1] = name
    all[#all + 1] = entry
    all[#all + 1] = redis.call('PTTL', key)
  end
end
return all
