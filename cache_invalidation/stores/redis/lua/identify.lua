-- Drop the root version KEYS[1] unless it was minted under the server ARGV[1]; and forget whoever
-- holds anything near, by names that begin with ARGV[2], if that was under another one. The epoch is
-- young then: writers who do not know that anybody may hold anything wait as well.
local epoch = ARGV[2] and ARGV[2] ~= '' and redis.pcall('GET', ARGV[2] .. 'e')
if type(epoch) == 'string' and string.sub(epoch, -#ARGV[1] - 1) ~= '@' .. ARGV[1] then
  local holders = redis.call('HKEYS', ARGV[2] .. 'h')
  -- First, so that a server that is full does the rest as well: see fence.lua.
  redis.call('UNLINK', ARGV[2] .. 'e', ARGV[2] .. 'h', ARGV[2] .. 'b')
  for _, holder in ipairs(holders) do
    redis.call('SADD', ARGV[2] .. 'd', holder)
  end
  young(ARGV[2], ARGV[1])
end
local version = redis.pcall('GET', KEYS[1])
local is_text = type(version) == 'string'
if version and not (is_text and string.sub(version, 1, 1) == '!')
    and not (is_text and string.sub(version, -#ARGV[1]) == ARGV[1]) then
  return redis.call('UNLINK', KEYS[1])
end
return 0
