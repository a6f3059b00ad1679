-- Renew the lease of ARGV[2], who has dropped what it was told of up to the stamp ARGV[3], if there
-- is no more to tell. ARGV[1]: what all names begin with. ARGV[4]: the identity of the server.
-- ARGV[5]: "1" if it joins. ARGV[6]: of how many stamps it says what it has dropped; they follow, each
-- with the names, as who waits for them reads them. Then keys that it holds no more, each with the stamp
-- up to which.
-- Returns the epoch, then 1 if the lease is renewed, 0 if what follows has to be dropped first; or
-- nothing if nobody knows the holder, who has to join by another name.
local near, holder, confirmed = ARGV[1], ARGV[2], tonumber(ARGV[3])
if ARGV[5] == '1' then
  redis.call('HSET', near .. 'h', holder, 0)
elseif redis.call('HEXISTS', near .. 'h', holder) == 0 then
  return {}
end
local epoch = redis.call('GET', near .. 'e') or young(near, ARGV[4])
local given_up, names = 7 + 2 * ARGV[6], {}
for index = 7, given_up - 1, 2 do
  names[ARGV[index]] = ' ' .. ARGV[index + 1]
end

local function part(key, below)
  -- Unless it has registered again since.
  local name = redis.sha1hex(key)
  local stamp = tonumber(redis.call('HGET', near .. 'r:' .. name, holder) or 'nan')
  if stamp and stamp < below then
    redis.call('HDEL', near .. 'r:' .. name, holder)
    redis.call('SREM', near .. 'm:' .. holder, name)
  end
end

local queue, left = near .. 'q:' .. holder, {}
for _, item in ipairs(redis.call('LRANGE', queue, 0, -1)) do
  local stamp, token, keys = unpack(cjson.decode(item))
  if stamp <= confirmed then
    for _, key in ipairs(keys) do
      part(key, stamp)
    end
    redis.call('LPOP', queue)
    local answer = stamp .. ' ' .. holder .. (names[tostring(stamp)] or '')
    if redis.call('RPUSH', near .. 'a:' .. token, answer) == 1 then
      redis.call('PEXPIRE', near .. 'a:' .. token, 60000)
    end
  elseif #left < 1000 then
    left[#left + 1] = item
  end
end
for index = given_up, #ARGV, 2 do
  part(ARGV[index], ARGV[index + 1] + 1)
end
redis.call('HINCRBY', near .. 'b', holder, 1)
table.insert(left, 1, #left == 0 and 1 or 0)
table.insert(left, 1, epoch)
return left
