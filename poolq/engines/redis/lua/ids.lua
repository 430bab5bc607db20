#!lua flags=no-writes
-- Find ids that begin with a text.
--
-- ARGV: the text, the highest number of ids, then the moments (see `bodies`) to search, sorted.
-- Reply: the ids, sorted.

local prefix, most, found = ARGV[1], tonumber(ARGV[2]), {}
for i = 3, #ARGV do
  for _, id in ipairs(call('HKEYS', P .. 'bodies:' .. ARGV[i])) do
    if string.sub(id, 1, #prefix) == prefix then found[#found + 1] = id end
  end
  if #found >= most then break end
end
table.sort(found)
return {unpack(found, 1, math.min(#found, most))}
