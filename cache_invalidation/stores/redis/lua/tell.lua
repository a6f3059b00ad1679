-- In front of fence.lua and again.lua: tell who holds one of KEYS, on behalf of the fence TOKEN.
-- Returns the epoch if it is missing or young, so that whoever is not known of may hold it as well,
-- and then each holder that was told and the stamp of that. What is registered stays until its
-- holder has answered. What cannot be told takes its lease from the holder, and its age from the
-- epoch: then everybody who holds anything is waited for.
local function tell(token, near, identity, knows, keys)
  if near == '' then
    return {}
  end
  local epoch = redis.call('GET', near .. 'e')
  if not epoch then
    if not knows then
      return {} -- Nobody here holds anything.
    end
    epoch = young(near, identity)
  end
  local held, found = {}, {}
  for _, key in ipairs(keys) do
    local register = near .. 'r:' .. redis.sha1hex(key)
    for _, holder in ipairs(redis.call('HKEYS', register)) do
      if held[holder] then
        table.insert(held[holder], key)
      elseif redis.call('HEXISTS', near .. 'h', holder) == 0 then
        redis.call('HDEL', register, holder)
      else
        held[holder] = {key}
        found[#found + 1] = holder
      end
    end
  end
  local told = {''}
  for _, holder in ipairs(found) do
    local stamp = redis.pcall('HINCRBY', near .. 'h', holder, 1)
    local queue, item, length = near .. 'q:' .. holder, nil, nil
    if type(stamp) == 'number' then
      item = cjson.encode({stamp, token, held[holder]})
      length = redis.pcall('RPUSH', queue, item)
    end
    if type(length) == 'number' then
      local before = length > 1 and cjson.decode(redis.call('LINDEX', queue, -2))[1] or 0
      local ring = '[' .. string.format('%.0f', before) .. ',' .. string.sub(item, 2)
      redis.pcall('PUBLISH', near .. 'c:' .. holder, ring)
      told[#told + 1] = holder
      told[#told + 1] = stamp
    else
      redis.call('HDEL', near .. 'h', holder)
      redis.call('UNLINK', near .. 'e')
      epoch = young(near, identity)
    end
  end
  if string.sub(epoch, 1, 1) == '-' then
    told[1] = epoch
  end
  return told
end
