-- Who of the nodes is there: n is a zset of nodes by the end of their lease, n:NODE what of this shard is theirs.

-- Renews a node's lease. Says whether it had one: of what belongs to a node whose lease was over, some may have been taken
-- off.
local function renew(node, lease)
  local ends, now = call('ZSCORE', B .. 'n', node), clock()
  call('ZADD', B .. 'n', whole(now + lease), node)
  return ends and tonumber(ends) > now
end
