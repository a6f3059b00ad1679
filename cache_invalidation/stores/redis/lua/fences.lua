-- What fence.lua and lift.lua begin with.
-- A fence is spelled "!name@deadline!name@deadline…": the writers in flight, by the server's clock.
local DAY = 86400000 -- No fence lasts longer; what says so is damaged.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Leave under `key` the fences of all but `name`, and its own until `deadline` unless that is 0.
-- Return whether one stands.
local function fence(key, name, deadline)
  local value, last = '', deadline
  if deadline > 0 then
    value = '!' .. name .. '@' .. string.format('%.0f', deadline)
  end
  -- pcall: what is of another type than ours is no fence, and is overwritten or dropped.
  if redis.pcall('GETRANGE', key, 0, 0) == '!' then
    for other, till in string.gmatch(redis.call('GET', key), '!([^!@]+)@(%d+)') do
      if other ~= name and tonumber(till) > now and tonumber(till) < now + DAY then
        value = value .. '!' .. other .. '@' .. till
        last = math.max(last, tonumber(till))
      end
    end
  end
  if value ~= '' then
    redis.call('SET', key, value, 'PX', string.format('%.0f', last - now))
  end
  return value ~= ''
end
