-- Drop the root version KEYS[1] unless it was minted under the server ARGV[1].
local version = redis.pcall('GET', KEYS[1])
local is_text = type(version) == 'string'
if version and not (is_text and string.sub(version, 1, 1) == '!')
    and not (is_text and string.sub(version, -#ARGV[1]) == ARGV[1]) then
  return redis.call('UNLINK', KEYS[1])
end
return 0
