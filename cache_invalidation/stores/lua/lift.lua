-- Drop what stands under KEYS and lift the fence ARGV[1]; fences of others stay.
-- ARGV[2]: ms for which the fence stays nevertheless, for replicas of the database.
-- ARGV[3]: how many of KEYS are versions; the others are entries, where a tombstone that lasts
-- ARGV[4] ms keeps out whoever began to compute before.
local DAY = 86400000 -- No fence lasts longer; what says so is damaged.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local versions = tonumber(ARGV[3])
for index, key in ipairs(KEYS) do
  local value, last = '', 0
  if tonumber(ARGV[2]) > 0 then
    last = now + ARGV[2]
    value = '!' .. ARGV[1] .. '@' .. string.format('%.0f', last)
  end
  -- pcall: what is of another type than ours is no fence, and is overwritten or dropped.
  if redis.pcall('GETRANGE', key, 0, 0) == '!' then
    for name, till in string.gmatch(redis.call('GET', key), '!([^!@]+)@(%d+)') do
      if name ~= ARGV[1] and tonumber(till) > now and tonumber(till) < now + DAY then
        value = value .. '!' .. name .. '@' .. till
        last = math.max(last, tonumber(till))
      end
    end
  end
  if value ~= '' then
    redis.call('SET', key, value, 'PX', string.format('%.0f', last - now))
  elseif index <= versions then
    redis.call('UNLINK', key)
  else
    redis.call('SET', key, '~' .. ARGV[1], 'PX', ARGV[4])
  end
end
