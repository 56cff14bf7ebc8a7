-- How many are on a channel: channel.
local v = call('HMGET', B .. 't:' .. ARGV[1], 'n', 'a')
return { tonumber(v[1] or 0), call('HLEN', B .. 'u:' .. ARGV[1]) + tonumber(v[2] or 0) }
