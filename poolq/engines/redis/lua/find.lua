#!lua flags=no-writes
-- Find a job, wherever it is.
-- Parts: ready_list.
--
-- ARGV: id.
-- Reply: {id, queue, status, at, body, state or nil, worker, key of the limit that it waits for,
--        the job that has its unique key}, or nil if it does not exist.

local id = ARGV[1]
local queue, due = origin_of(id)
if not queue then return false end

local function answer(status, at, worker, limit)
  local state, body = call('HGET', STATES, id), call('HGET', bodies_of(id), id)
  local key, holder = string.match(body, '^[^\n\t]*\t%a+ ([^\n]*)\n'), ''
  if key then
    local value = call('GET', P .. 'unique:' .. key) or ''
    holder = string.match(value, '^%d+ (.+)$') or value
  end
  return {id, queue, status, digits(at), body, state, worker or '', limit or '', holder}
end

local failed = call('ZSCORE', P .. 'failed:' .. queue, id)
if failed then return answer('failed', tonumber(failed)) end
local delayed = tonumber(call('ZSCORE', P .. 'delayed:' .. queue, id) or nil)
if delayed then return answer(delayed > now and 'delayed' or 'ready', delayed) end
local held = tonumber(call('ZSCORE', P .. 'held:' .. queue, id) or nil)
if held and held > now then
  local by = call('HGET', P .. 'heldby:' .. queue, id) or ''
  return answer('delayed', held, nil, string.match(by, '^%d+ %d+ %-?%d+:(.*)$'))
end
if held then return answer('ready', due) end
local _, rule = rules_of(queue, id)
if rule then
  local since = tonumber(call('ZSCORE', line_key(queue, identity_of(rule)), id) or nil)
  return answer('parked', since or due, nil, rule.key)
end
for _, worker in ipairs(call('HKEYS', P .. 'workers')) do
  local claim = call('HGET', P .. 'worker:' .. worker, id)
  if claim then
    return answer('running', tonumber(string.match(claim, '^%d+ %d+ [^ ]+ (%d+) ')), worker)
  end
end
if call('ZSCORE', P .. 'back:' .. queue, id) or is_listed(queue, id) then return answer('ready', due) end
return false
