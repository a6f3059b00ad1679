-- Remove all that is in this database, on behalf of the holder ARGV[3], who has nothing near any more.
-- ARGV[1]: what all names begin with. ARGV[2]: the identity of the server.
-- Returns the epoch, "" if there was none, and then everybody else who held anything. Nobody knows any
-- more what they hold, so the epoch is young unless there were none.
local near, epoch = ARGV[1], redis.call('GET', ARGV[1] .. 'e')
local others = {}
for _, holder in ipairs(redis.call('HKEYS', near .. 'h')) do
  if holder ~= ARGV[3] then
    others[#others + 1] = holder
  end
end
redis.call('FLUSHDB')
if epoch and #others == 0 and string.sub(epoch, 1, 1) == '+' then
  redis.pcall('SET', near .. 'e', epoch)
elseif epoch then
  epoch = young(near, ARGV[2])
end
table.insert(others, 1, epoch or '')
return others
