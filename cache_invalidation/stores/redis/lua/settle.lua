-- The epoch KEYS[1] is young no more, if it still is ARGV[1]: somebody has waited for a lease.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('SET', KEYS[1], '+' .. string.sub(ARGV[1], 2))
end
