-- A connection of a device has ended: now, node, user, id, its connections there, age.
local now, count, age = no_later(ARGV[1]), tonumber(ARGV[5]), tonumber(ARGV[6])
local d = find_device(ARGV[3], ARGV[4])
local function devices()
  return tonumber(call('HGET', B .. 's', 'c') or 0)
end
if not d then return devices() end
set_connections(d, ARGV[2], count)
if d.c == '' and d.p == '' then
  d.p = whole(now)
  if is_over(d, now) then
    forget(d)
    return devices()
  end
  save_device(d)
  reschedule(d, age)
else
  save_device(d)
end
return devices()
