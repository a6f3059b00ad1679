-- Return the entry KEYS[1], its mark and the versions KEYS[2…], and those of the further tags that
-- the entry names, whose keys begin with ARGV[1]. The keys of these cannot be known before.
local entry = redis.pcall('GET', KEYS[1])
if type(entry) ~= 'string' then
  entry = false
end
local found = #KEYS > 1 and redis.call('MGET', unpack(KEYS, 2)) or {}
local further = {}
if entry and string.byte(entry) == 2 then
  local tags = string.sub(entry, 18, 17 + struct.unpack('>I4', string.sub(entry, 14, 17)))
  for tag in string.gmatch(tags, '[^\n]+') do
    further[#further + 1] = redis.call('MGET', ARGV[1] .. tag)[1]
  end
end
return {entry, found, further}
