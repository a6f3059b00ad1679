-- In front of scripts that may have to begin an epoch: put a young one there, for the server that says
-- of itself that it is IDENTITY, and return it. With no memory to spare it stays missing, which is the
-- same to whoever asks.
local function young(near, identity)
  local clock = redis.call('TIME')
  local epoch = '-' .. clock[1] .. '.' .. clock[2] .. '@' .. identity
  redis.pcall('SET', near .. 'e', epoch)
  return epoch
end
