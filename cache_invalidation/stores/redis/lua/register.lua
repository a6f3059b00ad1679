-- In front of a script that reads or stores an entry: register HOLDER under KEYS and further names.
-- KEYS[2] is the mark, which is put only where KEYS[1] is dropped.
-- Returns its stamp, 0 if there is no such holder. It is registered in the same step in which it
-- gets the value: what drops the value afterwards finds it. A register is named by a digest, so that
-- no pattern of the project which is about the keys in it ever deletes it.
local function register(near, holder, further)
  local stamps = near .. 'h'
  if redis.call('HEXISTS', stamps, holder) == 0 then
    return 0
  end
  local stamp = redis.pcall('HINCRBY', stamps, holder, 1)
  if type(stamp) ~= 'number' then
    return 0 -- The server has no memory to spare.
  end
  for _, names in ipairs({KEYS, further}) do
    for index, key in ipairs(names) do
      if names ~= KEYS or index ~= 2 then
        local name = redis.sha1hex(key)
        local held = redis.pcall('HSET', near .. 'r:' .. name, holder, stamp)
        local listed = redis.pcall('SADD', near .. 'm:' .. holder, name)
        if type(held) ~= 'number' or type(listed) ~= 'number' then
          return 0
        end
      end
    end
  end
  return stamp
end
