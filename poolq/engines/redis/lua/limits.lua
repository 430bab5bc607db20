#!lua flags=no-writes
-- Rate limits as they stand: open windows, and those that jobs are parked under.
-- Parts: base, tokens, ready, limits, parking.
--
-- Reply: for each {identity, limit, start, used, parked, microseconds until it resets};
--        start, used and the last are 0 where no window is open.

local found = {}

local function note(identity)
  local use = found[identity]
  if not use then
    use = {identity, '0', '0', '0', 0, '0'}
    found[identity] = use
    local stored = call('GET', P .. 'win:' .. identity)
    local length = tonumber(string.match(identity, '^%d+'))
    local start, used, limit = string.match(stored or '', '^(%d+) (%d+) (%d+)')
    if limit then use[2] = limit end
    if start and now < start + length then
      use[3], use[4], use[6] = start, used, digits(start + length - now)
    end
  end
  return use
end

for _, identity in ipairs(call('ZRANGE', P .. 'windows', stamp, '+inf', 'BYSCORE')) do
  note(identity)
end
for _, queue in ipairs(call('ZRANGE', P .. 'queues', 0, -1)) do
  for _, identity in ipairs(call('ZRANGE', P .. 'parked:' .. queue, 0, -1)) do
    local use, list = note(identity), park_of(queue, identity)
    use[5] = use[5] + call('LLEN', list)
    if use[2] == '0' then
      local _, rule = rules_of(queue, call('LINDEX', list, 0))
      use[2] = rule and digits(rule.limit) or '0'
    end
  end
end

local reply = {}
for _, use in pairs(found) do reply[#reply + 1] = use end
return reply
