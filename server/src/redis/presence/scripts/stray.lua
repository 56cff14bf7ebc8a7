-- Some of those who are there by a node, which may know better: node, cursor.
local page = call('SSCAN', B .. 'n:' .. ARGV[1], ARGV[2], 'COUNT', 200)
local there = {}
for _, name in ipairs(page[2]) do
  local colon = string.find(name, ':', 1, true)
  local length = tonumber(string.sub(name, 1, colon - 1))
  local client, channel = string.sub(name, colon + 1, colon + length), string.sub(name, colon + length + 1)
  there[#there + 1] = { channel, client, call('HGET', B .. 't:' .. channel, 'p') or '0' }
end
return { page[1], there }
