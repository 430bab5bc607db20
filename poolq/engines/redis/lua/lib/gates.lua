-- Part `gates` (needs only `base`): how many jobs of a key run at once. A rule whose window is
-- GATE_WINDOW is a gate. Its slots are claims: `gate:<key>` has the jobs with a slot, each with its
-- claim, and `gated` has the gates of each such job. A slot whose claim is gone is void. The functions
-- are made when a script has to do with gates, because making them takes longer than a look at the key
-- `gated`.

local GATED, GATES = P .. 'gated', P .. 'gates'
local GATE_WINDOW = 9007199254740991
local GATE_PREFIX = '9007199254740991:'  -- of a gate's identity
-- When a line without room is scheduled. Nothing is ever due at that time.
local NEVER = GATE_WINDOW
-- How many slots of a gate without room are checked, so that void ones cannot block it for long.
local MAX_VOID_CHECKED = 16

local gate_functions

local function gates()
  if gate_functions then return gate_functions end
  local G = {}
  gate_functions = G

  -- The limit that was last named for a gate, and how many slots were taken so far.
  function G.limit(key)
    local limit, taken = string.match(call('HGET', GATES, key) or '', '^(%d+) (%d+)$')
    return tonumber(limit), tonumber(taken) or 0
  end

  -- The keys of a job's gates, as stored in `gated`.
  function G.each(text, visit)
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
  function G.drop_void(key)
    local slots, dropped = P .. 'gate:' .. key, 0
    local some = call('HRANDFIELD', slots, MAX_VOID_CHECKED, 'WITHVALUES')
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
  function G.has_room(key, limit, id)
    local slots = P .. 'gate:' .. key
    if call('HLEN', slots) < limit then return true end
    if id and call('HEXISTS', slots, id) == 1 then return true end
    return call('HLEN', slots) - G.drop_void(key) < limit
  end

  -- The position of the first gate that has no room for a job, 0 if all have room.
  function G.refusing(rules, id)
    for i, rule in ipairs(rules) do
      if rule.window == GATE_WINDOW then
        local limit = G.limit(rule.key) or rule.limit
        if not G.has_room(rule.key, limit, id) then return i end
      end
    end
    return 0
  end

  -- Take a slot of each gate for the claim with this name. `asked`: whether the rules were just named
  -- by the job's code.
  function G.enter(rules, id, worker, name, asked)
    local keys = ''
    for _, rule in ipairs(rules) do
      if rule.window == GATE_WINDOW then
        local limit, taken = G.limit(rule.key)
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
  function G.forget(key)
    if call('EXISTS', P .. 'gate:' .. key, P .. 'gatequeues:' .. key) == 0 then call('HDEL', GATES, key) end
  end

  -- The gates, as stored in `gated`, of a claim whose job has ended, if the claim has slots of any; and
  -- whether jobs wait for one of these gates. `name`: the claim's name, with its worker.
  function G.of_ended(id, name)
    local held, owns, waited = call('HGET', GATED, id), false, false
    G.each(held or '', function(key)
      if call('HGET', P .. 'gate:' .. key, id) == name then owns = true end
      if call('EXISTS', P .. 'gatequeues:' .. key) == 1 then waited = true end
    end)
    return owns and held, waited
  end

  return G
end
