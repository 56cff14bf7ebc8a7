-- A node begins: now, node, age, work that may be done.
reap(no_later(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]))
return { tonumber(call('HGET', B .. 's', 'c') or 0), call('ZCARD', B .. 'k') }
