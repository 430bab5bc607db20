-- Part `tied_fast_path` (needs `ready`): store a single job that is due now and never expires, and whose
-- key nobody has. The script ends here, because creating the functions of the following parts would take
-- longer than this. The arguments are those of part `tied_push`.

local function take_key()
  local name, lasts = P .. 'unique:' .. ARGV[4], tonumber(ARGV[5])
  if not lasts then return call('SET', name, ARGV[2], 'NX') end
  local milliseconds = digits(math.ceil(lasts / 1000))
  return call('SET', name, digits(now + lasts) .. ' ' .. ARGV[2], 'NX', 'PX', milliseconds)
end

if #ARGV == 5 and ARGV[4] ~= '' and not string.find(ARGV[5], ',', 1, true) and take_key() then
  local queue, id = ARGV[1], ARGV[2]
  count_ties(1)
  call('HSET', bodies_of(id), id, stamp .. ' ' .. queue .. ARGV[3])
  local waiting = append(queue, {id})
  if waiting <= 1 then activate(queue) end
  wake(queue, waiting)
  return 1
end
