-- Who of the nodes is there: n is a zset of nodes by the end of their lease, n:NODE what of this shard is theirs. While w (a
-- string) is there, nobody is given up: somebody has come back whose own lease was over, so perhaps nobody could renew any.

-- Renews a node's lease. Says whether it had one: of what belongs to a node whose lease was over, some may have been taken
-- off. If it was late, the others are given as long to renew theirs.
local function renew(node, lease)
  local ends, now = call('ZSCORE', B .. 'n', node), clock()
  call('ZADD', B .. 'n', whole(now + lease), node)
  local is_leased = ends and tonumber(ends) > now
  if ends and not is_leased then call('SET', B .. 'w', '1', 'PX', whole(lease)) end
  return is_leased
end
