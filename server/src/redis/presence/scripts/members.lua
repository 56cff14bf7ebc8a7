-- Members of a channel: channel, = and the client after which, limit.
local from = 0
if ARGV[2] ~= '' then
  local record = get_client(ARGV[1], string.sub(ARGV[2], 2))
  local rank = record and record[PLACE] ~= '' and call('ZRANK', B .. 'm:' .. ARGV[1], record[PLACE])
  if not rank then return 'gone' end
  from = rank + 1
end
local members = {}
if ARGV[3] == '0' then return members end
for _, place in ipairs(call('ZRANGE', B .. 'm:' .. ARGV[1], from, from + tonumber(ARGV[3]) - 1)) do
  local client = string.sub(place, 17)
  local record = get_client(ARGV[1], client)
  if record then members[#members + 1] = as_member(client, record) end
end
return members
