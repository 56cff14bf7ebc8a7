-- Devices are connected to a node that was given up, or whose connections Redis has forgotten: node, lease, whether
-- restarts lose nothing, a new salt, for each device: user, id, connections, ttl, the last seq known, a new epoch, number
-- of rooms, rooms. Answers whether the node had a lease, and what of each device.
local node = ARGV[1]
local salt = check_run(ARGV[3] == '1', ARGV[4])
local answers, at = { renew(node, tonumber(ARGV[2])) and 1 or 0 }, 5
while at < #ARGV do
  local user, id, count, ttl = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local last, epoch, rooms = tonumber(ARGV[at + 4]), ARGV[at + 5], {}
  for room = 1, tonumber(ARGV[at + 6]) do rooms[room] = ARGV[at + 6 + room] end
  at = at + 7 + #rooms
  local d = find_device(user, id)
  if not d then
    local un = user_number(user)
    set_rooms(un, rooms)
    -- Its connections go on behind the last one that they were sent.
    d = insert_device(un, user, id, epoch, last, salt)
    note(d, '', 'lost')
  else
    -- What was for it while its time was over is not kept.
    local is_lost = d.l < last or is_over(d, clock())
    if d.l < last then d.l, d.e = last, epoch end
    if is_lost and d.x == salt then note(d, '', 'lost') end
  end
  local is_asked_elsewhere = false
  for other in string.gmatch(d.c, '(%x+)=%d+;') do is_asked_elsewhere = is_asked_elsewhere or other ~= node end
  check_salt(d, salt, is_asked_elsewhere)
  d.p, d.t = '', ttl
  set_connections(d, node, count)
  save_device(d)
  answers[#answers + 1] = { user, id, whole(d.l), untold(d) }
end
return answers
