-- Reads what a channel keeps.
--
-- KEYS: the channel's line (a hash), its log (a stream).
-- ARGV: the data's generation, a new epoch, for how many milliseconds publications are kept, how long the log is kept
--   when it was read, how long an empty one is, what a publication counts for besides its message, now, the epoch and
--   offset of the place it is read from (-1: from none), how many at most (-1: all), whether the latest come first.
-- Answers the epoch, the last offset, whether something is missing, whether there is more, and the publications.
local generation, epoch = ARGV[1], ARGV[2]
local age, around, now = tonumber(ARGV[3]), tonumber(ARGV[6]), tonumber(ARGV[7])
local since, limit, reverse = tonumber(ARGV[9]), tonumber(ARGV[10]), ARGV[11] == '1'
local function whole(n) return string.format('%.0f', n) end

-- A clock that is ahead of Redis' own makes nothing too old.
local clock = redis.call('TIME')
now = math.min(now, clock[1] * 1000 + math.floor(clock[2] / 1000))

local last, bytes = 0, 0
local line = redis.call('HMGET', KEYS[1], 'generation', 'epoch', 'last', 'bytes')
if line[2] and line[1] == generation then
  epoch, last, bytes = line[2], tonumber(line[3]), tonumber(line[4])
else
  redis.call('HSET', KEYS[1], 'generation', generation, 'epoch', epoch, 'last', '0', 'bytes', '0')
  redis.call('DEL', KEYS[2])
end

-- What is too old is not kept, whether or not somebody has published since.
local first = last + 1
local is_done, trimmed = false, false
while not is_done do
  local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', trimmed and 64 or 1)
  local upto = false
  is_done = #oldest == 0
  for _, entry in ipairs(oldest) do
    if now - tonumber(entry[2][2]) <= age then
      first = tonumber(string.match(entry[1], '^%d+'))
      is_done = true
      break
    end
    upto = tonumber(string.match(entry[1], '^%d+'))
    bytes = bytes - #entry[2][4] - around
  end
  if upto then
    redis.call('XTRIM', KEYS[2], 'MINID', '=', whole(upto + 1))
    trimmed = true
  end
end
if trimmed then redis.call('HSET', KEYS[1], 'bytes', whole(math.max(0, bytes))) end
redis.call('PEXPIRE', KEYS[1], last == 0 and ARGV[5] or ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])

-- A place of another epoch, or one that is still to come, says nothing about this log.
local has_since = since >= 0
local known = has_since and ARGV[8] == epoch and since <= last
local from, to = first, last
if reverse then
  if has_since then to = known and since or first - 1 end
elseif known then
  from = math.max(first, since + 1)
end
local gap = not reverse and has_since and (not known or since + 1 < first)
local count = math.max(0, to - from + 1)
local more = limit >= 0 and count > limit
if more then count = limit end
local entries = {}
if count > 0 then
  if reverse then
    entries = redis.call('XREVRANGE', KEYS[2], whole(to), whole(from), 'COUNT', whole(count))
  else
    entries = redis.call('XRANGE', KEYS[2], whole(from), whole(to), 'COUNT', whole(count))
  end
end
return { epoch, last, gap and 1 or 0, more and 1 or 0, entries }
