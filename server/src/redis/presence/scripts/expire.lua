-- Takes off who belongs to nodes that are gone: node, how many at most, the number of the last answer that came.
--
-- Answers how it stands, a number, and who left. An answer that did not come is given again: whom nobody was told of
-- would never be told of.
--
--   e:NODE  string  whom a node took off last, packed: number, { { channel, member } }; until it says that it knows
local MORE, DONE, LATE = 0, 1, 2
local me, work, known = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local left = {}

-- Whom a node took off, without those who are there again.
local function take_over(list)
  for _, gone in ipairs(list) do
    local channel, member = gone[1], gone[2]
    local is_user = member[2] ~= '' and call('HGET', B .. 't:' .. channel, 'p') == '1'
    local is_back = get_client(channel, member[1])
      or is_user and call('HEXISTS', B .. 'u:' .. channel, member[2]) == 1
    if not is_back then left[#left + 1] = gone end
  end
end

local untold = call('GET', B .. 'e:' .. me)
if untold then
  untold = cmsgpack.unpack(untold)
  if untold[1] > known then
    take_over(untold[2])
    return { MORE, untold[1], left }
  end
  call('UNLINK', B .. 'e:' .. me)
end

-- Who was away for as long as its lease does not know who else was.
local ends = call('ZSCORE', B .. 'n', me)
if not ends or tonumber(ends) <= clock() then return { LATE, known, left } end
if call('EXISTS', B .. 'w') == 1 then return { DONE, known, left } end

for _, node in ipairs(call('ZRANGEBYSCORE', B .. 'n', '-inf', whole(clock()), 'LIMIT', 0, 8)) do
  while work > 0 do
    local page = call('SPOP', B .. 'n:' .. node, 100)
    if #page == 0 then
      local theirs = call('GET', B .. 'e:' .. node)
      if theirs then take_over(cmsgpack.unpack(theirs)[2]) end
      call('UNLINK', B .. 'e:' .. node)
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
if #left > 0 then
  known = known + 1
  call('SET', B .. 'e:' .. me, cmsgpack.pack({ known, left }))
end
return { work > 0 and DONE or MORE, known, left }
