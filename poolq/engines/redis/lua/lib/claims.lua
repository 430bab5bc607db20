-- Part `claims`: whether a worker holds a claim. It does while the job's field
-- in the worker's hash begins with the claim's name, "<request> <index> ".

-- How the job was claimed, from which queue, and when; nil if the worker does not hold the claim.
-- `worker`: the worker's hash.
local function holds(worker, id, name)
  local claim = call('HGET', worker, id)
  if not claim or string.sub(claim, 1, #name) ~= name then return nil end
  local how, taken, queue = string.match(claim, '^%d+ %d+ ([^ ]+) (%d+) (.*)$')
  return how or '0', queue or '', taken or stamp
end

-- Whether windows have counted the starts of a claim: when the job was claimed, or when the worker
-- asked before but did not receive the answer. Then no window counts them again.
local function is_admitted(how)
  return how ~= '0' and how ~= 'r'
end

-- Note that windows have counted the start of a claim.
local function note_start(worker, id, name, taken, queue)
  call('HSET', worker, id, name .. 's ' .. taken .. ' ' .. queue)
end

-- Whether a claim's job is cancelled, by how it was claimed.
local function is_cancelled(how)
  return string.sub(how, 1, 1) == 'c'
end

-- The deploy of a worker's code; 0 if the code was not accepted yet.
local function deploy_of(worker)
  return tonumber(call('HGET', worker, '#deploy') or nil) or 0
end
