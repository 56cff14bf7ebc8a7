#!lua
-- Publishes to one channel, in order, and keeps what is to be kept, in one step.
--
-- KEYS: the channel's line (a hash), its log (a stream), then the key of each publication, where they have keys.
-- ARGV: the topic, the command that publishes, the data's generation, a new epoch, how many are kept (-1: none), how
--   many bytes, for how many milliseconds, how long the log is kept then, what a publication counts for besides its
--   message, whether they have keys; then for each: when, for how long its key is known (with keys only), the message.
-- Answers the epoch, then for each its offset (0: not kept), or where the first of its key stands.
local generation, epoch = ARGV[3], ARGV[4]
local most, most_bytes, age = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local around, keyed = tonumber(ARGV[9]), ARGV[10] == '1'
local keeps = most >= 0
local function whole(n) return string.format('%.0f', n) end

local last, bytes, now = 0, 0, 0
if keeps then
  local line = redis.call('HMGET', KEYS[1], 'generation', 'epoch', 'last', 'bytes')
  if line[2] and line[1] == generation then
    epoch, last, bytes = line[2], tonumber(line[3]), tonumber(line[4])
    if redis.call('EXISTS', KEYS[2]) == 0 then bytes = 0 end
  else
    -- Nothing is known of the channel, or what is known may lack its end.
    redis.call('DEL', KEYS[2])
  end
end

-- A clock that is ahead of Redis' own makes nothing too old, and no key forgotten.
local clock = math.huge
if keeps or keyed then
  local time = redis.call('TIME')
  clock = time[1] * 1000 + math.floor(time[2] / 1000)
end

local answer, sizes, messages = { epoch }, {}, {}
local first = last + 1
local at = 11
for n = 1, (#ARGV - 10) / (keyed and 3 or 2) do
  local time = math.min(tonumber(ARGV[at]), clock)
  local message = ARGV[at + (keyed and 2 or 1)]
  if time > now then now = time end
  local known = false
  if keyed then
    known = redis.call('GET', KEYS[2 + n])
    if known then
      local ends, place = string.match(known, '^(%d+) (.*)$')
      known = tonumber(ends) > time and place
    end
  end
  if known then
    answer[n + 1] = known
  else
    local offset = 0
    if keeps then
      last = last + 1
      offset = last
      bytes = bytes + #message + around
      redis.call('XADD', KEYS[2], whole(last) .. '-0', 't', whole(time), 'm', message)
    end
    if keyed then
      local window = tonumber(ARGV[at + 1])
      local place = keeps and (epoch .. ':' .. whole(last)) or ''
      redis.call('SET', KEYS[2 + n], whole(time + window) .. ' ' .. place, 'PX', whole(window + 10000))
    end
    sizes[#sizes + 1] = #message
    messages[#messages + 1] = message
    answer[n + 1] = offset
  end
  at = at + (keyed and 3 or 2)
end

if keeps then
  local length = redis.call('XLEN', KEYS[2])
  local is_done = length == 0
  while not is_done do
    local page = math.max(1, math.min(128, length - most + 1))
    local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', page)
    local upto = false
    for _, entry in ipairs(oldest) do
      local is_old = now - tonumber(entry[2][2]) > age
      if length <= most and bytes <= most_bytes and not is_old then
        is_done = true
        break
      end
      length, bytes = length - 1, bytes - #entry[2][4] - around
      upto = tonumber(string.match(entry[1], '^%d+'))
    end
    if upto then redis.call('XTRIM', KEYS[2], 'MINID', '=', whole(upto + 1)) end
    if length == 0 then is_done = true end
  end
  redis.call('HSET', KEYS[1], 'generation', generation, 'epoch', epoch, 'last', whole(last), 'bytes', whole(bytes))
  redis.call('PEXPIRE', KEYS[1], ARGV[8])
  redis.call('PEXPIRE', KEYS[2], ARGV[8])
end

if #messages > 0 then
  local head = keeps and ('h ' .. epoch .. ' ' .. whole(first) .. ' ') or 'p '
  redis.call(ARGV[2], ARGV[1], head .. table.concat(sizes, ' ') .. '\n' .. table.concat(messages))
end
return answer
