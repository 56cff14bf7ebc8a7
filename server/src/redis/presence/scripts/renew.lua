-- Renews a node's lease: node, lease.
return renew(ARGV[1], tonumber(ARGV[2])) and 1 or 0
