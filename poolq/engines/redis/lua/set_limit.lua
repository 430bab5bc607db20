#!lua flags=allow-oom
-- Set an identity's limit in place of the one in the code, or undo that. May forget its starts.
-- Parts: parked_jobs.
--
-- ARGV: key, window in microseconds, the limit ("": undo), 1 to forget the starts, else 0.
-- Reply: 1, or 0 if there was no limit to undo.

local identity = ARGV[2] .. ':' .. ARGV[1]
local both, changed = {identity, '-' .. identity}, 1
if ARGV[3] ~= '' then
  call('SADD', P .. 'overrides', identity)
  call('SET', override_key(identity), ARGV[3])
else
  call('SREM', P .. 'overrides', identity)
  changed = call('DEL', override_key(identity))
end
if ARGV[4] == '1' then
  for _, name in ipairs(both) do
    local stored = call('GET', P .. 'win:' .. name)
    local rest = string.match(stored or '', '^%d+ %d+ (%d+ %d+)$')
    -- The number of all starts is kept, in a window without starts.
    if rest then call('SET', P .. 'win:' .. name, '0 0 ' .. rest, 'KEEPTTL') end
    call('DEL', P .. 'starts:' .. name)
    call('ZREM', P .. 'windows', name)
  end
end
for _, queue in ipairs(call('SMEMBERS', P .. 'lined')) do
  local waits = false
  for _, name in ipairs(both) do
    if call('EXISTS', line_key(queue, name)) == 1 then
      update_line(queue, name)
      waits = true
    end
  end
  if waits then wake(queue, 0) end
end
return changed
