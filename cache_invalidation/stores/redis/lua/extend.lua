-- Let the version KEYS[1] live as long as an entry needs it, if it still is ARGV[1]; tell if so.
-- One that is missing is "", which only a mark may be.
-- ARGV[2], ARGV[3]: ms that the entry and its versions have to live, 0 for ever.
if (redis.pcall('GET', KEYS[1]) or '') ~= ARGV[1] then
  return 0
end
local left = redis.call('PTTL', KEYS[1])
if ARGV[2] == '0' then
  redis.call('PERSIST', KEYS[1])
elseif left >= 0 and left < tonumber(ARGV[3]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 1
