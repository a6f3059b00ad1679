-- Write into the string KEYS[1]: pairs of a place, of ARGV[1] bytes each, and what is to stand there.
for index = 2, #ARGV, 2 do
  redis.call('SETRANGE', KEYS[1], ARGV[index] * ARGV[1], ARGV[index + 1])
end
