-- The connections of a node whose lease is over ended with it. Returns the work that may still be done.
local function reap(now, me, age, work)
  local time = clock()
  for _, node in ipairs(call('ZRANGEBYSCORE', B .. 'n', '-inf', whole(time), 'LIMIT', 0, 8)) do
    local over = time - tonumber(call('ZSCORE', B .. 'n', node))
    while node ~= me and work > 0 do
      local numbers = call('SPOP', B .. 'n:' .. node, 100)
      if #numbers == 0 then
        call('ZREM', B .. 'n', node)
        break
      end
      for _, number in ipairs(numbers) do
        local d = load_device(number)
        work = work - 1
        if d then
          set_connections(d, node, 0)
          if d.c == '' and d.p == '' then d.p = whole(math.max(now - over, 0)) end
          save_device(d)
          reschedule(d, age)
        end
      end
    end
  end
  return work
end
