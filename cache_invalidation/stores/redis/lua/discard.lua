-- Delete the entry KEYS[1] if it has the seal ARGV[1].
if redis.pcall('GETRANGE', KEYS[1], 1, #ARGV[1]) == ARGV[1] then
  redis.call('UNLINK', KEYS[1])
end
