#!lua flags=allow-oom
-- Add, remove, pause or resume a schedule by hand.
-- Parts: schedules.
--
-- ARGV: "put", name, hash, first tick, spec
--       "remove", name
--       "pause", name
--       "resume", name, next tick
-- Reply: for "put" and "remove" the result, see `ScheduleStore`; for "pause" and "resume" 1 or 0.

local act, name = ARGV[1], ARGV[2]
local one = read_schedule(name)

if act == 'put' then
  if one and one.declared == '1' and is_declared(name) then return 'declared' end
  if one and one.declared == '0' and one.hash == ARGV[3] then return 'same' end
  if one and one.declared == '1' then call('HDEL', HIDDEN, name) end
  put_schedule(name, ARGV[3], ARGV[4], ARGV[5])
  return one and 'replaced' or 'added'
end

if act == 'remove' then
  if call('HEXISTS', SCHEDULES, name) == 0 then return 'unknown' end
  if one and one.declared == '1' and is_declared(name) then return 'declared' end
  local hash, spec = string.match(call('HGET', HIDDEN, name) or '', '^(%x+)\n(.*)$')
  delete_schedule(name)
  -- The schedule that it has hidden comes back, due at once; a keeper then finds its first tick.
  if hash and is_declared(name) then put_schedule(name, hash, '0', spec, one and one.deploy or '0') end
  return 'removed'
end

if not one or (act == 'resume' and one.paused == '0') then return 0 end
if act == 'pause' then
  one.paused = '1'
  call('ZADD', TICKS, NEVER, name)
else
  one.paused = '0'
  if one.hash ~= REMOVED then
    one.due = ARGV[3]
    call('ZADD', TICKS, one.due, name)
  end
end
write_schedule(one)
return 1
