#!lua flags=allow-oom
-- Declare the schedules of a node's code. Does nothing if a later deploy has done so for this node.
-- Parts: schedules.
--
-- ARGV: node, the deploy of its code, for how many microseconds to keep a schedule that no living
--       node declares; and for each schedule: name, hash, first tick, spec
-- Reply: those of the names that belong to schedules of people.

local node, deploy, keep = ARGV[1], ARGV[2], tonumber(ARGV[3])
local key, taken, gone = P .. 'declared:' .. node, {}, {}
if (tonumber(call('HGET', key, '') or '') or 0) > tonumber(deploy) then return taken end
for _, name in ipairs(call('HKEYS', key)) do gone[name] = true end
call('HSET', key, '', deploy)
gone[''] = nil

-- If two deploys declare the same name, the one that was accepted last counts.
local function declare(name, hash, due, spec)
  gone[name] = nil
  call('HSET', key, name, deploy)
  local one = read_schedule(name)
  local is_newer = not one or tonumber(one.deploy) <= tonumber(deploy)
  if one and one.declared == '0' then
    taken[#taken + 1] = name
    if is_newer then
      one.deploy = deploy
      write_schedule(one)
      call('HSET', HIDDEN, name, hash .. '\n' .. spec)
    end
  elseif one and is_newer and one.hash == hash then
    one.deploy = deploy
    write_schedule(one)
    local at = tonumber(call('ZSCORE', TICKS, name) or NEVER)  -- it may have been set aside
    if one.paused == '0' and digits(at) == NEVER then call('ZADD', TICKS, one.due, name) end
  elseif is_newer then
    local is_waiting = one and one.hash ~= REMOVED and one.paused == '0' and tonumber(one.due) <= now
    put_schedule(name, hash, is_waiting and one.due or due, spec, deploy)
  end
end

for i = 4, #ARGV, 4 do declare(unpack(ARGV, i, i + 3)) end
for name in pairs(gone) do
  call('HDEL', key, name)
  local one = read_schedule(name)
  if one and one.declared == '1' and not is_declared(name) then mark_removed(one) end
end
-- Forget the schedules that no living node has declared for a long time.
for _, name in ipairs(call('ZRANGE', TICKS, NEVER, NEVER, 'BYSCORE', 'LIMIT', 0, 1000)) do
  local one = read_schedule(name)
  if one and one.declared == '1' and not is_declared(name) then
    -- The tick of a paused schedule does not tell for how long no node has declared it.
    if one.paused == '1' then mark_removed(one) end
    if now - one.due > keep then delete_schedule(name) end
  end
end
return taken
