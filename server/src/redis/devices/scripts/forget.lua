-- Devices whose time is over, and entries that are too old.

local function forget(d)
  clear_queue(d)
  call('UNLINK', B .. 'd:' .. d.number)
  call('ZREM', B .. 't', d.number)
  call('HINCRBY', B .. 's', 'c', -1)
  local devices = B .. 'u:' .. d.un
  call('HDEL', devices, d.i)
  if call('EXISTS', devices) == 1 then return end
  local rooms = call('GET', B .. 'R:' .. d.un)
  if rooms then
    for _, room in ipairs(cmsgpack.unpack(rooms)) do
      call('ZREM', B .. 'r:' .. room, d.un)
    end
    call('DEL', B .. 'R:' .. d.un)
  end
  call('HDEL', B .. 'U', d.u)
  call('ZREM', B .. 'a', d.un)
end

-- Takes the entries off that are too old, and returns what the device must be told for them. It is to be saved.
local function take_aged(d, now, age)
  local gone, events, known, bytes, lost = 0, {}, {}, 0, false
  local queue = B .. 'q:' .. d.number
  while true do
    local page = call('ZRANGE', queue, gone, gone + 49)
    local is_young = false
    for _, message in ipairs(page) do
      local v = call('HMGET', B .. 'm:' .. message, 't', 'e', 'b')
      if v[1] and tonumber(v[1]) + age > now then
        is_young = true
        break
      end
      gone = gone + 1
      if not v[1] then
        lost = true
      else
        bytes = bytes + tonumber(v[3])
        if not known[v[2]] then
          known[v[2]] = true
          events[#events + 1] = v[2]
        end
      end
      unref(message)
    end
    if is_young or #page < 50 then break end
  end
  if gone == 0 then return {} end
  call('ZREMRANGEBYRANK', queue, 0, gone - 1)
  d.n, d.b = d.n - gone, d.b - bytes
  table.sort(events)
  local told = {}
  for _, event in ipairs(events) do
    told[#told + 1] = note(d, '=' .. event, 'expired')
  end
  if lost then told[#told + 1] = note(d, '', 'lost') end
  return told
end
