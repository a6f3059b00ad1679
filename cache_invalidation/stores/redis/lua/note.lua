-- Write into the string KEYS[1]: pairs of a place, of ARGV[1] bytes each, and what is to stand there.
-- There are ARGV[2] places. A string that grows takes twice as much as it needs, so that it begins whole.
local last = ARGV[1] * ARGV[2] - 1
if redis.call('GETRANGE', KEYS[1], last, last) == '' then
  redis.call('SETRANGE', KEYS[1], last, '\0')
end
for index = 3, #ARGV, 2 do
  redis.call('SETRANGE', KEYS[1], ARGV[index] * ARGV[1], ARGV[index + 1])
end
