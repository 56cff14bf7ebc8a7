-- A client follows a channel no more: channel, client, whether a user is one member.
return leave(ARGV[1], ARGV[2], ARGV[3] == '1') or {}
