-- Drop what stands under KEYS and lift the fence ARGV[1]; fences of others stay.
-- ARGV[2]: ms for which the fence stays nevertheless, for replicas of the database.
local lag = tonumber(ARGV[2])
for _, key in ipairs(KEYS) do
  if not fence(key, ARGV[1], lag > 0 and now + lag or 0) then
    redis.call('UNLINK', key)
  end
end
