-- Who of the nodes is there: n is a zset of nodes by the end of their lease, n:NODE what of this shard is theirs.

-- Milliseconds on Redis' own clock, which is the same for all nodes.
local function clock()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Renews a node's lease. Says whether it had one.
local function renew(node, lease)
  return call('ZADD', B .. 'n', whole(clock() + lease), node) == 0
end
