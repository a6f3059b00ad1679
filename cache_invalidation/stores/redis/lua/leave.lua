-- Forget the holder ARGV[2], who holds nothing any more. ARGV[1]: what all names begin with.
local near, holder = ARGV[1], ARGV[2]
redis.call('HDEL', near .. 'h', holder)
for _, item in ipairs(redis.call('LRANGE', near .. 'q:' .. holder, 0, -1)) do
  local stamp, token = unpack(cjson.decode(item))
  local answers = near .. 'a:' .. token
  redis.call('RPUSH', answers, stamp .. ' ' .. holder)
  redis.call('PEXPIRE', answers, 60000)
end
redis.call('HDEL', near .. 'b', holder)
redis.call('UNLINK', near .. 'q:' .. holder)
if redis.call('EXISTS', near .. 'm:' .. holder) == 1 then
  redis.call('SADD', near .. 'd', holder) -- To be swept away.
end
