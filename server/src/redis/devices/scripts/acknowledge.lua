-- Removes what a device has: node, the command that publishes, user, id, seq, whether all before it too.
local me, by, seq = ARGV[1], ARGV[2], tonumber(ARGV[5])

-- By far the most: one message, which nobody has to be told about when it was overtaken. Less of the record is read. Gives the
-- message where that is not so, and it is still to be removed.
local function take_one()
  local user = call('HGET', B .. 'U', ARGV[3])
  local device = user and call('HGET', B .. 'u:' .. user, ARGV[4])
  if not device then return nil end
  local queue, record = B .. 'q:' .. device, B .. 'd:' .. device
  local message = call('ZRANGEBYSCORE', queue, ARGV[5], ARGV[5])[1]
  if not message then return nil end
  local v = call('HMGET', B .. 'm:' .. message, 'r', 'b')
  if v[1] == '1' then return message end
  call('ZREM', queue, message)
  unref(message)
  local left = call('HINCRBY', record, 'n', -1)
  if left > 0 then
    -- Not by a minus sign: Redis takes no -0 for a number.
    call('HINCRBY', record, 'b', whole(0 - tonumber(v[2] or 0)))
  elseif left == 0 or call('HEXISTS', record, 'u') == 1 then
    call('HSET', record, 'n', 0, 'b', 0)
  else
    -- Redis was made to drop the record.
    call('UNLINK', record)
  end
  return nil
end

local message = nil
if ARGV[6] ~= '1' then
  message = take_one()
  if not message then return {} end
end

local d = find_device(ARGV[3], ARGV[4])
if not d then return {} end
local queue = B .. 'q:' .. d.number

local function remove(messages)
  for _, message in ipairs(messages) do
    d.b = d.b - tonumber(call('HGET', B .. 'm:' .. message, 'b') or 0)
    unref(message)
  end
  d.n = d.n - #messages
  if d.n <= 0 then d.n, d.b = 0, 0 end
end

if ARGV[6] == '1' then
  if seq > d.l then return {} end
  remove(call('ZRANGEBYSCORE', queue, '-inf', ARGV[5]))
  call('ZREMRANGEBYSCORE', queue, '-inf', ARGV[5])
  call('HSET', B .. 'd:' .. d.number, 'n', d.n, 'b', whole(d.b))
  return {}
end

local event = call('HGET', B .. 'm:' .. message, 'e')
local function is_overtaken()
  local at = 0
  while true do
    local page = call('ZRANGE', queue, at, at + 49)
    for _, other in ipairs(page) do
      if other == message then return false end
      if call('HGET', B .. 'm:' .. other, 'e') == event then return true end
    end
    if #page < 50 then return false end
    at = at + 50
  end
end
if not is_overtaken() then
  remove({ message })
  call('ZREM', queue, message)
  call('HSET', B .. 'd:' .. d.number, 'n', d.n, 'b', whole(d.b))
  return {}
end
local which = {}
for _, other in ipairs(call('ZRANGE', queue, 0, -1)) do
  if call('HGET', B .. 'm:' .. other, 'e') == event then which[#which + 1] = other end
end
local told = note(d, '=' .. event, 'order')
remove(which)
for _, other in ipairs(which) do call('ZREM', queue, other) end
save_device(d)
local hints = {}
add_hint(hints, d.c, me, 'r', { d.u, d.i, told[1], told[2], told[3] })
publish(hints, by, {}, '')
return told
