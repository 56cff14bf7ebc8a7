-- A node begins: now, node, age, work that may be done.
if call('EXISTS', B .. 'w') == 0 then reap(no_later(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])) end
return { tonumber(call('HGET', B .. 's', 'c') or 0), call('ZCARD', B .. 'k') }
