-- Return the beats of all holders, by their names; and sweep away at most ARGV[2] of what those have
-- registered who are no more. ARGV[1]: what all names begin with.
local near = ARGV[1]
local gone = redis.call('SRANDMEMBER', near .. 'd')
if gone then
  local names = redis.call('SPOP', near .. 'm:' .. gone, ARGV[2])
  for _, name in ipairs(names) do
    redis.call('HDEL', near .. 'r:' .. name, gone)
  end
  if #names == 0 then
    redis.call('SREM', near .. 'd', gone)
    redis.call('UNLINK', near .. 'q:' .. gone)
  end
end
return redis.call('HGETALL', near .. 'b')
