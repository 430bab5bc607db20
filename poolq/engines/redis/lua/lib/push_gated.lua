-- Part `push_gated`, only in `push` (needs `push_unique`, `parked_jobs`): store jobs in the wait lists of
-- their gates. If there are no others, the script ends here, as in part `push_plain`.

-- Wait lists that this script has opened, and of which deploy the code is whose names count: the newest.
local opened, deploy = {}, tonumber(call('MGET', P .. 'deploys')[1] or nil) or 0

-- The limit that is named last applies from now on, unless workers' code has named one.
local function name_limit(rule)
  local before, taken, by = gates().named(rule.key)
  if not before or before == rule.limit or by > 0 then return end
  gates().name(rule.key, rule.limit, taken, 0)
  gates().open_lines(rule.key)
end

store_waiting = function(queue, id, stored, expires, limit, key)
  local rule = {limit = limit, window = GATE_WINDOW, key = key}
  local identity = identity_of(rule)
  local line = line_key(queue, identity)
  store_body(queue, id, stored, '0', expires)
  local rules = {'1', digits(deploy), digits(limit), digits(GATE_WINDOW), #key .. ':' .. key}
  call('HSET', P .. 'parkrules:' .. queue, id, table.concat(rules, ' '))
  if opened[line] then
    call('ZADD', line, stamp, id)
    return
  end
  opened[line] = true
  mark_known(queue)
  name_line(queue, identity, rule.limit, deploy)
  name_limit(rule)
  if join_line(queue, id, now, rule) then wake(queue, 0) end
end

store_groups('g')
if at > #ARGV then return given_way end
