-- Part `plain_limit`, only in `admit` (needs `claims`, `window_opening`): what nearly every admission
-- is, a start under a single fixed window, while no key is held, no person has set a limit, and no job of
-- the queue was released. The script ends here, because creating the functions of the following parts
-- would take longer: without this part, a job with a limit costs a fifth more CPU of client and server,
-- from its dispatch until it is settled.

local worker = P .. 'worker:' .. ARGV[1]

local id, name, queue, taken = ARGV[2], ARGV[3], '', nil
if id ~= '' then
  local how
  how, queue, taken = holds(worker, id, name)
  if not how and call('EXISTS', worker) == 0 then return {-2} end
  if not how or is_cancelled(how) then return {-1} end
  if is_admitted(how) then return {0, -1, 0} end
end
local most, length = tonumber(ARGV[4]), tonumber(ARGV[5])
local rare = call('EXISTS', P .. 'holds', P .. 'overrides', P .. 'held:' .. queue)
if rare == 0 and #ARGV == 6 and most and length > 0 then
  local identity = ARGV[5] .. ':' .. ARGV[6]
  local window = P .. 'win:' .. identity
  local stored = call('MGET', window)[1] or ''  -- nothing if it has the wrong type
  local from, used, total = string.match(stored, '^(%d+) (%d+) %d+ (%d+)$')
  if from or stored == '' then
    local start = tonumber(from) or 0
    if now < start or start + length <= now then
      local rule = {limit = most, window = length, identity = identity, counted = 1}
      rule.total = tonumber(total) or 0
      open_window(rule)
    elseif tonumber(used) < most then
      local numbers = {from, digits(used + 1), ARGV[4], digits(total + 1)}
      call('SET', window, table.concat(numbers, ' '), 'KEEPTTL')
    else
      return {digits(start + length - now), 0, digits(start + length), 0, ARGV[4]}
    end
    if taken then note_start(worker, id, name, taken, queue) end
    return {0, -1, 0}
  end
end
