-- Add the pairs of counter and amount at the end of ARGV to the totals KEYS[1] and to the minute
-- KEYS[2], which is kept for ARGV[1] seconds.
-- ARGV[2]: the time now, for totals that begin. ARGV[3]: the last invalidation, or "".
-- ARGV[4]: how many of the next ones go on top of the list KEYS[3], of which ARGV[5] are kept.
redis.call('HSETNX', KEYS[1], 'since', ARGV[2])
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[1], 'last', ARGV[3])
end
local first = 6 + tonumber(ARGV[4])
for index = 6, first - 1 do
  redis.call('LPUSH', KEYS[3], ARGV[index])
end
if first > 6 then
  redis.call('LTRIM', KEYS[3], 0, ARGV[5] - 1)
end
for index = first, #ARGV, 2 do
  redis.call('HINCRBY', KEYS[1], ARGV[index], ARGV[index + 1])
  redis.call('HINCRBY', KEYS[2], ARGV[index], ARGV[index + 1])
end
if #ARGV >= first then
  redis.call('EXPIRE', KEYS[2], ARGV[1])
end
