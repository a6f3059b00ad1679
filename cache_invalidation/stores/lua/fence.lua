-- Put the fence ARGV[1], which lapses after ARGV[2] ms, in the place of each of KEYS.
-- A fence is spelled "!name@deadline!name@deadline…": the writers in flight, by the server's clock.
local DAY = 86400000 -- No fence lasts longer; what says so is damaged.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local deadline = now + ARGV[2]
for _, key in ipairs(KEYS) do
  local value = '!' .. ARGV[1] .. '@' .. string.format('%.0f', deadline)
  local last = deadline
  -- pcall: what is of another type than ours is no fence, and is overwritten or dropped.
  if redis.pcall('GETRANGE', key, 0, 0) == '!' then
    for name, till in string.gmatch(redis.call('GET', key), '!([^!@]+)@(%d+)') do
      if name ~= ARGV[1] and tonumber(till) > now and tonumber(till) < now + DAY then
        value = value .. '!' .. name .. '@' .. till
        last = math.max(last, tonumber(till))
      end
    end
  end
  redis.call('SET', key, value, 'PX', string.format('%.0f', last - now))
end
