-- A device knows of its resyncs: user, id, their numbers.
local d = find_device(ARGV[1], ARGV[2])
if not d or d.rs == '' then return 0 end
local known, kept = {}, {}
for at = 3, #ARGV do known[ARGV[at]] = true end
for _, resync in ipairs(cmsgpack.unpack(d.rs)) do
  if not known[resync[1]] then kept[#kept + 1] = resync end
end
call('HSET', B .. 'd:' .. d.number, 'rs', #kept == 0 and '' or cmsgpack.pack(kept))
return 1
