#!lua flags=allow-oom
-- Find the schedules that are due. Set aside those that no living node declares.
-- Parts: base, schedules.
--
-- ARGV: node, how many at most.
-- Reply: {the time, due schedules (see `shown_schedule`), {name, "<hash>\n<spec>", ...} of pending
--         ones, when the next one is due or "", how many there are, unreadable ones that were set aside}.

local node, most = ARGV[1], tonumber(ARGV[2])
local due, odd, from, step = {}, {}, 0, 200
local declared = P .. 'declared:' .. node
while #due + #odd < most do
  local names = call('ZRANGE', TICKS, '-inf', stamp, 'BYSCORE', 'LIMIT', from, step)
  local set_aside = 0
  for _, name in ipairs(names) do
    local one = read_schedule(name)
    if not one then
      call('ZADD', TICKS, NEVER, name)
      odd[#odd + 1] = name
      set_aside = set_aside + 1
    elseif one.declared == '0' or call('HGET', declared, name) == one.hash then
      if #due < most then due[#due + 1] = shown_schedule(one) end
    elseif not is_declared(name, one.hash) then
      call('ZADD', TICKS, NEVER, name)
      set_aside = set_aside + 1
    end
  end
  if #names < step then break end
  from = from + step - set_aside  -- those that were set aside are no longer counted
end
local pending = {}
if call('EXISTS', P .. 'pending:' .. node) == 1 then
  local some = call('HRANDFIELD', P .. 'pending:' .. node, most, 'WITHVALUES')
  for i = 1, #some, 2 do
    local one = read_schedule(some[i])
    if not (one and one.declared == '0') then  -- else it waits for the end of a person's schedule
      pending[#pending + 1] = some[i]
      pending[#pending + 1] = some[i + 1]
    end
  end
end
local later = call('ZRANGE', TICKS, '(' .. stamp, '(' .. NEVER, 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
return {
  stamp, due, pending, later[2] and digits(tonumber(later[2])) or '', call('HLEN', SCHEDULES),
  odd,
}
