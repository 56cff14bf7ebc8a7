-- What is kept for a device: user, id, after, limit.
local un = call('HGET', B .. 'U', ARGV[1])
local number = un and call('HGET', B .. 'u:' .. un, ARGV[2])
if not number then return { {}, {} } end
local entries, missing = {}, {}
local page = call('ZRANGEBYSCORE', B .. 'q:' .. number, '(' .. ARGV[3], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[4])
for at = 1, #page, 2 do
  local v = call('HMGET', B .. 'm:' .. page[at], 'e', 'a', 'r', 'k', 't')
  if v[1] then
    entries[#entries + 1] = { page[at + 1], v[1], v[2], v[3], v[4], v[5] }
  else
    missing[#missing + 1] = page[at]
  end
end
if #missing == 0 then return { entries, {} } end
-- Redis was made to drop keys.
local d = load_device(number)
for _, message in ipairs(missing) do call('ZREM', B .. 'q:' .. number, message) end
d.n = d.n - #missing
local told = note(d, '', 'lost')
save_device(d)
return { entries, told }
