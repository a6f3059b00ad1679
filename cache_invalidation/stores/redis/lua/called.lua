-- Return the calls in the sorted set KEYS[1] and their scores, one behind the other, the highest first.
-- A script does so in the same form by every version of the wire protocol.
return redis.call('ZREVRANGE', KEYS[1], 0, -1, 'WITHSCORES')
