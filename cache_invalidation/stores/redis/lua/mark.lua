-- Put the mark ARGV[1] in front of those in the string KEYS[1], of which the first ARGV[2] bytes are
-- kept for ARGV[3] ms; return whether it was not among them.
local known = redis.call('GET', KEYS[1]) or ''
local is_new = not string.find(known, ARGV[1], 1, true)
if is_new then
  known = string.sub(ARGV[1] .. known, 1, ARGV[2])
end
redis.call('SET', KEYS[1], known, 'PX', ARGV[3])
return is_new and 1 or 0
