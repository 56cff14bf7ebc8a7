-- Removes what is past its time: now, node, the command that publishes, the keys' window, age, work that may be done.
local now, me, by = no_later(ARGV[1]), ARGV[2], ARGV[3]
local window, age, work = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local count, told, hints = 0, {}, {}

-- Who was away for as long as its lease does not know who else was.
local ends = call('ZSCORE', B .. 'n', me)
if ends and tonumber(ends) > clock() and call('EXISTS', B .. 'w') == 0 then work = reap(now, me, age, work) end
forget_keys(now, window)

local due
while work > 0 do
  due = call('ZRANGEBYSCORE', B .. 't', '-inf', whole(now), 'LIMIT', 0, 50)
  if #due == 0 then break end
  for _, number in ipairs(due) do
    if work <= 0 then break end
    local d = load_device(number)
    if not d then
      call('ZREM', B .. 't', number)
    elseif is_over(d, now) then
      work = work - 1 - d.n
      count = count + 1
      forget(d)
    else
      local before = d.n
      for _, resync in ipairs(take_aged(d, now, age)) do
        if d.c ~= '' then
          told[#told + 1] = { d.u, d.i, resync[1], resync[2], resync[3] }
          add_hint(hints, d.c, me, 'r', told[#told])
        end
      end
      work = work - 1 - (before - d.n)
      save_device(d)
      reschedule(d, age)
    end
  end
end
publish(hints, by, {}, '')
return { work > 0 and 1 or 0, count, told, tonumber(call('HGET', B .. 's', 'c') or 0), call('ZCARD', B .. 'k') }
