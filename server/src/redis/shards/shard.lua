-- One shard: what KEYS[1] stands for, all in one slot. Every key begins with it.
local B = KEYS[1]
local call = redis.call

-- A whole number as text: Lua would write large ones as 1e+15.
local function whole(number)
  return string.format('%.0f', number)
end
