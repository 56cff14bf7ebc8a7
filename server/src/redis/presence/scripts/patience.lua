-- Nodes whose leases have lapsed all at once: nobody could renew them, and nobody is gone.
--
--   w       string  while it is there, nobody is taken off: somebody has come back whose own lease had lapsed
--   e:NODE  string  whom a node took off last, packed: number, { { channel, member } }; until it says that it knows

-- Renews a node's lease, and has the others given as long to renew theirs if it was late. Says whether it was in time.
local function renew_patiently(node, lease)
  local is_known = call('ZSCORE', B .. 'n', node)
  local is_leased = renew(node, lease)
  if is_known and not is_leased then call('SET', B .. 'w', '1', 'PX', whole(lease)) end
  return is_leased
end
