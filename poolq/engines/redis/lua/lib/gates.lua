-- Part `gates` (needs only `base`): how many jobs of a key run at once. A rule whose window is
-- GATE_WINDOW is a gate. Its slots are claims: `gate:<key>` has the jobs with a slot, each with its
-- claim, and `gated` has the gates of each such job. A slot whose claim is gone is void. The functions
-- are made when a script has to do with gates, because making them takes longer than a look at the key
-- `gated`.
--
-- While no job waits for a gate, nobody needs to know when a slot becomes free. Then a worker has a
-- seat in `seats:<key>`, which it keeps for its next job. So whatever ends a claim has nothing to do. A
-- seat whose claim is gone is void. Whoever asks more than part `plain_gate` does, above all whoever
-- lets a job wait, first turns the seats into slots, and forgets those that are void.

local GATED, GATES = P .. 'gated', P .. 'gates'
-- Whether any job has slots in `gated`; nil if this was not checked yet.
local any_gated
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

  -- The job of a seat, "<request> <index> <id>", and the name of its claim; nil if the claim is gone.
  local function sitting(worker, seat)
    local name, id = string.match(seat, '^(%d+ %d+ )(.*)$')
    local claim = id and redis.pcall('HGET', P .. 'worker:' .. worker, id)
    if type(claim) == 'string' and string.sub(claim, 1, #name) == name then return id, name end
  end

  -- Call `visit` with each worker, job and name of a claim that has a seat of a gate. Returns the limit
  -- that was named with a seat, how many slots were taken so far, and which deploy's code has named the
  -- limit; nil if there are no seats.
  function G.each_seat(key, visit)
    local all, limit, taken, deploy = call('HGETALL', P .. 'seats:' .. key), nil, nil, nil
    for i = 1, #all, 2 do
      if all[i] == '#' then
        limit, taken, deploy = string.match(all[i + 1], '^(%d+) (%d+) (%d+) ')
      else
        local id, name = sitting(all[i], all[i + 1])
        if id then visit(all[i], id, name) end
      end
    end
    return tonumber(limit), tonumber(taken), tonumber(deploy)
  end

  -- Take away the seat of a worker.
  function G.vacate(key, worker)
    local seats = P .. 'seats:' .. key
    if call('HDEL', seats, worker) == 0 then return end
    local head, used = string.match(call('HGET', seats, '#') or '', '^(%d+ %d+ %d+) (%d+)$')
    used = tonumber(used) or 1
    if used < 2 then call('DEL', seats) else call('HSET', seats, '#', head .. ' ' .. used - 1) end
  end

  -- The limit that was named for a gate whose seats have ended, how many slots were taken, and which
  -- deploy's code has named the limit.
  function G.named(key)
    local limit, taken, deploy = string.match(call('HGET', GATES, key) or '', '^(%d+) (%d+) (%d+)$')
    return tonumber(limit), tonumber(taken) or 0, tonumber(deploy) or 0
  end

  function G.name(key, limit, taken, deploy)
    call('HSET', GATES, key, digits(limit) .. ' ' .. digits(taken) .. ' ' .. digits(deploy))
  end

  -- Apply the limits of gates that newer code has named than that of `deploy`.
  function G.follow(rules, deploy)
    for _, rule in ipairs(rules) do
      if rule.window == GATE_WINDOW then
        local limit, _, by = G.limit(rule.key)
        if limit and by > deploy then rule.limit = limit end
      end
    end
  end

  local without_seats = {}

  -- Turn the seats of a gate into slots. In this script, nobody takes a seat of it again.
  function G.end_seats(key)
    if without_seats[key] then return end
    without_seats[key] = true
    local slots = P .. 'gate:' .. key
    local limit, taken, deploy = G.each_seat(key, function(worker, id, name)
      call('HSET', slots, id, name .. worker)
      call('HSET', GATED, id, #key .. ':' .. key)
      any_gated = true
    end)
    if not limit then return end
    local _, before = G.named(key)
    G.name(key, limit, taken + before, deploy)
    call('DEL', P .. 'seats:' .. key)
    G.forget(key)
  end

  -- As `named`, for any gate.
  function G.limit(key)
    G.end_seats(key)
    return G.named(key)
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
    G.end_seats(key)
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

  -- Take a slot of each gate for the claim with this name. `asked`: if the job's code has just named the
  -- rules, of which deploy it is.
  function G.enter(rules, id, worker, name, asked)
    local keys = ''
    for _, rule in ipairs(rules) do
      if rule.window == GATE_WINDOW then
        local limit, taken, by = G.limit(rule.key)
        if asked then limit = rule.limit end
        local new = call('HSET', P .. 'gate:' .. rule.key, id, name .. worker)
        G.name(rule.key, limit or rule.limit, taken + new, math.max(by, asked or 0))
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

  -- Take away the seat, if any, of a claim whose job has ended. Return its gates, as stored in `gated`,
  -- if it has slots of any; and whether jobs wait for one of these gates.
  function G.leave(id, name, worker)
    local seat = call('HGET', P .. 'worker:' .. worker, '#seat')
    if seat and call('HGET', P .. 'seats:' .. seat, worker) == name .. id then G.vacate(seat, worker) end
    local held, owns, waited = call('HGET', GATED, id), false, false
    G.each(held or '', function(key)
      if call('HGET', P .. 'gate:' .. key, id) == name .. worker then owns = true end
      if call('EXISTS', P .. 'gatequeues:' .. key) == 1 then waited = true end
    end)
    return owns and held, waited
  end

  return G
end
