-- Give back the lock KEYS[1] if it is ARGV[1] that holds it.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('UNLINK', KEYS[1])
end
