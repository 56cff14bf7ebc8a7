-- Appends a message: now, node, the command that publishes, entries and bytes of a queue, event, arguments, resync, =key,
-- bytes, the keys' window and number, work that may be done, age, the message's number if it has one, chunk, user and device
-- after which to go on, last user, whether this is the last chunk, whom it is for (u, r, e), Redis' run, whether restarts
-- lose nothing, a new salt, names.
local now, me, by = no_later(ARGV[1]), ARGV[2], ARGV[3]
local most, most_bytes = tonumber(ARGV[4]), tonumber(ARGV[5])
local event, args, resync, key, bytes = ARGV[6], ARGV[7], ARGV[8], ARGV[9], tonumber(ARGV[10])
local window, most_keys, work, age = tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13]), tonumber(ARGV[14])
local message, chunk = ARGV[15], tonumber(ARGV[16])
local at_user, at_device, last_user = tonumber(ARGV[17]), tonumber(ARGV[18]), ARGV[19]
local is_last, kind = ARGV[20] == '1', ARGV[21]
local NAMES, PAGE, LEAST = 25, 1000, 16
local is_first = message == ''

local known = call('HMGET', B .. 's', 'g', 'x')
local salt = known[2] or ''
if known[1] ~= ARGV[22] then salt = check_run(ARGV[23] == '1', ARGV[24]) end

local function answer(state, results)
  local devices = tonumber(call('HGET', B .. 's', 'c') or 0)
  return { state, message, at_user, at_device, last_user, devices, call('ZCARD', B .. 'k'), results }
end

if key ~= '' then
  if is_first then forget_keys(now, window) end
  local pending = call('HGET', B .. 'K', key)
  if pending then
    -- Somebody began, and has not come to the end: each device is dealt with once, whoever goes on.
    pending = cmsgpack.unpack(pending)
    if chunk < pending[2] then return answer('skipped', {}) end
    if chunk == pending[2] then
      message, at_user, at_device, last_user = pending[1], pending[3], pending[4], pending[5]
    end
  elseif call('ZSCORE', B .. 'k', key) then
    return answer(is_first and 'duplicate' or 'done', {})
  elseif is_first then
    if call('ZCARD', B .. 'k') >= most_keys then return answer('keys', {}) end
    call('ZADD', B .. 'k', whole(now), key)
  end
end
if message == '' then
  message = whole(call('HINCRBY', B .. 's', 'm', 1))
  last_user = call('HGET', B .. 's', 'u') or '0'
end

-- The users whom it is for, in the order of their numbers, as many as one call deals with.
local users, cut, seen = {}, nil, {}
local function add(numbers)
  for _, number in ipairs(numbers) do
    number = tonumber(number)
    if number and not seen[number] then
      seen[number] = true
      users[#users + 1] = number
    end
  end
end
if kind == 'u' then
  for at = NAMES, #ARGV do
    local number = tonumber(call('HGET', B .. 'U', ARGV[at]) or nil)
    if number and number >= at_user then add({ number }) end
  end
else
  -- As many of each set as there is room for, then more of the one that is read least far. Up to there all are known.
  local sets, left = {}, PAGE
  if kind == 'e' then
    sets[1] = { name = B .. 'a', from = at_user }
  else
    for at = NAMES, #ARGV do sets[#sets + 1] = { name = B .. 'r:' .. ARGV[at], from = at_user } end
  end
  local size = math.max(LEAST, math.floor(PAGE / math.max(1, #sets)))
  local function read(set)
    local page = call('ZRANGEBYSCORE', set.name, set.from, last_user, 'LIMIT', 0, size)
    set.is_whole = #page < size
    if not set.is_whole then set.from = tonumber(page[size]) + 1 end
    left = left - #page
    add(page)
  end
  for _, set in ipairs(sets) do read(set) end
  local function least()
    local found = nil
    for _, set in ipairs(sets) do
      if not set.is_whole and (not found or set.from < found.from) then found = set end
    end
    return found
  end
  local set = least()
  while set and left > 0 do
    read(set)
    set = least()
  end
  cut = set and set.from - 1
end
table.sort(users)

local results, hints, refs, is_all = {}, {}, 0, true
local function result(user, id, last, number)
  local at = #results
  results[at + 1], results[at + 2], results[at + 3], results[at + 4] = user, id, last, number
end

local function append(number)
  local v = call('HMGET', B .. 'd:' .. number, 'u', 'i', 'l', 't', 'p', 'c', 'n', 'b', 'x')
  local n, b = tonumber(v[7]), tonumber(v[8])
  work = work - 1
  -- Redis was made to drop keys.
  if not v[1] then return end
  if v[5] ~= '' and v[5] + v[4] <= now then return end
  if v[9] ~= salt then
    local d = load_device(number)
    check_salt(d, salt, true)
    save_device(d)
    v[3] = d.l
  end
  if n >= most or b + bytes > most_bytes then
    local d = load_device(number)
    work = work - n
    local told = note(d, '', 'overflow')
    clear_queue(d)
    save_device(d)
    result(v[1], v[2], v[3], told[1])
    add_hint(hints, v[6], me, 'o', { v[1], v[2], v[3], told[1] })
    return
  end
  local seq = whole(v[3] + 1)
  call('ZADD', B .. 'q:' .. number, seq, message)
  call('HSET', B .. 'd:' .. number, 'l', seq, 'n', n + 1, 'b', whole(b + bytes))
  if n == 0 then call('ZADD', B .. 't', 'LT', whole(now + age), number) end
  refs = refs + 1
  result(v[1], v[2], seq, '')
  if v[6] ~= '' then add_hint(hints, v[6], me, 'q', { v[1], v[2], seq }) end
end

for _, user in ipairs(users) do
  if cut and user > cut then break end
  if work <= 0 then
    is_all = false
    at_user, at_device = user, 0
    break
  end
  local after = user == at_user and at_device or 0
  local devices = call('HVALS', B .. 'u:' .. whole(user))
  for at = 1, #devices do devices[at] = tonumber(devices[at]) end
  table.sort(devices)
  for _, number in ipairs(devices) do
    if number > after then
      if work <= 0 then
        is_all = false
        at_user = user
        break
      end
      append(whole(number))
      at_device = number
    end
  end
  if not is_all then break end
end
if is_all and cut then
  is_all = false
  at_user, at_device = cut + 1, 0
end

if refs > 0 then
  local place = B .. 'm:' .. message
  if call('EXISTS', place) == 1 then
    call('HINCRBY', place, 'n', refs)
  else
    call('HSET', place, 'e', event, 'a', args, 'r', resync, 'k', key, 't', whole(now), 'b', bytes, 'n', refs)
  end
end
if next(hints) then publish(hints, by, { e = event, s = resync, k = key }, args) end
if key ~= '' then
  if is_all and is_last then
    call('HDEL', B .. 'K', key)
  elseif is_all then
    call('HSET', B .. 'K', key, cmsgpack.pack({ message, chunk + 1, 0, 0, last_user }))
  else
    call('HSET', B .. 'K', key, cmsgpack.pack({ message, chunk, at_user, at_device, last_user }))
  end
end
return answer(is_all and 'done' or 'more', results)
