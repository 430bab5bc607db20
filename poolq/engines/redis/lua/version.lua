#!lua flags=allow-oom
-- Find the version of the keys. If none is stored, store the version of this poolq.
--
-- ARGV: the version that this poolq needs.
-- Reply: the version.
--
-- Versions 1 and 2 had no key `version`. They had a key `queues`, which no later version has.

local found = redis.pcall('GET', P .. 'version')
if type(found) == 'string' and string.match(found, '^[1-9]%d?%d?$') then return tonumber(found) end
if call('EXISTS', P .. 'queues') == 1 then return 2 end
call('SET', P .. 'version', ARGV[1])
return tonumber(ARGV[1])
