-- One channel of a shard, and how clients come and go:
--
--   c:CHANNEL  hash  client -> its record, packed: user, place, gone, node, info, since
--   m:CHANNEL  zset  places by their time: a turn of 16 digits, then the client
--   u:CHANNEL  hash  user -> connections, a space, the place of its first one
--   t:CHANNEL  hash  n: connections; a: those without a user; x: turns; p: whether a user is one member
--   n:NODE     set   CLIENT's length, a colon, the client, the channel
--
-- A user's id is written with = before it, so that '' can mean none. A client that is not a member itself has the place ''.
-- One that is gone stays as the member of its user's other connections.
local USER, PLACE, GONE, NODE, INFO, SINCE = 1, 2, 3, 4, 5, 6

local function get_client(channel, client)
  local packed = call('HGET', B .. 'c:' .. channel, client)
  return packed and cmsgpack.unpack(packed)
end

local function set_client(channel, client, record)
  call('HSET', B .. 'c:' .. channel, client, cmsgpack.pack(record))
end

local function belonging(channel, client)
  return #client .. ':' .. client .. channel
end

local function user_connections(channel, user)
  local text = call('HGET', B .. 'u:' .. channel, user)
  if not text then return nil end
  local count, place = string.match(text, '^(%d+) (.*)$')
  return tonumber(count), place
end

local function count_client(channel, user, place)
  call('HINCRBY', B .. 't:' .. channel, 'n', 1)
  if user == '' then
    call('HINCRBY', B .. 't:' .. channel, 'a', 1)
    return
  end
  local count, first = user_connections(channel, user)
  call('HSET', B .. 'u:' .. channel, user, whole((count or 0) + 1) .. ' ' .. (first or place))
end

-- Returns whether somebody joined whom nobody has seen.
local function join(node, channel, client, user, info, since, per_user)
  call('SADD', B .. 'n:' .. node, belonging(channel, client))
  local record = get_client(channel, client)
  if record then
    if record[NODE] ~= node and record[GONE] == 0 then
      call('SREM', B .. 'n:' .. record[NODE], belonging(channel, client))
    end
    record[NODE] = node
    if record[GONE] == 1 then
      record[GONE] = 0
      count_client(channel, record[USER], record[PLACE])
    end
    set_client(channel, client, record)
    return false
  end
  local turn = call('HINCRBY', B .. 't:' .. channel, 'x', 1)
  if turn == 1 then call('HSET', B .. 't:' .. channel, 'p', per_user and 1 or 0) end
  local place = string.format('%016.0f', turn) .. client
  local is_known = per_user and user ~= '' and call('HEXISTS', B .. 'u:' .. channel, user) == 1
  count_client(channel, user, place)
  set_client(channel, client, { user, is_known and '' or place, 0, node, info, since })
  if is_known then return false end
  call('ZADD', B .. 'm:' .. channel, since, place)
  return true
end

local function as_member(client, record)
  return { client, record[USER], record[INFO], record[SINCE] }
end

local function take_off(channel, client, record)
  call('HDEL', B .. 'c:' .. channel, client)
  if record[PLACE] == '' or call('ZREM', B .. 'm:' .. channel, record[PLACE]) == 0 then return nil end
  return as_member(client, record)
end

local function leave_counted(channel, client, record, per_user)
  local user = record[USER]
  if user == '' then
    call('HINCRBY', B .. 't:' .. channel, 'a', -1)
    return take_off(channel, client, record)
  end
  local count, first = user_connections(channel, user)
  if not count then return nil end
  local is_last = count <= 1
  if is_last then
    call('HDEL', B .. 'u:' .. channel, user)
  else
    call('HSET', B .. 'u:' .. channel, user, whole(count - 1) .. ' ' .. first)
  end
  if not per_user then return take_off(channel, client, record) end
  if not is_last and record[PLACE] ~= '' then
    record[GONE] = 1
    set_client(channel, client, record)
    return nil
  end
  call('HDEL', B .. 'c:' .. channel, client)
  if not is_last then return nil end
  if record[PLACE] == first then return take_off(channel, client, record) end
  local member = string.sub(first, 17)
  local other = get_client(channel, member)
  return other and take_off(channel, member, other)
end

-- Returns the member who left: { client, user, info, since }.
local function leave(channel, client, per_user)
  local record = get_client(channel, client)
  if not record or record[GONE] == 1 then return nil end
  call('SREM', B .. 'n:' .. record[NODE], belonging(channel, client))
  local count = call('HINCRBY', B .. 't:' .. channel, 'n', -1)
  local left = leave_counted(channel, client, record, per_user)
  if count <= 0 then
    call('UNLINK', B .. 'c:' .. channel, B .. 'm:' .. channel, B .. 'u:' .. channel, B .. 't:' .. channel)
  end
  return left
end
