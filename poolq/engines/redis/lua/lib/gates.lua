-- Part `gates` (needs `wake_tokens`): how many jobs of a key run at once. A rule whose window is
-- GATE_WINDOW is a gate. Its slots are claims: `gate:<key>` has the jobs with a slot, each with its
-- claim, and `gated` has the gates of each such job. Each way to end a claim frees its slots. A
-- slot whose claim is gone nevertheless is void; a script that needs a slot drops it, and so does a
-- sweep. A sweep also forgets gates that nobody uses. The functions are made only in scripts that
-- use gates, because making them takes longer than a look at the key `gated`.

local GATED, GATES = P .. 'gated', P .. 'gates'
-- Whether any job is in `gated`; nil if this was not checked yet.
local any_gated
local GATE_WINDOW = 9007199254740991
local GATE_PREFIX = '9007199254740991:'  -- of a gate's identity
-- When a line without room is scheduled. Nothing is ever due at that time.
local NEVER = GATE_WINDOW
-- How many slots of a gate without room are checked, so that void ones cannot block it for long.
local MAX_VOID_CHECKED = 16
-- For how long a gate that nobody uses is kept, so that the count of its slots continues.
local KEPT_MICROS = 60000000

-- Store the time of the latest scheduling of a line, to within a second.
local noted = false
local function note_clock()
  if noted then return end
  local seen = tonumber(call('GET', P .. 'latest') or nil)
  if not seen or now > seen + 1000000 then call('SET', P .. 'latest', stamp) end
  noted = true
end

local gate_functions

local function gates()
  if gate_functions then return gate_functions end
  local G = {}
  gate_functions = G

  -- The limit that was named for a gate, how many slots were taken so far, and the deploy whose
  -- code has named the limit.
  function G.named(key)
    local limit, taken, deploy = string.match(call('HGET', GATES, key) or '', '^(%d+) (%d+) (%d+)')
    return tonumber(limit), tonumber(taken) or 0, tonumber(deploy) or 0
  end

  function G.name(key, limit, taken, deploy)
    call('HSET', GATES, key, table.concat({digits(limit), digits(taken), digits(deploy), stamp}, ' '))
  end

  -- The jobs that have taken slots in this script. Their claims are written only at its end.
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

  -- Whether a gate has a free slot, or this job has a slot of it already.
  function G.has_room(key, limit, id)
    local slots = P .. 'gate:' .. key
    if call('HLEN', slots) < limit then return true end
    if id and call('HEXISTS', slots, id) == 1 then return true end
    return call('HLEN', slots) - G.drop_void(key) < limit
  end

  -- If a gate has room, make the lines that wait for it due. Their queues are in `lined` already.
  function G.open_lines(key)
    local queues = call('SMEMBERS', P .. 'gatequeues:' .. key)
    if #queues == 0 or not G.has_room(key, G.named(key) or 1) then return end
    local identity = GATE_PREFIX .. key
    for _, queue in ipairs(queues) do
      local scheduled = call('ZSCORE', P .. 'lines:' .. queue, identity)
      if scheduled and tonumber(scheduled) > now then
        if call('ZADD', ACTIVE, 0, queue) == 1 then
          call('ZADD', P .. 'known', stamp, queue)
          call('ZREM', P .. 'idle', queue)
        end
        note_clock()
        call('ZADD', P .. 'lines:' .. queue, stamp, identity)
        wake(queue, 1)
      end
    end
  end

  -- Read the limits of the gates among the rules. Returns the position of the first gate without
  -- room for a job; 0 if all have room. `asked`: the deploy of the job's code if this code has just
  -- named the rules, else nil. The limit that the newest code names applies from now on.
  function G.refusing(rules, id, asked)
    local at = 0
    for i, rule in ipairs(rules) do
      if rule.window == GATE_WINDOW then
        local limit, taken, by = G.named(rule.key)
        if limit and (not asked or by > asked) then
          rule.limit = limit
        elseif asked then
          by = asked
          if limit and limit ~= rule.limit then
            G.name(rule.key, rule.limit, taken, by)
            G.open_lines(rule.key)
          end
        end
        rule.taken, rule.by = taken, by
        if at == 0 and not G.has_room(rule.key, rule.limit, id) then at = i end
      end
    end
    return at
  end

  -- Take a slot of each gate that `refusing` has read, for the claim with this name.
  function G.enter(rules, id, worker, name)
    local keys = {}
    for _, rule in ipairs(rules) do
      if rule.window == GATE_WINDOW then
        local new = call('HSET', P .. 'gate:' .. rule.key, id, name .. worker)
        G.name(rule.key, rule.limit, rule.taken + new, rule.by)
        keys[#keys + 1] = rule.key
      end
    end
    if #keys == 0 then return end
    call('HSET', GATED, id, table.concat(keys, '\n'))
    entered[id] = true
  end

  -- Free the slots of a job whose claim has ended. `held`: its gates, as stored in `gated`.
  function G.free(id, held)
    call('HDEL', GATED, id)
    for key in string.gmatch(held, '[^\n]+') do
      call('HDEL', P .. 'gate:' .. key, id)
      G.open_lines(key)
    end
  end

  -- Free the slots of a worker's jobs that have ended but are not settled yet. `ended`: for each
  -- claim a line "<request> <index> <id>".
  function G.leave(ended, worker)
    for name, id in string.gmatch(ended, '(%d+ %d+ )([^\n]+)') do
      local held, owns = call('HGET', GATED, id), false
      for key in string.gmatch(held or '', '[^\n]+') do
        owns = owns or call('HGET', P .. 'gate:' .. key, id) == name .. worker
      end
      if owns then G.free(id, held) end
    end
  end

  -- Forget a gate, as stored in `gates`, that nobody has used for some time.
  function G.forget(key, stored)
    local used = tonumber(string.match(stored, ' (%d+)$') or 0)
    if used <= now and used > now - KEPT_MICROS then return end
    if call('EXISTS', P .. 'gate:' .. key, P .. 'gatequeues:' .. key) == 0 then call('HDEL', GATES, key) end
  end

  return G
end
