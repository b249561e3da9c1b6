-- A batch of operations as one step (package store says what they mean).
--
-- KEYS: the name of each operation's key, and perhaps the batch's own name.
-- ARGV: now in milliseconds, the number of operations, and for each
--   i have value            if: "0" for nothing, or "1" and what it must hold
--   p end life value        put
--   a end life n delta...   add
--   d                       delete
-- end is eight bytes as in a record, life milliseconds or "" for ever.
--
-- Returns 1, or 0 when a condition did not hold.

local now = tonumber(ARGV[1])
local count = tonumber(ARGV[2])

-- A batch that was done before, and whose answer was lost.
local batch = KEYS[count + 1]
if batch and not redis.call('SET', batch, '1', 'NX', 'PX', 60000) then
	return 1
end

local function lives(name)
	local e = redis.call('GETRANGE', name, 0, 7)
	if #e < 8 then
		return false
	end
	local high, low = struct.unpack('>i4I4', e)
	local at = high * 4294967296 + low
	return at == 0 or at > now
end

local at = 3
for i = 1, count do
	local kind = ARGV[at]
	if kind == 'i' then
		local name = KEYS[i]
		if ARGV[at + 1] == '0' then
			if lives(name) then
				return 0
			end
		elseif not lives(name) or redis.call('GETRANGE', name, 8, -1) ~= ARGV[at + 2] then
			return 0
		end
		at = at + 3
	elseif kind == 'p' then
		at = at + 4
	elseif kind == 'a' then
		at = at + 4 + tonumber(ARGV[at + 3])
	else
		at = at + 1
	end
end

at = 3
for i = 1, count do
	local kind, name = ARGV[at], KEYS[i]
	if kind == 'i' then
		at = at + 3
	elseif kind == 'p' then
		redis.call('SET', name, ARGV[at + 1] .. ARGV[at + 3])
		if ARGV[at + 2] ~= '' then
			redis.call('PEXPIRE', name, ARGV[at + 2])
		end
		at = at + 4
	elseif kind == 'a' then
		if not lives(name) then
			redis.call('DEL', name)
		end
		redis.call('SETRANGE', name, 0, ARGV[at + 1])
		local n = tonumber(ARGV[at + 3])
		for j = 1, n do
			redis.call('BITFIELD', name, 'OVERFLOW', 'SAT', 'INCRBY', 'i64', '#' .. j, ARGV[at + 3 + j])
		end
		if ARGV[at + 2] == '' then
			redis.call('PERSIST', name)
		else
			redis.call('PEXPIRE', name, ARGV[at + 2])
		end
		at = at + 4 + n
	else
		redis.call('DEL', name)
		at = at + 1
	end
end
return 1
