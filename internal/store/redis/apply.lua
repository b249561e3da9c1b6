-- A batch of operations as one step (package store says what they mean).
--
-- KEYS: the name of each operation's key, and perhaps the batch's own name.
-- ARGV: now in milliseconds, the number of operations, and for each
--   i have value            if: "0" for nothing, or "1" and what it must hold
--   p end life value        put; end is eight bytes as in a record
--   a end life n delta...   add; end is a number in decimals
--   d                       delete
-- life is milliseconds, or "" for ever.
--
-- A lesson adds to hundreds of keys, and a call costs more than what it does: so adding
-- is three calls, whatever n is.
--
-- Returns 1, or 0 when a condition did not hold.

local KEYS, ARGV, call = KEYS, ARGV, redis.call -- locals are quicker than globals
local now = tonumber(ARGV[1])
local count = tonumber(ARGV[2])

-- A batch that was done before, and whose answer was lost.
local batch = KEYS[count + 1]
if batch and not call('SET', batch, '1', 'NX', 'PX', 60000) then
	return 1
end

-- Whether a record lives, and whether there is one that does not.
local function lives(name)
	local e = call('GETRANGE', name, 0, 7)
	if #e < 8 then
		return false, e ~= ''
	end
	local high, low = struct.unpack('>i4I4', e)
	local at = high * 4294967296 + low
	local alive = at == 0 or at > now
	return alive, not alive
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
		elseif not lives(name) or call('GETRANGE', name, 8, -1) ~= ARGV[at + 2] then
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
		call('SET', name, ARGV[at + 1] .. ARGV[at + 3])
		if ARGV[at + 2] ~= '' then
			call('PEXPIRE', name, ARGV[at + 2])
		end
		at = at + 4
	elseif kind == 'a' then
		local _, dead = lives(name)
		if dead then
			call('DEL', name)
		end
		local n = tonumber(ARGV[at + 3])
		if n == 3 then -- a token: without the table of the general way it costs the server a quarter less
			call('BITFIELD', name, 'SET', 'i64', '#0', ARGV[at + 1], 'OVERFLOW', 'SAT', 'INCRBY', 'i64', '#1', ARGV[at + 4],
				'INCRBY', 'i64', '#2', ARGV[at + 5], 'INCRBY', 'i64', '#3', ARGV[at + 6])
		else
			local fields = {'SET', 'i64', '#0', ARGV[at + 1], 'OVERFLOW', 'SAT'}
			for j = 1, n do
				local k = #fields
				fields[k + 1], fields[k + 2], fields[k + 3], fields[k + 4] = 'INCRBY', 'i64', '#' .. j, ARGV[at + 3 + j]
			end
			call('BITFIELD', name, unpack(fields))
		end
		if ARGV[at + 2] == '' then
			call('PERSIST', name)
		else
			call('PEXPIRE', name, ARGV[at + 2])
		end
		at = at + 4 + n
	else
		call('DEL', name)
		at = at + 1
	end
end
return 1
