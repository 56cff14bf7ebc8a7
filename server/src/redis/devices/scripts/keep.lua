-- Whether what Redis has is what it had, and who is there to use it.

-- Another run of Redis may know less than the one before had answered for. Then all epochs change at once, by the
-- salt that they are told with, unless nothing can be lost by a restart; a replica that was promoted may lack the last
-- in any case.
local function check_run(is_lasting, salt)
  local info = redis.pcall('INFO', 'server')
  local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)')
  local v = call('HMGET', B .. 's', 'g', 'h', 'x')
  if not run or run == v[1] then return v[3] or '' end
  info = redis.pcall('INFO', 'replication')
  local promoted = type(info) == 'string' and string.match(info, 'master_replid2:0*(%w*)') or ''
  call('HSET', B .. 's', 'g', run, 'h', promoted)
  local is_whole = is_lasting and (promoted == '' or promoted == v[2])
  if not v[1] or is_whole then return v[3] or '' end
  call('HSET', B .. 's', 'x', salt)
  return salt
end

local function set_rooms(un, rooms)
  local packed = #rooms == 0 and '' or cmsgpack.pack(rooms)
  local before = call('GET', B .. 'R:' .. un) or ''
  if before == packed then return end
  local stays = {}
  for _, room in ipairs(rooms) do
    stays[room] = true
    call('ZADD', B .. 'r:' .. room, un, un)
  end
  if before ~= '' then
    for _, room in ipairs(cmsgpack.unpack(before)) do
      if not stays[room] then call('ZREM', B .. 'r:' .. room, un) end
    end
  end
  if packed == '' then
    call('DEL', B .. 'R:' .. un)
  else
    call('SET', B .. 'R:' .. un, packed)
  end
end

local function user_number(user)
  local un = call('HGET', B .. 'U', user)
  if un then return un end
  un = whole(call('HINCRBY', B .. 's', 'u', 1))
  call('HSET', B .. 'U', user, un)
  call('ZADD', B .. 'a', un, un)
  return un
end

local function insert_device(un, user, id, epoch, last, salt)
  local number = whole(call('HINCRBY', B .. 's', 'd', 1))
  call('HINCRBY', B .. 's', 'c', 1)
  call('HSET', B .. 'u:' .. un, id, number)
  call('HSET', B .. 'd:' .. number, 'u', user, 'un', un, 'i', id)
  return {
    number = number, u = user, un = un, i = id, e = epoch, l = last, t = 0, p = '', c = '', nt = 0, rs = '', n = 0,
    b = 0, x = salt,
  }
end

-- More than the entries that one device can have lost.
local LOST = 1000000

-- A device that was away while entries may have been lost is told so once. Somebody where it is connected may know their
-- numbers, which are not given to others then, unless he tells them himself.
local function check_salt(d, salt, is_asked_elsewhere)
  if d.x == salt then return end
  d.x = salt
  if is_asked_elsewhere and d.c ~= '' then d.l = d.l + LOST end
  note(d, '', 'lost')
end

-- What a device must be told: { number, event, reason } of each.
local function untold(d)
  return d.rs == '' and {} or cmsgpack.unpack(d.rs)
end
