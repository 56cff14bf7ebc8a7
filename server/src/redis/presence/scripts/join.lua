-- A client follows a channel: node, lease, channel, client, user, info, since, whether a user is one member.
local is_leased = renew(ARGV[1], tonumber(ARGV[2]))
local is_new = join(ARGV[1], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8] == '1')
return { is_leased and 1 or 0, is_new and 1 or 0 }
