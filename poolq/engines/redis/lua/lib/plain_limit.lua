-- Part `plain_limit`, only in `admit` (needs `claims`, `window_opening`): the usual admission, a
-- start under a single fixed window, while no key is held, no person has set a limit, and no job of
-- the queue was released. Then the script ends here, because creating the functions of the other
-- parts would take longer: without this part, a job with a limit costs a fifth more CPU of client
-- and server, from its dispatch until it is settled.

local worker, id, name = P .. 'worker:' .. ARGV[1], ARGV[2], ARGV[3]
local how, queue, taken
-- The reply if nothing needs to be asked: the claim is not held, or it has its starts.
local reply
if id ~= '' then
  how, queue, taken = holds(worker, id, name)
  if not how then
    reply = {call('EXISTS', worker) == 0 and -2 or -1}
  elseif is_cancelled(how) then
    reply = {-1}
  elseif is_admitted(how) then
    reply = {0, -1, 0}
  end
end
queue = queue or ''
local most, length = tonumber(ARGV[5]), tonumber(ARGV[6])
local is_plain = #ARGV == 7 and ARGV[4] == '' and how ~= 'r' and most and length > 0 and length < 2 ^ 53 - 1
if is_plain and call('EXISTS', P .. 'holds', P .. 'overrides', P .. 'held:' .. queue) == 0 then
  if reply then return reply end
  local identity = ARGV[6] .. ':' .. ARGV[7]
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
      local numbers = {from, digits(used + 1), ARGV[5], digits(total + 1)}
      call('SET', window, table.concat(numbers, ' '), 'KEEPTTL')
    else
      return {digits(start + length - now), 0, digits(start + length), 0, ARGV[5]}
    end
    if taken then note_start(worker, id, name, taken, queue) end
    return {0, -1, 0}
  end
end
