-- Some of the devices that count as connected to a node, which may know better: node, cursor.
local page = call('SSCAN', B .. 'n:' .. ARGV[1], ARGV[2], 'COUNT', 200)
local devices = {}
for _, number in ipairs(page[2]) do
  local v = call('HMGET', B .. 'd:' .. number, 'u', 'i')
  if v[1] then
    devices[#devices + 1] = v
  else
    call('SREM', B .. 'n:' .. ARGV[1], number)
  end
end
return { page[1], devices }
