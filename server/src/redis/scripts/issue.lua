-- Keeps a token's identity until it is redeemed.
--
-- KEYS: the part's list of tokens by their ends, the token.
-- ARGV: the token's name in the list, now, its time to live, how many the part may have, what proves the token, its
--   identity.
-- Answers 1, or 0 where there is no room.
-- A clock that is ahead of Redis' own counts no token out that is there.
local clock = redis.call('TIME')
local now, ttl = math.min(tonumber(ARGV[2]), clock[1] * 1000 + math.floor(clock[2] / 1000)), tonumber(ARGV[3])
local value = ARGV[5] .. ARGV[6]
local there = redis.call('GET', KEYS[2])
if there then
  -- The same, sent again.
  return there == value and 1 or 0
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[4]) then return 0 end
redis.call('SET', KEYS[2], value, 'PX', ARGV[3])
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ttl), ARGV[1])
if redis.call('PTTL', KEYS[1]) < ttl then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 1
