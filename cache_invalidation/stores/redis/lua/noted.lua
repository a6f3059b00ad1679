-- Return what stands in the string KEYS[1] at the places ARGV[2…], of ARGV[1] bytes each.
local size, found = tonumber(ARGV[1]), {}
for index = 2, #ARGV do
  local first = ARGV[index] * size
  found[index - 1] = redis.call('GETRANGE', KEYS[1], first, first + size - 1)
end
return found
