#!lua flags=allow-oom
-- What a keeper asks before it blocks: which jobs have become due since anybody looked, and when
-- is the next one? Ready jobs as such are no news: they left a token.
-- Parts: base, tokens, ready, queues.
--
-- ARGV: queues as part `queues` has them.
-- Reply: {how many have become due, microseconds until the next is due or -1, the wake lists to
--        wait on}.

local queues, news = open_of((named_at(1))), 0
for _, queue in ipairs(queues) do
  local slots = P .. 'parked:' .. queue
  local free = call('ZRANGE', slots, '(0', stamp, 'BYSCORE', 'LIMIT', 0, 1000)
  for _, identity in ipairs(free) do call('ZADD', slots, 0, identity) end
  news = news + promote(queue) + #free
end
-- A queue that is paused now may be resumed meanwhile.
local lists, names = {P .. 'wake'}, {unpack(ARGV, 2)}
if ARGV[1] == '-1' then names = call('ZRANGE', P .. 'queues', 0, -1) end
for i, queue in ipairs(names) do lists[i + 1] = P .. 'wake:' .. queue end
return {news, digits(next_due(queues, '(' .. stamp)), lists}
