-- The keys of a shard of users:
--
--   s        hash   m, d, u: the last message, device and user numbers; c: devices; g: Redis' run; x: its salt
--   U        hash   user -> user number            a        zset   all user numbers
--   u:USER   hash   device id -> device number     R:USER   string the user's rooms, packed
--   r:ROOM   zset   user numbers                   d:DEVICE hash   a device's record
--   q:DEVICE zset   message numbers by seq         m:NUMBER hash   a message, n: how many entries refer to it
--   t        zset   device numbers by deadline     k, K     zset, hash   keys by time; those still being appended
--   n        zset   nodes by the end of their lease, on Redis' clock
--   n:NODE   set    numbers of the devices that are connected there
--   h:NODE   topic  what other nodes did for these
--
-- A device: its record, its queue, and what it must be told.
--
-- Its record: u user, un user number, i id, e epoch, l last seq, t time to live, p when it departed ('' while it is
-- connected), c connections as NODE=COUNT; of each node, nt last resync, rs resyncs it was not told, n and b entries
-- and their bytes, x the salt it knows.
-- An event's name is written with = before it, so that '' can mean none.
local RESYNCS = 16

local function load_device(number)
  local v = call('HMGET', B .. 'd:' .. number, 'u', 'un', 'i', 'e', 'l', 't', 'p', 'c', 'nt', 'rs', 'n', 'b', 'x')
  if not v[1] then return nil end
  return {
    number = number, u = v[1], un = v[2], i = v[3], e = v[4], l = tonumber(v[5]), t = tonumber(v[6]), p = v[7],
    c = v[8], nt = tonumber(v[9]), rs = v[10], n = tonumber(v[11]), b = tonumber(v[12]), x = v[13],
  }
end

local function find_device(user, id)
  local un = call('HGET', B .. 'U', user)
  if not un then return nil end
  local number = call('HGET', B .. 'u:' .. un, id)
  return number and load_device(number)
end

local function save_device(d)
  call('HSET', B .. 'd:' .. d.number, 'e', d.e, 'l', whole(d.l), 't', whole(d.t), 'p', d.p, 'c', d.c, 'nt', whole(d.nt),
    'rs', d.rs, 'n', d.n, 'b', whole(d.b), 'x', d.x)
end

local function is_over(d, now)
  return d.p ~= '' and tonumber(d.p) + d.t <= now
end

-- Notes that the device must be told: { number, event, reason }.
local function note(d, event, reason)
  local kept = {}
  d.nt = d.nt + 1
  if d.rs ~= '' and event ~= '' then
    for _, resync in ipairs(cmsgpack.unpack(d.rs)) do
      if resync[2] == '' then
        event = ''
      elseif resync[2] ~= event then
        kept[#kept + 1] = resync
      end
    end
  end
  if #kept >= RESYNCS then event = '' end
  if event == '' then kept = {} end
  local resync = { whole(d.nt), event, reason }
  kept[#kept + 1] = resync
  d.rs = cmsgpack.pack(kept)
  return resync
end

-- One entry less refers to a message.
local function unref(message)
  if call('HINCRBY', B .. 'm:' .. message, 'n', -1) <= 0 then
    call('UNLINK', B .. 'm:' .. message)
  end
end

local function clear_queue(d)
  for _, message in ipairs(call('ZRANGE', B .. 'q:' .. d.number, 0, -1)) do
    unref(message)
  end
  call('UNLINK', B .. 'q:' .. d.number)
  d.n, d.b = 0, 0
end

-- Makes sure that a device is looked at when its time has come.
local function reschedule(d, age)
  local due = nil
  if d.p ~= '' then due = tonumber(d.p) + d.t end
  local head = call('ZRANGE', B .. 'q:' .. d.number, 0, 0)[1]
  if head then
    local aged = (tonumber(call('HGET', B .. 'm:' .. head, 't') or 0)) + age
    if not due or aged < due then due = aged end
  end
  if due then
    call('ZADD', B .. 't', whole(due), d.number)
  else
    call('ZREM', B .. 't', d.number)
  end
end

local function set_connections(d, node, count)
  local was, c = false, ''
  for other, times in string.gmatch(d.c, '(%x+)=(%d+);') do
    if other == node then
      was = true
    else
      c = c .. other .. '=' .. times .. ';'
    end
  end
  if count > 0 then
    c = c .. node .. '=' .. whole(count) .. ';'
    if not was then call('SADD', B .. 'n:' .. node, d.number) end
  elseif was then
    call('SREM', B .. 'n:' .. node, d.number)
  end
  d.c = c
end
