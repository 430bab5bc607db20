-- Part `push_unique`, only in `push` (needs `new_jobs`): store jobs that may give way to others. If there
-- are no others, the script ends here, as in part `push_plain`.

local given_way = {}

-- Store the following groups, as long as they are of these kinds.
local function store_groups(kinds)
  while at < #ARGV do
    local queue, kind, n = ARGV[at], string.match(ARGV[at + 1], '^([-%a])(%d+)$')
    if not string.find(kinds, kind, 1, true) then return end
    at = at + 2
    for k = place, place + n - 1 do
      local holder
      if kind == '-' then
        holder = store_new(queue, ARGV[at], ARGV[at + 1], '0', '0', '0 0 0 ')
        at = at + 2
      else
        holder = store_new(queue, unpack(ARGV, at, at + 4))
        at = at + 5
      end
      if holder then
        given_way[#given_way + 1] = k
        given_way[#given_way + 1] = holder
      end
    end
    place = place + n
  end
end

store_groups('-k')
if at > #ARGV then return given_way end
