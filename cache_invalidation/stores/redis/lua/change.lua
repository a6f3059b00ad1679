-- Do ARGV[6…] to the entry KEYS[1], by the command ARGV[5], and tell who keeps near what was there; see
-- tell.lua. Nobody is told if it still is there, and for as long: it was not done, or is no change.
-- Returns the answer to the command, and what tell.lua returns. A fence is left as it is: nobody finds
-- what was there, and others wait until it is lifted, or lapses.
if redis.pcall('GETRANGE', KEYS[1], 0, 0) == '!' then
  return {0, {}}
end
local before = redis.call('PTTL', KEYS[1])
local done = redis.call(ARGV[5], KEYS[1], unpack(ARGV, 6))
local after = redis.call('PTTL', KEYS[1])
if before ~= -2 and (after == -1 or (before ~= -1 and after >= before)) then
  return {done, {}}
end
return {done, tell(ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1', KEYS)}
