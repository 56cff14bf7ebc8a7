-- Takes a token's identity, once.
--
-- KEYS: the part's list of tokens by their ends, the token.
-- ARGV: the token's name in the list, what proves the token.
-- Answers the identity, or nothing.
local value = redis.call('GET', KEYS[2])
if not value or string.sub(value, 1, #ARGV[2]) ~= ARGV[2] then return false end
redis.call('DEL', KEYS[2])
redis.call('ZREM', KEYS[1], ARGV[1])
return string.sub(value, #ARGV[2] + 1)
