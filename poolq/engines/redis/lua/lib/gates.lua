-- Part `gates` (needs only `base`): how many jobs of a key run at once. A rule whose window is
-- GATE_WINDOW is a gate. Its slots are claims: `gate:<key>` has the jobs with a slot, each with its
-- claim, and `gated` has the gates of each such job. A slot whose claim is gone is void.

local GATED, GATES = P .. 'gated', P .. 'gates'
local GATE_WINDOW = 9007199254740991
local GATE_PREFIX = '9007199254740991:'  -- of a gate's identity
-- When a line without room is scheduled. Nothing is ever due at that time.
local NEVER = GATE_WINDOW
-- How many slots of a gate without room are checked, so that void ones cannot block it for long.
local MAX_CHECKED = 16

local function gate_of(identity)
  if string.sub(identity, 1, #GATE_PREFIX) ~= GATE_PREFIX then return nil end
  return string.sub(identity, #GATE_PREFIX + 1)
end

local function has_gates(rules)
  for _, rule in ipairs(rules) do
    if rule.window == GATE_WINDOW then return true end
  end
  return false
end

-- The limit that was last named for a gate, and how many slots were taken so far.
local function gate_limit(key)
  local limit, taken = string.match(call('HGET', GATES, key) or '', '^(%d+) (%d+)$')
  return tonumber(limit), tonumber(taken) or 0
end

-- The keys of a job's gates, as stored in `gated`.
local function each_gate(text, visit)
  local at = 1
  while at <= #text do
    local _, stop, size = string.find(text, '^(%d+):', at)
    if not stop then return end
    visit(string.sub(text, stop + 1, stop + size))
    at = stop + size + 1
  end
end

-- The jobs that take slots in this script, whose claims are written at its end.
local entered = {}

-- Forget some void slots of a gate. Returns how many.
local function drop_void(key)
  local slots, dropped = P .. 'gate:' .. key, 0
  local some = call('HRANDFIELD', slots, MAX_CHECKED, 'WITHVALUES')
  for i = 1, #some, 2 do
    local name, worker = string.match(some[i + 1], '^(%d+ %d+ )(.*)$')
    local claim = name and redis.pcall('HGET', P .. 'worker:' .. worker, some[i])
    local is_held = type(claim) == 'string' and string.sub(claim, 1, #name) == name
    if not is_held and not entered[some[i]] then
      call('HDEL', slots, some[i])
      dropped = dropped + 1
    end
  end
  return dropped
end

-- Whether a gate has a free slot, or one of this job.
local function gate_has_room(key, limit, id)
  local slots = P .. 'gate:' .. key
  if call('HLEN', slots) < limit then return true end
  if id and call('HEXISTS', slots, id) == 1 then return true end
  return call('HLEN', slots) - drop_void(key) < limit
end

-- The position of the first gate that has no room for a job, 0 if all have room.
local function refusing_gate(rules, id)
  for i, rule in ipairs(rules) do
    if rule.window == GATE_WINDOW then
      local limit = gate_limit(rule.key) or rule.limit
      if not gate_has_room(rule.key, limit, id) then return i end
    end
  end
  return 0
end

-- Take a slot of each gate for the claim with this name. `asked`: whether the rules were just named
-- by the job's code.
local function enter_gates(rules, id, worker, name, asked)
  local keys = ''
  for _, rule in ipairs(rules) do
    if rule.window == GATE_WINDOW then
      local limit, taken = gate_limit(rule.key)
      if asked then limit = rule.limit end
      local new = call('HSET', P .. 'gate:' .. rule.key, id, name .. worker)
      call('HSET', GATES, rule.key, digits(limit or rule.limit) .. ' ' .. digits(taken + new))
      keys = keys .. #rule.key .. ':' .. rule.key
    end
  end
  if keys ~= '' then
    call('HSET', GATED, id, keys)
    entered[id] = true
  end
end

-- Forget the limit of a gate that nobody uses.
local function forget_gate(key)
  if call('EXISTS', P .. 'gate:' .. key, P .. 'gatequeues:' .. key) == 0 then call('HDEL', GATES, key) end
end

-- The gates, as stored in `gated`, of a claim whose job has ended, if the claim has slots of any; and
-- whether jobs wait for one of these gates. `name`: the claim's name, with its worker.
local function gates_of_ended(id, name)
  local held, owns, waited = call('HGET', GATED, id), false, false
  each_gate(held or '', function(key)
    if call('HGET', P .. 'gate:' .. key, id) == name then owns = true end
    if call('EXISTS', P .. 'gatequeues:' .. key) == 1 then waited = true end
  end)
  return owns and held, waited
end

-- The rules that are no gates, each with its position.
local function windows_of(rules)
  local windows, places = {}, {}
  for i, rule in ipairs(rules) do
    if rule.window ~= GATE_WINDOW then
      windows[#windows + 1], places[#places + 1] = rule, i
    end
  end
  return windows, places
end
