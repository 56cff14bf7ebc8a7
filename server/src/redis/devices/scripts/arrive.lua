-- A device has connected: now, node, user, id, its connections there, ttl, a new epoch, devices that may be, devices of
-- one user that may be, age, lease, whether restarts lose nothing, rooms.
local now, node, user, id = no_later(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local count, ttl, epoch = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local most, most_of_user, age = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local lease, is_lasting = tonumber(ARGV[11]), ARGV[12] == '1'
local WORK = 1000

local salt = check_run(is_lasting, epoch)
local is_leased = renew(node, lease)

local function devices()
  return tonumber(call('HGET', B .. 's', 'c') or 0)
end

local d = find_device(user, id)
if d and d.c == '' then
  if is_over(d, now) then
    forget(d)
    d = nil
  elseif #take_aged(d, now, age) > 0 then
    save_device(d)
    reschedule(d, age)
  end
end
local is_new = not d
if is_new and devices() >= most then
  local work = WORK
  for _, number in ipairs(call('ZRANGEBYSCORE', B .. 't', '-inf', whole(now), 'LIMIT', 0, WORK)) do
    local other = load_device(number)
    work = work - 1
    if other and is_over(other, now) then
      work = work - other.n
      forget(other)
    end
    if work <= 0 then break end
  end
  if devices() >= most then return { 'devices', is_leased and 1 or 0, salt, devices() } end
end
if is_new then
  local un = call('HGET', B .. 'U', user)
  if un and call('HLEN', B .. 'u:' .. un) >= most_of_user then
    local longest = nil
    for _, number in ipairs(call('HVALS', B .. 'u:' .. un)) do
      local p = call('HGET', B .. 'd:' .. number, 'p')
      if p and p ~= '' then
        p, number = tonumber(p), tonumber(number)
        if not longest or p < longest[1] or (p == longest[1] and number < longest[2]) then longest = { p, number } end
      end
    end
    if not longest then return { 'user', is_leased and 1 or 0, salt, devices() } end
    forget(load_device(whole(longest[2])))
  end
end
local un = user_number(user)
local rooms = {}
for at = 13, #ARGV do rooms[#rooms + 1] = ARGV[at] end
set_rooms(un, rooms)
if is_new then d = insert_device(un, user, id, epoch, 0, salt) end
check_salt(d, salt, true)
d.p, d.t = '', ttl
set_connections(d, node, count)
save_device(d)
-- Called again because its answer was lost, it finds what it made itself.
local is_resumed = not is_new and d.e ~= epoch
return {
  'ok', is_leased and 1 or 0, salt, devices(), d.e, is_resumed and 1 or 0, whole(d.l), untold(d),
}
