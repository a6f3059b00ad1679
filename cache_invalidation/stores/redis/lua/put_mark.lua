-- Put the mark ARGV[1] under KEYS[1] for ARGV[2] ms; a server that is full does so as well, see fence.lua.
redis.call('PERSIST', KEYS[1])
return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
