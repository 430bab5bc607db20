-- Part `silent_nodes`: whether a node has sent no heartbeat since its counter was read.

local function is_silent(node, counter)
  local beats = call('HGET', P .. 'nodes', node)
  return beats and (string.match(beats, '^%d+$') or '0') == counter
end
