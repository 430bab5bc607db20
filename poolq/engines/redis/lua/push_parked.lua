#!lua
-- Store jobs in the lines of their gates. This script has no flags, so a full server rejects it before
-- anything has run.
-- Parts: base, wake_tokens, gates, ready, delayed, bodies, holds, window_opening,
--        limit_windows, parked_jobs.
--
-- ARGV: for each job six: "<queue>", id, body, how long after now it expires (0: never), and limit and
--       key of its gate.
-- Reply: nothing.
--
-- What the jobs name counts as named by the newest code.

local opened = {}
local deploy = tonumber(call('MGET', P .. 'deploys')[1] or nil) or 0

-- The limit that is named last applies from now on, unless workers' code has named one.
local function name_limit(rule)
  local before, taken, by = gates().named(rule.key)
  if not before or before == rule.limit or by > 0 then return end
  gates().name(rule.key, rule.limit, taken, 0)
  gates().open_lines(rule.key)
end

for i = 1, #ARGV, 6 do
  local queue, id, body, expires, limit, key = unpack(ARGV, i, i + 5)
  local rule = {limit = tonumber(limit), window = GATE_WINDOW, key = key}
  local identity = identity_of(rule)
  local line = line_key(queue, identity)
  if expires ~= '0' then
    call('HSET', STATES, id, '0 0 0 0 ' .. digits(now + tonumber(expires)) .. '\n')
  end
  call('HSET', bodies_of(id), id, stamp .. ' ' .. queue .. '\n' .. body)
  local rules = '1 ' .. digits(deploy) .. ' ' .. limit .. ' ' .. digits(GATE_WINDOW) .. ' ' .. #key .. ':' .. key
  call('HSET', P .. 'parkrules:' .. queue, id, rules)
  if opened[line] then
    call('ZADD', line, stamp, id)
  else
    opened[line] = true
    mark_known(queue)
    name_line(queue, identity, rule.limit, deploy)
    name_limit(rule)
    if join_line(queue, id, now, rule) then wake(queue, 0) end
  end
end
