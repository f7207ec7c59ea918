-- Takes an entry out if it is this owner's.
-- KEYS: the entry, the index. ARGV: the owner, the name, the channel. Returns how many were taken out.
local present = redis.call('GET', KEYS[1])
if not present then
  redis.call('ZREM', KEYS[2], ARGV[2])
  return 0
end
local readable, found = pcall(cjson.decode, present)
if not readable or type(found) ~= 'table' or found.owner ~= ARGV[1] then return 0 end
redis.call('PUBLISH', ARGV[3], cjson.encode({type = 'down', name = ARGV[2], owner = ARGV[1]}))
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('DEL', KEYS[1])
return 1
