-- Put a mark in front of those in each of the strings KEYS, of which the first ARGV[1] bytes are kept;
-- behind it in ARGV, for each key, its mark and the ms to keep it. Return which were not there: 1 or 0.
local new = {}
for index, key in ipairs(KEYS) do
  local mark, known = ARGV[2 * index], redis.call('GET', key) or ''
  new[index] = string.find(known, mark, 1, true) and 0 or 1
  if new[index] == 1 then
    known = string.sub(mark .. known, 1, ARGV[1])
  end
  redis.call('SET', key, known, 'PX', ARGV[2 * index + 1])
end
return new
