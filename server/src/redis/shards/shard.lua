-- One shard: what KEYS[1] stands for, all in one slot. Every key begins with it.
local B = KEYS[1]
local call = redis.call

-- A whole number as text: Lua would write large ones as 1e+15.
local function whole(number)
  return string.format('%.0f', number)
end

-- Milliseconds on Redis' own clock, which is the same for all nodes.
local function clock()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- What time it is for a node. Its clock may be ahead of Redis' own: that makes nothing too old.
local function no_later(now)
  return math.min(tonumber(now), clock())
end
