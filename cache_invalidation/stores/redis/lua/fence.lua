-- Leave the fence ARGV[1] under each of KEYS for ARGV[2] ms, or lift it if that is 0; fences of
-- others stay. Whatever else is there goes.
-- A fence is spelled "!name@deadline!name@deadline…": the writers in flight, by the server's clock.
-- Who holds one of KEYS near is told; see tell.lua. With ARGV[6], who has been told already, by the
-- same fence, is not told again.
local DAY = 86400000 -- No fence lasts longer; what says so is damaged.
-- A server that is full refuses no command of a script that has begun to write, and this takes no memory.
redis.call('PERSIST', KEYS[1])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local own, deadline = '', 0
if ARGV[2] ~= '0' then
  deadline = now + ARGV[2]
  own = '!' .. ARGV[1] .. '@' .. string.format('%.0f', deadline)
end
local untold = {}
for _, key in ipairs(KEYS) do
  local value, last, stood = own, deadline, false
  -- pcall: what is of another type than ours is no fence, and is overwritten or dropped.
  if redis.pcall('GETRANGE', key, 0, 0) == '!' then
    for other, till in string.gmatch(redis.call('GET', key), '!([^!@]+)@(%d+)') do
      if tonumber(till) > now and tonumber(till) < now + DAY then
        if other == ARGV[1] then
          stood = true
        else
          value = value .. '!' .. other .. '@' .. till
          last = math.max(last, tonumber(till))
        end
      end
    end
  end
  if not (stood and ARGV[6]) then
    untold[#untold + 1] = key
  end
  if value == '' then
    redis.call('UNLINK', key)
  else
    redis.call('SET', key, value, 'PX', string.format('%.0f', last - now))
  end
end
if #untold == 0 then
  return {}
end
return tell(ARGV[1], ARGV[3], ARGV[4], ARGV[5] == '1', untold)
