-- Part `tied_fast_path`, only in `push_tied` (needs `ready`): store a single job that is due now,
-- never expires, and whose key nobody has. The script ends here, because creating the functions of the following parts
-- would take longer than this. The arguments are those of part `tied_push`.

if #ARGV == 9 and ARGV[2] == '' and ARGV[5] == '0' and ARGV[6] ~= '' and ARGV[8] == '0'
  and call('SET', P .. 'unique:' .. ARGV[7], '0 ' .. ARGV[3], 'NX') then
  local queue, id = ARGV[1], ARGV[3]
  call('HSET', TIES, id, ARGV[6])
  call('HSET', bodies_of(id), id, stamp .. ' ' .. queue .. '\n' .. ARGV[4])
  local waiting = append(queue, {id})
  if waiting <= 1 then activate(queue) end
  wake(queue, waiting)
  return {id}
end
