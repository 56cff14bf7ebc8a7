-- Forgets the keys whose window is over.
local function forget_keys(now, window)
  while true do
    local old = call('ZRANGEBYSCORE', B .. 'k', '-inf', whole(now - window), 'LIMIT', 0, 1000)
    if #old == 0 then return end
    call('ZREM', B .. 'k', unpack(old))
    call('HDEL', B .. 'K', unpack(old))
  end
end
