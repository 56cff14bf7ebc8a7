-- Tells other nodes what was done for devices that are connected there.

-- Publishes to each node of `hints` but `me`: a line of JSON, then the message's arguments, if there is one.
local function publish(hints, by, head, args)
  for node, hint in pairs(hints) do
    for name, value in pairs(head) do hint[name] = value end
    call(by, B .. 'h:' .. node, cjson.encode(hint) .. '\n' .. args)
  end
end

local function add_hint(hints, d_c, me, list, item)
  for node in string.gmatch(d_c, '(%x+)=') do
    if node ~= me then
      local hint = hints[node]
      if not hint then
        hint = {}
        hints[node] = hint
      end
      local items = hint[list]
      if not items then
        items = {}
        hint[list] = items
      end
      items[#items + 1] = item
    end
  end
end
