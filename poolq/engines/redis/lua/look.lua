#!lua flags=allow-oom
-- What a keeper asks before it blocks: which jobs have become due since anybody looked, and when
-- is the next one? Ready jobs as such are no news: they left a token.
-- Parts: base, tokens, ready, queues, bodies, limits, lines.
--
-- ARGV: queues as part `queues` has them.
-- Reply: {how many have become due, microseconds until the next is due or -1, the wake lists to
--        wait on}.

heed_clock()
local queues, news = open_of((named_at(1))), 0
for _, queue in ipairs(queues) do
  local lines = P .. 'lines:' .. queue
  for _, name in ipairs(call('ZRANGE', lines, '(0', stamp, 'BYSCORE', 'LIMIT', 0, 1000)) do
    if name == RELEASED then
      news = news + release_due(queue)
    else
      call('ZADD', lines, 0, name)
      news = news + 1
    end
  end
  news = news + promote(queue)
end
-- A queue that is paused now may be resumed meanwhile.
local lists, names = {P .. 'wake'}, {unpack(ARGV, 2)}
if ARGV[1] == '-1' then names = call('ZRANGE', P .. 'queues', 0, -1) end
for i, queue in ipairs(names) do lists[i + 1] = P .. 'wake:' .. queue end
return {news, digits(next_due(queues, '(' .. stamp)), lists}
