-- Renews a node's lease: node, lease, whether restarts lose nothing, a new salt.
local salt = check_run(ARGV[3] == '1', ARGV[4])
local is_leased = renew(ARGV[1], tonumber(ARGV[2]))
local s = B .. 's'
return { is_leased and 1 or 0, salt, tonumber(call('HGET', s, 'c') or 0), call('ZCARD', B .. 'k') }
