-- Store the entry KEYS[1] if it is not fenced, and the versions KEYS[2…] still are ARGV[5…].
-- One that is missing is "", which only a mark may be.
-- ARGV[1]: the entry. ARGV[2], ARGV[3]: ms that it and its versions have to live, 0 for ever.
-- ARGV[4]: "" or who keeps the value, and is registered for that: see register.lua; behind the versions
-- follows what the names of registers begin with. Returns 0 if it was not stored, or 1 and the stamp.
-- If the token of a fence follows, and more for tell.lua, who keeps near what was there is told; then
-- the stamp comes in a list, with what that returns behind it.
if redis.pcall('GETRANGE', KEYS[1], 0, 0) == '!' then
  return 0
end
for index = 2, #KEYS do
  if (redis.pcall('GET', KEYS[index]) or '') ~= ARGV[index + 3] then
    return 0
  end
end
-- Before all else that writes: behind that, a server that is full would take any value; see fence.lua.
if ARGV[2] == '0' then
  redis.call('SET', KEYS[1], ARGV[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
for index = 2, #KEYS do
  local left = redis.call('PTTL', KEYS[index])
  if ARGV[2] == '0' then
    redis.call('PERSIST', KEYS[index])
  elseif left >= 0 and left < tonumber(ARGV[3]) then
    redis.call('PEXPIRE', KEYS[index], ARGV[3])
  end
end
local near, token, identity, knows = unpack(ARGV, #KEYS + 4)
local told = token and tell(token, near, identity, knows == '1', {KEYS[1]})
-- Only now: who stores it keeps what it is now, and has just been told of what it was.
local stamp = ARGV[4] == '' and 0 or register(near, ARGV[4], {})
return told and {1 + stamp, told} or 1 + stamp
