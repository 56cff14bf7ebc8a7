-- Clients are there by a node that was given up, or that Redis has forgotten: node, lease, for each: channel, client, user,
-- info, since, whether a user is one member. Answers whether the node had a lease.
local is_leased = renew(ARGV[1], tonumber(ARGV[2]))
for at = 3, #ARGV, 6 do
  join(ARGV[1], ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5] == '1')
end
return is_leased and 1 or 0
