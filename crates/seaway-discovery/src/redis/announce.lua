-- Puts an entry in or renews it, unless another owner's is there. The time is the server's.
-- KEYS: the entry, the index. ARGV: the entry, its lease in milliseconds, its name, the channel.
-- Returns {1}; or, when another's stays, {0, that entry, milliseconds left}.
local function same(one, other)
  if type(one) ~= 'table' or type(other) ~= 'table' then return one == other end
  for key, value in pairs(one) do
    if not same(value, other[key]) then return false end
  end
  for key in pairs(other) do
    if one[key] == nil then return false end
  end
  return true
end

local wanted = cjson.decode(ARGV[1])
local present = redis.call('GET', KEYS[1])
local news = true
if present then
  local readable, found = pcall(cjson.decode, present)
  -- What is no entry is nobody's. One of another form may be somebody's.
  if readable and type(found) == 'table' and type(found.version) == 'number' then
    if found.version ~= wanted.version or (type(found.owner) == 'string' and found.owner ~= wanted.owner) then
      return {0, present, redis.call('PTTL', KEYS[1])}
    end
    news = not (found.owner == wanted.owner and found.kind == wanted.kind
      and same(found.endpoints, wanted.endpoints) and same(found.labels, wanted.labels))
  end
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- What is refused is refused before the entry is there.
redis.call('ZADD', KEYS[2], string.format('%.0f', now + tonumber(ARGV[2])), ARGV[3])
-- Names of entries that ended by themselves, so that the index does not grow for ever.
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now))
if news then
  redis.call('PUBLISH', ARGV[4], cjson.encode({type = 'up', name = ARGV[3], owner = wanted.owner}))
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {1}
