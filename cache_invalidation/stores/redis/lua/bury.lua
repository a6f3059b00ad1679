-- Forget the holder ARGV[2], who was waited for in vain for a whole lease: since the stamp ARGV[3],
-- or since its beat ARGV[4] if that is given. Its lease is over, unless it has answered after all.
-- ARGV[1]: what all names begin with. What it has registered is swept away later.
local near, holder = ARGV[1], ARGV[2]
local silent
if ARGV[4] then
  silent = redis.call('HGET', near .. 'b', holder) == ARGV[4]
else
  local item = redis.call('LINDEX', near .. 'q:' .. holder, 0)
  silent = item and cjson.decode(item)[1] <= tonumber(ARGV[3])
end
if not silent then
  return 0
end
redis.call('HDEL', near .. 'h', holder)
redis.call('HDEL', near .. 'b', holder)
redis.call('UNLINK', near .. 'q:' .. holder)
redis.call('SADD', near .. 'd', holder)
return 1
