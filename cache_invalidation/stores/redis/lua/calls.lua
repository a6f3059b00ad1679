-- Add to the scores in the sorted set KEYS[1]: pairs of a call and its hits, from ARGV[3] on.
-- ARGV[1]: how many calls there may be. One that finds no room takes the place of the one with the
-- lowest score, and its score. From the score ARGV[2] on, all are halved.
for index = 3, #ARGV, 2 do
  local call, hits = ARGV[index], tonumber(ARGV[index + 1])
  if not redis.call('ZSCORE', KEYS[1], call)
      and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then
    hits = hits + tonumber(redis.call('ZPOPMIN', KEYS[1])[2])
  end
  redis.call('ZINCRBY', KEYS[1], hits, call)
end
local most = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
if most and tonumber(most) >= tonumber(ARGV[2]) then
  redis.call('ZUNIONSTORE', KEYS[1], 1, KEYS[1], 'WEIGHTS', 0.5)
end
