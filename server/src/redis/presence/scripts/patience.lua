-- Nodes whose leases have lapsed all at once: nobody could renew them, and nobody is gone.
--
--   w       string  while it is there, nobody is taken off: somebody has come back whose own lease had lapsed
--   e:NODE  string  whom a node took off last, packed: number, { { channel, member } }; until it says that it knows

-- Renews a node's lease, and has the others given as long to renew theirs if it was late. Says whether it was in time:
-- of whom was not, somebody may have been taken off.
local function renew_patiently(node, lease)
  local ends = call('ZSCORE', B .. 'n', node)
  local is_late = ends and tonumber(ends) <= clock()
  if is_late then call('SET', B .. 'w', '1', 'PX', whole(lease)) end
  return renew(node, lease) and not is_late
end
