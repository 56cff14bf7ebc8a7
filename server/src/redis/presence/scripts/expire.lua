-- Takes off who belongs to nodes that are gone: node, how many at most.
local me, work = ARGV[1], tonumber(ARGV[2])
local left = {}
for _, node in ipairs(call('ZRANGEBYSCORE', B .. 'n', '-inf', whole(clock()), 'LIMIT', 0, 8)) do
  while node ~= me and work > 0 do
    local page = call('SPOP', B .. 'n:' .. node, 100)
    if #page == 0 then
      call('ZREM', B .. 'n', node)
      break
    end
    for _, name in ipairs(page) do
      work = work - 1
      local colon = string.find(name, ':', 1, true)
      local length = tonumber(string.sub(name, 1, colon - 1))
      local client, channel = string.sub(name, colon + 1, colon + length), string.sub(name, colon + length + 1)
      local record = get_client(channel, client)
      if record and record[NODE] == node then
        local member = leave(channel, client, call('HGET', B .. 't:' .. channel, 'p') == '1')
        if member then left[#left + 1] = { channel, member } end
      end
    end
  end
end
return { work > 0 and 1 or 0, left }
