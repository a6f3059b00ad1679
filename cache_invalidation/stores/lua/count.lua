-- Add ARGV[4], ARGV[5] and so on, in pairs of counter and amount, to the totals KEYS[1] and to the
-- minute KEYS[2], which is kept for ARGV[1] seconds.
-- ARGV[2]: the time now, for totals that begin. ARGV[3]: the last invalidation, or "".
redis.call('HSETNX', KEYS[1], 'since', ARGV[2])
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[1], 'last', ARGV[3])
end
for index = 4, #ARGV, 2 do
  redis.call('HINCRBY', KEYS[1], ARGV[index], ARGV[index + 1])
  redis.call('HINCRBY', KEYS[2], ARGV[index], ARGV[index + 1])
end
redis.call('EXPIRE', KEYS[2], ARGV[1])
