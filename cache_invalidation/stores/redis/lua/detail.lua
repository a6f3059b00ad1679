-- Add to the counters in the hash KEYS[1]: pairs of a name and an amount, at the end of ARGV.
-- ARGV[1]: how many there may be. What finds no room is added to the one without a name.
local room = tonumber(ARGV[1]) - redis.call('HLEN', KEYS[1])
for index = 2, #ARGV, 2 do
  if redis.call('HEXISTS', KEYS[1], ARGV[index]) == 1 then
    redis.call('HINCRBY', KEYS[1], ARGV[index], ARGV[index + 1])
  elseif room > 0 then
    redis.call('HINCRBY', KEYS[1], ARGV[index], ARGV[index + 1])
    room = room - 1
  else
    redis.call('HINCRBY', KEYS[1], '', 1)
  end
end
