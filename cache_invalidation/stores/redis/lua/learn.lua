-- Add to what is known in the hash KEYS[1]: pairs of a name and tags, one on each line.
-- ARGV[1]: how many names there may be. ARGV[2]: how many tags of one name.
for index = 3, #ARGV, 2 do
  local held = redis.call('HGET', KEYS[1], ARGV[index])
  if held or redis.call('HLEN', KEYS[1]) < tonumber(ARGV[1]) then
    local known, tags = {}, {}
    for tag in string.gmatch((held or '') .. '\n' .. ARGV[index + 1], '[^\n]+') do
      if not known[tag] and #tags < tonumber(ARGV[2]) then
        known[tag] = true
        tags[#tags + 1] = tag
      end
    end
    redis.call('HSET', KEYS[1], ARGV[index], table.concat(tags, '\n'))
  end
end
