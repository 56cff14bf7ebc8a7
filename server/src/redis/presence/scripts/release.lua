-- A node ends, and who is there by it: node.
return call('ZADD', B .. 'n', 'XX', whole(clock()), ARGV[1])
