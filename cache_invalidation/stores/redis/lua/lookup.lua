-- Return the entry KEYS[1], its mark and the versions KEYS[2…], and those of the further tags that
-- the entry names, whose keys begin with ARGV[1]. The keys of these cannot be known before.
-- Of the value in the entry at most ARGV[2] bytes, if that is not 0.
-- Somebody who keeps it is registered, if ARGV[4] is given: see register.lua. Then the stamp follows,
-- and how many ms the entry has to live.
local entry = redis.pcall('GET', KEYS[1])
if type(entry) ~= 'string' then
  entry = false
end
local found = #KEYS > 1 and redis.call('MGET', unpack(KEYS, 2)) or {}
local further, names = {}, {}
local traces = 9
local kind = entry and string.byte(entry)
if (kind == 17 or kind == 19) and #entry > 13 then
  traces = 13 + struct.unpack('>I4', string.sub(entry, 10, 13))
  for tag in string.gmatch(string.sub(entry, 14, traces), '[^\n]+') do
    names[#names + 1] = ARGV[1] .. tag
    further[#further + 1] = redis.call('MGET', ARGV[1] .. tag)[1]
  end
end
local function stand(versions, first)
  for index = first, #versions do
    if not versions[index] or string.sub(versions[index], 1, 1) == '!' then
      return false
    end
  end
  return true
end

local stamp, lives = 0, -1
if ARGV[4] and entry and stand(found, 2) and stand(further, 1) then
  stamp = register(ARGV[3], ARGV[4], names)
  lives = redis.call('PTTL', KEYS[1])
end
if entry and ARGV[2] ~= '0' then
  local head = traces + 1 + (string.byte(entry, traces + 1) or 0)
  entry = string.sub(entry, 1, head + ARGV[2])
end
return {entry, found, further, stamp, lives}
