-- Part `holding`: whether a worker, named by its hash, has a claim. It does while the claim's field
-- begins with its name, "<request> <index> ".

local function holds(worker, id, name)
  local claim = call('HGET', worker, id)
  return claim and string.sub(claim, 1, #name) == name
end
