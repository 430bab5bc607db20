-- Part `effects` (needs `unique_keys`): what jobs hold beside their places, such as unique keys.
--
-- A job's effect is stored with the job, after its queue, see part `base`. The first word says which
-- effect it is. A script that claims, ends or returns jobs calls these functions, which are the only
-- ones that know which effects there are. They are made only in scripts with such jobs, because
-- making them takes longer than a short script.

local effect_functions

local function effects()
  if effect_functions then return effect_functions end
  local E = {}
  effect_functions = E

  -- What makes the functions of each effect: `start`, `finish`, `requeue` and `retry`, each of an
  -- id, and of the first word and the rest of what is stored with the job.
  local EFFECTS = {start = unique_keys, ['end'] = unique_keys, time = unique_keys}

  -- Call a function, by its name, of a job's effect. `stored`: the job's body with the line before
  -- it. Returns what the function returns; nil if the job has no effect.
  local function tell(what, id, stored)
    if not stored or not string.find(stored, '\t', 1, true) then return nil end
    local word, rest = string.match(stored, '^[^\n\t]*\t(%a+) ([^\n]*)\n')
    local effect = EFFECTS[word]
    return effect and effect()[what](id, word, rest)
  end

  local function tell_all(what, ids, from, last)
    local answers = {}
    each_hash(ids, from, last, function(hash, first, to)
      local stored = call('HMGET', hash, unpack(ids, first, to))
      for k = first, to do answers[k] = tell(what, ids[k], stored[k - first + 1]) end
    end)
    return answers
  end

  -- The claim of this job begins.
  function E.start(id, stored)
    tell('start', id, stored)
  end

  -- The jobs ids[from .. last] have failed, or are about to be deleted.
  function E.finish(ids, from, last)
    tell_all('finish', ids, from, last)
  end

  -- The claim of this job has ended, and the job is in its queue, or in a line, again.
  function E.requeue(id)
    tell_all('requeue', {id}, 1, 1)
  end

  -- Let failed jobs hold again what they held. Returns them except those that have to stay failed,
  -- because another job holds it.
  function E.retry(ids)
    local answers, free_ids = tell_all('retry', ids, 1, #ids), {}
    for k, id in ipairs(ids) do
      if answers[k] ~= false then free_ids[#free_ids + 1] = id end
    end
    return free_ids
  end

  return E
end

-- Delete jobs ids[from .. last], at most 1000, that are in no place and have no claim any more.
local function delete_jobs(ids, from, last)
  effects().finish(ids, from, last)
  delete_bodies(ids, from, last)
  call('HDEL', STATES, unpack(ids, from, last))
  call('HDEL', GRANTED, unpack(ids, from, last))
end
