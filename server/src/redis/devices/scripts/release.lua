-- A node ends, and its connections with it: node.
return call('ZADD', B .. 'n', 'XX', whole(clock()), ARGV[1])
